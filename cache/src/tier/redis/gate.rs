//! Whether Redis may be asked, and what it has to be told first.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::mark::MarkName;
use crate::tier::redis::link::Link;
use crate::tier::{Ending, Untold};

/// Open while Redis answers. The first failure shuts it; one probe at a time tries to open it.
#[derive(Debug)]
pub(super) struct Gate {
    max_backoff: Duration,
    max_pending: usize,
    state: Mutex<State>,
}

/// An ending on its way. Unless it is [told](Self::told), Redis has to be told before it is read again: also when whoever
/// wanted it does not wait for the answer any more.
pub(super) struct Remembering<'a> {
    link: &'a Arc<Link>,
    ending: Option<Ending>,
}

#[derive(Debug, Default)]
struct State {
    shut: Option<Shut>,
    /// When it was opened, and how often that had failed before.
    opened: Option<(Instant, u32)>,
    /// Told before anyone reads from Redis again.
    pending: HashSet<Ending>,
    /// The same; they were told already, then, to one that may have forgotten.
    again: HashMap<Ending, Instant>,
    /// On their way: what is pending beside them came later, and is told after them, whether or not it is the same. When
    /// they were told before, if they were.
    telling: HashMap<Ending, Option<Instant>>,
    /// What was told of late.
    recent: VecDeque<(Instant, Ending)>,
}

#[derive(Debug)]
struct Shut {
    failures: u32,
    until: Instant,
    probing: bool,
    /// What was ended before is told: what ends now need not wait for the gate.
    admits: bool,
}

/// The bound of the first pause.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// What was told so shortly before a connection was lost may be lost with it: a replica that takes over is behind by
/// less than this, or is no replica.
const LATE: Duration = Duration::from_secs(5);

/// So much is remembered of what was told of late: 1,600 a second. Of more, keys become whole caches, and tags everything.
const MAX_RECENT: usize = 8192;

// === impl Gate ===

