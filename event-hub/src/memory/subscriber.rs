//! A subscription of the embedded broker.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;
use tokio::task::coop;
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::driver::{Settlement, Source, Subscribe, Subscription, SubscriptionState, Verdict};
use crate::feed::Place;
use crate::handover::{self, Inlet, Line, Settled};
use crate::memory::state::State;
use crate::memory::{BATCH, Broker, queue};
use crate::message::{Delivery, Text, Token};
use crate::topology::{Binding, Queue, Topology};

/// How long to wait before asking again for a queue that is not there.
const ABSENT: Duration = Duration::from_millis(200);

pub(super) fn start(broker: Broker, subscribe: Subscribe) -> Subscription {
    let prefetch = usize::from(subscribe.prefetch).max(1);
    let deliveries = Line::new(prefetch);
    // An eighth of the window: enough for a wake, and refilled long before the rest is through.
    let (settlements, settled) = handover::settlements((prefetch / 8).min(BATCH));
    let stop = CancellationToken::new();
    let state = Arc::new(SubscriptionState::default());
    let owner = Owner {
        broker,
        subscribe,
        prefetch,
        deliveries: Inlet::of(&deliveries),
        settled,
        stop: stop.clone(),
        state: Arc::clone(&state),
        made: None,
    };
    Subscription { deliveries, settlements, stop, state, owner: tokio::spawn(owner.run()) }
}

struct Owner {
    broker: Broker,
    subscribe: Subscribe,
    prefetch: usize,
    deliveries: Inlet<Delivery>,
    settled: Settled,
    stop: CancellationToken,
    state: Arc<SubscriptionState>,
    /// The feed's queue that was made by a look that found no exchange: the next one finds it, and it is new.
    made: Option<String>,
}

/// A place at a queue. Dropping it leaves, and gives back what is held.
struct Seat {
    broker: Broker,
    queue: Text,
    generation: u64,
    consumer: u64,
    wake: Arc<Notify>,
    /// How many it has not settled.
    held: usize,
    /// How the rest goes back: as a failure when this task is dropped.
    leaving: Verdict,
}

// === impl Owner ===

impl Owner {
    async fn run(mut self) {
        let mut opened = false;
        loop {
            let Some(seat) = self.open(opened) else {
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = sleep(ABSENT) => continue,
                }
            };
            opened = true;
            // What waits there is back in its queue since the last seat was left, and would settle nothing.
            self.deliveries.clear();
            self.state.active.store(true, Ordering::Release);
            let again = self.serve(seat).await;
            self.state.active.store(false, Ordering::Release);
            if !again {
                return;
            }
        }
    }

    /// Sits down at the queue, making it first when it is a feed.
    fn open(&mut self, reopened: bool) -> Option<Seat> {
        let generation = self.state.generation.fetch_add(1, Ordering::AcqRel) + 1;
        match &self.subscribe.source {
            Source::Queue(queue) => Seat::sit(&self.broker, queue, generation, false),
            Source::Feed { feed, exchange, place } => {
                let mut name = feed.name.clone();
                loop {
                    let topology = feed
                        .keys
                        .iter()
                        .map(|key| Binding::new(exchange, key, &name))
                        .fold(Topology::new(), Topology::binding)
                        .queue(Queue::feed(&name, feed.expires, feed.max_length));
                    let declared = self.broker.declare(&topology, &topology).ok()?;
                    if declared.made(&name) {
                        self.made = Some(name.clone());
                    }
                    if declared.conflicts.iter().any(|conflict| conflict.name != name) {
                        return None; // The exchange is not there yet.
                    }
                    let ours = declared
                        .conflicts
                        .is_empty()
                        .then(|| Seat::sit(&self.broker, &name, generation, true));
                    let Some(seat) = ours.flatten() else {
                        // In use by another process's worth of us: a place of our own.
                        name = format!("{}.{}", feed.name, &Uuid::new_v4().simple().to_string()[..8]);
                        continue;
                    };
                    let full = self.broker.stats(&name)?.messages >= feed.max_length as u64;
                    tracing::debug!(queue = name, generation, reopened, "feed opened");
                    let made = self.made.take().is_some_and(|made| made == name);
                    place(match (made, full) {
                        (true, _) => Place::Made { queue: name },
                        (false, true) => Place::Full { queue: name },
                        (false, false) => Place::Kept { queue: name },
                    });
                    return Some(seat);
                }
            }
        }
    }

    /// Delivers and settles. True when the queue is gone and the seat must be taken anew.
    async fn serve(&self, mut seat: Seat) -> bool {
        let wake = Arc::clone(&seat.wake);
        let (mut taken, mut settled) = (Vec::new(), Vec::new());
        let mut stopped = false;
        loop {
            // ORDER: listen first, then look, or a message could come in between.
            let woken = wake.notified();
            // A busy queue must not keep us from seeing it.
            stopped |= self.stop.is_cancelled();
            // ORDER: what is there is settled first, so that a busy queue cannot starve its acknowledgements.
            if self.settled.try_take(&mut settled) == Some(true) && !seat.settle(&mut settled) {
                return true;
            }
            let room = if stopped { 0 } else { self.prefetch.saturating_sub(seat.held) };
            if room > 0 {
                if !seat.take(room.min(BATCH), &mut taken) {
                    return true;
                }
                if !taken.is_empty() {
                    // INVARIANT: at most `prefetch` are held, so there is room in the line.
                    if !self.deliveries.push_all(&mut taken) {
                        // The worker drains: it takes nothing more, but still settles.
                        stopped = true;
                    }
                    for delivery in taken.drain(..) {
                        seat.return_one(delivery.token);
                    }
                    coop::consume_budget().await;
                    continue;
                }
            }
            tokio::select! {
                biased;
                open = self.settled.take(&mut settled) => {
                    if !open {
                        // What is out now was never begun, or is nobody's failure: what was is settled.
                        seat.leaving = Verdict::Return;
                        return false;
                    }
                    if !seat.settle(&mut settled) {
                        return true;
                    }
                }
                () = self.stop.cancelled(), if !stopped => stopped = true,
                () = woken, if room > 0 => {}
            }
        }
    }
}

