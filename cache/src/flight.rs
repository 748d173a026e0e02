//! One load per key at a time.

mod glances;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::DefaultHashBuilder;
use tokio::sync::{Notify, watch};

use crate::answer::Answer;
use crate::entry::Entry;
use crate::epochs::Stamp;
use crate::error::Error;
use crate::flight::glances::Hashes;
pub(crate) use crate::flight::glances::{Glancing, GlancingMany};
use crate::policy::Policy;

/// The questions of one cache that are being answered.
pub(crate) struct Flights<K, V> {
    shards: Box<[Mutex<Shard<K, V>>]>,
    hasher: DefaultHashBuilder,
}

/// Of the keys whose hashes belong here.
struct Shard<K, V> {
    flights: HashMap<K, Arc<Flight<V>>, DefaultHashBuilder>,
    glances: Hashes,
}

/// How things stood when someone asked.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) stamp: Stamp,
    /// Which [moment](crate::epochs::Tags::moment) it was.
    pub(crate) moment: u64,
    /// By which it judges what it finds.
    pub(crate) policy: Arc<Policy>,
    /// It is a load that runs, and holds a place that the flight which it follows may be waiting for.
    pub(crate) within: bool,
}

/// One of them. Its [`Lead`] ends it; followers hold receivers.
struct Flight<V> {
    /// Who led.
    asker: Asker,
    state: watch::Sender<State<V>>,
    /// A load that runs waits for it: [`Lead::needed`] hears of that.
    needed: Notify,
}

enum State<V> {
    /// Perhaps with something old, which may be answered meanwhile.
    Running(Option<Entry<V>>),
    /// With the [moment](Stamp::moment) from which on it is too old for whoever asked then; and what was old when there
    /// was nothing new, whether or not who led could answer it.
    Landed(Result<Answer<V>, Error>, Option<u64>, Option<Entry<V>>),
}

/// A place among those who wait for an answer.
pub(crate) struct Follower<V> {
    state: watch::Receiver<State<V>>,
    /// When it came.
    moment: u64,
}

/// The right to end a flight. Dropped without [`land`](Self::land), followers ask again.
pub(crate) struct Lead<K: Eq + Hash, V> {
    flights: Arc<Flights<K, V>>,
    pub(crate) key: K,
    flight: Arc<Flight<V>>,
}

pub(crate) enum Entered<K: Eq + Hash, V> {
    Lead(Lead<K, V>),
    Follow(Follower<V>),
}

/// More than cores that miss at once.
const SHARDS: usize = 16;

// === impl Flights ===

impl<K: Clone + Eq + Hash, V> Flights<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new())).collect(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Follows who asks already, or leads. Who asked before something ended is not followed: what it gets may be older.
    pub(crate) fn enter(
        self: &Arc<Self>,
        key: &K,
        asker: &Asker,
        is_current: impl Fn(&Asker) -> bool,
    ) -> Entered<K, V> {
        let mut shard = self.shard(key);
        if let Some(flight) = shard.flights.get(key)
            && is_current(&flight.asker)
        {
            if asker.within {
                flight.needed.notify_one();
            }
            return Entered::Follow(Follower { state: flight.state.subscribe(), moment: asker.moment });
        }
        let flight = Arc::new(Flight {
            asker: asker.clone(),
            state: watch::Sender::new(State::Running(None)),
            needed: Notify::new(),
        });
        shard.flights.insert(key.clone(), Arc::clone(&flight));
        drop(shard);
        Entered::Lead(Lead { flights: Arc::clone(self), key: key.clone(), flight })
    }

    /// Whether someone asks already, so that nobody needs to behind the callers' backs.
    pub(crate) fn has(&self, key: &K) -> bool {
        self.shard(key).flights.contains_key(key)
    }
}

impl<K: Eq + Hash, V> Flights<K, V> {
    fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        self.shard_of(self.hash(key))
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::indexing_slicing,
        reason = "a remainder below the number of shards"
    )]
    fn shard_of(&self, hash: u64) -> MutexGuard<'_, Shard<K, V>> {
        // Tables go by the lower ones.
        let index = ((hash >> 32) % SHARDS as u64) as usize;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

