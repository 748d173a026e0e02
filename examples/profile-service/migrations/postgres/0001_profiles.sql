-- One row per user, made by the user's creation and blanked by their deletion: a tombstone, so that a late
-- event makes nothing anew. The version is that of the user's last event.
CREATE TABLE profiles (
    user_id     UUID PRIMARY KEY,
    version     BIGINT NOT NULL,
    email       TEXT NOT NULL,
    phone       TEXT,
    address     TEXT,
    bio         TEXT,
    deleted     BOOLEAN NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX profiles_email ON profiles (email);
