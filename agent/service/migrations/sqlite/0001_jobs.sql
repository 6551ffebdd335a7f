-- Jobs. What a job is to `protocol::job::decide` is in `machine`; what the customer wrote is in `details`, without keys.
CREATE TABLE job (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    -- A random name for folders and logs, that tells nothing about the customer.
    uid             TEXT NOT NULL UNIQUE,
    subscription    TEXT NOT NULL COLLATE NOCASE,
    resource_group  TEXT NOT NULL COLLATE NOCASE,
    name            TEXT NOT NULL COLLATE NOCASE,
    -- Counts up with every change: the ETag.
    version         INTEGER NOT NULL,
    -- Copies out of the two documents, to search by.
    kind            TEXT NOT NULL,
    state           TEXT NOT NULL,
    tracking_number TEXT,
    -- When the next timer is due, in seconds since 1970.
    due_at          INTEGER,
    created_at      INTEGER NOT NULL,
    modified_at     INTEGER NOT NULL,
    location        TEXT NOT NULL,
    tags            TEXT,
    machine         TEXT NOT NULL,
    details         TEXT NOT NULL,
    UNIQUE (subscription, resource_group, name)
) STRICT;

CREATE INDEX job_due ON job (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX job_state ON job (state);

-- BitLocker keys, sealed.
CREATE TABLE drive_key (
    job_id   INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    drive_id TEXT NOT NULL,
    sealed   BLOB NOT NULL,
    PRIMARY KEY (job_id, drive_id)
) STRICT;

-- What is still to be done about a decision. Written in the transaction of the decision, removed when it was done.
CREATE TABLE effect (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    job_uid TEXT NOT NULL,
    what    TEXT NOT NULL
) STRICT;

-- Who may ask: digests of bearer tokens.
CREATE TABLE token (
    digest        TEXT PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    role          TEXT NOT NULL CHECK (role IN ('customer', 'operator')),
    -- A JSON list, for customers.
    subscriptions TEXT NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;

-- Who did what, for good. Nothing in it outlives its job but the job's random name.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    job_uid TEXT
) STRICT;

CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit BEGIN SELECT RAISE (ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit BEGIN SELECT RAISE (ABORT, 'the audit log is append-only'); END;
