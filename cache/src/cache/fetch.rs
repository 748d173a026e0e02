//! What the shared tier has, and the right to write there.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::cache::seal::Verdict;
use crate::cache::{Cache, Inner, Reason};
use crate::clock::from_now;
use crate::entry::Entry;
use crate::envelope::{Envelope, Held, Token};
use crate::epochs::Stamp;
use crate::key::CacheKey;
use crate::store::Shared;
use crate::tier::{Filled, Found, Slot, Taken};

/// What a look at the tier comes to.
pub(super) enum Fetched<V> {
    Fresh(Entry<V>),
    /// Old, and another process loads: the policy lets it be answered.
    Old(Entry<V>),
    /// It is to be loaded; written only with the lease. Until then, and when it fails, there may be something old.
    Load {
        lease: Option<Lease>,
        old: Option<Entry<V>>,
    },
}

/// The right to write one value. Given back when it is dropped.
pub(super) struct Lease {
    store: Arc<Shared>,
    pub(super) slot: Slot,
    pub(super) token: Token,
    held: bool,
    /// It lies over something old.
    pub(super) over: bool,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// That there is nothing is an answer too.
    pub(super) nothing: bool,
    /// Only what is fresh for longer than this, by the store's clock: the rest is to be loaded anew.
    pub(super) beyond: Option<i64>,
}

/// How long to wait before asking again for what another process loads: doubling from the first. It is told, mostly.
const FIRST_WAIT: Duration = Duration::from_millis(5);
const MAX_WAIT: Duration = Duration::from_millis(100);

/// How often what changes under our hands is asked for again.
const TRIES: u32 = 4;

/// How much the lives of one value may seem to differ: the tier's clock is an estimate.
const SAME: i64 = 50;

impl<K, V> Cache<K, V>
where
    K: CacheKey,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Asks the tier, and waits for another process that loads the same. What it finds that is old is told to `offer` while it
    /// waits: whoever answers it judges it again.
    ///
    /// CANCEL SAFETY: a lease that may have been taken is given back.
    pub(super) async fn fetch(
        &self,
        slot: &Slot,
        stamp: &Stamp,
        wanted: Wanted,
        offer: impl Fn(&Entry<V>),
    ) -> Fetched<V> {
        let (inner, store) = (&*self.inner, &self.inner.store);
        if !store.tier.is_shared() {
            return Fetched::Load { lease: None, old: None };
        }
        let life = store.config.lease_ttl;
        let mut lease = Lease::new(Arc::clone(store), slot.clone());
        let mut turn = Turn::default();
        let mut old = None;
        loop {
            let found = store.tier.read_or_lease(slot, lease.token, life).await;
            let (taken, kept) = match self.judge(found, slot, stamp, wanted).await {
                Judged::Leased => (Taken::Leased, None),
                Judged::Busy => (Taken::Busy, old.take()),
                Judged::Away => (Taken::Away, old.take()),
                Judged::Bad => (Taken::Changed, None),
                Judged::Fresh(entry) => {
                    lease.forget();
                    return Fetched::Fresh(entry);
                }
                Judged::Over(id, entry) => {
                    let taken = store.tier.take(slot, id, lease.token, life, entry.is_some()).await;
                    (taken, entry)
                }
            };
            old = kept;
            match taken {
                Taken::Leased => {
                    lease.over = old.is_some();
                    return Fetched::Load { lease: Some(lease), old };
                }
                Taken::Away => {
                    lease.forget();
                    return Fetched::Load { lease: None, old };
                }
                Taken::Changed if turn.again() => {}
                Taken::Busy => {
                    // A refresh waits for nobody: there is something fresh meanwhile.
                    let waits = wanted.beyond.is_none() || old.is_none();
                    if let Some(old) = old.as_ref().filter(|_| waits) {
                        offer(old);
                    }
                    if waits && turn.wait(inner, slot).await {
                        continue;
                    }
                    lease.forget();
                    // Callers that have something old by now need no load of ours beside the other.
                    let patience =
                        self.policy.soft_timeout.is_some_and(|soft| soft <= store.config.lease_wait);
                    return match old {
                        Some(entry) if (!waits || patience) && self.serves(&entry) => Fetched::Old(entry),
                        old => Fetched::Load { lease: None, old },
                    };
                }
                Taken::Changed => {
                    lease.forget();
                    return Fetched::Load { lease: None, old };
                }
            }
        }
    }

    pub(super) async fn judge(&self, found: Found, slot: &Slot, stamp: &Stamp, wanted: Wanted) -> Judged<V> {
        let inner = &*self.inner;
        let bytes = match found {
            Found::Leased => return Judged::Leased,
            Found::Nothing | Found::Away => return Judged::Away,
            Found::Slot(bytes) => bytes,
        };
        let envelope = match Held::decode(&bytes) {
            Held::Lease => return Judged::Busy,
            Held::Value(envelope) => envelope,
            Held::Unreadable => {
                inner.unusable(Reason::Unreadable);
                Box::pin(inner.store.tier.drop_bad(slot, &bytes)).await;
                return Judged::Bad;
            }
        };
        let tags = match inner.verify(envelope.marks).await {
            Verdict::Alive(tags) => tags,
            Verdict::Dead => return Judged::Over(envelope.id, None),
            Verdict::Unknown => return Judged::Away,
        };
        let Some(entry) = inner.open(&envelope, stamp.clone().with_tags(tags), inner.store.tier.now()) else {
            inner.unusable(Reason::Unreadable);
            Box::pin(inner.store.tier.drop_bad(slot, &bytes)).await;
            return Judged::Bad;
        };
        self.weigh(envelope.id, entry, wanted)
    }

    fn weigh(&self, id: Token, entry: Entry<V>, wanted: Wanted) -> Judged<V> {
        let now = self.inner.store.now();
        if entry.value.is_none() && !wanted.nothing {
            return Judged::Over(id, None);
        }
        let newer = wanted.beyond.is_none_or(|beyond| entry.ends() > beyond.saturating_add(SAME));
        if entry.is_fresh(&self.policy, now) && newer && entry.stamp.carries(&self.tags) {
            return Judged::Fresh(entry);
        }
        // Fresh or old: a refresh may find either. What this policy does not let be answered another one may.
        let lives = entry.lives(now);
        Judged::Over(id, lives.then_some(entry))
    }
}

