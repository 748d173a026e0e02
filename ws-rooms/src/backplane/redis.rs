//! The backplane of several processes: numbers and histories in Redis, and its Pub/Sub between the nodes.
//!
//! One script per event and room appends once, numbers, keeps within bounds and publishes. Nodes deliver only
//! what Redis publishes, also what they have published themselves.

mod backoff;
mod config;
mod connection;
mod feed;
mod lists;
mod muted;
mod people;
mod presence;
mod reach;
mod reader;
mod recoveries;
mod revocations;
mod room;
mod scripts;
mod session;
mod shared;
mod there;
mod up;
mod wire;
mod writer;

pub use self::config::RedisConfig;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::backplane::{Driver, Fanout, Loss, Recovery, RecoveryBounds, Sink};
use crate::error::{Error, ErrorKind};
use crate::protocol::{GapReason, Member, Position, RoomId};
use crate::publication::ROOMS;
use crate::revocation::Revocation;

use self::connection::Connector;
use self::presence::Keeper;
use self::reader::{Command, Reader};
use self::recoveries::Recover;
use self::revocations::Crier;
use self::shared::Shared;
use self::writer::{Job, Work, Writer};

/// Publications that wait for Redis; further publishers wait for a place.
const QUEUED: usize = 1_024;
/// Bytes of their events.
const QUEUED_BYTES: usize = 8 * 1024 * 1024;
/// Joins and recoveries that wait for the reader; further ones wait for a place.
const ASKED: usize = 1_024;

/// Numbers and histories in Redis. Clones share their connections; each process has its own.
#[derive(Clone)]
pub struct RedisBackplane {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    bytes: Arc<Semaphore>,
    commands: mpsc::Sender<Command>,
    /// Taken by the first node.
    tasks: Arc<Mutex<Option<Tasks>>>,
    revocations: mpsc::Sender<revocations::Job>,
    /// Ends the keeper with the last handle; the others end with their queues.
    end: Arc<DropGuard>,
}

type Tasks = (Writer, Reader, Keeper, Crier);

/// Nobody waits that long for an answer, and timers are made of it.
const LONGEST_PATIENCE: Duration = Duration::from_secs(600);

// === impl RedisBackplane ===

impl RedisBackplane {
    /// A backplane on a Redis. It connects when the first node is made.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the URL, the prefix or the patience (none, or beyond ten minutes) cannot be used.
    pub fn new(config: RedisConfig) -> Result<Self, Error> {
        if config.prefix.contains(['{', '}']) {
            return Err(Error::with(ErrorKind::Config, "the prefix has braces, which are the rooms' own"));
        }
        if config.patience.is_zero() || config.patience > LONGEST_PATIENCE {
            return Err(Error::with(ErrorKind::Config, "the patience is none, or beyond ten minutes"));
        }
        describe();
        let connector = Connector::new(config).map_err(|error| Error::with(ErrorKind::Config, error))?;
        let shared = Arc::new(Shared::new(connector));
        let (jobs, queue) = mpsc::channel(QUEUED);
        let (commands, asked) = mpsc::channel(ASKED);
        let writer = Writer::new(Arc::clone(&shared), queue);
        let reader = Reader::new(Arc::clone(&shared), asked);
        let keeper = Keeper::new(Arc::clone(&shared.connector), Arc::clone(&shared.attendance));
        let (crier, revocations) = Crier::new(Arc::clone(&shared));
        Ok(Self {
            shared,
            jobs,
            bytes: Arc::new(Semaphore::new(QUEUED_BYTES)),
            commands,
            tasks: Arc::new(Mutex::new(Some((writer, reader, keeper, crier)))),
            revocations,
            end: Arc::new(CancellationToken::new().drop_guard()),
        })
    }

    async fn write(&self, work: Work) -> Result<(), Error> {
        let until = Instant::now() + self.patience();
        let written = async {
            let bytes = u32::try_from(work.bytes().min(QUEUED_BYTES)).unwrap_or(u32::MAX);
            let held = Arc::clone(&self.bytes).acquire_many_owned(bytes).await.ok();
            let (job, answer) = Job::new(work, Some(until), held);
            self.jobs.send(job).await.map_err(|_| away())?;
            answer.await.map_err(|_| away())?
        };
        timeout_at(until, written).await.unwrap_or_else(|_| Err(away()))
    }

    async fn ask<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command,
    ) -> Result<T, Error> {
        self.ask_until(Instant::now() + self.patience(), ask).await
    }

    async fn ask_until<T>(
        &self,
        until: Instant,
        ask: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command,
    ) -> Result<T, Error> {
        let asked = async {
            let (reply, answer) = oneshot::channel();
            self.commands.send(ask(reply)).await.map_err(|_| away())?;
            answer.await.map_err(|_| away())?
        };
        timeout_at(until, asked).await.unwrap_or_else(|_| Err(away()))
    }

    fn patience(&self) -> Duration {
        self.shared.connector.config.patience
    }
}

