-- 1 is the token of a station: it gets that station's orders, and allows nothing else. Its role is `customer`, without
-- subscriptions: that allows nothing where a program does not know stations.
ALTER TABLE token ADD COLUMN is_station INTEGER NOT NULL DEFAULT 0;

-- Copies that stations may run: one at a time for a drive of a job. The end of one whose row is gone changes nothing.
CREATE TABLE copy_grant (
    -- A random name.
    id         TEXT PRIMARY KEY,
    job_id     INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    drive_id   TEXT NOT NULL,
    -- The service whose own bay it is in, where several share the database; otherwise the station is in the order.
    holder     TEXT,
    -- `protocol::station::CopyOrder`, as the station gets it.
    copy_order TEXT NOT NULL,
    UNIQUE (job_id, drive_id)
) STRICT;

-- Which stations may keep something of a job, which may be gone already: they are asked to forget it.
CREATE TABLE station_job (
    station TEXT NOT NULL,
    job_uid TEXT NOT NULL,
    -- The state directory that has the journal of its last copy: another one under the same name knows nothing of it.
    state_id TEXT,
    PRIMARY KEY (job_uid, station)
) STRICT;
