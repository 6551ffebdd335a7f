-- The copy of each drive, as `protocol::job::CopyRecord` has it.
CREATE TABLE drive_copy (
    job_id   INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    drive_id TEXT NOT NULL,
    record   TEXT NOT NULL,
    PRIMARY KEY (job_id, drive_id)
) STRICT;

-- Drives of jobs, to find the job of a drive that was docked.
CREATE TABLE job_drive (
    job_id   INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    drive_id TEXT NOT NULL COLLATE NOCASE,
    PRIMARY KEY (job_id, drive_id)
) STRICT;

CREATE INDEX job_drive_id ON job_drive (drive_id);

INSERT INTO job_drive (job_id, drive_id)
SELECT job.id, drive.value ->> 'id' FROM job, json_each(job.machine, '$.drives') AS drive;

CREATE INDEX audit_job ON audit (job_uid);
