//! What the nodes share.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::mark::{Mark, MarkName};
use crate::tier::twin::slots::{Mortal, Slots};
use crate::tier::{Ending, Marks, Slot, Untold};

#[derive(Debug)]
pub(super) struct State {
    pub(super) slots: Slots,
    marks: Mortal<MarkName, Mark>,
    newest: Mark,
    nodes: Vec<Line>,
}

/// One node, as the twin sees it.
#[derive(Debug)]
struct Line {
    weather: watch::Sender<Weather>,
    asked: u64,
    /// Told when it is back.
    pending: HashSet<Ending>,
    /// The other half is in a [`Node::listen`](super::Node::listen).
    feeds: Vec<mpsc::Sender<(Instant, Told)>>,
}

/// What reaches a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// Nothing.
    pub(super) cut: bool,
    /// Answers, and no messages.
    pub(super) deaf: bool,
    /// The next message does not arrive.
    pub(super) lossy: bool,
    /// Messages, so much later.
    pub(super) lag: Duration,
    /// Questions and answers, each up to so much later.
    pub(super) slow: Duration,
}

#[derive(Clone, Debug)]
pub(super) enum Told {
    Ended { ending: Ending, mark: Mark, by: usize },
    Filled(Slot),
}

/// So many messages may wait for a node; those that come then are lost to it, and it finds the hole.
const FEED: usize = 1024;

/// So much is remembered for a node that is cut off; more becomes [`Ending::All`].
const MAX_PENDING: usize = 1024;

/// How long the mark of something ended lives at least when nobody asks for it, in ms.
const MARK_LIFE: u64 = 24 * 60 * 60 * 1000;

// === impl State ===

impl State {
    pub(super) fn new() -> Self {
        Self { slots: Mortal::new(), marks: Mortal::new(), newest: fresh(), nodes: Vec::new() }
    }

    pub(super) fn join(&mut self) -> usize {
        self.nodes.push(Line {
            weather: watch::Sender::new(Weather::default()),
            asked: 0,
            pending: HashSet::new(),
            feeds: Vec::new(),
        });
        self.nodes.len() - 1
    }

    pub(super) fn weather(&self, node: usize, change: impl FnOnce(&mut Weather)) {
        self.nodes[node].weather.send_modify(change);
    }

    pub(super) fn heal(&mut self, node: usize, now: u64) {
        // ORDER: told before anything is read by it.
        for ending in std::mem::take(&mut self.nodes[node].pending) {
            self.end(node, &ending, now);
        }
        self.weather(node, |weather| {
            let Weather { lag, slow, .. } = *weather;
            *weather = Weather { lag, slow, ..Weather::default() };
        });
    }

    pub(super) fn forget(&mut self) {
        self.slots = Mortal::new();
        self.marks = Mortal::new();
        self.newest = fresh();
    }

    pub(super) fn asks(&mut self, node: usize) {
        self.nodes[node].asked += 1;
    }

    pub(super) fn asked(&self, node: usize) -> u64 {
        self.nodes[node].asked
    }

    pub(super) fn is_cut(&self, node: usize) -> bool {
        self.nodes[node].weather.borrow().cut
    }

    pub(super) fn slowness(&self, node: usize) -> Duration {
        self.nodes[node].weather.borrow().slow
    }

    #[cfg(test)]
    pub(super) fn lives(&self, now: u64) -> [Vec<u64>; 2] {
        [self.slots.lives(now), self.marks.lives(now)]
    }

    pub(super) fn sky(&self, node: usize) -> watch::Receiver<Weather> {
        self.nodes[node].weather.subscribe()
    }

    pub(super) fn newest(&self) -> Mark {
        self.newest
    }

    /// The messages from now on.
    pub(super) fn subscribe(&mut self, node: usize) -> (Mark, mpsc::Receiver<(Instant, Told)>) {
        let (feed, told) = mpsc::channel(FEED);
        self.nodes[node].feeds.push(feed);
        (self.newest, told)
    }

    pub(super) fn remember(&mut self, node: usize, ending: Ending) {
        let pending = &mut self.nodes[node].pending;
        if !pending.contains(&Ending::All) {
            pending.insert(ending);
            if pending.len() > MAX_PENDING {
                *pending = HashSet::from([Ending::All]);
            }
        }
    }

    pub(super) fn untold(&self, node: usize) -> Untold {
        let pending = &self.nodes[node].pending;
        Untold { endings: pending.len(), doubtful: 0, everything: pending.contains(&Ending::All) }
    }

    pub(super) fn end(&mut self, node: usize, ending: &Ending, now: u64) {
        self.newest.number += 1;
        match ending {
            Ending::Key(slot) => self.slots.remove(slot),
            Ending::Mark(name) => {
                let dies = self.marks.dies(name).unwrap_or(0).max(now + MARK_LIFE);
                self.marks.set(name.clone(), self.newest, dies, now);
            }
            // Marks of another incarnation are gone.
            Ending::All => self.newest = Mark { number: 1, ..fresh() },
        }
        self.tell(&Told::Ended { ending: ending.clone(), mark: self.newest, by: node });
    }

    /// Tells that a slot is not what it was.
    pub(super) fn changed(&mut self, node: usize, slot: &Slot) {
        self.newest.number += 1;
        self.tell(&Told::Ended { ending: Ending::Key(slot.clone()), mark: self.newest, by: node });
    }

    pub(super) fn filled(&mut self, slot: &Slot) {
        self.tell(&Told::Filled(slot.clone()));
    }

    pub(super) fn evict_marks(&mut self) {
        self.marks = Mortal::new();
    }

    pub(super) fn marks(&mut self, names: &[MarkName], life: u64, now: u64) -> Marks {
        let newest = self.newest;
        let marks = names.iter().map(|name| {
            if let Some(mark) =
                self.marks.get(name, now).filter(|mark| mark.incarnation == newest.incarnation)
            {
                self.marks.prolong(name, now + life);
                return mark;
            }
            self.marks.set(name.clone(), newest, now + life, now);
            newest
        });
        Marks { marks: marks.collect(), newest }
    }

    fn tell(&mut self, told: &Told) {
        for line in &mut self.nodes {
            let Weather { cut, deaf, lossy, .. } = *line.weather.borrow();
            if cut || deaf {
                continue;
            }
            if lossy {
                line.weather.send_modify(|weather| weather.lossy = false);
                continue;
            }
            // One that is full has lost this one, and finds out by the numbers.
            line.feeds.retain(|feed| {
                !matches!(
                    feed.try_send((Instant::now(), told.clone())),
                    Err(mpsc::error::TrySendError::Closed(_))
                )
            });
        }
    }
}

fn fresh() -> Mark {
    Mark { incarnation: rand::random(), number: 0 }
}
