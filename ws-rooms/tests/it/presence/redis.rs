//! Who is there, when nodes and the way to Redis fail.

use std::time::Duration;

use devkit::Fault;
use redis::Value;
use serde_json::json;
use tokio::runtime::Builder;
use tramline_ws_rooms::Rooms;

use super::news;
use crate::backplane::{node_on, raw, ready_on, settings, until};
use crate::support::Peer;

pub(super) async fn enter(rooms: &Rooms, user: &str) -> Peer {
    let mut peer = Peer::connect(rooms, &format!("{user}/customer/s-{user}")).await;
    peer.ask(json!({"type": "subscribe", "room": "payment:1"})).await;
    peer
}

/// A node dies with its users, and nobody is there to say goodbye for them: the others do when its lease has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_users_of_a_dead_node_leave() {
    let Some(url) = devkit::engines::redis().await else { return };
    let mut settings = settings(url);
    settings.lease = Duration::from_secs(5);
    // Nobody asks who is there, which would let those leave whose time has come.
    settings.check_every = Duration::from_secs(3_600);
    let rooms = node_on(&settings);
    let mut ada = enter(&rooms, "ada").await;
    let mut dead = Some(Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
    let other = settings.clone();
    dead.as_ref().unwrap().spawn(async move {
        let rooms = node_on(&other);
        let _bob = enter(&rooms, "bob").await;
        let _cyd = enter(&rooms, "cyd").await;
        std::future::pending::<()>().await;
    });
    // Of two who come or go together either may be told first.
    for kind in ["joined", "left"] {
        let mut told = [news(&mut ada).await, news(&mut ada).await];
        told.sort_unstable_by_key(|(_, user)| user.to_string());
        assert_eq!(told, ["bob", "cyd"].map(|user| (json!(kind), json!(user))));
        if kind == "joined" {
            dead.take().unwrap().shutdown_background();
        }
    }
    let answer = ada.ask(json!({"type": "presence", "room": "payment:1"})).await;
    assert_eq!(answer["members"], json!([{"userId": "ada", "connections": 1}]));
}

/// A node that was cut off for longer than its lease is taken for gone; when it is back, its users are there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_taken_for_gone_comes_back() {
    let Some(url) = devkit::engines::redis().await else { return };
    let (fault, through) = Fault::in_front_of(url).await.unwrap();
    let mut near = settings(url);
    near.lease = Duration::from_secs(5);
    let mut far = near.clone();
    far.url = through;
    let (beside, behind) = (node_on(&near), node_on(&far));
    let mut ada = enter(&beside, "ada").await;
    let mut bob = enter(&behind, "bob").await;
    assert_eq!(ada.expect("joined").await["userId"], "bob");
    fault.cut();
    assert_eq!(ada.expect("left").await["userId"], "bob");
    let cyd = enter(&beside, "cyd").await;
    assert_eq!(ada.expect("joined").await["userId"], "cyd");
    fault.heal();
    assert_eq!(ada.expect("joined").await["userId"], "bob");
    // Those behind the broken way are told what they have missed.
    while bob.expect("joined").await["userId"] != "cyd" {}
    drop(cyd);
}

/// Connections that break while Redis is away are taken back when it is there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_forgotten_while_redis_is_away() {
    let Some(url) = devkit::engines::redis().await else { return };
    let (fault, through) = Fault::in_front_of(url).await.unwrap();
    let near = settings(url);
    let mut far = near.clone();
    far.url = through;
    far.patience = Duration::from_secs(2);
    let ((behind, backplane), beside) = (ready_on(&far).await, node_on(&near));
    let mut ada = enter(&beside, "ada").await;
    let mut bob = enter(&behind, "bob").await;
    assert_eq!(ada.expect("joined").await["userId"], "bob");
    // Behind the answer to that, which is on its way to bob's node: it has nothing to write when the way breaks.
    for _ in 0..5 {
        bob.ask(json!({"type": "presence", "room": "payment:1"})).await;
    }
    fault.cut();
    until(|| !backplane.is_up()).await;
    drop(bob.client);
    // Its end, with what there is to write, comes while Redis is away.
    bob.server.await.unwrap();
    fault.heal();
    assert_eq!(news(&mut ada).await, (json!("left"), json!("bob")));
    let mut redis = raw(url).await;
    let left: Vec<Value> = redis::cmd("HGETALL")
        .arg(format!("{}{{payment:1}}p", near.prefix))
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(left.len(), 6, "ada, ada on one node, and how many there are: {left:?}");
}
