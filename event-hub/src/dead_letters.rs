//! Dead letters that can be worked with: out of their queue into a table, listed, shown, sent back, deleted.
//!
//! A queue has no access by id, and looking into one by taking and giving back counts against the delivery limit:
//! letters that only wait to be looked at would be lost in the end. So [`DeadLetters::drain`] moves them into the
//! database: a letter is acknowledged when its row is committed, so that it is in the queue, in the table, or for
//! a moment in both, and never in neither. A delivery that comes again after a crash makes no second row.
//!
//! [`DeadLetters::redrive`] sends letters back into the queue they died in, and into no other: the other queues have
//! had the event. Its id and trace stay; its attempts begin anew; that it was dead, and why, stays with it. The row
//! goes when the hub has confirmed (on the memory hub: when the event is settled), so that a crash at any point sends
//! it twice at worst, with the same id, which the [inbox](crate::inbox) drops.
//!
//! # Metrics
//!
//! | metric | kind | what |
//! |---|---|---|
//! | `event_hub.dead_letters.stored` | counter | letters moved into the database |
//! | `event_hub.dead_letters.repeated` | counter | deliveries of letters that were there already |
//! | `event_hub.dead_letters.held` | gauge | letters that cannot be stored at the moment |
//! | `event_hub.dead_letters.rows` | gauge | letters in the database, counted by a drain once a minute |
//! | `event_hub.dead_letters.redriven` | counter | letters sent back into their queues |
//! | `event_hub.dead_letters.left` | counter | letters that could not be sent back |
//!
//! # Limits
//!
//! Nothing bounds the table: letters stay until they are sent back or deleted.
//!
//! What makes one death known again is its name, which every letter from this crate carries. A letter of the broker's
//! own is known by its event's id and the second of its death. Anything else is given a name first, by a copy that
//! takes its place in the queue: a crash right then leaves two.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod config;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod drain;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod filter;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod handle;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod letter;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod metrics;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod record;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod redrive;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod store;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use self::{
    config::{DrainConfig, RedriveConfig},
    drain::Drained,
    filter::{Filter, Selection},
    handle::{DeadLetters, Deleted, Tables},
    letter::{Content, Cursor, Letter, Page},
    redrive::{Redriven, Returned},
};
