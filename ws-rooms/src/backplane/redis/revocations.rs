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
use super::connection::{Link, pause};
use super::feed::Feed;

/// Revocations that the set holds. As many as a node remembers.
const CAPACITY: usize = 100_000;
/// Revocations that wait for Redis; whoever revokes further ones waits for a place.
const QUEUED: usize = 1_024;
/// Of those that are written or read at once.
const BATCH: usize = 512;

/// KEYS: the set. ARGV: channel, capacity, revocation, its end in ms. Says the same again as often as asked.
const ADD: &str = r"
local time = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time[1] * 1000 + math.floor(time[2] / 1000))
if redis.call('ZSCORE', KEYS[1], ARGV[3]) then
  return 'kept'
end
local kept = redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[2])
if kept then
  redis.call('ZADD', KEYS[1], ARGV[4], ARGV[3])
  local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  redis.call('PEXPIREAT', KEYS[1], last[2])
end
redis.call('PUBLISH', ARGV[1], ARGV[3])
return kept and 'kept' or 'full'
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
    add: Script,
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
        (Self { shared, jobs, add: Script::new(ADD), held: None }, sender)
    }

    /// Runs until the last handle is gone.
    pub(super) async fn run(mut self, end: CancellationToken) {
        let mut attempt = 0;
        loop {
            let lost = tokio::select! {
                () = end.cancelled() => return,
                lost = self.listen(&mut attempt) => lost,
            };
            let Err(error) = lost else { return };
            metrics::counter!("ws.backplane.failures", "task" => "revocations").increment(1);
            tracing::warn!(error = &error as &dyn std::error::Error, "Redis does not tell of revocations");
            tokio::select! {
                () = end.cancelled() => return,
                () = sleep(pause(attempt)) => attempt += 1,
            }
        }
    }

    /// Until the connection fails, or nobody can ask any more.
    async fn listen(&mut self, attempt: &mut u32) -> RedisResult<()> {
        let (mut feed, put) = Feed::new();
        let link = self.shared.connector.connect(Some(put)).await?;
        ::redis::cmd("SUBSCRIBE").arg(self.channel()).exec_async(&mut link.connection.clone()).await?;
        // ORDER: subscribed first, so that what is not in the set yet will be heard.
        self.compare(&link).await?;
        *attempt = 0;
        // As often as the reader asks whether its connections live.
        let mut ticks = interval(self.shared.connector.config.patience.saturating_mul(2));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Some(job) = self.held.take() {
                let kept = self.add(&link, &job.revocation).await;
                let answer = match &kept {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(Error::new(ErrorKind::QueueFull)),
                    Err(_) => {
                        self.held = Some(job);
                        return kept.map(drop);
                    }
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
        let there: usize = count.query_async(&mut link.connection.clone()).await?;
        if there < self.shared.revoked.count().min(CAPACITY) {
            return self.compare(link).await;
        }
        Ok(())
    }

    /// Takes what the set has and is not known here into force, and writes what is known here and the set has not.
    async fn compare(&self, link: &Link) -> RedisResult<()> {
        let known = self.shared.revoked.in_force();
        let mut known: HashMap<String, Revocation> =
            known.into_iter().map(|revocation| (wire(&revocation), revocation)).collect();
        let mut cursor = 0_u64;
        loop {
            let mut scan = ::redis::cmd("ZSCAN");
            scan.arg(self.key()).arg(cursor).arg("COUNT").arg(BATCH);
            let (next, page): (u64, Vec<(String, f64)>) =
                scan.query_async(&mut link.connection.clone()).await?;
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
        for revocation in known.values() {
            self.add(link, revocation).await?;
        }
        Ok(())
    }

    fn heard(&self, text: &[u8]) {
        match serde_json::from_slice(text) {
            Ok(revocation) => self.shared.revoke(&revocation),
            // Of a newer node, perhaps.
            Err(error) => tracing::warn!(%error, "a revocation in Redis that cannot be read"),
        }
    }

    /// Says whether there was a place for it in the set.
    async fn add(&self, link: &Link, revocation: &Revocation) -> RedisResult<bool> {
        let mut call = self.add.key(self.key());
        call.arg(self.channel()).arg(CAPACITY).arg(wire(revocation));
        call.arg(revocation.until().as_millisecond());
        let answer: String = call.invoke_async(&mut link.connection.clone()).await?;
        Ok(answer == "kept")
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
