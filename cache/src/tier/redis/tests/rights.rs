//! What a user of Redis needs.

use std::sync::atomic::AtomicU64;

use futures_util::FutureExt;

use super::*;
use crate::tier::Heard;
use crate::tier::suite::{Ear, LONG, filled, name, slot, until, value};

/// What only the feed needs.
const FEED: [&str; 2] = ["&{tramline:cache}:feed", "+subscribe"];

/// As they stand in the documentation of the configuration.
pub(super) fn documented() -> Vec<&'static str> {
    let source = include_str!("../../../config.rs");
    let (_, rights) = source.split_once("/// ```text\n").unwrap();
    let (rights, _) = rights.split_once("/// ```\n").unwrap();
    rights.lines().flat_map(|line| line.trim_start_matches("/// ").split(' ')).collect()
}

/// A user with these rights: its configuration.
async fn user(server: &devkit::Redis, name: &str, rights: &[&str]) -> RedisConfig {
    let url = server.url().replace("redis://", &format!("redis://{name}:secret@"));
    let config = config(&url);
    let mut raw = Raw::new(&server.url()).await;
    let rights = rights.join(" ").replace("tramline:cache", &config.prefix);
    let _: () = raw.say(&format!("ACL SETUSER {name} reset on >secret {rights}")).await;
    config
}

/// Everything that the tier does, but to listen.
pub(super) async fn everything(node: &Node) {
    let (tier, token) = (&node.tier, Token::draw());
    let slots: Vec<_> = (0..4).map(|_| slot()).collect();
    tier.marks(&[name("x")], LONG).await;
    tier.marks(&[name("x")], LONG).await;
    tier.read(&slots[0]).await;
    tier.read_or_lease(&slots[0], token, LONG).await;
    tier.read_or_lease_many(&slots[1..3], token, LONG).await;
    tier.wait_for(&slots[0]).await;
    tier.renew(&slots[0], token, LONG).await;
    tier.fill(&slots[0], token, value("x").1, LONG).await;
    tier.fill_many(vec![(slots[1].clone(), value("x").1, LONG)], token).await;
    tier.release(&slots[2], token).await;
    let (id, bytes) = value("x");
    tier.put(&slots[3], bytes.clone(), LONG).await;
    tier.take(&slots[3], id, token, LONG, true).await;
    tier.release(&slots[3], token).await;
    tier.drop_bad(&slots[3], &bytes.into()).await;
    for ending in [Ending::Key(slots[0].clone()), Ending::Mark(name("x")), Ending::All] {
        tier.end(&ending).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_of_the_documentation_are_enough() {
    let Some((server, _)) = server().await else { return };
    let node = Node::new(&user(&server, "enough", &documented()).await);
    let (mut ear, _) = Ear::on(&node.tier).await;
    everything(&node).await;
    ear.until(|heard| matches!(heard, Heard::Filled(_))).await;
    ear.until(|heard| matches!(heard, Heard::Ended { ending: Ending::All, .. })).await;
    filled(&node.tier, &slot(), "x").await;
    assert_eq!(node.errors(), 0);
    assert!(node.is_open());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_none_of_them_is_for_nothing() {
    let Some((server, _)) = server().await else { return };
    let all = documented();
    assert!(all.len() > 15, "{all:?}");
    // What only the feed needs shows in the feed.
    let elsewhere = |right: &&str| FEED.contains(right) || *right == "+ping";
    for (n, right) in all.iter().enumerate().filter(|(_, right)| !elsewhere(right)) {
        let rest: Vec<_> = all.iter().filter(|other| *other != right).copied().collect();
        let node = Node::new(&user(&server, &format!("without{n}"), &rest).await);
        everything(&node).await;
        assert!(node.errors() > 0, "{right} is needed for nothing");
    }
}

/// Whoever may not listen knows that nothing is heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_those_of_the_feed_nothing_is_heard() {
    let Some((server, _)) = server().await else { return };
    for (n, right) in FEED.iter().enumerate() {
        let name = format!("deaf{n}");
        let (node, mut ear) = without(&server, &name, right).await;
        // It has tried more than once.
        for _ in 0..2 {
            refused(&server, &name).await;
        }
        assert!(ear.next().now_or_never().is_none(), "without {right} there is no feed");
        drop(node);
    }
}

/// Any answer is a sign of life, a refusal too: it costs a line a second in the log of Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_pings_it_is_heard_and_shows_in_the_log() {
    let Some((server, config)) = server().await else { return };
    let (node, mut ear) = without(&server, "mute", "+ping").await;
    ear.attached().await;
    for _ in 0..2 {
        refused(&server, "mute").await;
    }
    let other = Node::new(&RedisConfig { prefix: node.redis().calls().names.prefix().to_owned(), ..config });
    other.tier.end(&Ending::Mark(name("x"))).await;
    assert!(matches!(ear.next().await, Heard::Ended { .. }), "and nothing before it");
}

/// A node of a user who lacks one right, and what it hears.
async fn without(server: &devkit::Redis, name: &str, right: &str) -> (Node, Ear) {
    let all = documented();
    let rest: Vec<_> = all.iter().filter(|other| **other != right).copied().collect();
    assert_eq!(rest.len() + 1, all.len(), "{right} is one of them");
    let node = Node::new(&user(server, name, &rest).await);
    let ear = Ear::listen(&node.tier);
    (node, ear)
}

/// Waits until Redis refuses something to this user.
async fn refused(server: &devkit::Redis, name: &str) {
    let raw = Raw::new(&server.url()).await;
    let _: () = Raw(raw.0.clone()).say("ACL LOG RESET").await;
    let refused = async || {
        let log: Vec<::redis::Value> = Raw(raw.0.clone()).say("ACL LOG").await;
        format!("{log:?}").contains(name)
    };
    until(refused).await;
}

/// None of them, nor anything that the tier asks, is about all of Redis.
#[test]
fn none_is_about_everything() {
    let everything =
        ["keys", "scan", "flushdb", "flushall", "eval", "randomkey", "dbsize", "sort", "swapdb", "config"];
    for right in documented() {
        assert!(!right.contains('@') && !right.contains("all"), "{right}");
        assert!(!everything.iter().any(|word| right == format!("+{word}")), "{right}");
    }
}

/// No rights at all: every call is a quick no, and there is one word of warning, not one a call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_the_tier_is_away_until_it_has_them() {
    let Some((server, _)) = server().await else { return };
    let config = user(&server, "none", &[]).await;
    let node = Node::new(&config);
    assert!(matches!(node.tier.read(&slot()).await, Found::Away));
    for _ in 0..100 {
        assert!(matches!(node.tier.read(&slot()).await, Found::Away));
    }
    assert!(node.errors() < 10, "it is not asked each time");
    let mut raw = Raw::new(&server.url()).await;
    let rights = documented().join(" ").replace("tramline:cache", &config.prefix);
    let _: () = raw.say(&format!("ACL SETUSER none {rights}")).await;
    until(async || matches!(node.tier.read(&slot()).await, Found::Nothing)).await;
}

