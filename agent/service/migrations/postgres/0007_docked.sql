-- When the drive was docked, by the clock of its host, in nanoseconds since 1970: a docking is known again by it. Absent where that
-- is not known.
ALTER TABLE docking ADD COLUMN docked_at BIGINT;
