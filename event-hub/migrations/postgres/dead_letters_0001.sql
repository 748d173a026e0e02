-- Dead letters, out of their queue. A row goes when the letter is back in the queue it died in, or deleted.
CREATE TABLE tramline_dead_letters (
    id              BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- tells this death from every other
    death           TEXT NOT NULL UNIQUE,
    found_in        TEXT NOT NULL,
    queue           TEXT,
    exchange        TEXT,
    routing_key     TEXT,
    event_id        TEXT,
    event_type      TEXT,
    reason          TEXT NOT NULL,
    error           TEXT,
    handler         TEXT,
    attempts        BIGINT NOT NULL,
    -- all times: microseconds since the epoch
    first_failed_at BIGINT,
    last_failed_at  BIGINT,
    died_at         BIGINT NOT NULL,
    stored_at       BIGINT NOT NULL,
    redrives        BIGINT NOT NULL,
    previous_reason TEXT,
    content_type    TEXT,
    -- JSON, exact: the columns above have lost what a database cannot hold
    properties      TEXT NOT NULL,
    headers         TEXT NOT NULL,
    body            BYTEA NOT NULL,
    -- who sends it back, and until when nobody else does
    claim           TEXT,
    claimed_until   BIGINT NOT NULL DEFAULT 0,
    redrive_error   TEXT
);
CREATE INDEX tramline_dead_letters_queue ON tramline_dead_letters (queue, id);
CREATE INDEX tramline_dead_letters_died_at ON tramline_dead_letters (died_at);
-- Deaths that were stored once, kept beyond their rows: a delivery that comes again is no new letter.
CREATE TABLE tramline_dead_letter_marks (
    death     TEXT NOT NULL PRIMARY KEY,
    stored_at BIGINT NOT NULL
);
CREATE INDEX tramline_dead_letter_marks_stored_at ON tramline_dead_letter_marks (stored_at);
