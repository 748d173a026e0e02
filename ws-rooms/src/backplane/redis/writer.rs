//! The task that appends: in the order of the publishers, several events in one round trip.

use std::sync::Arc;

use ::redis::{RedisResult, Value};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep};

use crate::error::Error;
use crate::protocol::{GapReason, RoomId};
use crate::publication::Publication;

use super::connection::{Connector, Link, pause};
use super::scripts::{self, Ground, Put};
use super::wire;

/// Jobs in one round trip: enough that a round trip's time is no bound, few enough that one batch is short.
const BATCH: usize = 64;
/// Bytes of events in one round trip, one event above it: a few milliseconds of Redis's time.
const BATCH_BYTES: usize = 1024 * 1024;

pub(super) struct Writer {
    connector: Arc<Connector>,
    jobs: mpsc::Receiver<Job>,
    link: Option<Link>,
}

/// Something to write, and who waits for it.
pub(super) struct Job {
    pub(super) work: Work,
    /// When nobody waits any more.
    pub(super) until: Option<Instant>,
    pub(super) reply: oneshot::Sender<Result<(), Error>>,
    /// The bytes that the job holds in the queue.
    pub(super) _bytes: Option<OwnedSemaphorePermit>,
}

pub(super) enum Work {
    Append(Arc<Publication>),
    Skip(RoomId, String, GapReason),
    /// The source was lost, and histories with it.
    Lose,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(connector: Arc<Connector>, jobs: mpsc::Receiver<Job>) -> Self {
        Self { connector, jobs, link: None }
    }

    /// Writes until nobody can ask any more.
    pub(super) async fn run(mut self) {
        let mut carried = None;
        loop {
            let first = match carried.take() {
                Some(job) => job,
                None => match self.jobs.recv().await {
                    Some(job) => job,
                    None => return,
                },
            };
            let mut bytes = first.bytes();
            let mut batch = vec![first];
            while batch.len() < BATCH && bytes < BATCH_BYTES {
                let Ok(job) = self.jobs.try_recv() else { break };
                // ORDER: what comes after a loss is numbered after it, so it goes alone.
                if matches!(job.work, Work::Lose) || matches!(batch[0].work, Work::Lose) {
                    carried = Some(job);
                    break;
                }
                bytes += job.bytes();
                batch.push(job);
            }
            metrics::gauge!("ws.backplane.queue").set(u32::try_from(self.jobs.len()).unwrap_or(u32::MAX));
            self.write(batch).await;
        }
    }

    /// Writes a batch, again after each failure, until its jobs are done or nobody waits for them.
    ///
    /// Writing twice is harmless: ids count once.
    async fn write(&mut self, mut batch: Vec<Job>) {
        let mut attempt = 0;
        loop {
            let now = Instant::now();
            batch.retain(|job| !job.reply.is_closed() && job.until.is_none_or(|until| until > now));
            if batch.is_empty() {
                return;
            }
            match self.attempt(&batch).await {
                Ok(()) => {
                    for job in batch {
                        // Who has given up waiting is not there to hear it.
                        drop(job.reply.send(Ok(())));
                    }
                    return;
                }
                Err(error) => {
                    // A server that restarts, or is no master any more, answers with errors on a connection
                    // that stands: the next one is made to whoever answers then.
                    self.link = None;
                    metrics::counter!("ws.backplane.failures", "task" => "writer").increment(1);
                    tracing::warn!(error = &error as &dyn std::error::Error, "Redis did not take events");
                    sleep(pause(attempt)).await;
                    attempt += 1;
                }
            }
        }
    }

    async fn attempt(&mut self, batch: &[Job]) -> RedisResult<()> {
        let link = match &self.link {
            Some(link) => link.clone(),
            None => {
                let link = self.connector.connect(None::<fn(::redis::PushInfo) -> Result<(), ()>>).await?;
                self.link.insert(link).clone()
            }
        };
        if matches!(batch[0].work, Work::Lose) {
            return self.connector.lose(&link).await;
        }
        let looked = self.send(&link, &self.connector.incarnation(), false, batch, None).await?;
        if looked.contains(&Put::Look) {
            let certain = self.connector.look(&link).await?;
            self.send(&link, &certain, true, batch, Some(&looked)).await?;
        }
        Ok(())
    }

    /// Sends one script for each event and room; of those that were sent before, only what is to be seen again.
    async fn send(
        &self,
        link: &Link,
        incarnation: &str,
        certain: bool,
        batch: &[Job],
        before: Option<&[Put]>,
    ) -> RedisResult<Vec<Put>> {
        let config = &self.connector.config;
        let ground = Ground {
            prefix: &config.prefix,
            incarnation,
            certain,
            sharded: link.sharded,
            reason: GapReason::Trimmed,
            history: &config.history,
        };
        let scripts = &self.connector.scripts;
        let mut pipe = ::redis::pipe();
        let mut count = 0;
        let mut add = |cmd: &dyn Fn() -> ::redis::Cmd| {
            if before.is_none_or(|before| before.get(count) == Some(&Put::Look)) {
                pipe.add_command(cmd());
            }
            count += 1;
        };
        for job in batch {
            match &job.work {
                Work::Append(publication) => {
                    let body = wire::body(publication);
                    for room in publication.rooms() {
                        add(&|| scripts.append(&ground, room.as_str(), publication.id(), &body));
                    }
                }
                Work::Skip(room, id, reason) => add(&|| scripts.skip(&ground, room.as_str(), id, *reason)),
                Work::Lose => {}
            }
        }
        if pipe.is_empty() {
            return Ok(Vec::new());
        }
        let started = Instant::now();
        let answers: Vec<Value> = pipe.query_async(&mut link.connection.clone()).await?;
        metrics::histogram!("ws.backplane.write").record(started.elapsed().as_secs_f64());
        answers.into_iter().map(scripts::put).collect()
    }
}

// === impl Job ===

impl Job {
    fn bytes(&self) -> usize {
        match &self.work {
            Work::Append(publication) => publication.event().len() * publication.rooms().len(),
            Work::Skip(..) | Work::Lose => 0,
        }
    }

    /// A job, and where its answer comes.
    pub(super) fn new(
        work: Work,
        until: Option<Instant>,
        bytes: Option<OwnedSemaphorePermit>,
    ) -> (Self, oneshot::Receiver<Result<(), Error>>) {
        let (reply, answer) = oneshot::channel();
        (Self { work, until, reply, _bytes: bytes }, answer)
    }
}
