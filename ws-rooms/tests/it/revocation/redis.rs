//! What nodes on Redis know of revocations, whatever happens to their connections.

use std::time::Duration;

use devkit::{Fault, Redis};
use redis::Value;
use redis::aio::MultiplexedConnection;
use tramline_ws_rooms::backplane::{Driver, RedisBackplane, RedisConfig};
use tramline_ws_rooms::{Backplane, ErrorKind, Revocation, Rooms};

use super::{answer, until, until_true};
use crate::backplane::{node_on, raw, ready_on, settings};
use crate::support::{Gatekeeper, Peer, config, room, settle};

/// A Redis of the test's own, on which nodes are a user whose rights can be changed.
struct Guarded {
    _server: Redis,
    redis: MultiplexedConnection,
    settings: RedisConfig,
}

impl Guarded {
    async fn start() -> Option<Self> {
        devkit::engines::redis().await?;
        let server = Redis::start().await.unwrap();
        let mut settings = settings(&server.url().replace("redis://", "redis://node:secret@"));
        // What is refused for want of time is waited for, and all else must be done within it.
        settings.patience = Duration::from_secs(3);
        let redis = raw(&server.url()).await;
        let mut guarded = Self { _server: server, redis, settings };
        guarded.run("ACL SETUSER node on >secret ~* &* +@all").await;
        Some(guarded)
    }

    /// Nodes hear of no revocation, and everything else.
    async fn deafen(&mut self) {
        self.run("ACL SETUSER node -subscribe").await;
        self.run("CLIENT KILL USER node").await;
    }

    async fn run(&mut self, line: &str) {
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| _ = command.arg(word));
        command.exec_async(&mut self.redis).await.unwrap();
    }

    fn key(&self) -> String {
        format!("{}revoked", self.settings.prefix)
    }
}

/// Asks until the answer is this one: another process hears of it in its own time.
async fn becomes(rooms: &Rooms, token: &str, expected: &str) {
    let asking = async {
        while answer(rooms, token).await != expected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.expect("known in time");
}

/// Joins until it is let.
async fn opens(redis: &RedisBackplane) {
    let place = room("broadcast");
    let joining = async { while redis.join(&place).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(20), joining).await.expect("open in time");
}

/// A process that starts later, and one that did not hear while its link was cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_not_there_learns_of_it() {
    let Some(url) = devkit::engines::redis().await else { return };
    let settings = settings(url);
    let (fault, through) = Fault::in_front_of(url).await.unwrap();
    let mut cut_off = settings.clone();
    cut_off.url = through;
    let (there, cut_off) = (node_on(&settings), node_on(&cut_off));
    let mut ada = Peer::connect(&cut_off, "ada/customer/s1").await;
    there.revoke(Revocation::session("first", until(600))).await.unwrap();
    becomes(&cut_off, "eve/customer/first", "TOKEN_REVOKED").await;
    fault.cut();
    there.revoke(Revocation::session("s1", until(600))).await.unwrap();
    let late = node_on(&settings);
    becomes(&late, "ada/customer/s1", "TOKEN_REVOKED").await;
    ada.quiet().await;
    fault.heal();
    assert_eq!(ada.rest().await.1, Some(4009));
    assert_eq!(answer(&cut_off, "ada/customer/s1").await, "TOKEN_REVOKED");
}

/// Redis is away: in force here at once, and told when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_did_not_take_is_told_later() {
    let Some(url) = devkit::engines::redis().await else { return };
    let settings = settings(url);
    let (fault, through) = Fault::in_front_of(url).await.unwrap();
    let mut cut_off = settings.clone();
    (cut_off.url, cut_off.patience) = (through, Duration::from_secs(2));
    let (there, (cut_off, _)) = (node_on(&settings), ready_on(&cut_off).await);
    let mut ada = Peer::connect(&cut_off, "ada/customer/s1").await;
    let mut tab = Peer::connect(&there, "ada/customer/s1").await;
    fault.cut();
    let error = cut_off.revoke(Revocation::session("s1", until(600))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backplane);
    assert_eq!(ada.rest().await.1, Some(4009));
    tab.quiet().await;
    fault.heal();
    assert_eq!(tab.rest().await.1, Some(4009));
}

/// Redis has lost its data: whoever knows writes it again, so that the next process knows it too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_lost_is_written_again() {
    let Some(url) = devkit::engines::redis().await else { return };
    let mut settings = settings(url);
    // It is written again after twice as long.
    settings.patience = Duration::from_secs(2);
    let (there, _) = ready_on(&settings).await;
    there.revoke(Revocation::session("s1", until(600))).await.unwrap();
    let mut redis = raw(url).await;
    let key = format!("{}revoked", settings.prefix);
    let life: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut redis).await.unwrap();
    assert!((1..=600_000).contains(&life), "it ends with the last of them: {life}");
    let _: Value = redis::cmd("DEL").arg(&key).query_async(&mut redis).await.unwrap();
    becomes(&node_on(&settings), "ada/customer/s1", "TOKEN_REVOKED").await;
}

/// The set has no place: the nodes that are there know all the same, and whoever revoked is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_that_is_full_is_told() {
    let Some(url) = devkit::engines::redis().await else { return };
    let settings = settings(url);
    let (there, beside) = (node_on(&settings), node_on(&settings));
    there.revoke(Revocation::session("first", until(600))).await.unwrap();
    becomes(&beside, "ada/customer/first", "TOKEN_REVOKED").await;
    let mut redis = raw(url).await;
    let key = format!("{}revoked", settings.prefix);
    let fill = "local from = tonumber(ARGV[2])\n for n = from, from + 999 do redis.call('ZADD', KEYS[1], ARGV[1], 'x' .. n) end";
    let end = until(600).as_millisecond();
    // A thousand at a time: others use this Redis too.
    for from in (0..100_000).step_by(1_000) {
        let mut call = redis::cmd("EVAL");
        call.arg(fill).arg(1).arg(&key).arg(end).arg(from);
        let _: Value = call.query_async(&mut redis).await.unwrap();
    }
    let error = there.revoke(Revocation::session("s1", until(600))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QueueFull);
    becomes(&beside, "ada/customer/s1", "TOKEN_REVOKED").await;
    let _: Value = redis::cmd("DEL").arg(&key).query_async(&mut redis).await.unwrap();
}

