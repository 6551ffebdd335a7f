-- 1 is the token of a station: it gets that station's orders, and allows nothing else. Its role is `customer`, without
-- subscriptions: that allows nothing where a program does not know stations.
ALTER TABLE token ADD COLUMN is_station BIGINT NOT NULL DEFAULT 0;

-- Copies that stations may run: one at a time for a drive of a job. The end of one whose row is gone changes nothing.
CREATE TABLE copy_grant (
    -- A random name.
    id         TEXT COLLATE "C" PRIMARY KEY,
    job_id     BIGINT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    drive_id   TEXT COLLATE "C" NOT NULL,
    -- The service whose own bay it is in, where several share the database; otherwise the station is in the order.
    holder     TEXT COLLATE "C",
    -- `protocol::station::CopyOrder`, as the station gets it.
    copy_order TEXT COLLATE "C" NOT NULL,
    UNIQUE (job_id, drive_id)
);

-- Which stations may keep something of a job, which may be gone already: they are asked to forget it.
CREATE TABLE station_job (
    station TEXT COLLATE "C" NOT NULL,
    job_uid TEXT COLLATE "C" NOT NULL,
    -- The state directory that has the journal of its last copy: another one under the same name knows nothing of it.
    state_id TEXT COLLATE "C",
    PRIMARY KEY (job_uid, station)
);
