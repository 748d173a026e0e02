//! The public face, on the memory hub and on a real broker.

mod database;
mod inbox;
mod memory;
mod outbox;
mod rabbit;