/// What an answer of the tier means.
pub(super) enum Judged<V> {
    Fresh(Entry<V>),
    Leased,
    Busy,
    /// Its time is over, or it was ended. It may still be answered meanwhile by those whose policy
    /// [serves](Cache::serves) it.
    Over(Token, Option<Entry<V>>),
    /// It could not be read, and was removed.
    Bad,
    Away,
}

// === impl Lease ===

impl Lease {
    /// Not held yet, but maybe taken any moment.
    pub(super) fn new(store: Arc<Shared>, slot: Slot) -> Self {
        Self { store, slot, token: Token::draw(), held: true, over: false }
    }

    /// One of many of one question.
    pub(super) fn of_many(store: Arc<Shared>, slot: Slot, token: Token) -> Self {
        Self { store, slot, token, held: true, over: false }
    }

    /// It was not taken, or is used up.
    pub(super) fn forget(&mut self) {
        self.held = false;
    }

    /// Gives it back, if it is still held.
    pub(super) async fn give_back(&mut self) {
        if std::mem::take(&mut self.held) {
            self.store.tier.release(&self.slot, self.token).await;
        }
    }

    /// Gives it back, if it is still held, and ends what it lies over.
    pub(super) async fn end(&mut self) {
        if self.held && self.over {
            // By the right of the lease, in one step: what is dead to everybody, for as short as can be.
            let dead = Envelope::dead(self.store.tier.now()).encode();
            let life = Duration::from_millis(1);
            if self.store.tier.fill(&self.slot, self.token, dead, life).await != Filled::Away {
                self.held = false;
            }
        }
        self.give_back().await;
    }

    /// Lets it live for as long as it is polled.
    pub(super) async fn renewed(&self) -> std::convert::Infallible {
        let life = self.store.config.lease_ttl;
        loop {
            tokio::time::sleep((life / 3).max(FIRST_WAIT)).await;
            // One that is lost stays lost; the fill is refused.
            self.store.tier.renew(&self.slot, self.token, life).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.held
            && let Ok(runtime) = Handle::try_current()
        {
            let (store, slot, token) = (Arc::clone(&self.store), self.slot.clone(), self.token);
            self.store.tasks().spawn_on(async move { store.tier.release(&slot, token).await }, &runtime);
        }
    }
}

// === Turn ===

/// How patient one question is.
#[derive(Default)]
struct Turn {
    tries: u32,
    deadline: Option<Instant>,
    wait: Option<Duration>,
    woken: Option<Arc<Notify>>,
}

impl Turn {
    fn again(&mut self) -> bool {
        self.tries += 1;
        self.tries < TRIES
    }

    /// Waits until it may be worth asking again; false when that was long enough.
    async fn wait<K: CacheKey, V: Send + Sync + 'static>(
        &mut self,
        inner: &Inner<K, V>,
        slot: &Slot,
    ) -> bool {
        let now = Instant::now();
        let deadline = *self.deadline.get_or_insert(from_now(inner.store.config.lease_wait));
        if now >= deadline {
            return false;
        }
        let woken = match &self.woken {
            Some(woken) => Arc::clone(woken),
            None => {
                inner.metrics.lease_waits.add();
                let woken = Arc::new(Notify::new());
                let mut waiting = inner.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.retain(|_, waiter| waiter.strong_count() > 0);
                waiting.insert(Arc::clone(&slot.key), Arc::downgrade(&woken));
                drop(waiting);
                self.woken.insert(woken).clone()
            }
        };
        let heard = woken.notified();
        let mut heard = std::pin::pin!(heard);
        // ORDER: listening before it is asked for.
        heard.as_mut().enable();
        if self.wait.is_none() {
            inner.store.tier.wait_for(slot).await;
        }
        let wait = self.wait.map_or(FIRST_WAIT, |wait| (wait * 2).min(MAX_WAIT));
        self.wait = Some(wait);
        let until = deadline.min(Instant::now() + wait.mul_f64(rand::random_range(0.5..=1.0)));
        let _ = timeout_at(until, heard).await;
        true
    }
}
