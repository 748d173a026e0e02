-- A copy of the users, kept by events: newer versions only, a tombstone on delete.
CREATE TABLE users (
    id           TEXT PRIMARY KEY,
    version      INTEGER NOT NULL,
    email        TEXT NOT NULL,
    email_folded TEXT NOT NULL,
    name         TEXT NOT NULL,
    name_folded  TEXT NOT NULL,
    active       INTEGER NOT NULL,
    deleted      INTEGER NOT NULL
);
CREATE INDEX users_email_folded ON users (email_folded);
CREATE INDEX users_name_folded ON users (name_folded);

-- amount is minor units; scaled is the same with four digits for every currency, to sort and filter.
CREATE TABLE payments (
    id             TEXT PRIMARY KEY,
    version        INTEGER NOT NULL,
    sender_id      TEXT NOT NULL,
    recipient_id   TEXT NOT NULL,
    amount         INTEGER NOT NULL CHECK (amount > 0),
    digits         INTEGER NOT NULL,
    scaled         INTEGER NOT NULL,
    currency       TEXT NOT NULL,
    payment_type   TEXT NOT NULL,
    status         TEXT NOT NULL,
    description    TEXT NOT NULL,
    metadata       TEXT,
    failure_reason TEXT,
    psp_reference  TEXT,
    completed_at   INTEGER,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
);
CREATE INDEX payments_sender ON payments (sender_id, created_at, id);
CREATE INDEX payments_recipient ON payments (recipient_id, created_at, id);
CREATE INDEX payments_created ON payments (created_at, id);

CREATE TABLE payment_transactions (
    id         TEXT PRIMARY KEY,
    payment_id TEXT NOT NULL REFERENCES payments (id),
    status     TEXT NOT NULL,
    at         INTEGER NOT NULL,
    UNIQUE (payment_id, status)
);

-- What the provider has yet to do. A row is leased while someone works on it.
CREATE TABLE psp_jobs (
    payment_id   TEXT PRIMARY KEY REFERENCES payments (id),
    step         TEXT NOT NULL,
    due_at       INTEGER NOT NULL,
    leased_until INTEGER NOT NULL,
    attempts     INTEGER NOT NULL
);
CREATE INDEX psp_jobs_due ON psp_jobs (due_at);

-- One row per payment state entered, day, currency, type, and whose it is (sender, recipient, and
-- the nil id for everyone). Currencies are never added.
CREATE TABLE daily_aggregates (
    day          TEXT NOT NULL,
    user_id      TEXT NOT NULL,
    currency     TEXT NOT NULL,
    status       TEXT NOT NULL,
    payment_type TEXT NOT NULL,
    payments     INTEGER NOT NULL,
    amount       INTEGER NOT NULL,
    PRIMARY KEY (day, user_id, currency, status, payment_type)
);

-- The first answer of each keyed request, for 24 hours; without an answer it is leased.
CREATE TABLE idempotency_keys (
    user_id      TEXT NOT NULL,
    route        TEXT NOT NULL,
    key          TEXT NOT NULL,
    body_hash    BLOB NOT NULL,
    lease        TEXT NOT NULL,
    leased_until INTEGER NOT NULL,
    status       INTEGER,
    answer       TEXT,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (user_id, route, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
