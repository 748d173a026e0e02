//! Redis starts anew, or another one takes its place.

use devkit::Redis;
use serde_json::json;

use super::{expect_events, node_on, settings};
use crate::support::{Peer, publication, publish};

/// A Redis that was killed has its data again and may have lost the last of it: the numbers begin anew, members are
/// told, and an event that both have is not taken twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_redis_numbers_anew() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let server = Redis::start().await.unwrap();
    let settings = settings(&server.url());
    let nodes = [node_on(&settings), node_on(&settings)];
    let mut readers = [
        Peer::connect(&nodes[0], "ada/customer/s1").await,
        Peer::connect(&nodes[1], "bob/customer/s2").await,
    ];
    let old = readers[0].place("broadcast");
    publish(&nodes[0], &["broadcast"], "e1").await;
    for reader in &mut readers {
        expect_events(reader, 0, &["e1"]).await;
    }
    server.kill().await;
    server.restart().await.unwrap();
    let mut epochs = Vec::new();
    for reader in &mut readers {
        // The rooms of the server's, in any order.
        loop {
            let gap = reader.expect("gap").await;
            assert_eq!((&gap["offset"], &gap["reason"]), (&json!(0), &json!("trimmed")));
            if gap["room"] == "broadcast" {
                epochs.push(gap["epoch"].clone());
                break;
            }
        }
    }
    assert_eq!(epochs[0], epochs[1]);
    assert_ne!(epochs[0], old["epoch"]);
    while nodes[1].publish(publication(&["broadcast"], "e1")).await.is_err() {}
    publish(&nodes[1], &["broadcast"], "e2").await;
    for reader in &mut readers {
        loop {
            let frame = reader.next().await;
            if frame["room"] != "broadcast" {
                assert_eq!(frame["type"], "gap");
                continue;
            }
            assert_eq!((&frame["offset"], &frame["event"]["id"]), (&json!(1), &json!("e2")), "{frame}");
            break;
        }
    }
    let mut late = Peer::connect(&nodes[0], "cyd/customer/s3").await;
    let answer = late.ask(json!({"type": "subscribe", "room": "broadcast", "since": old})).await;
    assert_eq!((&answer["recovered"], &answer["reason"]), (&json!(false), &json!("epoch")));
}
