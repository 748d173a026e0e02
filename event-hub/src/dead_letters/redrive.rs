//! Back into the queue they died in: the confirm first, then the row goes.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout_at};
use uuid::Uuid;

use crate::dead_letters::config::RedriveConfig;
use crate::dead_letters::filter::{Filter, Selection};
use crate::dead_letters::handle::now;
use crate::dead_letters::metrics::Metrics;
use crate::dead_letters::store::{Claim, Database, Taken, failed};
use crate::error::{Error, ErrorKind};
use crate::hub::Hub;
use crate::publish::{PublishErrorKind, Receipt};

/// What became of one letter.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Returned {
    /// The letter's number.
    pub id: i64,
    /// The queue it died in.
    pub queue: Option<String>,
    /// Why it stays; none when it is back.
    pub error: Option<String>,
}

/// What became of a redrive.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Redriven {
    /// Letters that are back in their queues.
    pub sent: u64,
    /// Letters that stay: their queue is gone or full, or they cannot be read.
    pub left: u64,
    /// Letters that another redrive has taken, or had when it was cut off less than a lease ago; and those that the
    /// memory hub has, unsettled.
    pub busy: u64,
    /// Of the numbers asked for, those that are not in the store.
    pub unknown: Vec<i64>,
    /// Why it stopped before the end: the broker gave no answer. The letters are still there; some may have arrived.
    pub stopped: Option<String>,
}

/// One redrive.
pub(crate) struct Redrive {
    database: Database,
    hub: Hub,
    filter: Filter,
    pace: Pace,
    lease: Duration,
    max_age: Option<Duration>,
    token: String,
    metrics: Metrics,
}

/// Evenly spread, in steps that a timer can keep.
struct Pace {
    per_second: f64,
    next: Instant,
}

enum Fate {
    Sent,
    /// With the memory hub, which could still lose it: not ours to remove yet.
    Unsettled,
    Left(String),
    /// No answer.
    Silent(String),
}

/// So many letters at most in one step: with a round trip each for claim and removal more gain little.
const STEP: f64 = 100.0;

/// A step's time, where the rate gives more than one letter for it.
const STEP_SECONDS: f64 = 0.05;

impl Redrive {
    pub(crate) fn new(
        database: Database,
        hub: Hub,
        selection: &Selection,
        config: &RedriveConfig,
    ) -> Result<Self, Error> {
        let rate = config.per_second;
        if !(rate.is_finite() && rate > 0.0) {
            return Err(Error::new(ErrorKind::Config, format!("{rate} letters a second")));
        }
        let lease = config.lease.max(hub.config().publish_timeout * 3);
        Ok(Self {
            database,
            hub,
            filter: selection.filter()?,
            pace: Pace { per_second: rate, next: Instant::now() },
            lease,
            max_age: config.max_age,
            token: Uuid::now_v7().to_string(),
            metrics: Metrics::new(),
        })
    }

    pub(crate) async fn run(mut self, mut progress: impl FnMut(&Returned) + Send) -> Result<Redriven, Error> {
        let store = |error| failed("redriving", error);
        let upto = self.database.top().await.map_err(store)?;
        let mut redriven = Redriven::default();
        let mut seen = HashSet::new();
        let mut after = 0;
        loop {
            let limit = self.pace.wait().await;
            let claim = Claim {
                filter: &self.filter,
                after,
                upto,
                limit,
                token: &self.token,
                now: now(),
                until: now().saturating_add(i64::try_from(self.lease.as_micros()).unwrap_or(i64::MAX)),
            };
            let letters = self.database.claim(&claim).await.map_err(store)?;
            let Some(last) = letters.last() else { break };
            after = last.letter.id;
            self.pace.took(letters.len());
            let fates = self.send(letters).await;
            let silent = fates.iter().find_map(|(_, _, fate)| match fate {
                Fate::Silent(why) => Some(why.clone()),
                _ => None,
            });
            self.settle(fates, &mut redriven, &mut |returned| {
                seen.insert(returned.id);
                progress(returned);
            })
            .await?;
            if silent.is_some() {
                redriven.stopped = silent;
                break;
            }
        }
        let depth = self.database.depth(&self.filter, upto, now()).await.map_err(store)?;
        redriven.busy = depth.claimed.unsigned_abs();
        if let Some(ids) = &self.filter.ids {
            for id in ids.iter().filter(|id| !seen.contains(id)) {
                if self.database.show(*id).await.map_err(store)?.is_none() {
                    redriven.unknown.push(*id);
                }
            }
        }
        Ok(redriven)
    }

