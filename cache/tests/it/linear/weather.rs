//! Who hears what, and when at the latest.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// What befell the nodes.
pub(super) struct Weather {
    faults: Vec<Mutex<Vec<Fault>>>,
    /// How much later a node hears.
    lags: Vec<Duration>,
    detached_age: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    kind: Kind,
    from: Instant,
    until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Cut,
    Deaf,
    Lossy,
    /// What hears the others gets no time.
    Still,
}

/// How long a node may take to notice that it misses something: two looks at the numbers, a second apart.
const NOTICE: Duration = Duration::from_millis(2_100);

/// How long one that stands still believes that it hears.
const STILL: Duration = Duration::from_millis(3_001);

// === impl Weather ===

impl Weather {
    pub(super) fn new(lags: Vec<Duration>, detached_age: Duration) -> Self {
        Self { faults: lags.iter().map(|_| Mutex::default()).collect(), lags, detached_age }
    }

    pub(super) fn begin(&self, node: usize, kind: Kind) {
        self.of(node).push(Fault { kind, from: Instant::now(), until: None });
    }

    pub(super) fn heal(&self, node: usize) {
        for fault in self.of(node).iter_mut() {
            fault.until.get_or_insert_with(Instant::now);
        }
    }

    /// Whether a node hears nothing now.
    pub(super) fn is_ill(&self, node: usize) -> bool {
        self.of(node).iter().any(|fault| fault.kind != Kind::Lossy && fault.until.is_none())
    }

    /// An ending is done: if it was told, each node that was to lose one message has lost it.
    pub(super) fn told(&self, by: usize, begun: Instant, done: Instant) {
        if self.told_at(by, begun, done) != Some(done) {
            return;
        }
        for node in 0..self.faults.len() {
            for fault in self.of(node).iter_mut() {
                if fault.kind == Kind::Lossy && fault.from <= begun {
                    fault.until.get_or_insert(done);
                }
            }
        }
    }

    /// When what `by` ended is known to `node`, at the latest; none for not yet.
    pub(super) fn heard_by(&self, node: usize, by: usize, begun: Instant, done: Instant) -> Option<Instant> {
        let told = self.told_at(by, begun, done)?;
        let due = told + self.lags[node] + Duration::from_millis(1);
        let faults = self.of(node);
        let late = faults.iter().filter(|fault| {
            let until = |until| until + fault.kind.notice() + self.lags[node] >= begun;
            fault.from <= due && fault.until.is_none_or(until)
        });
        let notice = late.map(|fault| fault.kind.notice()).max();
        Some(notice.map_or(due, |notice| due + self.detached_age + notice))
    }

    /// When the tier was told; a node that is cut off tells it when it is back.
    fn told_at(&self, by: usize, begun: Instant, done: Instant) -> Option<Instant> {
        let mut told = Some(done);
        for fault in self.of(by).iter().filter(|fault| fault.kind == Kind::Cut) {
            if fault.from <= done && fault.until.is_none_or(|until| until >= begun) {
                told = told.and_then(|told| Some(told.max(fault.until?)));
            }
        }
        told
    }

    fn of(&self, node: usize) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.faults[node].lock().unwrap()
    }
}

// === impl Kind ===

impl Kind {
    fn notice(self) -> Duration {
        match self {
            Self::Cut | Self::Deaf | Self::Lossy => NOTICE,
            Self::Still => STILL,
        }
    }
}
