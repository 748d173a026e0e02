//! Revocations, for the nodes that are there and for those that start later.
//!
//! They stand in a sorted set, by their end, and are published on a channel when they are new. A node reads the set
//! when its subscription stands, so whatever it has not heard is in there, and writes what it knows and the set has
//! not: a Redis that lost its data has them again as long as one node lives.

use std::collections::HashMap;
use std::sync::Arc;

use ::redis::{ErrorKind as Failure, RedisError, RedisResult, Script};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind};
use crate::revocation::Revocation;

use super::Shared;
use super::backoff::Backoff;
use super::connection::Link;
use super::feed::Feed;
use super::reach::Reach;

/// Revocations that the set holds. As many as a node remembers.
const CAPACITY: usize = 100_000;
/// Revocations that wait for Redis; whoever revokes further ones waits for a place.
const QUEUED: usize = 1_024;
/// Of those that are written or read at once.
const BATCH: usize = 512;

/// KEYS: the set. ARGV: channel, capacity, revocation, its end in ms. Says the same again as often as asked; what else than
/// `kept` it answers is why the set does not hold it.
///
/// ORDER: told to all nodes whatever the set answers. A replica alone does neither: its word does not get far.
const ADD: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local dropped = redis.pcall('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if type(dropped) == 'table' and string.find(dropped.err, 'READONLY', 1, true) then
  return dropped
end
if type(redis.pcall('ZSCORE', KEYS[1], ARGV[3])) == 'string' then
  return 'kept'
end
local answer = redis.pcall('ZCARD', KEYS[1])
local full = type(answer) == 'number' and answer >= tonumber(ARGV[2])
if type(answer) == 'number' and not full then
  answer = redis.pcall('ZADD', KEYS[1], ARGV[4], ARGV[3])
end
redis.call('PUBLISH', ARGV[1], ARGV[3])
if full then
  return 'full'
end
if type(answer) == 'table' then
  return answer.err
end
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], last[2])
return 'kept'
";

/// A revocation on its way to all nodes.
pub(super) struct Job {
    revocation: Revocation,
    reply: oneshot::Sender<Result<(), Error>>,
}

/// The task that tells of revocations and hears of them.
pub(super) struct Crier {
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
    /// The name of the script that is on the server.
    add: String,
    /// One that was taken from the queue when the connection broke.
    held: Option<Job>,
}

// === impl Job ===

impl Job {
    pub(super) fn new(revocation: Revocation) -> (Self, oneshot::Receiver<Result<(), Error>>) {
        let (reply, answer) = oneshot::channel();
        (Self { revocation, reply }, answer)
    }
}

// === impl Crier ===

impl Crier {
    pub(super) fn new(shared: Arc<Shared>) -> (Self, mpsc::Sender<Job>) {
        let (sender, jobs) = mpsc::channel(QUEUED);
        (Self { shared, jobs, add: Script::new(ADD).get_hash().to_owned(), held: None }, sender)
    }