    /// Sends letters together, and says what became of each.
    async fn send(&self, letters: Vec<Taken>) -> Vec<(i64, Option<String>, Fate)> {
        let mut fates = Vec::with_capacity(letters.len());
        let (mut sent, mut messages) = (Vec::new(), Vec::new());
        for Taken { letter, failed_at } in letters {
            let (id, queue) = (letter.id, letter.queue.clone());
            if let Some(why) = self.too_old(failed_at) {
                fates.push((id, queue, Fate::Left(why)));
                continue;
            }
            match letter.message() {
                Ok(message) => {
                    sent.push((id, queue));
                    messages.push(message);
                }
                Err(why) => fates.push((id, queue, Fate::Left(why.to_owned()))),
            }
        }
        let answers = self.hub.send_copies(messages).await;
        let patience = Instant::now() + self.lease / 3;
        let answers = answers.into_iter().map(|answer| fate(answer, patience));
        for ((id, queue), fate) in sent.into_iter().zip(join_all(answers).await) {
            fates.push((id, queue, fate));
        }
        fates
    }

    /// Why a letter stays for its age.
    fn too_old(&self, failed_at: i64) -> Option<String> {
        let age = Duration::from_micros(now().saturating_sub(failed_at).max(0).unsigned_abs());
        (age > self.max_age?).then(|| {
            let days = age.as_secs() / (24 * 60 * 60);
            format!("it failed {days} days ago: no inbox would know any more whether it had its effect")
        })
    }

    /// Writes down what became of letters, and tells.
    async fn settle(
        &self,
        fates: Vec<(i64, Option<String>, Fate)>,
        redriven: &mut Redriven,
        progress: &mut (impl FnMut(&Returned) + Send),
    ) -> Result<(), Error> {
        let store = |error| failed("redriving", error);
        let gone: Vec<i64> =
            fates.iter().filter(|(_, _, fate)| matches!(fate, Fate::Sent)).map(|(id, _, _)| *id).collect();
        if !gone.is_empty() {
            self.database.remove(&gone).await.map_err(store)?;
        }
        for (id, queue, fate) in fates {
            let error = match fate {
                Fate::Sent => {
                    redriven.sent += 1;
                    self.metrics.redriven.increment(1);
                    None
                }
                Fate::Unsettled => Some("sent, but not handled yet".to_owned()),
                Fate::Left(why) | Fate::Silent(why) => {
                    redriven.left += 1;
                    self.metrics.left.increment(1);
                    self.database.release(id, &self.token, &why).await.map_err(store)?;
                    tracing::warn!(id, queue, error = why, "dead letter not sent back");
                    Some(why)
                }
            };
            progress(&Returned { id, queue, error });
        }
        Ok(())
    }
}

async fn fate(answer: Result<Receipt, PublishErrorKind>, patience: Instant) -> Fate {
    match answer {
        Ok(receipt) => match timeout_at(patience, receipt.settled()).await {
            Ok(Ok(())) => Fate::Sent,
            Ok(Err(_)) => Fate::Silent("the memory hub went away".to_owned()),
            Err(_) => Fate::Unsettled,
        },
        Err(PublishErrorKind::Returned { .. }) => Fate::Left("its queue is gone".to_owned()),
        Err(PublishErrorKind::Full) => Fate::Left("its queue is full".to_owned()),
        Err(PublishErrorKind::Nacked) => Fate::Left("its queue refused it: it may be full".to_owned()),
        Err(kind) if kind.is_refusal() => Fate::Left(kind.to_string()),
        Err(PublishErrorKind::Closed) => Fate::Silent("the hub is shut down".to_owned()),
        Err(kind) => Fate::Silent(format!("no answer from the broker: {}", kind.name())),
    }
}

// === impl Pace ===

impl Pace {
    /// Waits until some may go; answers how many at once.
    async fn wait(&self) -> i64 {
        sleep_until(self.next).await;
        #[allow(clippy::cast_possible_truncation, reason = "between 1 and STEP")]
        let step = (self.per_second * STEP_SECONDS).clamp(1.0, STEP) as i64;
        step
    }

    fn took(&mut self, letters: usize) {
        #[allow(clippy::cast_precision_loss, reason = "at most STEP")]
        let time = letters as f64 / self.per_second;
        // A rate of one in a year is a rate too, but no timer's.
        let time =
            Duration::try_from_secs_f64(time).unwrap_or(Duration::MAX).min(Duration::from_hours(24 * 365));
        self.next = self.next.max(Instant::now()) + time;
    }
}
