//! The task that writes who is here, keeps the node's lease, and sees to what nodes that are gone have left behind.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ::redis::RedisResult;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::protocol::RoomId;

use super::attendance::{Attendance, BATCH, Change};
use super::scripts::{LIFE_MS, Place, Scripts};
use super::sweep::Sweep;
use crate::backplane::redis::backoff::Backoff;
use crate::backplane::redis::connection::{Connector, Link};
use crate::backplane::redis::reach::Reach;

/// How often all is written again, so that Redis keeps it.
pub(super) const AGAIN: Duration = Duration::from_secs(600);
/// The task that writes.
pub(in super::super) struct Keeper {
    pub(super) connector: Arc<Connector>,
    pub(super) attendance: Arc<Attendance>,
    link: Option<Link>,
    pub(super) node: String,
    leased: bool,
    /// When the lease was renewed; `None`: at once.
    renewed: Option<Instant>,
    /// All nodes with a lease, by the last renewal.
    pub(super) nodes: HashSet<String>,
    /// Those of them whose lease has ended.
    ended: VecDeque<String>,
    /// Rooms in which leaves are due.
    pub(super) dues: BTreeSet<(Instant, RoomId)>,
    /// Rooms in which leaves may wait that no living node has among its own.
    pub(super) orphaned: HashSet<RoomId>,
    pub(super) sweep: Sweep,
    /// Redis refuses some of those who come, and that was said.
    refuses: bool,
}

// === impl Keeper ===

impl Keeper {
    pub(in super::super) fn new(connector: Arc<Connector>, attendance: Arc<Attendance>) -> Self {
        Self {
            connector,
            attendance,
            link: None,
            node: name(),
            leased: false,
            renewed: None,
            nodes: HashSet::new(),
            ended: VecDeque::new(),
            dues: BTreeSet::new(),
            orphaned: HashSet::new(),
            sweep: Sweep::new(),
            refuses: false,
        }
    }

