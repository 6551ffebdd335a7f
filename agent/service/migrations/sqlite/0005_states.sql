-- The state that a job entered by an act: its time line.
ALTER TABLE audit ADD COLUMN entered TEXT;