// === impl Shard ===

impl<K, V> Shard<K, V> {
    fn new() -> Self {
        Self { flights: HashMap::default(), glances: Hashes::default() }
    }
}

// === impl Follower ===

impl<V> Follower<V> {
    /// Something old, once it is found; none when the answer comes before it.
    pub(crate) async fn old(&mut self) -> Option<Entry<V>> {
        let state = self.state.wait_for(|state| !matches!(state, State::Running(None))).await;
        match state.as_deref() {
            Ok(State::Running(Some(old))) => Some(old.clone()),
            _ => None,
        }
    }

    /// The answer; none when who led is gone, or the answer was ended before this one came, which showed only at its
    /// end.
    pub(crate) async fn answer(&mut self) -> Option<Result<Answer<V>, Error>> {
        let moment = self.moment;
        let state = self.state.wait_for(|state| !matches!(state, State::Running(_))).await;
        match state.as_deref() {
            Ok(State::Landed(_, Some(ended), _)) if *ended <= moment => None,
            Ok(State::Landed(answer, ..)) => Some(answer.clone()),
            _ => None,
        }
    }

    /// What was old, after an answer with nothing new.
    pub(crate) fn landed_old(&self) -> Option<Entry<V>> {
        match &*self.state.borrow() {
            State::Landed(_, _, old) => old.clone(),
            State::Running(_) => None,
        }
    }
}

// === impl Lead ===

impl<K: Eq + Hash, V> Lead<K, V> {
    pub(crate) fn stamp(&self) -> &Stamp {
        &self.flight.asker.stamp
    }

    /// Which [moment](crate::epochs::Tags::moment) it began in.
    pub(crate) fn moment(&self) -> u64 {
        self.flight.asker.moment
    }

    /// Returns when a load that runs waits for this one, now or already.
    pub(crate) async fn needed(&self) {
        self.flight.needed.notified().await;
    }

    /// A place among the followers of this one.
    pub(crate) fn follower(&self) -> Follower<V> {
        Follower { state: self.flight.state.subscribe(), moment: self.flight.asker.moment }
    }

    /// Whether anyone waits for its answer.
    pub(crate) fn is_awaited(&self) -> bool {
        self.flight.state.receiver_count() > 0
    }

    /// Tells the followers of something old, which they may answer meanwhile.
    pub(crate) fn offer(&self, old: &Entry<V>) {
        self.flight.state.send_modify(|state| {
            if let State::Running(offered) = state {
                *offered = Some(old.clone());
            }
        });
    }

    /// Tells the followers. Whoever comes from now on finds what is in memory, or asks anew.
    pub(crate) fn land(self, answer: Result<Answer<V>, Error>) {
        self.land_with(answer, None, || None);
    }

    /// The same, with the moment from which on the answer is too old for who asked then.
    pub(crate) fn land_until(self, answer: Result<Answer<V>, Error>, ended: impl FnOnce() -> Option<u64>) {
        self.land_with(answer, None, ended);
    }

    /// The same, with what is old, there being nothing new: followers may think of it otherwise.
    pub(crate) fn land_with(
        self,
        answer: Result<Answer<V>, Error>,
        old: Option<Entry<V>>,
        ended: impl FnOnce() -> Option<u64>,
    ) {
        // ORDER: who comes after what is looked for here does not follow any more.
        self.leave();
        // Nobody may be waiting.
        self.flight.state.send_replace(State::Landed(answer, ended(), old));
    }

    fn leave(&self) {
        let flights = &mut self.flights.shard(&self.key).flights;
        if flights.get(&self.key).is_some_and(|running| Arc::ptr_eq(running, &self.flight)) {
            flights.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash, V> Drop for Lead<K, V> {
    fn drop(&mut self) {
        // With it goes the sender, of which followers hear.
        self.leave();
    }
}
