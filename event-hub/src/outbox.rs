//! Events written in the transaction of what they tell, and sent from there.
//!
//! `enqueue` writes an event with the caller's own rows: both are there or neither is. A relay sends what
//! was committed, and only a confirm takes a row away, so that a crash at any point sends again (with the
//! same id) and never loses. Events of one partition key leave one after the other: while one fails, the
//! later ones of its key wait and all others go on. Events without a key have no order.
//!
//! On RabbitMQ the confirm ends a row's life. On the memory hub it stays until the event is settled, and
//! what is not settled when the process ends is sent again by the next one.
//!
//! A row that cannot be read as an event is parked: it stays, is counted, and blocks nothing.
//!
//! # Limits
//!
//! One relay at a time is active per PostgreSQL schema, held by a session lock; others stand by. A pooler
//! that hands sessions around between transactions breaks that. A SQLite file is one process's, and has one
//! relay. What was sent but not confirmed when a relay ended is sent twice: the [inbox](crate::inbox) drops
//! the repeat.

mod config;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod lanes;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod metrics;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod relay;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) mod schema;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod store;
mod waker;

pub use config::RelayConfig;
pub use waker::OutboxWaker;
