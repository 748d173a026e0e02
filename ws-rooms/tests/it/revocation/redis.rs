//! What nodes on Redis know of revocations, whatever happens to their connections.

use std::time::Duration;

use devkit::Fault;
use redis::Value;
use tramline_ws_rooms::{ErrorKind, Revocation};

use super::{answer, until};
use crate::backplane::{node_on, raw, settings};
use crate::support::Peer;

/// Asks until the answer is this one: another process hears of it in its own time.
async fn becomes(rooms: &tramline_ws_rooms::Rooms, token: &str, expected: &str) {
    let asking = async {
        while answer(rooms, token).await != expected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.expect("known in time");
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
    (cut_off.url, cut_off.patience) = (through, Duration::from_millis(300));
    let (there, cut_off) = (node_on(&settings), node_on(&cut_off));
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
    settings.patience = Duration::from_millis(500);
    let there = node_on(&settings);
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
