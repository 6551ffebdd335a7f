-- Who is logged in to the portal: a digest of the cookie, and who it is.
CREATE TABLE session (
    digest     TEXT PRIMARY KEY,
    -- The token that it was opened with, by name; sessions of Entra ID have none here.
    token_name TEXT REFERENCES token (name) ON DELETE CASCADE,
    -- Who it is, where there is no token.
    actor      TEXT,
    -- Goes with every form, so that another site cannot send one.
    csrf       TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
