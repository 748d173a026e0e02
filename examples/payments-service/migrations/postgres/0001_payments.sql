-- A copy of the users, kept by events: newer versions only, a tombstone on delete.
-- The folded columns are compared byte by byte, so that a prefix is a range of the index.
CREATE TABLE users (
    id           UUID PRIMARY KEY,
    version      BIGINT NOT NULL,
    email        TEXT NOT NULL,
    email_folded TEXT COLLATE "C" NOT NULL,
    name         TEXT NOT NULL,
    name_folded  TEXT COLLATE "C" NOT NULL,
    active       BOOLEAN NOT NULL,
    deleted      BOOLEAN NOT NULL
);
CREATE INDEX users_email_folded ON users (email_folded);
CREATE INDEX users_name_folded ON users (name_folded);

-- amount is minor units; scaled is the same with four digits for every currency, to sort and filter.
CREATE TABLE payments (
    id             UUID PRIMARY KEY,
    version        BIGINT NOT NULL,
    sender_id      UUID NOT NULL,
    recipient_id   UUID NOT NULL,
    amount         BIGINT NOT NULL CHECK (amount > 0),
    digits         BIGINT NOT NULL,
    scaled         BIGINT NOT NULL,
    currency       TEXT NOT NULL,
    payment_type   TEXT NOT NULL,
    status         TEXT NOT NULL,
    description    TEXT NOT NULL,
    metadata       TEXT,
    failure_reason TEXT,
    psp_reference  TEXT,
    completed_at   BIGINT,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
CREATE INDEX payments_sender ON payments (sender_id, created_at, id);
CREATE INDEX payments_recipient ON payments (recipient_id, created_at, id);
CREATE INDEX payments_created ON payments (created_at, id);

CREATE TABLE payment_transactions (
    id         UUID PRIMARY KEY,
    payment_id UUID NOT NULL REFERENCES payments (id),
    status     TEXT NOT NULL,
    at         BIGINT NOT NULL,
    UNIQUE (payment_id, status)
);

-- What the provider has yet to do. A row is leased while someone works on it.
CREATE TABLE psp_jobs (
    payment_id   UUID PRIMARY KEY REFERENCES payments (id),
    step         TEXT NOT NULL,
    due_at       BIGINT NOT NULL,
    leased_until BIGINT NOT NULL,
    attempts     BIGINT NOT NULL
);
CREATE INDEX psp_jobs_due ON psp_jobs (due_at);

-- One row per payment state entered, day, currency, type, and whose it is (sender, recipient, and
-- the nil id for everyone). Currencies are never added.
CREATE TABLE daily_aggregates (
    day          TEXT NOT NULL,
    user_id      UUID NOT NULL,
    currency     TEXT NOT NULL,
    status       TEXT NOT NULL,
    payment_type TEXT NOT NULL,
    payments     BIGINT NOT NULL,
    amount       BIGINT NOT NULL,
    PRIMARY KEY (day, user_id, currency, status, payment_type)
);

-- The first answer of each keyed request, for 24 hours; without an answer it is leased.
CREATE TABLE idempotency_keys (
    user_id      UUID NOT NULL,
    route        TEXT NOT NULL,
    key          TEXT NOT NULL,
    body_hash    BYTEA NOT NULL,
    lease        UUID NOT NULL,
    leased_until BIGINT NOT NULL,
    status       BIGINT,
    answer       TEXT,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (user_id, route, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