// === impl Seat ===

impl Seat {
    fn sit(broker: &Broker, name: &str, generation: u64, exclusive: bool) -> Option<Self> {
        let mut state = broker.shared.state();
        let consumer = state.next_consumer();
        let queue = state.queues.get_mut(name)?;
        if queue.exclusive || (exclusive && queue.has_consumers()) {
            return None;
        }
        queue.enter(consumer);
        queue.exclusive = exclusive;
        let wake = Arc::clone(&queue.wake);
        Some(Self {
            broker: broker.clone(),
            queue: name.into(),
            generation,
            consumer,
            wake,
            held: 0,
            leaving: Verdict::Fail,
        })
    }

    /// Takes what is there, `most` at most. False when the queue is gone.
    fn take(&mut self, most: usize, taken: &mut Vec<Delivery>) -> bool {
        let arrived = Instant::now();
        // The same name anew for each batch: the count of references to one for all would go from core to core with
        // each of them.
        let name = Text::from(&*self.queue);
        let mut state = self.broker.shared.state();
        let Some(queue) = state.queues.get_mut(&*self.queue) else { return false };
        queue.take(self.consumer, most, |tag, stored| {
            self.held += 1;
            taken.push(Delivery {
                message: Arc::clone(&stored.message),
                queue: Text::clone(&name),
                redelivered: stored.redelivered,
                returns: stored.returns,
                arrived,
                token: Token { generation: self.generation, tag },
            });
        });
        true
    }

    /// Settles in order, what goes back last. False when the queue is gone.
    fn settle(&mut self, settled: &mut Vec<Settlement>) -> bool {
        let mut sooner = false;
        let mut done = Vec::with_capacity(settled.len());
        let (there, places) = {
            let mut state = self.broker.shared.state();
            let mut back = Vec::new();
            let mut queue = state.queues.get_mut(&*self.queue);
            for Settlement { token, verdict } in settled.drain(..) {
                match (token.generation == self.generation, verdict, &mut queue) {
                    (true, Verdict::Ack, Some(queue)) => done.extend(queue.acknowledge(token.tag)),
                    (true, Verdict::Fail | Verdict::Return, Some(_)) => back.push((token.tag, verdict)),
                    _ => {}
                }
            }
            self.held -= done.len();
            let there = queue.is_some();
            let places = queue.and_then(|queue| queue.places.clone());
            for (tag, verdict) in back {
                if state.queues.get(&*self.queue).is_some_and(|queue| queue.is_out(tag)) {
                    self.held -= 1;
                    sooner |= give_back(&mut state, &self.queue, tag, verdict);
                }
            }
            (there, places)
        };
        // Without the lock: most of what they hold is freed with them.
        queue::settle(done, places.as_deref());
        if sooner {
            self.broker.shared.sooner.notify_one();
        }
        there
    }

    /// One that nobody has seen.
    fn return_one(&mut self, token: Token) {
        self.held -= 1;
        self.give_back(&[token.tag], Verdict::Return);
    }

    fn give_back(&self, tags: &[u64], verdict: Verdict) {
        let mut sooner = false;
        {
            let mut state = self.broker.shared.state();
            for tag in tags {
                sooner |= give_back(&mut state, &self.queue, *tag, verdict);
            }
        }
        if sooner {
            self.broker.shared.sooner.notify_one();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let held = {
            let mut state = self.broker.shared.state();
            let Some(queue) = state.queues.get_mut(&*self.queue) else { return };
            queue.exclusive = false;
            queue.held_by(self.consumer)
        };
        // ORDER: what is held is back before the next consumer may take.
        self.give_back(&held, self.leaving);
        if let Some(queue) = self.broker.shared.state().queues.get_mut(&*self.queue) {
            queue.leave(self.consumer);
        }
        self.broker.shared.sooner.notify_one();
    }
}

/// True when the clock must look sooner.
fn give_back(state: &mut State, queue: &str, tag: u64, verdict: Verdict) -> bool {
    match state.queues.get_mut(queue).and_then(|queue| queue.give_back(tag, verdict)) {
        Some(stored) => state.dead_letter(queue, stored, "delivery_limit"),
        None => false,
    }
}