    /// Writes until the last handle is gone; others then take back what is left.
    pub(in super::super) async fn run(mut self, end: CancellationToken) {
        let mut ticks = interval(Duration::from_millis(500));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut incarnations = self.connector.incarnations();
        let mut again = Instant::now() + AGAIN;
        let (mut backoff, mut used) = (Backoff::default(), false);
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                () = self.attendance.changed.notified() => used = true,
                Ok(()) = incarnations.changed() => {
                    // It may have lost its last writes, or all of them, and members wait for who is still there.
                    self.renewed = None;
                    self.attendance.dirty_all();
                }
                _ = ticks.tick() => {}
            }
            if !used {
                // A backplane whose rooms show nobody needs no connection for it.
                continue;
            }
            let now = Instant::now();
            if now >= again {
                again = now + AGAIN;
                self.attendance.dirty_all();
            }
            match self.round(&mut backoff).await {
                Ok(()) => {}
                Err(error) => {
                    self.link = None;
                    self.renewed = None;
                    metrics::counter!("ws.backplane.failures", "task" => "presence").increment(1);
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "Redis did not take who is there"
                    );
                    sleep(backoff.next()).await;
                }
            }
        }
    }

    /// All that is to be done now, in steps between which the lease is kept.
    async fn round(&mut self, backoff: &mut Backoff) -> RedisResult<()> {
        // A connection to a server that is not the one any more is none.
        let link = self.link.take().filter(|link| self.connector.incarnation(link).is_ok());
        let link = match link {
            Some(link) => link,
            None => {
                let link = self.connector.connect(None::<fn(::redis::PushInfo) -> Result<(), ()>>).await?;
                backoff.opened();
                link
            }
        };
        self.link = Some(link.clone());
        // ORDER: a lease before anything is written under the name, or nobody would take it back.
        self.keep_lease(&link).await?;
        self.write_all(&link).await?;
        while let Some(node) = self.ended.pop_front() {
            match self.bury(&link, &node).await {
                // The next renewal finds it again.
                Err(error) if Reach::of(&error) == Reach::Command => {
                    metrics::counter!("ws.backplane.refused").increment(1);
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "Redis refused to take back what a node had");
                }
                result => result?,
            }
        }
        self.settle(&link).await?;
        self.look_through(&link).await
    }

    /// Writes what has changed by now.
    async fn write_all(&mut self, link: &Link) -> RedisResult<()> {
        let mut refused = Vec::new();
        let mut result = Ok(());
        // What changes meanwhile has its turn in the next round.
        for _ in 0..self.attendance.dirty().div_ceil(BATCH) {
            let changes = self.attendance.take();
            match self.write(link, &changes).await {
                Ok(some) => refused.extend(some),
                Err(error) => {
                    self.attendance.give_back(changes);
                    result = Err(error);
                    break;
                }
            }
            if let Err(error) = self.keep_lease(link).await {
                result = Err(error);
                break;
            }
        }
        let is_news = !std::mem::replace(&mut self.refuses, !refused.is_empty());
        if !refused.is_empty() {
            metrics::counter!("ws.backplane.refused").increment(refused.len() as u64);
            if is_news {
                tracing::warn!(
                    users = refused.len(),
                    "Redis refuses to note who is there: it is asked again"
                );
            }
            self.attendance.give_back(refused);
        }
        result
    }

    /// Writes some changes, and returns those that Redis refuses by themselves.
    async fn write(&mut self, link: &Link, changes: &[Change]) -> RedisResult<Vec<Change>> {
        let rooms = self.rooms_of(&self.node);
        let mut pipe = ::redis::pipe();
        // ORDER: the node's list names a room before the room names the node. Who leaves has been named, and a Redis
        // without memory refuses to name again.
        let comes = |change: &&Change| change.connections > 0;
        for Change { room, .. } in changes.iter().filter(comes) {
            pipe.cmd("SADD").arg(&rooms).arg(room.as_str());
        }
        pipe.cmd("PEXPIRE").arg(&rooms).arg(LIFE_MS);
        for Change { room, user, connections, after } in changes {
            let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            let place = self.place(link, room);
            pipe.add_command(self.scripts().put(&place, user, &self.node, *connections, after));
        }
        let mut answers = link.each::<::redis::Value>(&mut pipe).await?;
        let puts = answers.split_off(changes.iter().filter(comes).count() + 1);
        let mut listed = answers.into_iter();
        let now = Instant::now();
        let (mut refused, mut unseen) = (Vec::new(), 0);
        for (change, put) in changes.iter().zip(puts) {
            let put = if comes(&change) {
                listed.next().map_or(Ok(()), |listed| listed.map(drop)).and(put)
            } else {
                put
            };
            match put.and_then(|put| Ok(::redis::from_redis_value::<String>(put)?)) {
                Ok(put) => {
                    unseen += u64::from(put == "full");
                    if change.connections == 0 {
                        self.due(now + change.after, &change.room);
                    }
                }
                Err(_) => refused.push(change.clone()),
            }
        }
        if unseen > 0 {
            metrics::counter!("ws.presence.unseen").increment(unseen);
        }
        Ok(refused)
    }

    /// Renews the lease when it is time.
    pub(super) async fn keep_lease(&mut self, link: &Link) -> RedisResult<()> {
        let every = self.connector.config.lease / 3;
        if self.renewed.is_some_and(|at| at.elapsed() < every) {
            return Ok(());
        }
        let stood = self.renew(link).await?;
        if self.leased && !stood {
            tracing::warn!("this node was taken for gone: it tells anew who is there");
            self.ended.push_back(std::mem::replace(&mut self.node, name()));
            self.attendance.dirty_all();
            self.renew(link).await?;
        }
        self.leased = true;
        self.renewed = Some(Instant::now());
        Ok(())
    }

    /// Says whether the lease stood until now.
    async fn renew(&mut self, link: &Link) -> RedisResult<bool> {
        let nodes = self.nodes_key();
        let lasts = u64::try_from(self.connector.config.lease.as_millis()).unwrap_or(u64::MAX);
        let lease = Scripts::lease(&nodes, &self.node, lasts);
        let (lease, ended, all): (String, Vec<String>, HashSet<String>) =
            lease.query_async(&mut link.connection.clone()).await?;
        let ended = ended.into_iter().filter(|node| *node != self.node && !self.ended.contains(node));
        let ended: Vec<String> = ended.collect();
        self.ended.extend(ended);
        if self.nodes.difference(&all).next().is_some() {
            self.sweep.soon();
        }
        self.nodes = all;
        Ok(lease == "stood")
    }

    /// A moment later than the server's own time for it, whose milliseconds are cut off.
    pub(super) fn due(&mut self, at: Instant, room: &RoomId) {
        self.dues.insert((at + Duration::from_millis(50), room.clone()));
    }

    pub(super) fn nodes_key(&self) -> String {
        format!("{}nodes", self.connector.config.prefix)
    }

    pub(super) fn rooms_of(&self, node: &str) -> String {
        format!("{}{{n:{node}}}rooms", self.connector.config.prefix)
    }

    pub(super) fn scripts(&self) -> &Scripts {
        &self.connector.presence
    }

    pub(super) fn place<'a>(&'a self, link: &Link, room: &'a RoomId) -> Place<'a> {
        Place { prefix: &self.connector.config.prefix, room: room.as_str(), sharded: link.sharded }
    }
}

/// A name that no other node has, nor this one had.
fn name() -> String {
    format!("{:016x}", rand::random::<u64>())
}
