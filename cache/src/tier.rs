//! The tier that processes share.

#[cfg(any(test, feature = "redis", feature = "test-support"))]
mod numbers;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(any(test, feature = "test-support"))]
pub mod twin;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::envelope::Token;
use crate::mark::{Mark, MarkName};

/// None, Redis, or what stands in for it in tests. All mean the same.
#[derive(Debug)]
pub(crate) enum Tier {
    /// This process is alone.
    Alone,
    #[cfg(feature = "redis")]
    Redis(Arc<redis::Redis>),
    #[cfg(any(test, feature = "test-support"))]
    Twin(Arc<twin::Node>),
}

/// Where a value lies: the name of its cache with its version, and its key as it is written.
#[derive(Clone, Eq, Hash, PartialEq)]
pub(crate) struct Slot {
    pub(crate) space: Arc<str>,
    pub(crate) key: Arc<str>,
}

/// What is to be forgotten, everywhere.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Ending {
    /// One value.
    Key(Slot),
    /// All that carries a mark of this name.
    Mark(MarkName),
    /// Everything of everybody: too much was to be told to a tier that was away.
    All,
}

/// What a question found.
#[derive(Debug)]
pub(crate) enum Found {
    /// What lies there; a lease of another's, too.
    Slot(Bytes),
    /// Nothing, and now a lease of ours.
    Leased,
    /// Nothing.
    Nothing,
    /// The tier is away.
    Away,
}

/// What became of the wish to write over a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    Leased,
    /// Another has the lease.
    Busy,
    /// It is not there any more: ask again.
    Changed,
    Away,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Filled {
    Stored,
    /// The lease was not ours any more.
    Refused,
    Away,
}

/// What names stand at.
#[derive(Debug)]
pub(crate) struct Marks {
    /// In the order of the question. One that was not there is made, and as new as the newest of all: nobody knows what was before.
    pub(crate) marks: Vec<Mark>,
    /// The newest of all.
    #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "only the feed of Redis begins with it"))]
    pub(crate) newest: Mark,
}

/// What the tier has yet to be told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Untold {
    pub(crate) endings: usize,
    /// They were told to one that may have forgotten.
    pub(crate) doubtful: usize,
    /// One of them is [`Ending::All`], in the place of more than are remembered.
    pub(crate) everything: bool,
}

/// What comes of the others.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Something ended, with the number that it has; a mark of this name is this one now.
    Ended {
        ending: Ending,
        mark: Mark,
        /// We ended it ourselves.
        own: bool,
    },
    /// The feed begins (again) at this number, and something may have been missed before.
    Attached(Mark),
    /// Nothing is heard for now.
    Detached,
    /// Everything was heard that others had ended before this moment, by the clock that [`listen`](Tier::listen) was
    /// given: it was taken before the question whose answer says so.
    Whole(u64),
    /// Someone waits no more for this value: it was written, or given up.
    Filled(Slot),
}

/// How often a feed is asked whether it lives, and its numbers are compared.
pub(crate) const PING: Duration = Duration::from_secs(1);

/// How long the answer may take: a busy machine is no cut.
pub(crate) const PONG: Duration = Duration::from_secs(2);

/// How long a feed may be the worse for it and nobody knows: what a cut, or a process that stands still, may cost in age
/// beside [`detached_age`](crate::StoreConfig::detached_age).
pub(crate) const NOTICE: Duration = PING.saturating_add(PONG);

// === impl Slot ===

impl fmt::Debug for Slot {
    // Keys are what users are called by.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({}…)", self.space)
    }
}

// === impl Untold ===

impl Untold {
    pub(crate) fn words(self) -> usize {
        self.endings + self.doubtful
    }
}

// === impl Tier ===

/// Dispatches to the engine; `$alone` is what a process without one does.
macro_rules! engine {
    ($tier:expr, $alone:expr, $engine:ident => $call:expr) => {
        match $tier {
            Self::Alone => $alone,
            #[cfg(feature = "redis")]
            Self::Redis($engine) => $call,
            #[cfg(any(test, feature = "test-support"))]
            Self::Twin($engine) => $call,
        }
    };
}

impl Tier {
    pub(crate) fn is_shared(&self) -> bool {
        !matches!(self, Self::Alone)
    }

    /// Whether no command reaches many slots at once.
    pub(crate) fn is_spread(&self) -> bool {
        engine!(self, false, engine => engine.is_spread())
    }

    /// The tier's own clock, in ms; an estimate, as good as half a round trip.
    pub(crate) fn now(&self) -> u64 {
        engine!(self, 0, engine => engine.now())
    }

    /// What lies in a slot.
    pub(crate) async fn read(&self, slot: &Slot) -> Found {
        engine!(self, { let _ = slot; Found::Nothing }, engine => engine.read(slot).await)
    }

