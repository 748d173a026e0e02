//! Who is in rooms, over all nodes.
//!
//! What Redis has of a node is a copy of what the node counts itself: what changed is written, and written again after a
//! failure, so that nothing is lost in between. A node has a lease; when it ends, another node takes back what the
//! node had. A node that finds its own lease ended writes all it has under a new name.

pub(super) mod scripts;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::RedisResult;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::presence::LINGER;
use crate::protocol::RoomId;

use super::connection::{Connector, Link, pause};

use self::scripts::{LIFE_MS, Place, Scripts};

/// How often all is written again, so that Redis keeps it.
const AGAIN: Duration = Duration::from_secs(600);
/// Changes in one round trip.
const BATCH: usize = 128;

/// What this process's nodes count, and what of it Redis has not.
#[derive(Default)]
pub(super) struct Attendance {
    table: Mutex<Table>,
    changed: Notify,
    /// Wakes the reader: rooms show people that did not before.
    pub(super) fresh: Notify,
}

/// Bounded by the connections and the rooms of each.
#[derive(Default)]
struct Table {
    people: HashMap<RoomId, HashMap<Arc<str>, u32>>,
    /// What is to be written, with how long a leave waits.
    dirty: HashMap<(RoomId, Arc<str>), Duration>,
    /// Rooms that have people since the reader looked.
    fresh: HashSet<RoomId>,
}

/// The task that writes.
pub(super) struct Keeper {
    connector: Arc<Connector>,
    attendance: Arc<Attendance>,
    link: Option<Link>,
    node: String,
    leased: bool,
    /// Rooms in which leaves are due.
    dues: BTreeSet<(Instant, RoomId)>,
}

// === impl Attendance ===

impl Attendance {
    pub(super) fn enter(&self, room: &RoomId, user: &Arc<str>) {
        let mut table = self.lock();
        let fresh = !table.people.contains_key(room) && table.fresh.insert(room.clone());
        let people = table.people.entry(room.clone()).or_default();
        *people.entry(Arc::clone(user)).or_insert(0) += 1;
        table.dirty.insert((room.clone(), Arc::clone(user)), Duration::ZERO);
        drop(table);
        if fresh {
            self.fresh.notify_one();
        }
        self.changed.notify_one();
    }

    pub(super) fn exit(&self, room: &RoomId, user: &Arc<str>, after: Duration) {
        let mut table = self.lock();
        let Some(people) = table.people.get_mut(room) else { return };
        let Some(count) = people.get_mut(user) else { return };
        *count -= 1;
        if *count == 0 {
            people.remove(user);
        }
        if people.is_empty() {
            table.people.remove(room);
        }
        table.dirty.insert((room.clone(), Arc::clone(user)), after);
        drop(table);
        self.changed.notify_one();
    }

    pub(super) fn has(&self, room: &RoomId) -> bool {
        self.lock().people.contains_key(room)
    }

    pub(super) fn take_fresh(&self) -> HashSet<RoomId> {
        std::mem::take(&mut self.lock().fresh)
    }

    /// Some of what is to be written: room, user, connections, how long a leave waits.
    fn take(&self) -> Vec<(RoomId, Arc<str>, u32, Duration)> {
        let mut table = self.lock();
        let keys: Vec<_> = table.dirty.keys().take(BATCH).cloned().collect();
        let mut take = |key: (RoomId, Arc<str>)| {
            let after = table.dirty.remove(&key)?;
            let count = table.people.get(&key.0).and_then(|people| people.get(&key.1)).copied();
            Some((key.0, key.1, count.unwrap_or(0), after))
        };
        keys.into_iter().filter_map(&mut take).collect()
    }

    /// Not written: unless it has changed again since, it is to be written again.
    fn give_back(&self, batch: Vec<(RoomId, Arc<str>, u32, Duration)>) {
        let mut table = self.lock();
        for (room, user, _, after) in batch {
            table.dirty.entry((room, user)).or_insert(after);
        }
        drop(table);
        self.changed.notify_one();
    }