impl Driver for RedisBackplane {
    fn attach(&self, sink: Sink) {
        self.shared.attach(&sink);
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((writer, reader, keeper, crier)) = tasks {
            // They end when the last handle is gone.
            tokio::spawn(writer.run());
            tokio::spawn(reader.run());
            tokio::spawn(keeper.run(self.end.token().clone()));
            tokio::spawn(crier.run(self.end.token().clone()));
        }
    }

    async fn publish(&self, fanout: Fanout) -> Result<(), Error> {
        self.write(Work::Append(Arc::clone(fanout.publication()))).await
    }

    async fn join(&self, room: &RoomId) -> Result<(), Error> {
        // ORDER: counted before the first await, so that each `leave` has its join, also when this is dropped.
        self.shared.enter(room);
        let until = Instant::now() + self.patience();
        // ORDER: nobody gets anything of a room before it is known whose rights have ended.
        let joined = match self.shared.heeding(until).await {
            Ok(()) => self.ask_until(until, |reply| Command::Join(room.clone(), reply)).await,
            Err(error) => Err(error),
        };
        if joined.is_err() {
            self.leave(room);
        }
        joined
    }

    fn leave(&self, room: &RoomId) {
        self.shared.exit(room);
    }

    async fn recover(
        &self,
        room: &RoomId,
        since: Option<&Position>,
        bounds: RecoveryBounds,
    ) -> Result<Recovery, Error> {
        let (room, since) = (room.clone(), since.cloned());
        self.ask(|reply| Command::Recover(Recover { room, since, bounds, reply })).await
    }

    async fn skip(&self, rooms: &[RoomId], id: &str, reason: GapReason) -> Result<(), Error> {
        // ORDER: asked for at once, so that they share their round trips.
        let some = rooms.chunks(ROOMS).map(|rooms| self.write(Work::Skip(rooms.to_vec(), id.into(), reason)));
        join_all(some).await.into_iter().collect()
    }

    async fn lose_place(&self, loss: Loss) {
        match loss {
            Loss::NewEpochs => {
                // Kept at until Redis has it: a loss that nobody hears of would be a silent one.
                let (job, done) = Job::new(Work::Lose, None, None);
                if self.jobs.send(job).await.is_ok() && done.await.is_ok() {
                    let (watch, mut live) = mpsc::channel(1);
                    if self.commands.send(Command::Doubt(GapReason::Source, watch)).await.is_ok() {
                        live.recv().await;
                    }
                }
            }
            Loss::Gap(reason) => {
                let (reply, told) = oneshot::channel();
                if self.commands.send(Command::Gap(reason, reply)).await.is_ok() {
                    let _ = told.await;
                }
            }
        }
    }

    fn enter(&self, room: &RoomId, user: &Arc<str>) {
        self.shared.attendance.enter(room, user);
    }

    fn exit(&self, room: &RoomId, user: &Arc<str>, after: Duration) {
        self.shared.attendance.exit(room, user, after);
    }

    async fn present(&self, room: &RoomId) -> Result<Vec<Member>, Error> {
        let members = self.ask(|reply| Command::Present(room.clone(), reply)).await?;
        Ok(members.to_vec())
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<(), Error> {
        // In force here whatever Redis says; the task writes it once Redis is there.
        self.shared.revoke(revocation);
        let (job, answer) = revocations::Job::new(revocation.clone());
        let told = async {
            self.revocations.send(job).await.map_err(|_| away())?;
            answer.await.map_err(|_| away())?
        };
        timeout(self.patience(), told).await.unwrap_or_else(|_| Err(away()))
    }

    fn is_up(&self) -> bool {
        self.shared.up.is_up(self.patience())
    }

    async fn ready(&self) -> Result<(), Error> {
        if self.shared.up.is_given_up(self.patience()) {
            return Err(away());
        }
        self.shared.heeding(Instant::now() + self.patience()).await
    }

    fn is_shared(&self) -> bool {
        true
    }
}

impl fmt::Debug for RedisBackplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackplane")
            .field("config", &self.shared.connector.config)
            .finish_non_exhaustive()
    }
}

fn away() -> Error {
    Error::new(ErrorKind::Backplane)
}

fn describe() {
    use metrics::Unit::Seconds;
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_gauge!(
        "ws.backplane.up",
        "Whether this node hears Redis, publishes there, and knows what is revoked"
    );
    describe_gauge!("ws.backplane.queue", "Publications that wait for Redis");
    describe_gauge!("ws.backplane.rooms", "Rooms that this node listens to");
    describe_gauge!("ws.backplane.muted", "Of these, rooms whose channel Redis does not let it hear");
    describe_gauge!("ws.backplane.due", "Rooms whose history is to be read");
    describe_histogram!("ws.backplane.write", Seconds, "One round trip of appends");
    describe_counter!("ws.backplane.filled", "Events that came from a history and not from the channel");
    describe_counter!("ws.backplane.gaps", "Gaps told to rooms");
    describe_counter!("ws.backplane.dropped", "Messages that found no place, and were read again");
    describe_counter!("ws.backplane.failures", "Connections lost, by task");
    describe_counter!(
        "ws.backplane.refused",
        "Readings, lists and events that Redis refused or was late with"
    );
    describe_counter!("ws.backplane.incarnations", "Redis was another one, or had started anew");
}