/// Commands are refused, and the feed lives: on its one connection, its own answer comes after all that was said before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_is_whole_by_its_own_word() {
    let Some((server, _)) = server().await else { return };
    let node = Node::new(&user(&server, "hears", &documented()).await);
    let now = Arc::new(AtomicU64::new(1));
    let (hear, mut heard) = tokio::sync::mpsc::channel(1_000);
    let listening = tokio::spawn({
        let (tier, now) = (Arc::clone(&node.tier), Arc::clone(&now));
        async move {
            let hear = |what| hear.try_send(what).expect("a test hears all");
            tier.listen(hear, || now.load(Ordering::SeqCst), std::future::pending()).await;
        }
    });
    let _listening = tokio_util::task::AbortOnDropHandle::new(listening);
    assert!(matches!(heard.recv().await, Some(Heard::Attached(_))));
    assert!(matches!(heard.recv().await, Some(Heard::Whole(1))));
    let _: () = Raw::new(&server.url()).await.say("ACL SETUSER hears -evalsha").await;
    assert!(node.tier.marks(&[name("x")], LONG).await.is_none());
    now.store(2, Ordering::SeqCst);
    let whole = async {
        loop {
            match heard.recv().await.expect("it listens") {
                Heard::Whole(2) => return,
                Heard::Whole(1) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), whole).await.expect("heard in time");
    assert!(!node.is_open());
}
