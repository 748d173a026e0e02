//! Out of the queue, into the table: the commit first, then the acknowledgement.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::consumer::attempts;
use crate::dead_letters::config::DrainConfig;
use crate::dead_letters::filter::Filter;
use crate::dead_letters::handle::now;
use crate::dead_letters::metrics::Metrics;
use crate::dead_letters::record::{Record, death, given};
use crate::dead_letters::store::Database;
use crate::driver::{Settlement, Source, Subscribe, Subscription, Verdict};
use crate::error::{Error, ErrorKind};
use crate::handover::Settlements;
use crate::hub::Hub;
use crate::inbox::RETENTION;
use crate::message::{Delivery, Token};

/// What a drain has done so far.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Drained {
    /// Letters that were stored.
    pub stored: u64,
    /// Deliveries of letters that had been stored before.
    pub repeated: u64,
    /// Letters that cannot be stored at the moment.
    pub held: u64,
    /// Why not: the last failure, while there are such letters.
    pub error: Option<String>,
}

/// One drain.
pub(crate) struct Drain {
    database: Database,
    hub: Hub,
    queue: String,
    config: DrainConfig,
    metrics: Metrics,
    drained: Drained,
    /// What could not be stored, and since when it is held.
    held: Vec<(Delivery, Instant)>,
    /// When to try those again, and how often that was in vain.
    retry: Option<Instant>,
    failures: u32,
    /// The database does not answer at all: nothing more is taken.
    away: bool,
}

/// How storing went.
enum Stored {
    All,
    /// It refused these; another may still go.
    Not(Vec<Delivery>, String),
    Away(Vec<Delivery>, String),
}

/// How often to look whether the queue is empty.
const LOOK: Duration = Duration::from_millis(100);

/// How often it must have looked empty, with nothing coming meanwhile.
const LOOKS: u32 = 2;

/// How often letters that the database refuses are tried before a drain of what is there ends without them.
const CHANCES: u32 = 3;

/// How often the stored letters are counted: it reads all of them.
const COUNT: Duration = Duration::from_mins(1);

/// How often old marks go, and how many at once.
const PRUNE: Duration = Duration::from_hours(1);
const PRUNED: i64 = 1_000;

/// How long the subscription's owner may take to send the last acknowledgements and to leave.
const LEAVE: Duration = Duration::from_secs(5);

// === impl Drain ===

impl Drain {
    pub(crate) fn new(database: Database, hub: Hub, queue: &str, config: DrainConfig) -> Self {
        Self {
            database,
            hub,
            queue: queue.to_owned(),
            config,
            metrics: Metrics::new(),
            drained: Drained::default(),
            held: Vec::new(),
            retry: None,
            failures: 0,
            away: false,
        }
    }

