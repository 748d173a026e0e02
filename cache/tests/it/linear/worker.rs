//! Asks and tells by chance.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{sleep, timeout};
use tramline_cache::{Cache, Error, Loaded, Store, Tag};

use crate::linear::source::{Floor, Seen, Source};
use crate::linear::way::Way;
use crate::linear::{Plan, ROWS};

/// One of those who use a node.
pub(super) struct Worker {
    pub(super) node: usize,
    pub(super) store: Store,
    /// By policy, each without and with the tag of the rows.
    pub(super) caches: Vec<[Cache<u64, Seen>; 2]>,
    pub(super) source: Arc<Source>,
    pub(super) plan: Plan,
    pub(super) random: StdRng,
    /// It ends nothing.
    pub(super) only_asks: bool,
}

/// How rows are tagged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// By the policy.
    Tagged,
    /// By the load.
    Late,
    /// Not, and it is never missing.
    Plain,
}

/// How a load goes.
#[derive(Clone, Copy)]
struct Course {
    before: Duration,
    after: Duration,
    end: End,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum End {
    Well,
    Fails,
    Panics,
    Never,
}

// === impl Worker ===

impl Worker {
    pub(super) async fn run(mut self, turns: usize) -> Result<Self, String> {
        for _ in 0..turns {
            self.turn().await?;
            sleep(self.up_to(self.plan.pause)).await;
        }
        Ok(self)
    }

    async fn turn(&mut self) -> Result<(), String> {
        let row = self.random.random_range(0..ROWS);
        // What ends here ends here at once: for what others end to be missed, it has to live for a while.
        let ill = self.source.weather.is_ill(self.node) && self.random.random_bool(0.95);
        let asks = self.only_asks || ill;
        match self.random.random_range(0..if asks { 72 } else { 100 }) {
            0..50 => self.ask(row).await,
            50..60 => self.ask_lightly(row).await,
            60..72 => self.ask_many().await,
            72..77 => self.end_by_chance(Way::Key(row)).await,
            77..80 => self.end_by_chance(Way::Keys(row)).await,
            80..90 => self.end_by_chance(Way::Write(row)).await,
            90..92 => self.end_by_chance(Way::Tags).await,
            92..97 => {
                let kind = if self.random.random() { Kind::Tagged } else { Kind::Late };
                self.end_by_chance(Way::Tag(kind)).await
            }
            _ => self.end_by_chance(Way::All).await,
        }
    }

    async fn end_by_chance(&mut self, way: Way) -> Result<(), String> {
        let there: Vec<bool> = (0..ROWS).map(|row| self.may_be_there(row)).collect();
        let policy = self.random.random_range(0..self.caches.len());
        self.end(way, policy, |row| there[usize::try_from(row).unwrap()]).await;
        Ok(())
    }

    async fn ask(&mut self, row: u64) -> Result<(), String> {
        let (cache, course) = (self.cache(row), self.course());
        let floor = self.source.floor(row, self.node);
        let source = Arc::clone(&self.source);
        let find = move || course.run(move || source.read(row).map(|seen| loaded(row, seen)));
        let mut how = format!("asked at {} ms", self.source.now());
        let asked = async {
            if Kind::of(row) == Kind::Plain && course.end != End::Fails {
                let load = move || async move { find().await.map(|found| found.expect("a plain row")) };
                cache.get_or_load(&row, load).await.map(Some)
            } else {
                cache.answer(&row, find).await.map(|answer| {
                    how = format!("{how}, a {:?}", answer.outcome);
                    answer.value
                })
            }
        };
        match self.patient(asked).await {
            Some(Ok(found)) => self.judge(&how, row, floor, found.as_deref()),
            Some(Err(error)) => self.excused(&error),
            None => Ok(()),
        }
    }

    /// What the tiers have.
    async fn ask_lightly(&mut self, row: u64) -> Result<(), String> {
        let cache = self.cache(row);
        let floor = self.source.floor(row, self.node);
        let found = if self.random.random() { cache.peek(&row) } else { cache.get(&row).await };
        // None may be that nothing is kept.
        found.map_or(Ok(()), |seen| self.judge("get", row, floor, Some(&seen)))
    }