impl Gate {
    /// A shut one: someone has to look first.
    pub(super) fn new(max_backoff: Duration, max_pending: usize) -> Self {
        let shut = Some(Shut::new(0, Instant::now()));
        Self { max_backoff, max_pending, state: Mutex::new(State { shut, ..State::default() }) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().shut.is_none()
    }

    /// The connection is lost. True when the gate was open.
    pub(super) fn shut(&self) -> bool {
        let mut state = self.lock();
        let now = Instant::now();
        state.distrust(now);
        if let Some(shut) = &mut state.shut {
            shut.admits = false;
            return false;
        }
        // One that opens and shuts all the time is not well.
        let before = state.opened.filter(|(opened, _)| now.duration_since(*opened) < self.max_backoff);
        let failures = before.map_or(0, |(_, failures)| failures).saturating_add(1);
        state.shut = Some(Shut::new(failures, now + self.pause(failures)));
        true
    }

    /// Remembers what Redis has to be told, and keeps it shut until then.
    pub(super) fn remember(&self, ending: Ending) {
        let mut state = self.lock();
        state.want(ending, self.max_pending);
        if state.shut.is_none() {
            state.shut = Some(Shut::new(0, Instant::now()));
        }
    }

    /// What Redis has yet to be told.
    pub(super) fn untold(&self) -> Untold {
        let state = self.lock();
        let State { pending, again, telling, .. } = &*state;
        let new = telling.values().filter(|before| before.is_none()).count();
        Untold {
            endings: pending.len() + new,
            doubtful: again.len() + telling.len() - new,
            everything: pending.contains(&Ending::All)
                || again.contains_key(&Ending::All)
                || telling.contains_key(&Ending::All),
        }
    }

    /// Redis has been told.
    pub(super) fn told(&self, ending: Ending) {
        self.lock().keep(Instant::now(), ending);
    }

    /// Ends the pause.
    pub(super) fn hurry(&self) {
        if let Some(shut) = &mut self.lock().shut {
            shut.until = Instant::now();
        }
    }

    /// True when the caller is to probe now.
    pub(super) fn begin_probe(&self) -> bool {
        match &mut self.lock().shut {
            Some(shut) if !shut.probing && Instant::now() >= shut.until => {
                shut.probing = true;
                true
            }
            _ => false,
        }
    }

    pub(super) fn probe_failed(&self) {
        let mut state = self.lock();
        let now = Instant::now();
        state.distrust(now);
        for (ending, before) in std::mem::take(&mut state.telling) {
            match before {
                Some(before) => drop(state.again.insert(ending, before)),
                None => state.want(ending, self.max_pending),
            }
        }
        if let Some(shut) = &mut state.shut {
            shut.failures = shut.failures.saturating_add(1);
            shut.probing = false;
            shut.admits = false;
            shut.until = now + self.pause(shut.failures);
        }
    }

    /// What is to be told now. Whatever comes from here on is pending anew, the same things too: who reads in between may
    /// have filled what was just ended.
    pub(super) fn pending(&self) -> Vec<Ending> {
        let mut state = self.lock();
        let State { pending, again, telling, .. } = &mut *state;
        telling.extend(again.drain().map(|(ending, before)| (ending, Some(before))));
        telling.extend(pending.drain().map(|ending| (ending, None)));
        if telling.contains_key(&Ending::All) {
            // It is as new as the newest of those whose place it takes.
            let new = telling.values().any(Option::is_none);
            let before = telling.values().copied().max().flatten().filter(|_| !new);
            *telling = HashMap::from([(Ending::All, before)]);
        }
        telling.keys().cloned().collect()
    }

    /// Lets endings through, as they come: what is pending has an end then, however many there are.
    pub(super) fn admit(&self) {
        if let Some(shut) = &mut self.lock().shut {
            shut.admits = true;
        }
    }

    /// Whether Redis may be told of endings: while it is open, and a moment before.
    pub(super) fn admits(&self) -> bool {
        self.lock().shut.as_ref().is_none_or(|shut| shut.admits)
    }

    /// Opens it when nothing is pending beside what was `told`.
    pub(super) fn open(&self, told: &[Ending]) -> bool {
        let mut state = self.lock();
        let now = Instant::now();
        for ending in told {
            if let Some(before) = state.telling.remove(ending) {
                // The time of one that was told before does not begin anew, or a connection that comes and goes would
                // never forget.
                state.keep(before.unwrap_or(now), ending.clone());
            }
        }
        let done = state.pending.is_empty() && state.again.is_empty() && state.telling.is_empty();
        if done {
            let failures = state.shut.take().map_or(0, |shut| shut.failures);
            state.opened = Some((now, failures));
        }
        done
    }

    fn pause(&self, failures: u32) -> Duration {
        let bound = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.max_backoff);
        bound.mul_f64(rand::random_range(0.5..=1.0))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Shut ===

impl Shut {
    fn new(failures: u32, until: Instant) -> Self {
        Self { failures, until, probing: false, admits: false }
    }
}

// === impl State ===

impl State {
    fn want(&mut self, ending: Ending, max_pending: usize) {
        self.pending.insert(ending);
        // Too many to remember: whole caches go, or everything, which is more than asked and never less.
        if self.pending.len() > max_pending {
            self.pending = std::mem::take(&mut self.pending).into_iter().map(whole_cache).collect();
        }
        if self.pending.len() > max_pending {
            self.pending = HashSet::from([Ending::All]);
        }
    }

    /// The connection is lost, and with it perhaps what was told of late.
    fn distrust(&mut self, now: Instant) {
        for (told, ending) in std::mem::take(&mut self.recent) {
            if now.duration_since(told) < LATE {
                self.again.insert(ending, told);
            }
        }
    }

    fn keep(&mut self, told: Instant, ending: Ending) {
        let now = Instant::now();
        while self.recent.front().is_some_and(|(told, _)| now.duration_since(*told) >= LATE) {
            self.recent.pop_front();
        }
        if self.recent.len() >= MAX_RECENT {
            let mut newest = HashMap::new();
            for (told, ending) in self.recent.drain(..) {
                let last = newest.entry(whole_cache(ending)).or_insert(told);
                *last = told.max(*last);
            }
            if newest.len() > MAX_RECENT / 2 {
                newest = HashMap::from([(Ending::All, now)]);
            }
            self.recent.extend(newest.into_iter().map(|(ending, told)| (told, ending)));
            self.recent.make_contiguous().sort_unstable_by_key(|(told, _)| *told);
        }
        self.recent.push_back((told, ending));
    }
}

/// What takes the place of a key when they are too many.
fn whole_cache(ending: Ending) -> Ending {
    match ending {
        Ending::Key(slot) => Ending::Mark(MarkName::of_cache(&slot.space)),
        other => other,
    }
}

// === impl Remembering ===

impl<'a> Remembering<'a> {
    pub(super) fn new(link: &'a Arc<Link>, ending: Ending) -> Self {
        Self { link, ending: Some(ending) }
    }

    pub(super) fn told(mut self) {
        if let Some(ending) = self.ending.take() {
            self.link.gate.told(ending);
        }
    }
}

impl Drop for Remembering<'_> {
    fn drop(&mut self) {
        if let Some(ending) = self.ending.take() {
            self.link.remember(ending);
        }
    }
}

#[cfg(test)]
mod tests;
