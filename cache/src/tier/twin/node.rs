//! What one store uses of a twin.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until};

use crate::clock::millis;
use crate::envelope::Token;
use crate::mark::MarkName;
use crate::tier::numbers::{Look, Numbers, Verdict};
use crate::tier::twin::Twin;
use crate::tier::twin::state::{State, Told, Weather};
use crate::tier::{Ending, Filled, Found, Heard, Marks, PING, Slot, Taken, Untold};

pub(crate) struct Node {
    pub(super) twin: Twin,
    id: usize,
}

/// One time that a node listens.
struct Ear<'a> {
    node: &'a Node,
    sky: watch::Receiver<Weather>,
    /// While it is attached.
    feed: Option<(Numbers, Feed)>,
    pings: Interval,
}

/// Messages as they arrive.
struct Feed {
    told: mpsc::Receiver<(Instant, Told)>,
    /// Sent, and still on its way.
    next: Option<(Instant, Told)>,
}

// === impl Node ===

impl Node {
    pub(super) fn new(twin: Twin, id: usize) -> Self {
        Self { twin, id }
    }

    #[allow(clippy::unused_self, reason = "as the others are asked")]
    pub(crate) fn is_spread(&self) -> bool {
        false
    }

    pub(crate) fn now(&self) -> u64 {
        self.twin.now()
    }

    pub(crate) async fn read(&self, slot: &Slot) -> Found {
        self.ask(|state, now| state.slots.get(slot, now).map_or(Found::Nothing, Found::Slot))
            .await
            .unwrap_or(Found::Away)
    }

    pub(crate) async fn read_many(&self, slots: &[Slot]) -> Option<Vec<Found>> {
        self.ask(|state, now| {
            slots.iter().map(|slot| state.slots.get(slot, now).map_or(Found::Nothing, Found::Slot)).collect()
        })
        .await
    }

    pub(crate) async fn read_or_lease(&self, slot: &Slot, token: Token, life: Duration) -> Found {
        self.ask(|state, now| state.slots.read_or_lease(slot, token, span(life), now))
            .await
            .unwrap_or(Found::Away)
    }

    pub(crate) async fn read_or_lease_many(
        &self,
        slots: &[Slot],
        token: Token,
        life: Duration,
    ) -> Option<Vec<Found>> {
        self.ask(|state, now| {
            slots.iter().map(|slot| state.slots.read_or_lease(slot, token, span(life), now)).collect()
        })
        .await
    }

    pub(crate) async fn take(
        &self,
        slot: &Slot,
        id: Token,
        token: Token,
        life: Duration,
        keep: bool,
    ) -> Taken {
        self.ask(|state, now| state.slots.take(slot, id, token, span(life), keep, now))
            .await
            .unwrap_or(Taken::Away)
    }

    pub(crate) async fn renew(&self, slot: &Slot, token: Token, life: Duration) -> bool {
        self.ask(|state, now| state.slots.renew(slot, token, span(life), now)).await.unwrap_or(true)
    }

    pub(crate) async fn release(&self, slot: &Slot, token: Token) {
        self.ask(|state, now| {
            if state.slots.release(slot, token, now) {
                state.filled(slot);
            }
        })
        .await;
    }

    pub(crate) async fn fill(&self, slot: &Slot, token: Token, value: Vec<u8>, life: Duration) -> Filled {
        self.ask(|state, now| fill(state, slot, token, value, life, now)).await.unwrap_or(Filled::Away)
    }

    pub(crate) async fn fill_many(
        &self,
        values: Vec<(Slot, Vec<u8>, Duration)>,
        token: Token,
    ) -> Vec<Filled> {
        let many = values.len();
        self.ask(|state, now| {
            let fills = values.into_iter();
            fills.map(|(slot, value, life)| fill(state, &slot, token, value, life, now)).collect()
        })
        .await
        .unwrap_or_else(|| vec![Filled::Away; many])
    }

    pub(crate) async fn put(&self, slot: &Slot, value: Vec<u8>, life: Duration) -> bool {
        self.tell(&[Ending::Key(slot.clone())], |state, now| {
            state.slots.set(slot.clone(), value.into(), now + span(life), now);
            state.changed(self.id, slot);
        })
        .await
    }

    pub(crate) async fn drop_bad(&self, slot: &Slot, bad: &Bytes) {
        self.ask(|state, now| {
            if state.slots.get(slot, now).as_ref() == Some(bad) {
                state.slots.remove(slot);
            }
        })
        .await;
    }

    pub(crate) async fn end(&self, ending: &Ending) {
        self.end_many(std::slice::from_ref(ending)).await;
    }

    pub(crate) async fn end_many(&self, endings: &[Ending]) {
        self.tell(endings, |state, now| {
            for ending in endings {
                state.end(self.id, ending, now);
            }
        })
        .await;
    }

    /// What a node that is cut off has not told it tells when it is [taken back](Twin::heal).
    #[allow(clippy::unused_async, clippy::unused_self, reason = "as the others are asked")]
    pub(crate) async fn tell_rest(&self) {}

    pub(crate) fn untold(&self) -> Untold {
        self.twin.lock().untold(self.id)
    }