    async fn ask_many(&mut self) -> Result<(), String> {
        let kind = Kind::of(self.random.random_range(0..ROWS));
        let rows: Vec<u64> = (0..ROWS).filter(|row| Kind::of(*row) == kind).collect();
        let (cache, course) = (self.cache(rows[0]), self.course());
        let floors: Vec<_> = rows.iter().map(|row| self.source.floor(*row, self.node)).collect();
        let source = Arc::clone(&self.source);
        let load = move |rows: Vec<u64>| {
            course.run(move || {
                let found = rows.iter().filter_map(|row| Some((*row, loaded(*row, source.read(*row)?))));
                Some(found.collect::<HashMap<_, _>>())
            })
        };
        let load = move |rows| async move { load(rows).await.map(Option::unwrap_or_default) };
        match self.patient(cache.get_many_or_load(&rows, load)).await {
            Some(Ok(found)) => rows.iter().zip(floors).try_for_each(|(row, floor)| {
                self.judge("many", *row, floor, found.get(row).map(AsRef::as_ref))
            }),
            Some(Err(error)) => self.excused(&error),
            None => Ok(()),
        }
    }

    fn judge(&self, what: &str, row: u64, floor: Floor, seen: Option<&Seen>) -> Result<(), String> {
        let judged = self.source.judge(row, floor, seen, self.plan.age);
        judged.map_err(|wrong| format!("node {}, {what}: {wrong}", self.node))
    }

    /// Some callers go away.
    async fn patient<T>(&mut self, asked: impl Future<Output = T>) -> Option<T> {
        if self.random.random_bool(0.1) {
            let patience = self.up_to(Duration::from_millis(30));
            timeout(patience, asked).await.ok()
        } else {
            let answer = timeout(Duration::from_secs(100), asked).await;
            Some(answer.expect("an answer"))
        }
    }

    /// No error comes of anything but loads.
    fn excused(&self, error: &Error) -> Result<(), String> {
        if self.plan.loads_fail { Ok(()) } else { Err(format!("{error:?}")) }
    }

    fn cache(&mut self, row: u64) -> Cache<u64, Seen> {
        let policy = self.random.random_range(0..self.caches.len());
        self.cache_of(policy, row).clone()
    }

    pub(super) fn cache_of(&self, policy: usize, row: u64) -> &Cache<u64, Seen> {
        &self.caches[policy][usize::from(Kind::of(row) == Kind::Tagged)]
    }

    fn may_be_there(&mut self, row: u64) -> bool {
        Kind::of(row) == Kind::Plain || self.random.random_bool(0.8)
    }

    fn course(&mut self) -> Course {
        let end = match self.random.random_range(0..100) {
            0..8 if self.plan.loads_fail => End::Fails,
            8..10 if self.plan.loads_fail => End::Panics,
            10..12 if self.plan.loads_fail => End::Never,
            _ => End::Well,
        };
        Course { before: self.up_to(self.plan.load), after: self.up_to(self.plan.load), end }
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.random.random_range(0.0..=1.0))
    }
}

// === impl Course ===

impl Course {
    async fn run<T>(self, read: impl FnOnce() -> Option<T>) -> Result<Option<T>, std::fmt::Error> {
        sleep(self.before).await;
        let found = read();
        sleep(self.after).await;
        match self.end {
            End::Well => Ok(found),
            End::Fails => Err(std::fmt::Error),
            End::Panics => std::panic::resume_unwind(Box::new("on purpose")),
            End::Never => std::future::pending().await,
        }
    }
}

// === impl Kind ===

impl Kind {
    pub(super) fn of(row: u64) -> Self {
        match row % 3 {
            0 => Self::Tagged,
            1 => Self::Late,
            _ => Self::Plain,
        }
    }
}

pub(super) fn tagged() -> Tag {
    tag(Kind::Tagged)
}

pub(super) fn tag(kind: Kind) -> Tag {
    Tag::of(if kind == Kind::Tagged { "tagged" } else { "late" })
}

pub(super) fn loaded(row: u64, seen: Seen) -> Loaded<Seen> {
    let late = (Kind::of(row) == Kind::Late).then(|| tag(Kind::Late));
    Loaded::new(seen).with_tags(late)
}

pub(super) fn random(seed: u64, who: usize) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(who as u64))
}