    pub(crate) async fn run(
        mut self,
        mut progress: impl FnMut(&Drained) + Send,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<Drained, Error> {
        let batch = self.config.batch.clamp(1, usize::from(self.config.prefetch.max(1)));
        if self.config.until_empty {
            self.is_empty().await?;
        }
        let (subscription, _running) = self.hub.subscribe(Subscribe {
            source: Source::Queue(self.queue.clone()),
            prefetch: self.config.prefetch.max(1),
            single_active: false,
            name: self.config.name.clone(),
        });
        let Subscription { deliveries, settlements, stop, state, owner } = subscription;
        // Dropped with this future: the owner then gives everything back.
        let _stop = stop.clone().drop_guard();
        let mut shutdown = pin!(shutdown);
        let closed = self.hub.closed();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut prune = interval(PRUNE);
        prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = interval(COUNT);
        count.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut taken = Vec::with_capacity(batch);
        let mut empty = 0;
        let ended = loop {
            let retry = self.retry;
            let step = tokio::select! {
                // ORDER: the end first, or a busy queue could keep us from ever seeing it.
                biased;
                () = &mut shutdown => break Ok(()),
                () = closed.cancelled() => break Err(Error::new(ErrorKind::Closed, "while draining dead letters")),
                () = async {
                    match retry {
                        Some(at) => sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                } => Step::Retry,
                count = deliveries.pop_many(&mut taken, batch), if !self.away => {
                    if count == 0 { break Ok(()) }
                    Step::Store
                }
                _ = prune.tick() => Step::Prune,
                _ = count.tick(), if !self.away => Step::Count,
                _ = look.tick(), if self.config.until_empty && !self.away => Step::Look,
            };
            let generation = state.generation.load(Ordering::Acquire);
            // Set at the end: what must not be left half done is finished, and nothing else is begun.
            let ending = CancellationToken::new();
            let work = async {
                match step {
                    Step::Retry => {
                        let held = std::mem::take(&mut self.held);
                        // Those of an older channel are with the broker again.
                        let held = held.into_iter().filter(|(held, _)| held.token.generation == generation);
                        self.store(held.collect(), &settlements, &ending).await
                    }
                    Step::Store => {
                        let now = Instant::now();
                        let letters = taken.drain(..).map(|delivery| (delivery, now)).collect();
                        self.store(letters, &settlements, &ending).await
                    }
                    Step::Prune => {
                        // Cut short at the end, too.
                        ending.run_until_cancelled(self.prune()).await;
                        Vec::new()
                    }
                    Step::Count => {
                        ending.run_until_cancelled(self.count_rows()).await;
                        Vec::new()
                    }
                    Step::Look => Vec::new(),
                }
            };
            let settled = {
                let mut work = pin!(work);
                loop {
                    tokio::select! {
                        biased;
                        settled = &mut work => break settled,
                        () = &mut shutdown, if !ending.is_cancelled() => ending.cancel(),
                    }
                }
            };
            match step {
                // ORDER: told after the commit and before the acknowledgement: whoever breaks off here has the letter
                // in both places.
                Step::Retry | Step::Store => {
                    if matches!(step, Step::Store) {
                        empty = 0;
                    }
                    progress(&self.drained);
                }
                Step::Look => match self.is_empty().await {
                    // The rest is refused, and was given its chances.
                    Ok(true) if !self.held.is_empty() && self.failures < CHANCES => {}
                    // What the broker has sent may not be here yet.
                    Ok(true) if empty < LOOKS => empty += 1,
                    Ok(true) if deliveries.is_empty() => break Ok(()),
                    Ok(_) => empty = 0,
                    Err(error) => break Err(error),
                },
                Step::Prune | Step::Count => {}
            }
            for (token, verdict) in settled {
                settlements.send(Settlement { token, verdict });
            }
            if ending.is_cancelled() {
                // `shutdown` has completed and is not polled again.
                break Ok(());
            }
        };
        self.metrics.held.set(0.0);
        stop.cancel();
        deliveries.close();
        let rest =
            self.held.iter().map(|(delivery, _)| delivery.token).chain(taken.iter().map(|taken| taken.token));
        for token in rest {
            // Nobody's fault, and not to be counted where the broker makes the difference.
            settlements.send(Settlement { token, verdict: Verdict::Return });
        }
        drop(settlements);
        drop(deliveries);
        if timeout(LEAVE, owner).await.is_err() {
            tracing::warn!(queue = self.queue, "the broker did not answer the leave in time");
        }
        ended.map(|()| self.drained)
    }

    /// Whether nothing waits in the queue but what is held.
    async fn is_empty(&self) -> Result<bool, Error> {
        match self.hub.queue(&self.queue).await? {
            Some(stats) => Ok(stats.messages == 0 && stats.unacknowledged <= self.held.len() as u64),
            None => Err(Error::new(ErrorKind::UnknownQueue, &self.queue)),
        }
    }

    /// Stores letters, each with the time since when it is held; answers what can be settled. At the end it is cut
    /// short: what is not settled goes back, and what was stored is known when it comes again.
    async fn store(
        &mut self,
        letters: Vec<(Delivery, Instant)>,
        settlements: &Settlements,
        ending: &CancellationToken,
    ) -> Vec<(Token, Verdict)> {
        let since: std::collections::HashMap<_, _> =
            letters.iter().map(|(letter, since)| (letter.token.tag, *since)).collect();
        let mut settled = Vec::with_capacity(letters.len());
        let (named, nameless): (Vec<_>, Vec<_>) = letters
            .into_iter()
            .map(|(letter, _)| (death(&letter), letter))
            .partition(|(death, _)| death.is_some());
        let rows: Vec<(String, Delivery)> =
            named.into_iter().filter_map(|(death, letter)| Some((death?, letter))).collect();
        let mut failed = Vec::new();
        let mut error = None;
        let mut unnamed = Vec::new();
        for (_, letter) in nameless {
            if ending.is_cancelled() {
                failed.push(letter);
                continue;
            }
            let name = Uuid::now_v7().to_string();
            match self.hub.send_copy(attempts::replace(&letter, &given(&name))).await {
                // It comes again under its name. ORDER: settled before the next one gets its name, or whoever breaks
                // off here would leave as many in both forms, which nobody could know for the same.
                Ok(_) => {
                    let settlement = Settlement { token: letter.token, verdict: Verdict::Ack };
                    settlements.send(settlement);
                }
                // Its queue is full, or takes no copy: stored at once, though it may be stored again if it comes again.
                Err(why) if why.is_refusal() => unnamed.push((name, letter)),
                Err(why) => {
                    error = Some(format!("a letter without a name could not get one: {}", why.name()));
                    failed.push(letter);
                }
            }
        }
        // Nobody would know these if they came again: not cut short.
        let mut ends = vec![self.commit(unnamed, &mut settled).await];
        if matches!(ends[0], Stored::Away(..)) {
            failed.extend(rows.into_iter().map(|(_, letter)| letter));
        } else {
            let named = self.commit(rows, &mut settled);
            ends.extend(ending.run_until_cancelled(named).await);
        }
        self.away = false;
        for end in ends {
            let (letters, why) = match end {
                Stored::All => continue,
                Stored::Not(letters, why) => (letters, why),
                Stored::Away(letters, why) => {
                    self.away = true;
                    (letters, why)
                }
            };
            failed.extend(letters);
            error = Some(why);
        }
        let now = Instant::now();
        for letter in failed {
            let since = since.get(&letter.token.tag).copied().unwrap_or(now);
            if now.duration_since(since) >= self.config.hold && self.put_last(&letter).await {
                settled.push((letter.token, Verdict::Ack));
            } else {
                self.held.push((letter, since));
            }
        }
        self.plan(error);
        settled
    }

    /// Commits rows and adds what may be acknowledged.
    async fn commit(&mut self, rows: Vec<(String, Delivery)>, settled: &mut Vec<(Token, Verdict)>) -> Stored {
        if rows.is_empty() {
            return Stored::All;
        }
        let records: Vec<Record> = rows.iter().map(|(death, letter)| Record::of(letter, death)).collect();
        let why = match self.database.insert(&records).await {
            Ok(new) => {
                self.count(rows.len() as u64, new);
                settled.extend(rows.iter().map(|(_, letter)| (letter.token, Verdict::Ack)));
                return Stored::All;
            }
            Err(error) => error,
        };
        let letters = rows.into_iter().map(|(_, letter)| letter);
        if why.as_database_error().is_none() || records.len() == 1 {
            let away = why.as_database_error().is_none();
            let (letters, why) = (letters.collect(), crate::handler::chain(&why));
            return if away { Stored::Away(letters, why) } else { Stored::Not(letters, why) };
        }
        // It refused one of them: each on its own, so that the others do not wait for that one.
        let (mut refused, mut last) = (Vec::new(), String::new());
        for (record, letter) in records.iter().zip(letters) {
            match self.database.insert(std::slice::from_ref(record)).await {
                Ok(new) => {
                    self.count(1, new);
                    settled.push((letter.token, Verdict::Ack));
                }
                Err(error) => {
                    last = crate::handler::chain(&error);
                    refused.push(letter);
                }
            }
        }
        if refused.is_empty() { Stored::All } else { Stored::Not(refused, last) }
    }

    fn count(&mut self, letters: u64, new: u64) {
        let repeated = letters.saturating_sub(new);
        self.drained.stored += new;
        self.drained.repeated += repeated;
        self.metrics.stored.increment(new);
        self.metrics.repeated.increment(repeated);
    }

    /// Sets the next try of what is held, and tells.
    fn plan(&mut self, error: Option<String>) {
        self.drained.held = self.held.len() as u64;
        #[allow(clippy::cast_precision_loss, reason = "a gauge of at most 65,535")]
        self.metrics.held.set(self.held.len() as f64);
        if self.held.is_empty() {
            (self.retry, self.failures, self.drained.error) = (None, 0, None);
            return;
        }
        if let Some(error) = error {
            let bound =
                self.config.first_pause.saturating_mul(1 << self.failures.min(20)).min(self.config.max_pause);
            let pause = bound.mul_f64(rand::random_range(0.5..=1.0));
            self.failures = self.failures.saturating_add(1);
            self.retry = Some(Instant::now() + pause);
            tracing::error!(
                queue = self.queue,
                letters = self.held.len(),
                error,
                ?pause,
                "dead letters cannot be stored: they stay in their queue"
            );
            self.drained.error = Some(error);
        } else if self.retry.is_none_or(|at| at <= Instant::now()) {
            self.retry = Some(Instant::now() + self.config.first_pause);
        }
    }

    /// Puts a letter that cannot be stored behind the others, uncounted: the broker gives up on what it delivers
    /// too often, and on consumers that do not answer for too long.
    async fn put_last(&self, letter: &Delivery) -> bool {
        let name = death(letter).unwrap_or_else(|| Uuid::now_v7().to_string());
        let copy = self.hub.send_copy(attempts::replace(letter, &given(&name))).await;
        if copy.is_ok() {
            tracing::warn!(queue = self.queue, "a dead letter that cannot be stored goes behind the others");
        }
        copy.is_ok()
    }

    async fn count_rows(&self) {
        match self.database.depth(&Filter::default(), i64::MAX, now()).await {
            #[allow(clippy::cast_precision_loss, reason = "a gauge")]
            Ok(depth) => self.metrics.rows.set(depth.letters as f64),
            Err(error) => tracing::debug!(%error, "stored dead letters not counted"),
        }
    }

    async fn prune(&self) {
        let retention = i64::try_from(RETENTION.as_micros()).unwrap_or(i64::MAX);
        let before = now().saturating_sub(retention);
        loop {
            match self.database.prune(before, PRUNED).await {
                Ok(pruned) if pruned >= PRUNED.unsigned_abs() => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%error, at = %Timestamp::now(), "old marks of dead letters not removed");
                    return;
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Step {
    Store,
    Retry,
    Prune,
    Count,
    Look,
}
