//! Hits in memory.

use std::sync::Barrier;

use crate::cache::clock;
use crate::cache::figures::{Figures, median, number};
use crate::cache::{Ask, Row, Zipf, key};

/// Questions after 10,000 keys, some much more often than others.
#[derive(Debug)]
pub struct Hits {
    keys: Vec<String>,
    order: Vec<u32>,
    threads: usize,
}

/// What one thread asks for in a turn.
#[derive(Debug)]
pub struct Turn<'a> {
    hits: &'a Hits,
    at: usize,
    left: usize,
}

const KEYS: usize = 10_000;

/// Of which each has its figure; the middle one counts.
const TURNS: usize = 7;

// === impl Hits ===

impl Hits {
    /// What the row asks for.
    #[must_use]
    pub fn new(ask: &Ask) -> Self {
        let mut zipf = Zipf::new(KEYS, 1);
        let order = (0..ask.times(1_000_000)).map(|_| u32::try_from(zipf.draw()).unwrap_or_default());
        Self {
            keys: (0..KEYS).map(key).collect(),
            order: order.collect(),
            threads: if ask.row == Row::HitTwo { 2 } else { 1 },
        }
    }

    /// All keys, to be put into the cache.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Runs turns, in each thread at once; a turn asks for all that it is given. In ns of the threads' CPU time.
    pub fn measure(&self, turn: impl Fn(Turn<'_>) + Sync) -> Figures {
        let mut figures = Figures::default();
        figures.set("ns", median((0..=TURNS).map(|_| self.turn(&turn)).skip(1).collect()));
        figures
    }

    /// One turn of one thread; how many hits that were.
    pub fn once(&self, turn: impl Fn(Turn<'_>)) -> usize {
        turn(self.of_thread(0));
        self.order.len()
    }

    fn turn(&self, turn: &(impl Fn(Turn<'_>) + Sync)) -> f64 {
        let barrier = Barrier::new(self.threads);
        let one = |thread| {
            barrier.wait();
            let before = clock::thread();
            turn(self.of_thread(thread));
            clock::thread() - before
        };
        let sum: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads).map(|thread| scope.spawn(move || one(thread))).collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
        });
        number(sum) / number(self.order.len() * self.threads)
    }

    /// Threads begin at different places.
    fn of_thread(&self, thread: usize) -> Turn<'_> {
        Turn { hits: self, at: self.order.len() / 2 * thread, left: self.order.len() }
    }
}

// === impl Turn ===

impl<'a> Iterator for Turn<'a> {
    type Item = &'a String;

    fn next(&mut self) -> Option<&'a String> {
        self.left = self.left.checked_sub(1)?;
        let number = self.hits.order.get(self.at).or_else(|| {
            self.at = 0;
            self.hits.order.first()
        })?;
        self.at += 1;
        self.hits.keys.get(*number as usize)
    }
}
