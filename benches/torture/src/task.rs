//! What the events say.

use anyhow::Context as _;
use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};
use tramline_event_hub::Event;

/// One event's place and fate.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Task {
    pub(crate) key: String,
    /// Its place among those of its key, from 1.
    pub(crate) seq: i64,
    pub(crate) does: Does,
}

/// What its handler does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Does {
    /// Writes its effect.
    Fine,
    /// Fails so many times, then writes its effect.
    Fails(u32),
    /// Panics the first time.
    Panics,
    /// Fails for good: a dead letter.
    Poison,
    /// A dead letter, until someone sends it back: then it writes its effect.
    Mended,
}

/// From the publishers: any order, delayed retries.
pub(crate) const DIRECT: &str = "direct.task";
/// From the outboxes: in order by key.
pub(crate) const ORDERED: &str = "ordered.task";
/// From the publishers: mended by the time that they are sent back.
pub(crate) const MENDED: &str = "direct.mended";
/// From the publishers: fails at every try, until there are no more.
pub(crate) const HOPELESS: &str = "hopeless.task";

// === impl Task ===

impl Task {
    pub(crate) fn event(&self, kind: &str) -> anyhow::Result<Event> {
        let event = Event::new(kind, "torture", self).context("an event")?;
        Ok(event.with_partition_key(&self.key))
    }
}

// === impl Does ===

impl Does {
    /// One in fifty fails for a while, one in two hundred panics, one in a hundred is poison.
    pub(crate) fn draw(rng: &mut impl Rng) -> Self {
        match rng.random_range(0..200) {
            0..4 => Self::Fails(rng.random_range(1..=3)),
            4 => Self::Panics,
            5..7 => Self::Poison,
            _ => Self::Fine,
        }
    }

    pub(crate) fn is_poison(self) -> bool {
        self == Self::Poison
    }
}
