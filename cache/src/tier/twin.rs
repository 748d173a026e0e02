//! Stands in for Redis.
