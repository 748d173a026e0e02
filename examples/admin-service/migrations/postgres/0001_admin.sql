-- A copy of the users, kept by events: newer versions only, a tombstone on delete.
CREATE TABLE users (
    id         UUID PRIMARY KEY,
    version    BIGINT NOT NULL,
    email      TEXT NOT NULL,
    name       TEXT NOT NULL,
    folded     TEXT NOT NULL,
    role       TEXT NOT NULL,
    status     TEXT NOT NULL,
    deleted    BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX users_created ON users (created_at, id);

-- Append-only and chained: hash = SHA-256(previous hash, entry), over the bytes of entry as they stand here.
-- Personal data stands beside the entry, so that it can be erased without breaking the chain.
CREATE TABLE audit_logs (
    seq            BIGINT PRIMARY KEY,
    id             UUID NOT NULL UNIQUE,
    event_id       TEXT NOT NULL UNIQUE,
    action         TEXT NOT NULL,
    user_id        UUID,
    resource_type  TEXT NOT NULL,
    resource_id    TEXT NOT NULL,
    correlation_id TEXT,
    at             BIGINT NOT NULL,
    recorded_at    BIGINT NOT NULL,
    entry          TEXT NOT NULL,
    personal       TEXT,
    person_id      UUID,
    hash           BYTEA NOT NULL
);
CREATE INDEX audit_logs_action ON audit_logs (action, seq);
CREATE INDEX audit_logs_user ON audit_logs (user_id, seq);
CREATE INDEX audit_logs_resource ON audit_logs (resource_type, resource_id, seq);
CREATE INDEX audit_logs_person ON audit_logs (person_id);

-- The end of the chain: whoever appends holds this row.
CREATE TABLE audit_head (
    id   BIGINT PRIMARY KEY CHECK (id = 1),
    seq  BIGINT NOT NULL,
    hash BYTEA NOT NULL
);
INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'));

-- Where each payment stands, by its newest version.
CREATE TABLE dashboard_payments (
    payment_id UUID PRIMARY KEY,
    version    BIGINT NOT NULL,
    status     TEXT NOT NULL,
    currency   TEXT NOT NULL,
    amount     BIGINT NOT NULL
);
CREATE INDEX dashboard_payments_status ON dashboard_payments (status, currency);

-- Events per hour (the hour's first microsecond) and type.
CREATE TABLE dashboard_hours (
    hour   BIGINT NOT NULL,
    action TEXT NOT NULL,
    events BIGINT NOT NULL,
    PRIMARY KEY (hour, action)
);

CREATE TABLE dead_letters (
    id              UUID PRIMARY KEY,
    event_id        TEXT,
    event_type      TEXT,
    queue           TEXT,
    routing_key     TEXT,
    reason          TEXT NOT NULL,
    error           TEXT,
    handler         TEXT,
    attempts        BIGINT NOT NULL,
    first_failed_at BIGINT,
    last_failed_at  BIGINT,
    headers         TEXT NOT NULL,
    body            BYTEA NOT NULL,
    received_at     BIGINT NOT NULL
);
CREATE INDEX dead_letters_received ON dead_letters (received_at, id);