    fn dirty_all(&self) {
        let mut table = self.lock();
        let all: Vec<_> = table
            .people
            .iter()
            .flat_map(|(room, people)| people.keys().map(|user| (room.clone(), Arc::clone(user))))
            .collect();
        for key in all {
            table.dirty.entry(key).or_insert(LINGER);
        }
        drop(table);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Keeper ===

impl Keeper {
    pub(super) fn new(connector: Arc<Connector>, attendance: Arc<Attendance>) -> Self {
        Self { connector, attendance, link: None, node: name(), leased: false, dues: BTreeSet::new() }
    }

    /// Writes until the last handle is gone; others then take back what is left.
    pub(super) async fn run(mut self, end: CancellationToken) {
        let renew = self.connector.config.lease / 3;
        let mut ticks = interval(Duration::from_millis(500));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut renewed, mut again) = (None::<Instant>, Instant::now() + AGAIN);
        let (mut attempt, mut used) = (0, false);
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                () = self.attendance.changed.notified() => used = true,
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
            let lease = renewed.is_none_or(|at| now.duration_since(at) >= renew);
            match self.round(lease).await {
                Ok(()) => {
                    attempt = 0;
                    if lease {
                        renewed = Some(now);
                    }
                }
                Err(error) => {
                    self.link = None;
                    metrics::counter!("ws.backplane.failures", "task" => "presence").increment(1);
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "Redis did not take who is there"
                    );
                    sleep(pause(attempt)).await;
                    attempt += 1;
                }
            }
        }
    }

    async fn round(&mut self, lease: bool) -> RedisResult<()> {
        let link = match &self.link {
            Some(link) => link.clone(),
            None => {
                let link = self.connector.connect(None::<fn(::redis::PushInfo) -> Result<(), ()>>).await?;
                self.link.insert(link).clone()
            }
        };
        if lease {
            // ORDER: a lease before anything is written under the name, or nobody would take it back.
            self.renew(&link).await?;
        }
        loop {
            let batch = self.attendance.take();
            if batch.is_empty() {
                break;
            }
            if let Err(error) = self.write(&link, &batch).await {
                self.attendance.give_back(batch);
                return Err(error);
            }
        }
        self.settle(&link).await
    }

    async fn write(&mut self, link: &Link, batch: &[(RoomId, Arc<str>, u32, Duration)]) -> RedisResult<()> {
        let rooms = self.rooms_of(&self.node);
        let mut pipe = ::redis::pipe();
        // ORDER: the node's list names a room before the room names the node.
        for (room, ..) in batch {
            pipe.cmd("SADD").arg(&rooms).arg(room.as_str()).ignore();
        }
        pipe.cmd("PEXPIRE").arg(&rooms).arg(LIFE_MS).ignore();
        for (room, user, count, after) in batch {
            let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            pipe.add_command(self.scripts().put(&self.place(link, room), user, &self.node, *count, after));
        }
        let answers: Vec<String> = pipe.query_async(&mut link.connection.clone()).await?;
        let full = answers.iter().filter(|answer| *answer == "full").count();
        if full > 0 {
            metrics::counter!("ws.presence.unseen").increment(full as u64);
        }
        let now = Instant::now();
        for (room, _, count, after) in batch {
            if *count == 0 {
                self.due(now + *after, room);
            }
        }
        Ok(())
    }

    async fn renew(&mut self, link: &Link) -> RedisResult<()> {
        let nodes = format!("{}nodes", self.connector.config.prefix);
        let lasts = u64::try_from(self.connector.config.lease.as_millis()).unwrap_or(u64::MAX);
        let lease = Scripts::lease(&nodes, &self.node, lasts);
        let answer: Vec<String> = lease.query_async(&mut link.connection.clone()).await?;
        let Some((lease, ended)) = answer.split_first() else { return Ok(()) };
        if self.leased && lease != "stood" {
            tracing::warn!("this node was taken for gone: it tells anew who is there");
            let old = std::mem::replace(&mut self.node, name());
            self.leased = false;
            self.attendance.dirty_all();
            self.bury(link, &nodes, &old).await?;
            let lease = Scripts::lease(&nodes, &self.node, lasts);
            let _: Vec<String> = lease.query_async(&mut link.connection.clone()).await?;
        }
        self.leased = true;
        for node in ended {
            if *node != self.node {
                self.bury(link, &nodes, node).await?;
            }
        }
        Ok(())
    }

    /// Takes back what a node had. One of the others does so; if it dies over it, the next does.
    async fn bury(&mut self, link: &Link, nodes: &str, node: &str) -> RedisResult<()> {
        let mut redis = link.connection.clone();
        let claim = format!("{}{{n:{node}}}reap", self.connector.config.prefix);
        let mut command = ::redis::cmd("SET");
        command.arg(&claim).arg(&self.node).arg("NX").arg("PX").arg(10_000);
        let claimed: Option<String> = command.query_async(&mut redis).await?;
        if claimed.is_none() {
            return Ok(());
        }
        let rooms = self.rooms_of(node);
        let after = u64::try_from(LINGER.as_millis()).unwrap_or(u64::MAX);
        loop {
            let some: Vec<String> =
                ::redis::cmd("SRANDMEMBER").arg(&rooms).arg(BATCH).query_async(&mut redis).await?;
            if some.is_empty() {
                break;
            }
            let mut pipe = ::redis::pipe();
            let valid: Vec<RoomId> = some.iter().filter_map(|name| RoomId::parse(name).ok()).collect();
            for room in &valid {
                pipe.add_command(self.scripts().bury(&self.place(link, room), node, after)).ignore();
            }
            // ORDER: a room leaves the list after it has been seen to.
            pipe.cmd("SREM").arg(&rooms).arg(&some).ignore();
            pipe.exec_async(&mut redis).await?;
            let due = Instant::now() + LINGER;
            for room in &valid {
                self.due(due, room);
            }
        }
        let mut pipe = ::redis::pipe();
        pipe.cmd("ZREM").arg(nodes).arg(node).ignore().cmd("DEL").arg(&claim).ignore();
        pipe.exec_async(&mut redis).await
    }

    /// Lets those leave whose time has come.
    async fn settle(&mut self, link: &Link) -> RedisResult<()> {
        let now = Instant::now();
        let mut pipe = ::redis::pipe();
        let due: Vec<_> = self.dues.iter().take_while(|(at, _)| *at <= now).take(BATCH).cloned().collect();
        if due.is_empty() {
            return Ok(());
        }
        for (_, room) in &due {
            pipe.add_command(self.scripts().settle(&self.place(link, room))).ignore();
        }
        pipe.exec_async(&mut link.connection.clone()).await?;
        for key in &due {
            self.dues.remove(key);
        }
        // ORDER: whoever comes in from here on is written after this, with the room's name in the list again.
        let over = due.iter().filter(|(_, room)| !self.attendance.has(room));
        let over: Vec<&str> = over.map(|(_, room)| room.as_str()).collect();
        if over.is_empty() {
            return Ok(());
        }
        let mut command = ::redis::cmd("SREM");
        command.arg(self.rooms_of(&self.node)).arg(over).exec_async(&mut link.connection.clone()).await
    }

    /// A moment later than the server's own time for it, whose milliseconds are cut off.
    fn due(&mut self, at: Instant, room: &RoomId) {
        self.dues.insert((at + Duration::from_millis(50), room.clone()));
    }

    fn rooms_of(&self, node: &str) -> String {
        format!("{}{{n:{node}}}rooms", self.connector.config.prefix)
    }

    fn scripts(&self) -> &Scripts {
        &self.connector.presence
    }

    fn place<'a>(&'a self, link: &Link, room: &'a RoomId) -> Place<'a> {
        Place { prefix: &self.connector.config.prefix, room: room.as_str(), sharded: link.sharded }
    }
}

/// A name that no other node has, nor this one had.
fn name() -> String {
    format!("{:016x}", rand::random::<u64>())
}
