//! What is true, and how old an answer may be.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::linear::weather::Weather;

/// What a cache keeps: a version of a row, and when it was read.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Seen {
    pub(super) row: u64,
    pub(super) version: usize,
    /// In ms since the beginning.
    pub(super) read: u64,
}

/// A table that changes, and what was ended when.
pub(super) struct Source {
    rows: Vec<Row>,
    pub(super) weather: Weather,
    start: Instant,
}

#[derive(Default)]
struct Row {
    /// Whether the row is there, by version.
    versions: Mutex<Vec<bool>>,
    endings: Mutex<Vec<Ending>>,
    /// Held from a change until the cache was told of it, by those who write the value itself: else the later one
    /// might be told first.
    writing: tokio::sync::Mutex<()>,
}

/// An ending that was completed: whoever asks after it, and has heard it, gets this version or a later one.
#[derive(Clone, Copy, Debug)]
struct Ending {
    version: usize,
    by: usize,
    begun: Instant,
    done: Instant,
    /// When that was, in ms since the beginning, for people.
    #[allow(dead_code, reason = "shown")]
    ms: u64,
    /// It ended as well that there was nothing.
    nothing: bool,
}

/// What an answer must not be older than.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    some: Option<Ending>,
    /// Of that there is nothing.
    nothing: Option<Ending>,
}

/// An ending that runs, of these rows at these versions.
pub(super) struct Begun {
    rows: Vec<(u64, usize)>,
    by: usize,
    at: Instant,
    pub(super) nothing: bool,
}

// === impl Source ===

impl Source {
    pub(super) fn new(rows: u64, weather: Weather) -> Self {
        let row = || Row { versions: Mutex::new(vec![true]), ..Row::default() };
        Self { rows: (0..rows).map(|_| row()).collect(), weather, start: Instant::now() }
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap()
    }

    fn row(&self, row: u64) -> &Row {
        &self.rows[usize::try_from(row).unwrap()]
    }

    /// The row, if it is there.
    pub(super) fn read(&self, row: u64) -> Option<Seen> {
        let versions = self.row(row).versions.lock().unwrap();
        let version = versions.len() - 1;
        versions[version].then(|| Seen { row, version, read: self.now() })
    }

    /// Changes the row, and nobody is told.
    pub(super) async fn change(&self, row: u64, there: bool) {
        let _writing = self.row(row).writing.lock().await;
        self.row(row).versions.lock().unwrap().push(there);
    }

    /// Changes the row, and lets the cache be told the value before anyone else may change it.
    pub(super) async fn write(&self, row: u64, by: usize, tell: impl AsyncFnOnce(Seen)) {
        let _writing = self.row(row).writing.lock().await;
        self.row(row).versions.lock().unwrap().push(true);
        let seen = self.read(row).unwrap();
        let begun = self.begin(&[row], by);
        tell(seen).await;
        self.done(begun);
    }

    /// What is the newest now is what everybody gets once the ending is done.
    pub(super) fn begin(&self, rows: &[u64], by: usize) -> Begun {
        let newest = |row: &u64| (*row, self.row(*row).versions.lock().unwrap().len() - 1);
        Begun { rows: rows.iter().map(newest).collect(), by, at: Instant::now(), nothing: true }
    }

    pub(super) fn done(&self, begun: Begun) {
        let Begun { rows, by, at, nothing } = begun;
        let done = Instant::now();
        self.weather.told(by, at, done);
        for (row, version) in rows {
            self.row(row).endings.lock().unwrap().push(Ending {
                version,
                by,
                begun: at,
                done,
                ms: self.now(),
                nothing,
            });
        }
    }

    /// What `node` must not answer anything older than, when it is asked now.
    pub(super) fn floor(&self, row: u64, node: usize) -> Floor {
        let now = Instant::now();
        let endings = self.row(row).endings.lock().unwrap();
        let known = endings.iter().filter(|ending| {
            let heard = || self.weather.heard_by(node, ending.by, ending.begun, ending.done);
            ending.by == node || heard().is_some_and(|heard| heard < now)
        });
        Floor::of(&known.collect::<Vec<_>>())
    }

    /// What nobody may answer anything older than, once everything was heard.
    pub(super) fn last(&self, row: u64) -> Floor {
        Floor::of(&self.row(row).endings.lock().unwrap().iter().collect::<Vec<_>>())
    }

    /// Whether the answer is right: of this row, not older than the floor, and not kept for longer than `age`.
    pub(super) fn judge(
        &self,
        row: u64,
        floor: Floor,
        answer: Option<&Seen>,
        age: Duration,
    ) -> Result<(), String> {
        let versions = self.row(row).versions.lock().unwrap();
        let Some(seen) = answer else {
            // Any of these may have been seen.
            let oldest = floor.nothing.map_or(0, |ending| ending.version);
            return if versions[oldest..].contains(&false) {
                Ok(())
            } else {
                Err(format!("row {row} is missing, and was there since {floor:?}"))
            };
        };
        let kept = Duration::from_millis(self.now() - seen.read);
        if seen.row != row || !versions.get(seen.version).is_some_and(|there| *there) {
            Err(format!("row {row}: {seen:?} was never there"))
        } else if floor.some.is_some_and(|ending| seen.version < ending.version) {
            Err(format!("row {row} at {} ms: {seen:?} is older than {floor:?}", self.now()))
        } else if kept > age {
            Err(format!("row {row}: {seen:?} was kept for {kept:?}"))
        } else {
            Ok(())
        }
    }
}

// === impl Floor ===

impl Floor {
    fn of(known: &[&Ending]) -> Self {
        let newest = known.iter().max_by_key(|ending| ending.version);
        let nothing = known.iter().filter(|ending| ending.nothing).max_by_key(|ending| ending.version);
        Self { some: newest.map(|ending| **ending), nothing: nothing.map(|ending| **ending) }
    }
}