    /// What lies in many slots, in their order; none when the tier is away.
    pub(crate) async fn read_many(&self, slots: &[Slot]) -> Option<Vec<Found>> {
        engine!(self, { let _ = slots; None }, engine => engine.read_many(slots).await)
    }

    /// What lies in a slot; nothing becomes a lease of `token` that ends by itself after `life`.
    pub(crate) async fn read_or_lease(&self, slot: &Slot, token: Token, life: Duration) -> Found {
        engine!(self, { let _ = (slot, token, life); Found::Nothing }, engine => engine.read_or_lease(slot, token, life).await)
    }

    /// The same for many in one trip; the answers are in the order of the slots, or none when the tier is away.
    pub(crate) async fn read_or_lease_many(
        &self,
        slots: &[Slot],
        token: Token,
        life: Duration,
    ) -> Option<Vec<Found>> {
        engine!(self, { let _ = (slots, token, life); None }, engine => engine.read_or_lease_many(slots, token, life).await)
    }

    /// Takes the lease over the value of this id: `keep` leaves the value to be read meanwhile, else it goes.
    pub(crate) async fn take(
        &self,
        slot: &Slot,
        id: Token,
        token: Token,
        life: Duration,
        keep: bool,
    ) -> Taken {
        engine!(self, { let _ = (slot, id, token, life, keep); Taken::Away }, engine => engine.take(slot, id, token, life, keep).await)
    }

    /// Lets a lease of ours live on; false when it is not ours any more.
    pub(crate) async fn renew(&self, slot: &Slot, token: Token, life: Duration) -> bool {
        engine!(self, { let _ = (slot, token, life); false }, engine => engine.renew(slot, token, life).await)
    }

    /// Gives a lease back, if it is ours; the value below it stays.
    pub(crate) async fn release(&self, slot: &Slot, token: Token) {
        engine!(self, { let _ = (slot, token); }, engine => engine.release(slot, token).await);
    }

    /// Writes an encoded [`Envelope`](crate::envelope::Envelope) by the right of a lease. Who waits for it hears of it.
    pub(crate) async fn fill(&self, slot: &Slot, token: Token, value: Vec<u8>, life: Duration) -> Filled {
        engine!(self, { let _ = (slot, token, value, life); Filled::Away }, engine => engine.fill(slot, token, value, life).await)
    }

    /// The same for many in one trip.
    pub(crate) async fn fill_many(
        &self,
        values: Vec<(Slot, Vec<u8>, Duration)>,
        token: Token,
    ) -> Vec<Filled> {
        engine!(self, { let _ = token; vec![Filled::Away; values.len()] }, engine => engine.fill_many(values, token).await)
    }

    /// Writes over whatever is there, and tells everybody; false when the tier is away, which then hears of it
    /// before it is used again.
    pub(crate) async fn put(&self, slot: &Slot, value: Vec<u8>, life: Duration) -> bool {
        engine!(self, { let _ = (slot, value, life); true }, engine => engine.put(slot, value, life).await)
    }

    /// Removes a value that cannot be read, if it is still this one.
    pub(crate) async fn drop_bad(&self, slot: &Slot, bad: &Bytes) {
        engine!(self, { let _ = (slot, bad); }, engine => engine.drop_bad(slot, bad).await);
    }

    /// Ends something and tells everybody; a tier that is away hears of it before it is used again.
    pub(crate) async fn end(&self, ending: &Ending) {
        engine!(self, { let _ = ending; }, engine => engine.end(ending).await);
    }

    /// The same for many, in as few trips as may be.
    pub(crate) async fn end_many(&self, endings: &[Ending]) {
        engine!(self, { let _ = endings; }, engine => engine.end_many(endings).await);
    }

    /// Tells a tier that was away once more what it has yet to be told; it waits for a while at most.
    pub(crate) async fn tell_rest(&self) {
        engine!(self, (), engine => engine.tell_rest().await);
    }

    pub(crate) fn untold(&self) -> Untold {
        engine!(self, Untold::default(), engine => engine.untold())
    }

    /// What these names stand at. Missing ones are made; all live on for `life`. None when the tier is away.
    pub(crate) async fn marks(&self, names: &[MarkName], life: Duration) -> Option<Marks> {
        engine!(self, { let _ = (names, life); None }, engine => engine.marks(names, life).await)
    }

    /// Someone waits for the lease on this slot to end: its fill is to be told ([`Heard::Filled`]).
    pub(crate) async fn wait_for(&self, slot: &Slot) {
        engine!(self, { let _ = slot; }, engine => engine.wait_for(slot).await);
    }

    /// Hears the others until `shutdown`. `now` is the clock of whoever hears.
    pub(crate) async fn listen(
        &self,
        hear: impl Fn(Heard) + Send + Sync,
        now: impl Fn() -> u64 + Send + Sync,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        engine!(self, { let _ = (hear, now); shutdown.await; }, engine => engine.listen(hear, now, shutdown).await);
    }
}

#[cfg(test)]
mod suite;
