-- Which job a docked drive was checked in to, so that a drive that is done is not taken for another job's while it is
-- still in its bay. The mark is a digest of the job's random name and the drive: it tells nothing by itself.
CREATE TABLE docking (
    bay     TEXT PRIMARY KEY,
    job_uid TEXT NOT NULL,
    mark    TEXT NOT NULL,
    -- In nanoseconds since 1970: it is compared with when the drive was docked.
    at      INTEGER NOT NULL
) STRICT;

-- Lists come in the order of their numbers: without these each page sorts the whole subscription.
CREATE INDEX job_of_subscription ON job (subscription, id);
CREATE INDEX job_of_group ON job (subscription, resource_group, id);
CREATE INDEX job_name ON job (name);
