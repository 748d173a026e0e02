-- Users are owned here; every change raises the version that copies go by. A deleted user leaves a tombstone
-- whose e-mail is free again.
CREATE TABLE users (
    id           TEXT PRIMARY KEY,
    version      INTEGER NOT NULL,
    email        TEXT NOT NULL,
    email_folded TEXT UNIQUE,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL,
    status       TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
);

-- Apart from the users, so that no query for a user can carry a hash along.
CREATE TABLE credentials (
    user_id    TEXT PRIMARY KEY REFERENCES users (id),
    phc        TEXT NOT NULL,
    updated_at INTEGER NOT NULL
);

-- What a user did to their account, for 90 days; written by our own events.
CREATE TABLE activity (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL,
    action     TEXT NOT NULL,
    session_id TEXT,
    device_id  TEXT,
    ip         TEXT,
    reason     TEXT,
    at         INTEGER NOT NULL
);
CREATE INDEX activity_user ON activity (user_id, at);
CREATE INDEX activity_at ON activity (at);
