//! Asks Redis, as long as it answers.

mod failure;
mod probe;
mod telling;
mod trips;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::{Cmd, RedisError, RedisResult, Value, from_redis_value};
use tokio::sync::watch;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

use crate::clock::{after, millis};
use crate::config::RedisConfig;
use crate::error::Error;
use crate::mark::Mark;
use crate::metrics::StoreMetrics;
use crate::tier::redis::call::{Call, Calls};
use crate::tier::redis::connection::{Connection, Server, silent};
use crate::tier::redis::gate::Gate;
use crate::tier::redis::link::failure::{is_about_one, is_unknown_script, kind};
use crate::tier::redis::link::probe::Probe;
use crate::tier::redis::link::trips::{Operation, Trips};
use crate::tier::redis::names::Names;
use crate::tier::redis::time::Time;

pub(super) use self::failure::{Failure, refuses_writes};
pub(super) use self::probe::WORDS;

pub(super) struct Link {
    config: RedisConfig,
    calls: Calls,
    pub(super) server: Server,
    /// There while the gate is open. Only a [`Probe`] makes one.
    connection: Mutex<Option<Connection>>,
    /// Whether the first attempt is over: until then everybody waits for it.
    tried: watch::Sender<bool>,
    pub(super) gate: Gate,
    time: Time,
    /// The last [moment](Self::patience) until which something may still be written, by Redis's time in ms.
    written_until: AtomicU64,
    metrics: Arc<StoreMetrics>,
    trips: Trips,
    /// What could not be told is told no more: the store has.
    left: AtomicBool,
}

/// What the count is at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    pub(super) mark: Mark,
    /// In a cluster, the connection that said so. A new one may be one to another master, where the count goes on from an
    /// earlier number, while the node of the feed lives on. Elsewhere the feed ends with its Redis.
    pub(super) era: Option<u64>,
}

/// Who notices so much later that time is over was not polled meanwhile, as futures of callers may be: a busy runtime
/// is not as late as that.
const LATE: Duration = Duration::from_millis(100);

// === impl Link ===

impl Link {
    pub(super) fn new(config: RedisConfig, metrics: Arc<StoreMetrics>) -> Result<Self, Error> {
        let server = Server::new(&config)?;
        Ok(Self {
            calls: Calls::new(Names::new(config.prefix.clone(), server.database())?),
            server,
            connection: Mutex::default(),
            tried: watch::Sender::new(false),
            gate: Gate::new(config.max_backoff, config.max_pending),
            time: Time::new(),
            written_until: AtomicU64::new(0),
            config,
            metrics,
            trips: Trips::new(),
            left: AtomicBool::new(false),
        })
    }

    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(super) fn clock(&self) -> &Time {
        &self.time
    }

    pub(super) fn max_backoff(&self) -> Duration {
        self.config.max_backoff
    }

    /// Asks with a plain command.
    pub(super) async fn query(self: &Arc<Self>, command: &Cmd) -> Result<Value, Failure> {
        // The commonest one has no closure, which would hold the connection some times more: a question's future is
        // allocated, and what is larger than 1 KiB costs most allocators more.
        let Some(mut connection) = self.connected().await else { return Err(Failure::Away) };
        let (id, asked) = (connection.id, Instant::now());
        let answer = timeout_at(self.limit(asked), connection.ask(command)).await;
        self.answered(Operation::of(command), id, asked, answer)
    }

    /// Asks with a script.
    pub(super) async fn run(self: &Arc<Self>, call: &Call<'_>) -> Result<Value, Failure> {
        self.ask(Operation::of(&call.command), |mut connection| async move {
            match connection.ask(&call.command).await {
                Err(error) if is_unknown_script(&error) => {
                    let calls = std::slice::from_ref(call);
                    all(&mut connection, calls).await?.pop().unwrap_or_else(|| Err(silent()))
                }
                answer => answer,
            }
        })
        .await
    }

    /// Asks much in one trip.
    pub(super) async fn run_all(
        self: &Arc<Self>,
        calls: &[Call<'_>],
    ) -> Result<Vec<RedisResult<Value>>, Failure> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let connection = self.connected().await;
        self.run_all_by(connection, calls).await
    }

    async fn run_all_by(
        self: &Arc<Self>,
        connection: Option<Connection>,
        calls: &[Call<'_>],
    ) -> Result<Vec<RedisResult<Value>>, Failure> {
        let question = |mut connection| async move { all(&mut connection, calls).await };
        let answers = self.ask_by(Operation::of_all(calls), connection, question).await?;
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            self.refused(error);
        }
        Ok(answers)
    }

    /// How long the halves of one write may be apart.
    pub(super) fn between(&self) -> Duration {
        self.config.response_timeout.saturating_mul(2)
    }

    /// Until when, by Redis's time in ms, something may be written that is sent now: longer than anyone waits for it.
    /// None while Redis is away.
    pub(super) async fn patience(self: &Arc<Self>) -> Option<u64> {
        self.connected().await?;
        let until = self.time.now().saturating_add(millis(self.config.response_timeout)).saturating_add(1);
        self.written_until.fetch_max(until, Ordering::AcqRel);
        Some(until)
    }

    /// What the count is at; and in passing, what time it is there.
    pub(super) async fn look(self: &Arc<Self>) -> Option<Newest> {
        let link = self.clone();
        let time = self.ask(Operation::Time, |mut connection| async move {
            connection.look().await?;
            link.time_of(&mut connection).await
        });
        time.await.ok()?;
        self.newest().await
    }

