//! The outbox over RabbitMQ.
