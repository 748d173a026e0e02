//! What nodes that are gone have left behind, and leaves whose time has come.

use std::time::Duration;

use ::redis::{Pipeline, RedisResult};
use tokio::time::Instant;

use crate::presence::LINGER;
use crate::protocol::RoomId;

use super::attendance::BATCH;
use super::keeper::Keeper;
use crate::backplane::redis::connection::Link;

/// How long who buries a node has it alone, from the last step on.
const CLAIM_MS: u64 = 10_000;

impl Keeper {
    /// Takes back what a node had. One of the others does so; if it dies over it, the next does.
    pub(super) async fn bury(&mut self, link: &Link, node: &str) -> RedisResult<()> {
        let mut redis = link.connection.clone();
        let claim = format!("{}{{n:{node}}}reap", self.connector.config.prefix);
        let mut command = ::redis::cmd("SET");
        command.arg(&claim).arg(&self.node).arg("NX").arg("PX").arg(CLAIM_MS);
        let claimed: Option<String> = command.query_async(&mut redis).await?;
        if claimed.is_none() {
            return Ok(());
        }
        let rooms = self.rooms_of(node);
        loop {
            self.keep_lease(link).await?;
            let some: Vec<String> =
                ::redis::cmd("SRANDMEMBER").arg(&rooms).arg(BATCH).query_async(&mut redis).await?;
            if some.is_empty() {
                break;
            }
            let valid: Vec<RoomId> = some.iter().filter_map(|name| RoomId::parse(name).ok()).collect();
            let mut pipe = ::redis::pipe();
            pipe.cmd("PEXPIRE").arg(&claim).arg(CLAIM_MS);
            self.bury_in(&mut pipe, link, node, &valid);
            let buried = link.each::<::redis::Value>(&mut pipe).await?;
            self.orphan(valid.clone());
            // What is refused stays in the list, and the node with it: the next renewal finds it again.
            buried.into_iter().collect::<RedisResult<Vec<_>>>()?;
            // ORDER: a room leaves the list after it has been seen to, and is seen to again for what came in between.
            let mut pipe = ::redis::pipe();
            pipe.cmd("SREM").arg(&rooms).arg(&some);
            self.bury_in(&mut pipe, link, node, &valid);
            link.each::<::redis::Value>(&mut pipe).await?;
        }
        let mut pipe = ::redis::pipe();
        pipe.cmd("ZREM").arg(self.nodes_key()).arg(node).ignore().cmd("DEL").arg(&claim).ignore();
        pipe.exec_async(&mut redis).await
    }

    pub(super) fn bury_in(&self, pipe: &mut Pipeline, link: &Link, node: &str, rooms: &[RoomId]) {
        let after = u64::try_from(LINGER.as_millis()).unwrap_or(u64::MAX);
        for room in rooms {
            pipe.add_command(self.scripts().bury(&self.place(link, room), node, after));
        }
    }

    /// Leaves wait in these rooms that nobody else looks after.
    pub(super) fn orphan(&mut self, rooms: Vec<RoomId>) {
        let due = Instant::now() + LINGER;
        for room in rooms {
            self.due(due, &room);
            self.orphaned.insert(room);
        }
    }

    /// Lets those leave whose time has come.
    pub(super) async fn settle(&mut self, link: &Link) -> RedisResult<()> {
        loop {
            self.keep_lease(link).await?;
            let now = Instant::now();
            let due: Vec<_> =
                self.dues.iter().take_while(|(at, _)| *at <= now).take(BATCH).cloned().collect();
            if due.is_empty() {
                return Ok(());
            }
            let mut pipe = ::redis::pipe();
            for (_, room) in &due {
                pipe.add_command(self.scripts().settle(&self.place(link, room)));
            }
            let answers = link.each::<i64>(&mut pipe).await?;
            let mut over = Vec::new();
            for (key, next) in due.iter().zip(answers) {
                self.dues.remove(key);
                let room = &key.1;
                match next.map(u64::try_from) {
                    // Nobody's leave waits there.
                    Ok(Err(_)) => {
                        self.orphaned.remove(room);
                        // ORDER: whoever comes in from here on is written after this, with the room's name in the list
                        // again.
                        if !self.attendance.has(room) {
                            over.push(room.as_str());
                        }
                    }
                    Ok(Ok(next)) if self.orphaned.contains(room) => {
                        self.due(now + Duration::from_millis(next), room);
                    }
                    // Whose leave it is looks after it; here only the list has to be seen to.
                    Ok(Ok(_)) if self.attendance.has(room) => {}
                    Ok(Ok(_)) | Err(_) => self.due(now + LINGER, room),
                }
            }
            if !over.is_empty() {
                let mut command = ::redis::cmd("SREM");
                command.arg(self.rooms_of(&self.node)).arg(over);
                command.exec_async(&mut link.connection.clone()).await?;
            }
        }
    }
}
