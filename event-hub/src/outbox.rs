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
//! A row that cannot be read as an event is parked: it stays, is counted, and blocks nothing. So is one that the
//! hub refuses, where a [limit](RelayConfig::park_after) says so; without, it is tried for ever. `parked` lists
//! them, `resume` has them sent after all, `discard` throws them away.
//!
//! # Several relays
//!
//! In PostgreSQL an event belongs to one of sixteen partitions, by its key (events without one are spread).
//! Every relay takes as many as is fair, and locks them in its session: who can still read and write there has
//! them, and no clock decides. A relay that is joined hands over what is above its share, each partition once
//! nothing of it is out; the partitions of one that ends or dies are taken by the rest. So events of one key
//! leave in order whoever sends them, but for repeats: what was out when a relay died may arrive once more,
//! later, with the same id.
//!
//! Relays of the version before this one, which held the whole outbox alone, and these exclude each other: in a
//! rolling upgrade the new ones stand by until the last old one is gone.
//!
//! # Metrics
//!
//! All have the label `outbox`, which is [`RelayConfig::name`]. Rows, age and alarm are the whole outbox's, and every
//! relay tells the same: take the maximum. The rest is of one process.
//!
//! | metric | kind, unit | what |
//! |---|---|---|
//! | `tramline_outbox_sent_total` | counter | events that the hub confirmed |
//! | `tramline_outbox_failed_total` | counter | events that were not confirmed, and are sent again |
//! | `tramline_outbox_parked_total` | counter | rows put aside: unreadable, or refused too often |
//! | `tramline_outbox_lag_seconds` | histogram, s | from an event's row to its confirm |
//! | `tramline_outbox_in_flight` | gauge | events whose confirm is awaited |
//! | `tramline_outbox_active` | gauge | relays of this process that have partitions to send |
//! | `tramline_outbox_partitions` | gauge | partitions that they send |
//! | `tramline_outbox_partitions_moved_total` | counter | partitions that they took or handed over |
//! | `tramline_outbox_rows` | gauge | rows by `state`: `waiting`, `unsettled`, `parked`; counted as [`RelayStatus`] says |
//! | `tramline_outbox_oldest_seconds` | gauge, s | age of the oldest row that waits; it grows also while the database is away |
//! | `tramline_outbox_alarm` | gauge | 1 while too much waits, or for too long |
//! | `tramline_outbox_store_up` | gauge | 1 while the database answers; at 0 rows are those seen last |
//! | `tramline_outbox_store_errors_total` | counter | failures of the database |
//!
//! # Limits
//!
//! A pooler that hands sessions around between transactions breaks the locks: a relay that finds its own gone
//! says so ([`RelayStatus::last_error`]) and sends nothing; give it a direct connection. A SQLite file is one process's, and
//! has one relay. What was sent but not confirmed when a relay ended is sent twice: the [inbox](crate::inbox)
//! drops the repeat. On the memory hub, events that are not settled when their partition changes hands are sent
//! again too; the old relay waits for them as long as for its confirms at the end.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod alarm;
mod config;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod figures;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod lanes;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod metrics;
mod parked;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod parts;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod relay;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) mod schema;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod shares;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod status;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod store;
mod waker;

pub use config::RelayConfig;
pub use parked::{Parked, Selection};
pub use status::{RelayMonitor, RelayStatus};
pub use waker::OutboxWaker;
