-- The layout of SQLite's 0010, as PostgreSQL writes it. Times are seconds since 1970 where nothing else is said.
--
-- Texts are compared byte by byte, whatever the database's own collation is: names and digests have one order everywhere.

-- Jobs. What a job is to `protocol::job::decide` is in `machine`; what the customer wrote is in `details`, without keys.
CREATE TABLE job (
    id                 BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- A random name for folders and logs, that tells nothing about the customer.
    uid                TEXT COLLATE "C" NOT NULL UNIQUE,
    subscription       TEXT COLLATE "C" NOT NULL,
    resource_group     TEXT COLLATE "C" NOT NULL,
    name               TEXT COLLATE "C" NOT NULL,
    -- The same in lower case, by which they are found.
    subscription_key   TEXT COLLATE "C" NOT NULL,
    resource_group_key TEXT COLLATE "C" NOT NULL,
    name_key           TEXT COLLATE "C" NOT NULL,
    -- The storage account, in lower case.
    account_key        TEXT COLLATE "C" NOT NULL,
    -- Counts up with every change: the ETag.
    version            BIGINT NOT NULL,
    -- Copies out of the two documents, to search by.
    kind               TEXT COLLATE "C" NOT NULL,
    state              TEXT COLLATE "C" NOT NULL,
    tracking_number    TEXT COLLATE "C",
    -- When the next timer is due.
    due_at             BIGINT,
    created_at         BIGINT NOT NULL,
    modified_at        BIGINT NOT NULL,
    location           TEXT COLLATE "C" NOT NULL,
    tags               TEXT COLLATE "C",
    machine            TEXT COLLATE "C" NOT NULL,
    details            TEXT COLLATE "C" NOT NULL,
    -- How urgently a person is needed, whatever is docked, and from when: `protocol::station::waits_from`. Less is more urgent,
    -- NULL is not at all.
    waits_rank         BIGINT,
    waits_from         BIGINT,
    -- 1 while drives may be checked in.
    awaits_drives      BIGINT NOT NULL,
    CONSTRAINT job_path UNIQUE (subscription_key, resource_group_key, name_key),
    -- Blobs and documents of a job are named after it: two jobs of one account must not share them.
    CONSTRAINT job_name UNIQUE (name_key, account_key)
);
CREATE INDEX job_due ON job (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX job_state ON job (state);
CREATE INDEX job_of_subscription ON job (subscription_key, id);
CREATE INDEX job_of_group ON job (subscription_key, resource_group_key, id);
CREATE INDEX job_waits ON job (waits_rank, waits_from, id) WHERE waits_rank IS NOT NULL;
CREATE INDEX job_awaits ON job (kind, id) WHERE awaits_drives = 1;

-- A text that is sealed as keys are: it opens with the right key file alone. One row.
CREATE TABLE vault_check (
    id     BIGINT PRIMARY KEY CHECK (id = 1),
    sealed BYTEA NOT NULL
);

-- BitLocker keys, sealed.
CREATE TABLE drive_key (
    job_id   BIGINT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    drive_id TEXT COLLATE "C" NOT NULL,
    sealed   BYTEA NOT NULL,
    PRIMARY KEY (job_id, drive_id)
);

-- The copy of each drive, as `protocol::job::CopyRecord` has it.
CREATE TABLE drive_copy (
    job_id   BIGINT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    drive_id TEXT COLLATE "C" NOT NULL,
    record   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (job_id, drive_id)
);

-- Drives of jobs, in lower case, to find the job of a drive that was docked; and by their beginning and their end, to find the
-- one that a mistyped serial number may mean.
CREATE TABLE job_drive (
    job_id    BIGINT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    drive_key TEXT COLLATE "C" NOT NULL,
    head      TEXT COLLATE "C" GENERATED ALWAYS AS (left(drive_key, 4)) STORED,
    tail      TEXT COLLATE "C" GENERATED ALWAYS AS (right(drive_key, 4)) STORED,
    PRIMARY KEY (job_id, drive_key)
);
CREATE INDEX job_drive_key ON job_drive (drive_key);
CREATE INDEX job_drive_head ON job_drive (head, job_id);
CREATE INDEX job_drive_tail ON job_drive (tail, job_id);

-- What is still to be done about a decision. Written in the transaction of the decision, removed when it was done.
CREATE TABLE effect (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_uid TEXT COLLATE "C" NOT NULL,
    what    TEXT COLLATE "C" NOT NULL,
    -- What a removed job left in its customer's account, until it is gone from there too.
    sealed  BYTEA
);
CREATE INDEX effect_job ON effect (job_uid);
-- Stops of copies are asked for in every round, however much else waits.
CREATE INDEX effect_stop ON effect (id) WHERE (substr(what, 1, 11) = '{"StopCopy"');

-- API clients: digests of bearer tokens.
CREATE TABLE token (
    digest        TEXT COLLATE "C" PRIMARY KEY,
    name          TEXT COLLATE "C" NOT NULL UNIQUE,
    role          TEXT COLLATE "C" NOT NULL CHECK (role IN ('customer', 'operator')),
    -- A JSON list, for customers.
    subscriptions TEXT COLLATE "C" NOT NULL,
    created_at    BIGINT NOT NULL
);

-- Who is logged in to the portal: a digest of the cookie, and who it is.
CREATE TABLE session (
    -- Counts up: several are opened in one second.
    number     BIGINT GENERATED ALWAYS AS IDENTITY,
    digest     TEXT COLLATE "C" PRIMARY KEY,
    -- The token that it was opened with, by name; sessions of Entra ID have none here.
    token_name TEXT COLLATE "C" REFERENCES token (name) ON DELETE CASCADE,
    -- Who it is, where there is no token.
    actor      TEXT COLLATE "C",
    -- Goes with every form, so that another site cannot send one.
    csrf       TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    opened_at  BIGINT NOT NULL
);
CREATE INDEX session_name ON session (name, opened_at);
CREATE INDEX session_token ON session (token_name);

-- Who did what, for good. Nothing in it outlives its job but the job's random name.
CREATE TABLE audit (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT COLLATE "C" NOT NULL,
    action  TEXT COLLATE "C" NOT NULL,
    job_uid TEXT COLLATE "C",
    -- The state that the job entered.
    entered TEXT COLLATE "C"
);
CREATE INDEX audit_job ON audit (job_uid);
CREATE INDEX audit_actor ON audit (actor);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END
$$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- What an entry of the audit log says beside its action, such as serial numbers. It goes with its job.
CREATE TABLE audit_detail (
    audit_id BIGINT PRIMARY KEY,
    job_id   BIGINT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    detail   TEXT COLLATE "C" NOT NULL
);
CREATE INDEX audit_detail_job ON audit_detail (job_id);

-- Which job a docked drive was checked in to, so that a drive that is done is not taken for another job's while it is still in
-- its bay. The marks are digests of the job's random name and the drive: they tell nothing by themselves.
CREATE TABLE docking (
    bay        TEXT COLLATE "C" PRIMARY KEY,
    job_uid    TEXT COLLATE "C" NOT NULL,
    mark       TEXT COLLATE "C" NOT NULL,
    drive_mark TEXT COLLATE "C",
    -- In nanoseconds since 1970: it is compared with when the drive was docked.
    at         BIGINT NOT NULL
);

-- How many jobs each subscription has: there is a limit.
CREATE TABLE subscription_count (
    subscription_key TEXT COLLATE "C" PRIMARY KEY,
    count            BIGINT NOT NULL
);

-- How many jobs are in each state, kept with every change: counting them takes longer the more jobs there are. Each state has
-- several rows, so that changes of different jobs do not wait for each other; the number is their sum.
CREATE TABLE job_count (
    state TEXT COLLATE "C" NOT NULL,
    part  INTEGER NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (state, part)
) WITH (fillfactor = 50);

CREATE FUNCTION count_job() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    own_part CONSTANT INTEGER := pg_backend_pid() % 16;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO job_count (state, part, count) VALUES (OLD.state, own_part, -1)
            ON CONFLICT (state, part) DO UPDATE SET count = job_count.count - 1;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO job_count (state, part, count) VALUES (NEW.state, own_part, 1)
            ON CONFLICT (state, part) DO UPDATE SET count = job_count.count + 1;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER job_is_counted AFTER INSERT OR DELETE ON job FOR EACH ROW EXECUTE FUNCTION count_job();
CREATE TRIGGER job_is_counted_elsewhere AFTER UPDATE OF state ON job
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION count_job();
