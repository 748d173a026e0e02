//! Shows how it goes, holds publishers back, and keeps the workers alive.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::log::Log;
use crate::report::say;
use crate::workers::Workers;

pub(super) struct Watch<'a> {
    workers: &'a Workers,
    log: &'a Log,
    state: Mutex<State>,
}

struct State {
    start: Instant,
    effects: u64,
    since: Instant,
    longest: Duration,
}

/// Fine enough to time an outage of seconds.
const LOOK: Duration = Duration::from_millis(200);

/// Looks between two lines.
const LINE: u64 = 5;

/// How far behind consumers may be: what takes some seconds to handle.
const BEHIND: u64 = 1_500;

// === impl Watch ===

impl<'a> Watch<'a> {
    pub(super) fn new(workers: &'a Workers, log: &'a Log) -> Self {
        let now = Instant::now();
        let state = State { start: now, effects: 0, since: now, longest: Duration::ZERO };
        Self { workers, log, state: Mutex::new(state) }
    }

    /// Waits for the first effects.
    pub(super) async fn until_effects(&self) -> anyhow::Result<()> {
        let mut clock = interval(LOOK);
        while self.workers.counts().effects == 0
            || self.workers.counts().committed == 0
            || self.log.known().accepted.is_empty()
        {
            clock.tick().await;
            self.workers.revive().await?;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.start, state.since) = (Instant::now(), Instant::now());
        Ok(())
    }

    /// The longest time between two effects so far.
    pub(super) fn idle(&self) -> Duration {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).longest
    }

    /// Watches without end; returns at an error alone.
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let mut clock = interval(LOOK);
        for look in 1_u64.. {
            clock.tick().await;
            self.workers.revive().await?;
            self.workers.brake(self.look(look.is_multiple_of(LINE))).await;
        }
        Ok(())
    }

    /// Answers whether consumers are too far behind.
    fn look(&self, line: bool) -> bool {
        let counts = self.workers.counts();
        let (accepted, unknown) = {
            let known = self.log.known();
            (known.accepted.len() as u64, known.unknown)
        };
        // A kill swallows some counts: it holds publishers back a little early, or late.
        let ended = (counts.effects + counts.stored).saturating_sub(counts.redriven);
        let behind = (accepted + counts.committed).saturating_sub(ended);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if counts.effects != state.effects {
            state.longest = state.longest.max(now - state.since);
            (state.effects, state.since) = (counts.effects, now);
        }
        if line {
            say(&format!(
                "{:>6.1} s  published {accepted}, committed {}, effects {}, dead letters {}, under way {behind}; \
                 redelivered {}, suppressed {}, unknown {unknown}",
                (now - state.start).as_secs_f64(),
                counts.committed,
                counts.effects,
                counts.stored,
                counts.redelivered,
                counts.suppressed,
            ));
        }
        behind > BEHIND
    }
}