    /// Runs until the last handle is gone.
    pub(super) async fn run(mut self, end: CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let lost = tokio::select! {
                () = end.cancelled() => return,
                lost = self.listen(&mut backoff) => lost,
            };
            self.shared.set_heeding(false);
            let Err(error) = lost else { return };
            metrics::counter!("ws.backplane.failures", "task" => "revocations").increment(1);
            tracing::warn!(error = &error as &dyn std::error::Error, "Redis does not tell of revocations");
            tokio::select! {
                () = end.cancelled() => return,
                () = sleep(backoff.next()) => {}
            }
        }
    }

    /// Until the connection fails, or nobody can ask any more.
    async fn listen(&mut self, backoff: &mut Backoff) -> RedisResult<()> {
        let (mut feed, put) = Feed::new();
        let link = self.shared.connector.connect(Some(put)).await?;
        ::redis::cmd("SCRIPT").arg("LOAD").arg(ADD).exec_async(&mut link.connection.clone()).await?;
        ::redis::cmd("SUBSCRIBE").arg(self.channel()).exec_async(&mut link.connection.clone()).await?;
        // ORDER: subscribed first, so that what is not in the set yet will be heard.
        self.compare(&link).await?;
        backoff.opened();
        // As often as the reader asks whether its connections live.
        let mut ticks = interval(self.shared.connector.config.patience.saturating_mul(2));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Some(job) = self.held.take() {
                let answer = match self.add(&link, &[&job.revocation]).await {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(Error::new(ErrorKind::QueueFull)),
                    Err(error) if Reach::of(&error) == Reach::Connection => {
                        self.held = Some(job);
                        return Err(error);
                    }
                    // The next look finds it missing.
                    Err(error) => Err(Error::with(ErrorKind::Backplane, error)),
                };
                // Who has given up waiting is not there to hear it.
                let _ = job.reply.send(answer);
            }
            let overrun = feed.overrun();
            tokio::select! {
                said = feed.next() => match said {
                    Some(said) => self.heard(&said.text),
                    None => return Err(gone()),
                },
                _ = overrun => self.compare(&link).await?,
                job = self.jobs.recv() => match job {
                    Some(job) => self.held = Some(job),
                    None => return Ok(()),
                },
                _ = ticks.tick() => self.look(&link).await?,
            }
        }
    }

    /// Asks the connection whether it lives, and whether the set has lost anything.
    async fn look(&self, link: &Link) -> RedisResult<()> {
        // Nor is one of use that leads to another Redis than the others.
        self.shared.connector.incarnation(link)?;
        let now = Timestamp::now().as_millisecond();
        let mut count = ::redis::cmd("ZCOUNT");
        count.arg(self.key()).arg(now).arg("+inf");
        let there: usize = match count.query_async(&mut link.connection.clone()).await {
            Err(error) if Reach::of(&error) == Reach::Command => {
                self.refused(&error);
                return Ok(());
            }
            there => there?,
        };
        if there < self.shared.revoked.count().min(CAPACITY) || !self.shared.is_heeding() {
            return self.compare(link).await;
        }
        Ok(())
    }

    /// Takes what the set has and is not known here into force, and writes what is known here and the set has not.
    ///
    /// What Redis refuses is left for the next look; what is published is heard all the same.
    async fn compare(&self, link: &Link) -> RedisResult<()> {
        let known = self.shared.revoked.in_force();
        let mut known: HashMap<String, Revocation> =
            known.into_iter().map(|revocation| (wire(&revocation), revocation)).collect();
        let mut cursor = 0_u64;
        loop {
            let mut scan = ::redis::cmd("ZSCAN");
            scan.arg(self.key()).arg(cursor).arg("COUNT").arg(BATCH);
            let (next, page): (u64, Vec<(String, f64)>) =
                match scan.query_async(&mut link.connection.clone()).await {
                    Err(error) if Reach::of(&error) == Reach::Command => {
                        self.refused(&error);
                        return Ok(());
                    }
                    read => read?,
                };
            for (text, _) in page {
                if known.remove(&text).is_none() {
                    self.heard(text.as_bytes());
                }
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        let missing: Vec<&Revocation> = known.values().collect();
        for batch in missing.chunks(BATCH) {
            match self.add(link, batch).await {
                Err(error) if Reach::of(&error) == Reach::Connection => return Err(error),
                Err(error) => {
                    self.refused(&error);
                    break;
                }
                Ok(_) => {}
            }
        }
        self.shared.set_heeding(true);
        Ok(())
    }

    fn heard(&self, text: &[u8]) {
        match serde_json::from_slice(text) {
            Ok(revocation) => self.shared.revoke(&revocation),
            // Of a newer node, perhaps.
            Err(error) => tracing::warn!(%error, "a revocation in Redis that cannot be read"),
        }
    }

    /// Says whether the set holds all of them now.
    async fn add(&self, link: &Link, revocations: &[&Revocation]) -> RedisResult<bool> {
        let mut pipe = ::redis::pipe();
        for revocation in revocations {
            let call = pipe.cmd("EVALSHA").arg(&self.add).arg(1).arg(self.key()).arg(self.channel());
            call.arg(CAPACITY).arg(wire(revocation)).arg(revocation.until().as_millisecond());
        }
        let mut kept = true;
        let mut failed = Ok(());
        for answer in link.each::<String>(&mut pipe).await? {
            match answer {
                Ok(answer) if answer == "kept" => {}
                Ok(reason) => {
                    if kept {
                        tracing::warn!(reason, "Redis told of a revocation and does not keep it");
                    }
                    kept = false;
                }
                Err(error) => failed = Err(error),
            }
        }
        failed.map(|()| kept)
    }

    fn refused(&self, error: &RedisError) {
        metrics::counter!("ws.backplane.refused", "task" => "revocations").increment(1);
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "Redis refuses what is asked about revocations"
        );
    }

    fn key(&self) -> String {
        format!("{}revoked", self.shared.connector.config.prefix)
    }

    fn channel(&self) -> String {
        format!("{}revocations", self.shared.connector.config.prefix)
    }
}

fn wire(revocation: &Revocation) -> String {
    serde_json::to_string(revocation).expect("a revocation holds only what JSON can say")
}

fn gone() -> RedisError {
    RedisError::from((Failure::Io, "the connection has ended"))
}
