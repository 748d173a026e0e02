//! What the embedded broker knows, under its lock.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::memory::queue::{Place, Queue, Stored, Wake};
use crate::message::{HeaderValue, Message, Text};
use crate::topic;
use crate::topology::{Binding, Conflict, Declared, Destination, Exchange, ExchangeKind, Topology};

#[derive(Debug)]
pub(crate) struct State {
    capacity: usize,
    exchanges: HashMap<String, Declaration>,
    pub(crate) queues: HashMap<String, Queue>,
    next_consumer: u64,
    /// Queues that were made and that nobody has been told of yet.
    made: BTreeSet<String>,
    /// By exchange and key; forgotten when a queue, an exchange or a binding comes or goes.
    routes: HashMap<String, HashMap<String, Route>>,
}

/// Where a message goes, by name.
pub(crate) type Route = Arc<[Text]>;

/// A place in each queue of a route that gives places, as it was waited for.
pub(crate) type Places = Vec<Option<OwnedSemaphorePermit>>;

/// Whom to wake when the lock is free.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    /// The clock must look sooner.
    pub(crate) sooner: bool,
    queues: Vec<Wake>,
}

#[derive(Debug)]
struct Declaration {
    exchange: Exchange,
    bindings: Vec<(String, Destination)>,
}

/// How often a message may pass from exchange to exchange before we take it for a circle.
const HOPS: usize = 64;

/// How many keys an exchange's routes are kept for; keys may be drawn.
const ROUTES: usize = 10_000;

// === impl State ===

