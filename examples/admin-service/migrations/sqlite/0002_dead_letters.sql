-- The hub's store keeps the dead letters from here on: its own migration has made `tramline_dead_letters` before this
-- one. What is here moves there, oldest first, and can be sent back. Of the message's properties the old table kept none.
INSERT INTO tramline_dead_letters (death, found_in, queue, exchange, routing_key, event_id, event_type, reason, error,
    handler, attempts, first_failed_at, last_failed_at, died_at, stored_at, redrives, properties, headers, body)
SELECT 'admin:' || id, 'events.dlq', queue, 'events', routing_key, event_id, event_type, reason, error,
    handler, attempts, first_failed_at, last_failed_at, coalesce(last_failed_at, received_at), received_at, 0,
    CASE
        WHEN event_type IS NOT NULL THEN json_object('messageId', event_id, 'type', event_type)
        WHEN event_id IS NOT NULL THEN json_object('messageId', event_id)
        ELSE '{}'
    END,
    headers, body
FROM dead_letters ORDER BY received_at, id;
DROP TABLE dead_letters;

-- The name by which the letters are known here, for those who look.
CREATE VIEW dead_letters AS
SELECT id, event_id, event_type, queue, routing_key, reason, error, handler, attempts, first_failed_at, last_failed_at,
    headers, body, stored_at AS received_at
FROM tramline_dead_letters;
