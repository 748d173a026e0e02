//! Integration tests of the crate, on its public surface.

mod database;
mod inbox;
mod outbox;
