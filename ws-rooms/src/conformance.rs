//! The suite for backplanes (feature `test-support`): what [`Driver`](crate::backplane::Driver)
//! promises, seen from sockets. And [`echo`], which suites for RFC 6455 can be run against.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use tramline_ws_rooms::Backplane;
//! use tramline_ws_rooms::conformance::{Capabilities, Nodes, run};
//!
//! let make = || {
//!     let backplane = Backplane::memory();
//!     Nodes::new(backplane.clone(), backplane)
//! };
//! run(make, &Capabilities::default()).await;
//! # }
//! ```

#![allow(clippy::missing_panics_doc, reason = "a test suite reports by panicking")]

mod alone;
mod echo;
mod harness;
mod presence;
mod together;

pub use self::echo::echo;

use crate::backplane::Backplane;

/// The backplanes of two nodes that share their rooms, and nothing with those of another call.
///
/// Two of what two processes would have where that makes a difference, clones where they share within a process.
#[derive(Clone, Debug)]
pub struct Nodes {
    first: Backplane,
    second: Option<Backplane>,
}

/// What a backplane under test can do.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Capabilities {
    /// Events that a room keeps; the suite publishes more to see the rest trimmed.
    pub history: usize,
}

// === impl Nodes ===

impl Nodes {
    /// Two nodes.
    #[must_use]
    pub fn new(first: Backplane, second: Backplane) -> Self {
        Self { first, second: Some(second) }
    }

    /// A backplane that cannot serve several nodes.
    #[must_use]
    pub fn alone(only: Backplane) -> Self {
        Self { first: only, second: None }
    }
}

// === impl Capabilities ===

impl Default for Capabilities {
    fn default() -> Self {
        Self { history: 256 }
    }
}

/// Runs the whole suite on fresh backplanes; panics with what is wrong.
pub async fn run(make: impl Fn() -> Nodes, can: &Capabilities) {
    alone::numbers_count_by_one(make().first).await;
    alone::an_id_counts_once(make().first).await;
    alone::an_id_outlives_its_event(make().first, can).await;
    alone::recovery_is_whole_or_nothing(make().first, can).await;
    alone::a_lost_place_is_told(make().first).await;
    alone::a_skipped_event_is_a_gap(make().first).await;
    let pair = || {
        let Nodes { first, second } = make();
        second.map(|second| (first, second))
    };
    if let Some((first, second)) = pair() {
        together::nodes_share_numbers(first, second).await;
    }
    if let Some((first, second)) = pair() {
        together::joins_beside_publishers_leave_no_hole(first, second).await;
    }
    if let Some((first, second)) = pair() {
        together::what_all_nodes_publish_counts_once(first, second).await;
    }
    if let Some((first, second)) = pair() {
        together::a_place_lost_on_one_node_is_told_on_both(first, second).await;
    }
    if let Some((first, second)) = pair() {
        presence::people_come_and_go_once(first, second).await;
    }
    if let Some((first, second)) = pair() {
        presence::a_room_lists_so_many_people(first, second).await;
    }
    if let Some((first, second)) = pair() {
        together::what_is_revoked_is_so_on_all_nodes(first, second).await;
    }
    if let Some((first, second)) = pair() {
        together::what_one_node_kept_another_recovers(first, second, can).await;
    }
}
