-- What is personal of a job is sealed from now on, with a key of its own: `store/seal.rs`. Where a column says so below, it has a
-- digest that only the service's key makes.
--
-- Two tables must not keep anything of a job that was removed. They are rewritten when one was: in parts, by the last digit of
-- the job's random name, so that it takes a moment only. No samples of their columns are kept.

-- Columns of other tables: `job.tags`, `machine` and `details`, `drive_copy.record`, `drive_key.sealed`, `audit_detail.detail` and
-- `copy_grant.copy_order` are sealed, and so is the drive in `effect.what`; `job.account_key`, `drive_copy.drive_id`,
-- `drive_key.drive_id` and `copy_grant.drive_id` are digests; `job.tracking_number` is not used any more.

-- One row until the jobs of earlier versions are sealed and the tables that had them are rewritten: that may be cut off.
CREATE TABLE unsealed (id BIGINT PRIMARY KEY CHECK (id = 1));
INSERT INTO unsealed (id) VALUES (1);

CREATE TABLE job_seal (
    part         TEXT COLLATE "C" NOT NULL,
    job_uid      TEXT COLLATE "C" NOT NULL,
    -- The key of the job, sealed with the service's. After a removal it is another one, of what the job left in its account.
    sealed       BYTEA NOT NULL,
    -- A digest.
    tracking_key TEXT COLLATE "C",
    -- Digests of each three letters in a row of the serial numbers and the number of the parcel.
    letters      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (job_uid, part)
) PARTITION BY LIST (part);
CREATE INDEX job_seal_tracking ON job_seal (tracking_key);

-- It is filled again from the jobs.
DROP TABLE job_drive;
CREATE TABLE job_drive (
    part      TEXT COLLATE "C" NOT NULL,
    job_id    BIGINT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    -- Digests.
    drive_key TEXT COLLATE "C" NOT NULL,
    head      TEXT COLLATE "C" NOT NULL,
    tail      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (job_id, drive_key, part)
) PARTITION BY LIST (part);
CREATE INDEX job_drive_key ON job_drive (drive_key);
CREATE INDEX job_drive_head ON job_drive (head, job_id);
CREATE INDEX job_drive_tail ON job_drive (tail, job_id);

DO $$
DECLARE
    digit TEXT;
BEGIN
    FOREACH digit IN ARRAY string_to_array('0 1 2 3 4 5 6 7 8 9 a b c d e f', ' ') LOOP
        EXECUTE format('CREATE TABLE job_seal_%s PARTITION OF job_seal FOR VALUES IN (%L)', digit, digit);
        EXECUTE format('ALTER TABLE job_seal_%s ALTER sealed SET STATISTICS 0, ALTER tracking_key SET STATISTICS 0,
                        ALTER letters SET STATISTICS 0', digit);
        EXECUTE format('CREATE TABLE job_drive_%s PARTITION OF job_drive FOR VALUES IN (%L)', digit, digit);
        EXECUTE format('ALTER TABLE job_drive_%s ALTER drive_key SET STATISTICS 0, ALTER head SET STATISTICS 0,
                        ALTER tail SET STATISTICS 0', digit);
    END LOOP;
END
$$;
