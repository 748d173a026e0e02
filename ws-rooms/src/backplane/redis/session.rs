//! The reader's connections, and the work that is out on them.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, RedisError, RedisResult, Value};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

use crate::backplane::RecoveryBounds;
use crate::protocol::{GapReason, Member, Position, RoomId};

use super::Shared;
use super::connection::Link;
use super::feed::Feed;
use super::presence::scripts::{Place, members};
use super::recoveries::Recover;
use super::scripts::{self, Answer, Ground};

/// Two connections to one Redis: one that is told, one that asks. They live and end together.
pub(super) struct Session {
    pub(super) feed: Feed,
    ears: Link,
    link: Link,
    /// Readings that are out.
    pub(super) reads: usize,
    pub(super) work: FuturesUnordered<BoxFuture<'static, Done>>,
}

/// Work of a session that has ended.
pub(super) enum Done {
    /// What became of each channel, by the subscription's number; an error is of the connection.
    Subscribed(u64, Vec<RoomId>, RedisResult<Vec<RedisResult<Value>>>),
    Unsubscribed(RedisResult<Vec<RedisResult<Value>>>),
    Read(RoomId, RedisResult<Answer>),
    /// By the recovery's ticket.
    Recovered(u64, RedisResult<Answer>),
    Renewed(RedisResult<()>),
    /// Who is in a room.
    Listed(RoomId, RedisResult<Vec<Member>>),
}

// === impl Session ===

impl Session {
    pub(super) fn subscribe(&self, shared: &Shared, number: u64, names: Vec<RoomId>) {
        let work = self.listen(shared, "SUBSCRIBE", &names);
        self.work.push(async move { Done::Subscribed(number, names, work.await) }.boxed());
    }

    pub(super) fn unsubscribe(&self, shared: &Shared, names: &[RoomId]) {
        let work = self.listen(shared, "UNSUBSCRIBE", names);
        self.work.push(async move { Done::Unsubscribed(work.await) }.boxed());
    }

    /// One channel in each command: the driver counts one answer for each.
    fn listen(
        &self,
        shared: &Shared,
        command: &str,
        names: &[RoomId],
    ) -> impl Future<Output = RedisResult<Vec<RedisResult<Value>>>> + Send + use<> {
        let config = &shared.connector.config;
        let command = if self.ears.sharded { format!("S{command}") } else { command.to_owned() };
        let mut pipe = ::redis::pipe();
        for name in names {
            pipe.cmd(&command).arg(scripts::channel(&config.prefix, name.as_str()));
        }
        let ears = self.ears.clone();
        async move { ears.each(&mut pipe).await }
    }

    pub(super) fn read(
        &mut self,
        shared: &Arc<Shared>,
        name: RoomId,
        since: Option<Position>,
        reason: GapReason,
    ) {
        let history = &shared.connector.config.history;
        // All that a room may keep, with what an event has beside its text.
        let (events, bytes) = (history.count, history.bytes.saturating_add(64 * 1024));
        let read = read(Arc::clone(shared), self.link.clone(), name.clone(), since, events, bytes, reason);
        self.reads += 1;
        self.work.push(async move { Done::Read(name, read.await) }.boxed());
    }

    pub(super) fn recover(&self, shared: &Arc<Shared>, ticket: u64, recover: &Recover) {
        let RecoveryBounds { events, bytes } = recover.bounds;
        let (name, since) = (recover.room.clone(), recover.since.clone());
        let reason = GapReason::Trimmed;
        let read = read(Arc::clone(shared), self.link.clone(), name, since, events, bytes, reason);
        self.work.push(async move { Done::Recovered(ticket, read.await) }.boxed());
    }

    pub(super) fn list(&self, shared: &Arc<Shared>, name: RoomId) {
        let list = list(Arc::clone(shared), self.link.clone(), name.clone());
        self.work.push(async move { Done::Listed(name, list.await) }.boxed());
    }

    pub(super) fn renew(&self, shared: &Arc<Shared>) {
        let (shared, ears, link) = (Arc::clone(shared), self.ears.clone(), self.link.clone());
        let renew = async move {
            shared.connector.renew(&link).await?;
            shared.connector.look(&ears).await.map(drop)
        };
        self.work.push(async move { Done::Renewed(renew.await) }.boxed());
    }
}

/// Connects both, after a pause.
pub(super) fn connect(shared: &Arc<Shared>, pause: Duration) -> BoxFuture<'static, RedisResult<Session>> {
    let shared = Arc::clone(shared);
    let connect = async move {
        sleep(pause).await;
        let (feed, put) = Feed::new();
        let ears = shared.connector.connect(Some(put)).await?;
        let link = shared.connector.connect(None::<fn(::redis::PushInfo) -> Result<(), ()>>).await?;
        // Both lead to the same server, or what one is told is not what the other reads.
        shared.connector.incarnation(&ears)?;
        Ok::<_, RedisError>(Session { feed, ears, link, reads: 0, work: FuturesUnordered::new() })
    };
    connect.boxed()
}

async fn list(shared: Arc<Shared>, link: Link, name: RoomId) -> RedisResult<Vec<Member>> {
    let prefix = &shared.connector.config.prefix;
    let place = Place { prefix, room: name.as_str(), sharded: link.sharded };
    let list = shared.connector.presence.list(&place);
    shared.connector.incarnation(&link)?;
    members(list.query_async(&mut link.connection.clone()).await?)
}

async fn read(
    shared: Arc<Shared>,
    link: Link,
    name: RoomId,
    since: Option<Position>,
    events: usize,
    bytes: usize,
    reason: GapReason,
) -> RedisResult<Answer> {
    let connector = &shared.connector;
    let config = &connector.config;
    let command = |incarnation: &str, certain: bool| -> Cmd {
        let ground = Ground {
            prefix: &config.prefix,
            incarnation,
            certain,
            sharded: link.sharded,
            reason,
            history: &config.history,
        };
        connector.scripts.read(&ground, name.as_str(), since.as_ref(), events, bytes)
    };
    let mut connection = link.connection.clone();
    let known = connector.incarnation(&link)?;
    let first: Value = command(&known, false).query_async(&mut connection).await?;
    let first = scripts::answer(first)?;
    if first != Answer::Look {
        return Ok(first);
    }
    let certain = connector.look(&link).await?;
    let second: Value = command(&certain, true).query_async(&mut connection).await?;
    scripts::answer(second)
}
