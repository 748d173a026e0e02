//! The task that appends: in the order of the publishers, several events in one round trip.

mod job;

use std::sync::Arc;
use std::time::Duration;

use ::redis::{RedisError, RedisResult, Value};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::error::{Error, ErrorKind};
use crate::protocol::GapReason;

pub(super) use self::job::{Job, Work};
use super::Shared;
use super::backoff::Backoff;
use super::connection::{Connector, Link};
use super::scripts::{self, Ground, Put};
use super::up::Task;
use super::wire;

/// Jobs in one round trip: enough that a round trip's time is no bound, few enough that one batch is short.
const BATCH: usize = 64;
/// Bytes of events in one round trip, one event above it: a few milliseconds of Redis's time.
const BATCH_BYTES: usize = 1024 * 1024;

pub(super) struct Writer {
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
    link: Option<Link>,
    backoff: Backoff,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, jobs: mpsc::Receiver<Job>) -> Self {
        Self { shared, jobs, link: None, backoff: Backoff::default() }
    }

    /// Writes until nobody can ask any more.
    pub(super) async fn run(mut self) {
        let mut carried = None;
        loop {
            let first = match carried.take() {
                Some(job) => job,
                None => match self.next().await {
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

    /// The next job. The connection is looked after meanwhile: whether it stands is told, also where nobody publishes.
    async fn next(&mut self) -> Option<Job> {
        let mut pause = match self.link {
            Some(_) => self.connector().renew_every(),
            None => Duration::ZERO,
        };
        loop {
            let Ok(job) = timeout(pause, self.jobs.recv()).await else {
                pause = match self.look().await {
                    Ok(()) => self.connector().renew_every(),
                    Err(error) => self.lost(&error),
                };
                continue;
            };
            return job;
        }
    }

    /// Asks the connection whether it lives; makes one if there is none.
    async fn look(&mut self) -> RedisResult<()> {
        let stood = self.link.is_some();
        let link = self.link().await?;
        // One that is made just now has been asked.
        if stood { self.connector().look(&link).await.map(drop) } else { Ok(()) }
    }

    /// A connection that leads to the right server.
    async fn link(&mut self) -> RedisResult<Link> {
        // A connection to a server that is not the one any more is none.
        let link = self.link.take().filter(|link| self.connector().incarnation(link).is_ok());
        let link = match link {
            Some(link) => link,
            None => {
                let link = self.connector().connect(None::<fn(::redis::PushInfo) -> Result<(), ()>>).await?;
                self.backoff.opened();
                self.shared.up.set(Task::Writer, true);
                link
            }
        };
        self.link = Some(link.clone());
        Ok(link)
    }

    /// The connection is gone: how long to wait before the next.
    fn lost(&mut self, error: &RedisError) -> Duration {
        // A server that restarts, or is no master any more, answers with errors on a connection that stands: the next one
        // is made to whoever answers then.
        self.link = None;
        metrics::counter!("ws.backplane.failures", "task" => "writer").increment(1);
        if self.shared.up.set(Task::Writer, false) {
            let error: &dyn std::error::Error = error;
            tracing::warn!(error, "Redis does not take events");
        }
        self.backoff.next()
    }

    fn connector(&self) -> &Connector {
        &self.shared.connector
    }

    /// Writes a batch, again after each failure, until its jobs are done or nobody waits for them.
    ///
    /// Writing twice is harmless: ids count once.
    async fn write(&mut self, mut batch: Vec<Job>) {
        loop {
            let now = Instant::now();
            batch.retain(|job| !job.reply.is_closed() && job.until.is_none_or(|until| until > now));
            if batch.is_empty() {
                return;
            }
            match self.attempt(&batch).await {
                Ok(results) => {
                    for (job, result) in batch.into_iter().zip(results) {
                        let result = result.map_err(|error| {
                            metrics::counter!("ws.backplane.refused").increment(1);
                            tracing::warn!(
                                error = &error as &dyn std::error::Error,
                                "Redis refused an event"
                            );
                            Error::with(ErrorKind::Backplane, error)
                        });
                        // Who has given up waiting is not there to hear it.
                        drop(job.reply.send(result));
                    }
                    return;
                }
                Err(error) => {
                    let pause = self.lost(&error);
                    sleep(pause).await;
                }
            }
        }
    }

    /// What became of each job. An error is of the connection.
    async fn attempt(&mut self, batch: &[Job]) -> RedisResult<Vec<RedisResult<()>>> {
        let link = self.link().await?;
        let known = self.connector().incarnation(&link)?;
        if matches!(batch[0].work, Work::Lose) {
            self.connector().lose(&link).await?;
            return Ok(vec![Ok(())]);
        }
        let mut puts = self.send(&link, &known, false, batch, |_| true).await?;
        let is_look = |put: &RedisResult<Put>| matches!(put, Ok(Put::Look));
        if puts.iter().any(is_look) {
            let certain = self.connector().look(&link).await?;
            let again = self.send(&link, &certain, true, batch, |index| puts.get(index).is_some_and(is_look));
            let mut again = again.await?.into_iter();
            for put in puts.iter_mut().filter(|put| is_look(put)) {
                if let Some(new) = again.next() {
                    *put = new;
                }
            }
        }
        let mut puts = puts.into_iter();
        let results = batch.iter().map(|job| {
            let mut result = Ok(());
            for put in puts.by_ref().take(job.rooms()) {
                result = result.and(put.map(drop));
            }
            result
        });
        Ok(results.collect())
    }

    /// Sends one script for each event and room, or those of them that are wanted, and says what became of each.
    async fn send(
        &self,
        link: &Link,
        incarnation: &str,
        certain: bool,
        batch: &[Job],
        wanted: impl Fn(usize) -> bool,
    ) -> RedisResult<Vec<RedisResult<Put>>> {
        let config = &self.connector().config;
        let ground = Ground {
            prefix: &config.prefix,
            incarnation,
            certain,
            sharded: link.sharded,
            reason: GapReason::Trimmed,
            history: &config.history,
        };
        let scripts = &self.connector().scripts;
        let mut pipe = ::redis::pipe();
        let mut index = 0;
        let mut add = |cmd: &dyn Fn() -> ::redis::Cmd| {
            if wanted(index) {
                pipe.add_command(cmd());
            }
            index += 1;
        };
        for job in batch {
            match &job.work {
                Work::Append(publication) => {
                    let body = wire::body(publication);
                    for room in publication.rooms() {
                        add(&|| scripts.append(&ground, room.as_str(), publication.id(), &body));
                    }
                }
                Work::Skip(rooms, id, reason) => {
                    for room in rooms {
                        add(&|| scripts.skip(&ground, room.as_str(), id, *reason));
                    }
                }
                Work::Lose => {}
            }
        }
        let started = Instant::now();
        let answers = link.each::<Value>(&mut pipe).await?;
        metrics::histogram!("ws.backplane.write").record(started.elapsed().as_secs_f64());
        Ok(answers.into_iter().map(|answer| answer.and_then(scripts::put)).collect())
    }
}

#[cfg(test)]
mod tests;