/// Redis refuses the writing: all who are there hear it all the same, whoever revoked is told, and whoever comes later knows
/// it once it is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_refuses_to_keep_is_told() {
    let Some(mut guarded) = Guarded::start().await else { return };
    let settings = guarded.settings.clone();
    let redis = RedisBackplane::new(settings.clone()).unwrap();
    let there = Rooms::new(config(), Gatekeeper::default(), Backplane::new(redis.clone()));
    let beside = node_on(&settings);
    let mut ada = Peer::connect(&beside, "ada/customer/s1").await;
    let mut bob = Peer::connect(&beside, "bob/customer/s2").await;
    opens(&redis).await;
    guarded.run("ACL SETUSER node -zadd").await;
    for (session, peer) in [("s1", &mut ada), ("s2", &mut bob)] {
        let error = there.revoke(Revocation::session(session, until(600))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QueueFull);
        assert_eq!(peer.rest().await.1, Some(4009));
    }
    // What it knows and cannot write is no reason not to listen.
    guarded.deafen().await;
    until_true(|| !Driver::is_up(&redis)).await;
    guarded.run("ACL SETUSER node +subscribe").await;
    until_true(|| Driver::is_up(&redis)).await;
    guarded.run("ACL SETUSER node +zadd").await;
    becomes(&node_on(&settings), "ada/customer/s1", "TOKEN_REVOKED").await;
    // For want of memory it refuses none.
    guarded.run("CONFIG SET maxmemory 1").await;
    there.revoke(Revocation::session("s3", until(600))).await.unwrap();
    becomes(&node_on(&settings), "ada/customer/s3", "TOKEN_REVOKED").await;
}

/// A node that does not know yet whose rights have ended, or may have missed it, opens no room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_room_opens_before_the_revocations_are_known() {
    let Some(mut guarded) = Guarded::start().await else { return };
    let (settings, key) = (guarded.settings.clone(), guarded.key());
    let place = room("broadcast");
    let there = node_on(&settings);
    there.revoke(Revocation::session("s1", until(600))).await.unwrap();
    drop(there);
    guarded.run(&format!("RENAME {key} aside")).await;
    guarded.run(&format!("SET {key} strange")).await;
    let redis = RedisBackplane::new(settings).unwrap();
    let late = Rooms::new(config(), Gatekeeper::default(), Backplane::new(redis.clone()));
    assert_eq!(redis.join(&place).await.unwrap_err().kind(), ErrorKind::Backplane);
    assert!(!Driver::is_up(&redis));
    assert_eq!(answer(&late, "ada/customer/s1").await, "UNAVAILABLE");
    guarded.run(&format!("RENAME aside {key}")).await;
    opens(&redis).await;
    assert_eq!(answer(&late, "ada/customer/s1").await, "TOKEN_REVOKED");
    // The same when it does not hear any more.
    guarded.deafen().await;
    until_true(|| !Driver::is_up(&redis)).await;
    assert_eq!(redis.join(&place).await.unwrap_err().kind(), ErrorKind::Backplane);
    guarded.run("ACL SETUSER node +subscribe").await;
    until_true(|| Driver::is_up(&redis)).await;
    redis.join(&place).await.unwrap();
}

/// Nor does it welcome anybody, whatever rooms they want: those who come wait, and are refused when it takes too long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_welcome_before_the_revocations_are_known() {
    let Some(mut guarded) = Guarded::start().await else { return };
    let (settings, key) = (guarded.settings.clone(), guarded.key());
    let there = node_on(&settings);
    there.revoke(Revocation::session("s1", until(600))).await.unwrap();
    let (fault, through) = Fault::in_front_of(&settings.url).await.unwrap();
    // It can be asked, and answers nothing yet.
    fault.hold_answers();
    let mut late = settings.clone();
    (late.url, late.patience) = (through, Duration::from_secs(20));
    let redis = RedisBackplane::new(late).unwrap();
    let node = Rooms::new(config(), Gatekeeper::default(), Backplane::new(redis.clone()));
    assert!(!Driver::is_up(&redis), "not ready before it knows");
    let asking = tokio::spawn({
        let node = node.clone();
        async move { [answer(&node, "ada/roomless/s1").await, answer(&node, "bob/roomless/s2").await] }
    });
    settle().await;
    fault.heal();
    assert_eq!(asking.await.unwrap(), ["TOKEN_REVOKED", "welcome"]);
    until_true(|| Driver::is_up(&redis)).await;
    // A set that cannot be read.
    drop(there);
    guarded.run(&format!("RENAME {key} aside")).await;
    guarded.run(&format!("SET {key} strange")).await;
    let later = node_on(&settings);
    assert_eq!(answer(&later, "bob/roomless/s2").await, "UNAVAILABLE");
    guarded.run(&format!("RENAME aside {key}")).await;
    let opened = async {
        loop {
            match answer(&later, "ada/roomless/s1").await {
                "UNAVAILABLE" => tokio::time::sleep(Duration::from_millis(1)).await,
                answer => return answer,
            }
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), opened).await.expect("known in time");
    assert_eq!(answer, "TOKEN_REVOKED");
}