    pub(super) async fn newest(self: &Arc<Self>) -> Option<Newest> {
        let call = [self.calls.marks(&[], 1)];
        let (answer, id) = self
            .ask(Operation::of_all(&call), |mut connection| async move {
                let answer = all(&mut connection, &call).await?.pop().unwrap_or_else(|| Err(silent()))?;
                Ok((answer, connection.id))
            })
            .await
            .ok()?;
        Some(Newest { mark: super::marks(answer)?.newest, era: self.server.is_spread().then_some(id) })
    }

    /// Whether Redis may be asked; looks after it in the background when its pause is over.
    pub(super) fn usable(self: &Arc<Self>) -> bool {
        if self.gate.is_open() {
            return true;
        }
        if self.gate.begin_probe() {
            tokio::spawn(Probe::new(self.clone()).run());
        }
        false
    }

    async fn ask<T, F>(
        self: &Arc<Self>,
        operation: Operation,
        question: impl FnOnce(Connection) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let connection = self.connected().await;
        self.ask_by(operation, connection, question).await
    }

    async fn ask_by<T, F>(
        self: &Arc<Self>,
        operation: Operation,
        connection: Option<Connection>,
        question: impl FnOnce(Connection) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let Some(connection) = connection else { return Err(Failure::Away) };
        let (id, asked) = (connection.id, Instant::now());
        let answer = timeout_at(self.limit(asked), question(connection)).await;
        self.answered(operation, id, asked, answer)
    }

    /// Until when an answer to what is asked at this moment is waited for.
    fn limit(&self, asked: Instant) -> Instant {
        after(asked, self.config.response_timeout)
    }

    /// What came of a question over the connection of this id.
    fn answered<T>(
        &self,
        operation: Operation,
        id: u64,
        asked: Instant,
        answer: Result<RedisResult<T>, Elapsed>,
    ) -> Result<T, Failure> {
        let took = asked.elapsed();
        match answer {
            Ok(Ok(answer)) => {
                self.trips.succeeded(operation, took);
                Ok(answer)
            }
            Ok(Err(error)) if is_about_one(&error) => {
                Trips::failed(operation, took, kind(&error));
                self.refused(&error);
                Err(Failure::Refused(error))
            }
            Ok(Err(error)) => {
                Trips::failed(operation, took, kind(&error));
                self.failed(id, &error);
                Err(Failure::Away)
            }
            // Nobody looked for the answer in time, or sent the question: that says nothing of Redis.
            Err(_) if took > self.config.response_timeout.saturating_add(LATE) => {
                tracing::debug!("an answer of Redis was not looked for in time");
                Err(Failure::Away)
            }
            Err(_) => {
                Trips::failed(operation, took, "timeout");
                self.failed(id, &silent());
                Err(Failure::Away)
            }
        }
    }

    async fn connected(self: &Arc<Self>) -> Option<Connection> {
        if self.usable() {
            return self.lock().clone();
        }
        if !*self.tried.borrow() {
            Box::pin(self.first_attempt()).await;
        }
        if self.gate.is_open() { self.lock().clone() } else { None }
    }

    async fn first_attempt(&self) {
        let mut tried = self.tried.subscribe();
        let limit = self.config.connect_timeout.saturating_add(self.config.response_timeout);
        let _ = timeout(limit, tried.wait_for(|tried| *tried)).await;
    }

    fn refused(&self, error: &RedisError) {
        self.metrics.tier_errors.add();
        tracing::debug!(prefix = self.calls.names.prefix(), %error, "Redis refuses a command");
    }

    fn failed(&self, id: u64, error: &RedisError) {
        self.metrics.tier_errors.add();
        {
            let mut connection = self.lock();
            // Late words about one that has been replaced.
            if connection.as_ref().is_some_and(|connection| connection.id != id) {
                return;
            }
            *connection = None;
        }
        let was_open = self.gate.shut();
        self.publish();
        if was_open {
            tracing::warn!(prefix = self.calls.names.prefix(), %error, "Redis is away; going on without it");
        }
    }

    async fn time_of(&self, connection: &mut Connection) -> RedisResult<()> {
        let asked = Instant::now();
        let answer = connection.time(&self.calls.names.count).await?;
        let (seconds, micros): (u64, u64) = from_redis_value(answer)?;
        self.time.learn(asked, Instant::now(), seconds.saturating_mul(1_000_000).saturating_add(micros));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("config", &self.config).field("gate", &self.gate).finish_non_exhaustive()
    }
}

/// Asks everything in one trip, and once more what Redis did not know the script of, with what was told behind that: whoever
/// heard it found that not done yet. Answers in the order of the calls; an error about more than one of them is one about
/// all.
async fn all(connection: &mut Connection, calls: &[Call<'_>]) -> RedisResult<Vec<RedisResult<Value>>> {
    let mut answers = connection.send(&[], &calls.iter().collect::<Vec<_>>()).await?;
    let unknown: Vec<bool> =
        answers.iter().map(|answer| answer.as_ref().is_err_and(is_unknown_script)).collect();
    if let Some(first) = unknown.iter().position(|unknown| *unknown) {
        let again: Vec<usize> = (first..calls.len()).filter(|n| unknown[*n] || calls[*n].tells).collect();
        let mut codes: Vec<_> =
            again.iter().filter_map(|n| calls[*n].script).map(|script| script.code).collect();
        codes.sort_unstable();
        codes.dedup();
        let asked: Vec<_> = again.iter().map(|n| &calls[*n]).collect();
        let answered = connection.send(&codes, &asked).await?;
        for (n, answer) in again.into_iter().zip(answered) {
            answers[n] = answer;
        }
    }
    match answers.iter().position(|answer| answer.as_ref().is_err_and(|error| !is_about_one(error))) {
        Some(n) => answers.swap_remove(n).map(|_| Vec::new()),
        None => Ok(answers),
    }
}
