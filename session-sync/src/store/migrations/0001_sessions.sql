CREATE TABLE devices (
    user_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT,
    kind TEXT,
    first_seen_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, id)
);
CREATE INDEX devices_last_seen ON devices (last_seen_at);
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    ip TEXT,
    user_agent TEXT,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    ended_at BIGINT,
    end_reason TEXT
);
CREATE INDEX sessions_live_by_user ON sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_by_device ON sessions (user_id, device_id);
CREATE INDEX sessions_live_by_expiry ON sessions (expires_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE refresh_tokens (
    hash $BYTES PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    superseded_at BIGINT,
    sealed $BYTES
);
CREATE UNIQUE INDEX refresh_tokens_by_session ON refresh_tokens (session_id, generation);
CREATE INDEX refresh_tokens_sealed ON refresh_tokens (superseded_at) WHERE sealed IS NOT NULL;
CREATE TABLE session_user_marks (
    user_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    role TEXT,
    marked_at BIGINT NOT NULL
);
CREATE INDEX session_user_marks_at ON session_user_marks (marked_at);
CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    sealed $BYTES NOT NULL,
    created_at BIGINT NOT NULL,
    active_at BIGINT NOT NULL,
    retired_at BIGINT
);