    pub(crate) async fn marks(&self, names: &[MarkName], life: Duration) -> Option<Marks> {
        self.ask(|state, now| state.marks(names, span(life), now)).await
    }

    pub(crate) async fn wait_for(&self, slot: &Slot) {
        self.ask(|state, now| state.slots.wait_for(slot, now)).await;
    }

    pub(crate) async fn listen(
        &self,
        hear: impl Fn(Heard) + Send + Sync,
        now: impl Fn() -> u64 + Send + Sync,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let sky = self.twin.lock().sky(self.id);
        let mut ear = Ear { node: self, sky, feed: None, pings };
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                () = ear.listen(&hear, &now) => {}
            }
        }
        ear.detach(&hear);
    }

    /// None when the node is cut off.
    async fn ask<T>(&self, question: impl FnOnce(&mut State, u64) -> T) -> Option<T> {
        self.way().await;
        let answer = {
            let now = self.twin.now();
            let mut state = self.twin.lock();
            state.asks(self.id);
            (!state.is_cut(self.id)).then(|| question(&mut state, now))
        };
        self.way().await;
        answer
    }

    /// False when the node is cut off, and these are remembered.
    async fn tell(&self, endings: &[Ending], write: impl FnOnce(&mut State, u64)) -> bool {
        self.way().await;
        let told = {
            let now = self.twin.now();
            let mut state = self.twin.lock();
            state.asks(self.id);
            let cut = state.is_cut(self.id);
            if cut {
                endings.iter().for_each(|ending| state.remember(self.id, ending.clone()));
            } else {
                write(&mut state, now);
            }
            !cut
        };
        self.way().await;
        told
    }

    /// One half of a trip. Others come in between, as they do with a network.
    async fn way(&self) {
        let slow = self.twin.lock().slowness(self.id);
        if slow.is_zero() {
            tokio::task::yield_now().await;
        } else {
            sleep(slow.mul_f64(rand::random_range(0.0..=1.0))).await;
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.id).finish_non_exhaustive()
    }
}

// === impl Ear ===

impl Ear<'_> {
    /// Until something is told, or found out.
    async fn listen(&mut self, hear: &(impl Fn(Heard) + Sync), now: &(impl Fn() -> u64 + Sync)) {
        let Weather { cut, deaf, lag, .. } = *self.sky.borrow_and_update();
        match &mut self.feed {
            Some(_) if cut => self.detach(hear),
            None if !cut && !deaf => self.attach(hear, now()),
            None => {
                // The twin lives as long as its nodes.
                let _ = self.sky.changed().await;
            }
            Some((numbers, feed)) => tokio::select! {
                // ORDER: what has arrived is heard before the numbers are compared.
                biased;
                Some(told) = feed.recv(lag) => self.told(told, hear),
                _ = self.pings.tick() => {
                    // ORDER: before the question.
                    let asked = now();
                    let newest = self.node.twin.lock().newest();
                    match numbers.look(newest, asked) {
                        Look::Behind => self.detach(hear),
                        _ if deaf => self.detach(hear),
                        Look::Unsure => {}
                        Look::Whole(moment) => hear(Heard::Whole(moment)),
                    }
                }
                _ = self.sky.changed() => {}
            },
        }
    }

    fn told(&mut self, told: Told, hear: &impl Fn(Heard)) {
        let Some((numbers, _)) = &mut self.feed else { return };
        match told {
            Told::Filled(slot) => hear(Heard::Filled(slot)),
            Told::Ended { ending, mark, by } => match numbers.hear(&ending, mark) {
                Verdict::Old => {}
                Verdict::Next => hear(Heard::Ended { ending, mark, own: by == self.node.id }),
                Verdict::Hole => self.detach(hear),
            },
        }
    }

    fn attach(&mut self, hear: &impl Fn(Heard), asked: u64) {
        // ORDER: subscribed at the moment at which the newest is read, then told.
        let (newest, told) = self.node.twin.lock().subscribe(self.node.id);
        hear(Heard::Attached(newest));
        hear(Heard::Whole(asked));
        self.feed = Some((Numbers::new(newest), Feed { told, next: None }));
    }

    fn detach(&mut self, hear: &impl Fn(Heard)) {
        if self.feed.take().is_some() {
            hear(Heard::Detached);
        }
    }
}

// === impl Feed ===

impl Feed {
    /// The next message, when this time has passed since it was sent.
    ///
    /// CANCEL SAFETY: what is on its way stays there.
    async fn recv(&mut self, lag: Duration) -> Option<Told> {
        if self.next.is_none() {
            self.next = self.told.recv().await;
        }
        if let Some((sent, _)) = &self.next
            && !lag.is_zero()
        {
            sleep_until(*sent + lag).await;
        }
        self.next.take().map(|(_, told)| told)
    }
}

fn fill(state: &mut State, slot: &Slot, token: Token, value: Vec<u8>, life: Duration, now: u64) -> Filled {
    match state.slots.fill(slot, token, value.into(), span(life), now) {
        None => Filled::Refused,
        Some(awaited) => {
            if awaited {
                state.filled(slot);
            }
            Filled::Stored
        }
    }
}

fn span(life: Duration) -> u64 {
    millis(life).max(1)
}
