-- Sessions tell whose they are and since when, so that operators can end them. All log in once more.
DELETE FROM session;
ALTER TABLE session ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN opened_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX session_name ON session (name, opened_at);

-- What one actor did, the newest first.
CREATE INDEX audit_actor ON audit (actor);
