//! What Redis's user may not do.

use std::time::Duration;

use devkit::Redis;
use serde_json::json;
use tramline_ws_rooms::{Backplane, ErrorKind, Rooms};

use super::{expect_events, node_on, raw, settings, until};
use crate::support::{Gatekeeper, Peer, config, publication, publish};

/// A node that may not listen, or not publish, is not up, and does nothing by halves. It comes once it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_the_channels_is_not_up() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let server = Redis::start().await.unwrap();
    let mut admin = raw(&server.url()).await;
    for (user, (lacks, has)) in
        [("resetchannels", "allchannels"), ("-spublish", "+spublish"), ("-ssubscribe", "+ssubscribe")]
            .into_iter()
            .enumerate()
    {
        let mut rights = async |some: &[&str]| {
            let mut command = redis::cmd("ACL");
            command.arg("SETUSER").arg(user).arg(some).exec_async(&mut admin).await.unwrap();
        };
        rights(&["on", "nopass", "allkeys", "allcommands", "allchannels", lacks]).await;
        let mut settings = settings(&server.url().replace("://", &format!("://{user}:any@")));
        settings.patience = Duration::from_secs(2);
        let backplane = Backplane::redis(settings.clone()).unwrap();
        let rooms = Rooms::new(config(), Gatekeeper::default(), backplane.clone());
        until(|| !backplane.is_up()).await;
        // Still so after some attempts more.
        for number in 0..3 {
            let result = rooms.publish(publication(&["broadcast"], &format!("e{number}"))).await;
            if lacks == "-ssubscribe" {
                result.unwrap();
            } else {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::Backplane);
            }
            assert!(!backplane.is_up(), "{lacks}");
        }
        let mut redis = raw(&server.url()).await;
        let head = format!("{}{{broadcast}}m", settings.prefix);
        let offset: Option<u64> =
            redis::cmd("HGET").arg(&head).arg("o").query_async(&mut redis).await.unwrap();
        assert_eq!(
            offset,
            (lacks == "-ssubscribe").then_some(3),
            "what was refused was not written: {lacks}"
        );
        rights(&[has]).await;
        until(|| backplane.is_up()).await;
        let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
        publish(&rooms, &["broadcast"], "later").await;
        expect_events(&mut ada, offset.unwrap_or(0), &["later"]).await;
    }
}

/// The channels of some rooms only: the others are refused alone, however often they are asked for, and nobody has to
/// connect again for them. What cannot be published is not written either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_without_its_channel_ends_no_session() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let server = Redis::start().await.unwrap();
    let mut admin = raw(&server.url()).await;
    let mut settings = settings(&server.url().replace("://", "://node:any@"));
    settings.patience = Duration::from_secs(8);
    let prefix = settings.prefix.clone();
    let channel = |room: &str| format!("&{prefix}{{{room}}}c");
    let ours = ["broadcast", "user:ada", "role:customer"].map(channel);
    let mut rights = async |more: &[&str]| {
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg("node").arg(&["on", "nopass", "allkeys", "allcommands", "resetchannels"]);
        command.arg(format!("&{prefix}try")).arg(format!("&{prefix}revocations")).arg(&ours).arg(more);
        command.exec_async(&mut admin).await.unwrap();
    };
    rights(&[]).await;
    let rooms = node_on(&settings);
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    publish(&rooms, &["broadcast"], "e0").await;
    expect_events(&mut ada, 0, &["e0"]).await;
    let (mut redis, mut stats) = (raw(&server.url()).await, raw(&server.url()).await);
    let mut connections = async || -> u64 {
        let info: String = redis::cmd("INFO").arg("stats").query_async(&mut stats).await.unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        line.unwrap().trim().parse().unwrap()
    };
    let before = connections().await;
    let join = json!({"type": "subscribe", "room": "payment:1"});
    for number in 1..=20 {
        let answer = ada.ask(join.clone()).await;
        assert_eq!((&answer["code"], &answer["retry"]), (&json!("UNAVAILABLE"), &json!(true)));
        let id = format!("e{number}");
        let error = rooms.publish(publication(&["payment:1", "broadcast"], &id)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Backplane);
        expect_events(&mut ada, number, &[&id]).await;
        assert_eq!(connections().await, before, "nobody had to connect again");
        // No more often than a client may ask.
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    let kept: bool =
        redis::cmd("EXISTS").arg(format!("{prefix}{{payment:1}}m")).query_async(&mut redis).await.unwrap();
    assert!(!kept, "what was refused was not written");
    rights(&[&channel("payment:1")]).await;
    while ada.ask(join.clone()).await["type"] != "subscribed" {
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    publish(&rooms, &["payment:1"], "late").await;
    assert_eq!(ada.expect("event").await["room"], "payment:1");
    // A right is taken back: Redis ends the connection that listens, once, and the other rooms go on.
    let before = connections().await;
    rights(&[]).await;
    for number in 21..=40 {
        let id = format!("e{number}");
        publish(&rooms, &["broadcast"], &id).await;
        expect_events(&mut ada, number, &[&id]).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert_eq!(connections().await, before + 2, "the one that listens and the one that reads, once");
    rights(&[&channel("payment:1")]).await;
    publish(&rooms, &["payment:1"], "later").await;
    assert_eq!(ada.expect("event").await["event"]["id"], "later", "heard once it may be");
}