impl State {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            exchanges: HashMap::new(),
            queues: HashMap::new(),
            next_consumer: 0,
            made: BTreeSet::new(),
            routes: HashMap::new(),
        }
    }

    pub(crate) fn declare(&mut self, topology: &Topology, own: &Topology) -> Declared {
        self.routes.clear();
        let mut declared = Declared::default();
        let mut conflict = |name: &str, text: &str| {
            declared.conflicts.push(Conflict { name: name.to_owned(), text: text.to_owned() });
        };
        for exchange in &topology.exchanges {
            match self.exchanges.get(&exchange.name) {
                Some(known) if known.exchange != *exchange => {
                    conflict(&exchange.name, "declared differently")
                }
                Some(_) => {}
                None => {
                    let declaration = Declaration { exchange: exchange.clone(), bindings: Vec::new() };
                    self.exchanges.insert(exchange.name.clone(), declaration);
                }
            }
        }
        for queue in &topology.queues {
            match self.queues.get(&queue.name) {
                Some(known) if known.declared != *queue => conflict(&queue.name, "declared differently"),
                Some(_) => {}
                None => {
                    self.queues.insert(queue.name.clone(), Queue::new(queue.clone(), self.capacity));
                    self.made.insert(queue.name.clone());
                }
            }
        }
        for binding in &topology.bindings {
            let there = match &binding.destination {
                Destination::Exchange(name) => self.exchanges.contains_key(name),
                Destination::Queue(name) => self.queues.contains_key(name),
            };
            match self.exchanges.get_mut(&binding.source) {
                Some(source) if there => {
                    let bound = (binding.key.clone(), binding.destination.clone());
                    if !source.bindings.contains(&bound) {
                        source.bindings.push(bound);
                    }
                }
                _ => declared.conflicts.push(Conflict {
                    name: format!("{} → {:?}", binding.source, binding.destination),
                    text: "no such exchange or queue".to_owned(),
                }),
            }
        }
        declared.made = crate::topology::claim(&mut self.made, own);
        declared
    }

    /// All that is declared.
    pub(crate) fn topology(&self) -> Topology {
        let mut all = Topology::new();
        all.queues = self.queues.values().map(|queue| queue.declared.clone()).collect();
        for Declaration { exchange, bindings } in self.exchanges.values() {
            all.exchanges.push(exchange.clone());
            all.bindings.extend(bindings.iter().map(|(key, destination)| Binding {
                source: exchange.name.clone(),
                destination: destination.clone(),
                key: key.clone(),
            }));
        }
        all
    }

    /// The queues that a message goes to, by name and each once.
    pub(crate) fn route(&mut self, exchange: &str, key: &str) -> Route {
        if exchange.is_empty() {
            // The default exchange: every queue is bound by its name.
            return self.queues.contains_key(key).then(|| Text::from(key)).into_iter().collect();
        }
        if let Some(route) = self.routes.get(exchange).and_then(|keys| keys.get(key)) {
            return Route::clone(route);
        }
        let route = self.find(exchange, key);
        let keys = self.routes.entry(exchange.to_owned()).or_default();
        if keys.len() >= ROUTES {
            keys.clear();
        }
        keys.insert(key.to_owned(), Route::clone(&route));
        route
    }

    fn find(&self, exchange: &str, key: &str) -> Route {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![exchange.to_owned()];
        while let Some(name) = open.pop() {
            if seen.len() >= HOPS || !seen.insert(name.clone()) {
                continue;
            }
            let Some(declaration) = self.exchanges.get(&name) else { continue };
            let mut taken = false;
            for (pattern, destination) in &declaration.bindings {
                let wanted = match declaration.exchange.kind {
                    ExchangeKind::Direct => pattern == key,
                    ExchangeKind::Fanout => true,
                    ExchangeKind::Topic => topic::matches(pattern, key),
                };
                if !wanted {
                    continue;
                }
                taken = true;
                match destination {
                    Destination::Exchange(next) => open.push(next.clone()),
                    Destination::Queue(queue) => {
                        found.insert(queue.as_str());
                    }
                }
            }
            if !taken {
                open.extend(declaration.exchange.alternate.clone());
            }
        }
        found.into_iter().map(Text::from).collect()
    }

    /// The free places of these queues; a feed needs none.
    pub(crate) fn places(&self, route: &Route) -> Vec<Option<Arc<Semaphore>>> {
        route.iter().map(|name| self.queues.get(&**name)?.places.clone()).collect()
    }

    /// How many messages, of `most`, there is room for in all of these queues. Their places are taken.
    pub(crate) fn take_places(&self, route: &Route, most: usize) -> usize {
        let queues = || route.iter().filter_map(|name| self.queues.get(&**name)?.places.as_deref());
        loop {
            let count = queues().map(Semaphore::available_permits).fold(most, usize::min);
            let Ok(permits) = u32::try_from(count) else { return 0 };
            let taken: Result<Vec<_>, _> = queues().map(|places| places.try_acquire_many(permits)).collect();
            // Who waits for room may have been given it in between: then we look again.
            if let Ok(taken) = taken {
                taken.into_iter().for_each(SemaphorePermit::forget);
                return count;
            }
        }
    }

    /// Puts copies into each queue that is still there, for which [`State::take_places`] has taken the places.
    pub(crate) fn put_all<'a>(
        &mut self,
        route: &Route,
        messages: &(impl Iterator<Item = &'a Arc<Message>> + Clone),
        wakes: &mut Wakes,
    ) {
        for name in route.iter() {
            let Some(queue) = self.queues.get_mut(&**name) else { continue };
            for message in messages.clone() {
                let place = if queue.places.is_some() { Place::Here } else { Place::Nowhere };
                wakes.sooner |= queue.push(Arc::clone(message), place);
            }
            wakes.add(queue);
        }
    }

    /// Puts a copy into each queue that is still there, with the place that was waited for. False when none is.
    pub(crate) fn put(
        &mut self,
        route: &Route,
        places: Places,
        message: &Arc<Message>,
        wakes: &mut Wakes,
    ) -> bool {
        let mut there = false;
        for (name, place) in route.iter().zip(places) {
            let Some(queue) = self.queues.get_mut(&**name) else { continue };
            let place = match (place, &queue.places) {
                // Not of one that had its name before.
                (Some(place), Some(places)) if Arc::ptr_eq(place.semaphore(), places) => {
                    place.forget();
                    Place::Here
                }
                _ => Place::Nowhere,
            };
            wakes.sooner |= queue.push(Arc::clone(message), place);
            wakes.add(queue);
            there = true;
        }
        there
    }

    /// Moves a message to where its queue sends dead letters, without waiting for room.
    pub(crate) fn dead_letter(&mut self, from: &str, stored: Stored, reason: &str) -> bool {
        let target = self.queues.get(from).and_then(|queue| queue.declared.dead_letter.clone());
        let Some(target) = target else {
            // Nothing is configured to keep it: that is what the queue's owner asked for.
            tracing::warn!(queue = from, reason, "message dropped: its queue has no dead-letter exchange");
            if let Some(share) = stored.share {
                share.settle();
            }
            return false;
        };
        let mut message = Message::clone(&stored.message);
        let key = target.key.as_deref().unwrap_or_else(|| message.key()).into();
        message.address(target.exchange.into(), key);
        let headers = message.headers_mut();
        for (name, value) in [("x-first-death-queue", from), ("x-first-death-reason", reason)] {
            headers.entry(name.to_owned()).or_insert_with(|| HeaderValue::Text(value.to_owned()));
        }
        // As RabbitMQ 4 tells the last death beside the first.
        for (name, value) in [("x-last-death-queue", from), ("x-last-death-reason", reason)] {
            headers.insert(name.to_owned(), HeaderValue::Text(value.to_owned()));
        }
        let route = self.route(&message.exchange, message.key());
        if route.is_empty() {
            tracing::error!(
                queue = from,
                reason,
                exchange = &*message.exchange,
                "dead letter has no queue to go to"
            );
            return false;
        }
        // Its place goes with it, or publishers would fill the queue anew while this one waits elsewhere. But not back
        // from the delays: to retry it once more, its consumer must find another place there.
        let has_places = |name: &Text| self.queues.get(&**name).is_some_and(|queue| queue.places.is_some());
        let work = route.iter().position(has_places);
        let back = crate::delay::is_own(from) && work.is_some_and(|at| !crate::delay::is_own(&route[at]));
        let mut place = if back { Place::Nowhere } else { stored.place };
        let message = Arc::new(message);
        let mut sooner = false;
        for (at, name) in route.iter().enumerate() {
            let Some(queue) = self.queues.get_mut(&**name) else { continue };
            let place = if work == Some(at) { std::mem::take(&mut place) } else { Place::Nowhere };
            sooner |= queue.push(Arc::clone(&message), place);
            queue.waker().wake();
        }
        if let Some(share) = stored.share {
            share.settle();
        }
        sooner
    }

    /// Moves what has expired and removes queues that nobody wants. Returns when to look again.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Instant> {
        let over: Vec<String> = self
            .queues
            .values()
            .filter(|queue| queue.is_over(now))
            .map(|queue| queue.declared.name.clone())
            .collect();
        for name in over {
            self.remove_queue(&name);
        }
        let timed: Vec<String> = self
            .queues
            .values()
            .filter(|queue| queue.declared.message_ttl.is_some())
            .map(|queue| queue.declared.name.clone())
            .collect();
        for name in timed {
            while let Some(stored) = self.queues.get_mut(&name).and_then(|queue| queue.take_expired(now)) {
                self.dead_letter(&name, stored, "expired");
            }
        }
        self.queues.values().filter_map(Queue::next_deadline).min()
    }

    pub(crate) fn remove_queue(&mut self, name: &str) {
        self.routes.clear();
        if let Some(queue) = self.queues.remove(name) {
            if let Some(places) = &queue.places {
                places.close();
            }
            queue.wake.notify_waiters();
        }
        let gone = Destination::Queue(name.to_owned());
        for declaration in self.exchanges.values_mut() {
            declaration.bindings.retain(|(_, destination)| *destination != gone);
        }
    }

    pub(crate) fn next_consumer(&mut self) -> u64 {
        self.next_consumer += 1;
        self.next_consumer
    }
}

// === impl Wakes ===

impl Wakes {
    fn add(&mut self, queue: &Queue) {
        if !self.queues.iter().any(|wake| wake.is_for(queue)) {
            self.queues.push(queue.waker());
        }
    }

    pub(crate) fn consumers(&mut self) {
        self.queues.drain(..).for_each(|wake| wake.wake());
    }
}
