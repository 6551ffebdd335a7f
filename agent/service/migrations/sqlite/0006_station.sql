-- Which drive of the job a docking was checked in as: a digest like `mark`. Absent in rows of earlier versions.
ALTER TABLE docking ADD COLUMN drive_mark TEXT;

-- Serial numbers by their beginning and their end, to find the drive that a mistyped one may mean.
ALTER TABLE job_drive ADD COLUMN head TEXT GENERATED ALWAYS AS (lower(substr(drive_id, 1, 4))) VIRTUAL;
ALTER TABLE job_drive ADD COLUMN tail TEXT GENERATED ALWAYS AS (lower(substr(drive_id, -4))) VIRTUAL;
CREATE INDEX job_drive_head ON job_drive (head);
CREATE INDEX job_drive_tail ON job_drive (tail);

-- How urgently a person is needed about a job, whatever is docked, and from when: `protocol::station::waits_from`. Less is
-- more urgent, NULL is not at all, and -1 is not known yet.
ALTER TABLE job ADD COLUMN waits_rank INTEGER DEFAULT -1;
ALTER TABLE job ADD COLUMN waits_from INTEGER;
CREATE INDEX job_waits ON job (waits_rank, waits_from, id) WHERE waits_rank IS NOT NULL;

-- Jobs that wait for a drive, the oldest first.
ALTER TABLE job ADD COLUMN awaits_drives INTEGER NOT NULL DEFAULT 0;
CREATE INDEX job_awaits ON job (kind, id) WHERE awaits_drives = 1;

-- What an entry of the audit log says beside its action, such as serial numbers. It goes with its job.
CREATE TABLE audit_detail (
    audit_id INTEGER PRIMARY KEY,
    job_id   INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    detail   TEXT NOT NULL
) STRICT;
CREATE INDEX audit_detail_job ON audit_detail (job_id);
