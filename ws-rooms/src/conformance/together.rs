//! What holds for nodes together.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;

use super::Capabilities;
use super::harness::{connect, connect_as, connect_at, next, node, publish, room, subscribe};
use crate::auth::{Credential, PeerInfo};
use crate::backplane::Backplane;
use crate::protocol::{Position, ServerFrame};
use crate::revocation::Revocation;

pub(super) async fn nodes_share_numbers(first: Backplane, second: Backplane) {
    let (east, west) = (node(first), node(second));
    let mut readers = [connect(&east).await, connect(&west).await];
    publish(&east, &["a"], "e").await;
    publish(&west, &["a"], "w").await;
    publish(&east, &["a"], "w").await;
    publish(&east, &["a"], "last").await;
    let mut seen = Vec::new();
    for reader in &mut readers {
        let mut ids = Vec::new();
        for offset in 1..=3 {
            let ServerFrame::Event(event) = next(reader).await else { panic!("an event is due") };
            assert_eq!(event.offset, offset);
            ids.push(event.event["id"].clone());
        }
        seen.push(ids);
    }
    assert_eq!(seen[0], seen[1], "one order for all nodes");
}

/// Readers come in while both nodes publish: each sees every number from its place on, once and in order.
pub(super) async fn joins_beside_publishers_leave_no_hole(first: Backplane, second: Backplane) {
    const EVENTS: u64 = 400;
    let nodes = [node(first), node(second)];
    let publish_on = |index: usize| {
        let node = nodes[index].clone();
        async move {
            for number in 0..EVENTS / 2 {
                publish(&node, &["a"], &format!("{index}-{number}")).await;
            }
        }
    };
    let readers = (0..24_usize).map(|number| {
        let node = nodes[number % 2].clone();
        async move {
            // Each waits for its turn, so that some come early and some come late.
            for _ in 0..number * 20 {
                tokio::task::yield_now().await;
            }
            let (mut reader, at) = connect_at(&node, "a").await;
            for offset in at.offset + 1..=EVENTS {
                let ServerFrame::Event(event) = next(&mut reader).await else { panic!("an event is due") };
                assert_eq!(event.offset, offset, "after {}", at.offset);
            }
        }
    });
    let publishers = async { tokio::join!(publish_on(0), publish_on(1)) };
    tokio::join!(publishers, futures_util::future::join_all(readers));
}

/// Every node carries the same source into the rooms, as bridges do.
pub(super) async fn what_all_nodes_publish_counts_once(first: Backplane, second: Backplane) {
    let nodes = [node(first), node(second)];
    let mut readers = [connect(&nodes[0]).await, connect(&nodes[1]).await];
    let carry = |index: usize| {
        let node = nodes[index].clone();
        async move {
            for number in 0..50 {
                publish(&node, &["a", "b"], &format!("{number}")).await;
            }
        }
    };
    tokio::join!(carry(0), carry(1));
    for reader in &mut readers {
        let (mut at, mut events) = ([0, 0], HashSet::new());
        for _ in 0..100 {
            let (room, offset) = match next(reader).await {
                ServerFrame::Event(event) => {
                    let id = event.event["id"].to_string();
                    assert!(events.insert(id), "as an event, only in the first of its rooms");
                    (event.room, event.offset)
                }
                ServerFrame::Position(moved) => (moved.room, moved.offset),
                other => panic!("not an event: {other:?}"),
            };
            let index = usize::from(room.as_str() == "b");
            at[index] += 1;
            assert_eq!(offset, at[index], "a hole in {room}");
        }
        assert_eq!((at, events.len()), ([50, 50], 50));
    }
}

pub(super) async fn a_place_lost_on_one_node_is_told_on_both(first: Backplane, second: Backplane) {
    let nodes = [node(first), node(second)];
    let mut readers = [connect(&nodes[0]).await, connect(&nodes[1]).await];
    publish(&nodes[0], &["a"], "before").await;
    let mut old = Vec::new();
    for reader in &mut readers {
        next(reader).await;
        old.push(subscribe(reader, None).await.epoch);
    }
    assert_eq!(old[0], old[1]);
    nodes[0].new_epochs().await;
    publish(&nodes[1], &["a"], "after").await;
    for reader in &mut readers {
        let mut at = 0;
        // Told in any order of rooms. A gap may cover the event; then nothing follows it.
        while at == 0 {
            match next(reader).await {
                ServerFrame::Gap(gap) if gap.room.as_str() == "a" => {
                    assert_ne!(gap.epoch, old[0]);
                    at = gap.offset + u64::from(gap.offset == 0);
                    if gap.offset == 0 {
                        let event = loop {
                            match next(reader).await {
                                ServerFrame::Gap(gap) => assert_eq!(gap.room.as_str(), "b"),
                                ServerFrame::Event(event) => break event,
                                other => panic!("an event is due, not {other:?}"),
                            }
                        };
                        assert_eq!((event.offset, event.event["id"].as_str()), (1, Some("after")));
                    }
                }
                ServerFrame::Gap(gap) => assert_eq!(gap.room.as_str(), "b"),
                other => panic!("a gap is due, not {other:?}"),
            }
        }
        let answer = subscribe(reader, Some(Position::new(old[0].as_str(), 1))).await;
        assert_eq!((answer.recovered, answer.offset), (Some(false), 1));
    }
}

/// Connections end and are refused on both nodes, and on one that is attached later.
pub(super) async fn what_is_revoked_is_so_on_all_nodes(first: Backplane, second: Backplane) {
    let nodes = [node(first), node(second.clone())];
    let (mut ada, _) = connect_as(&nodes[1], "ada", "a").await;
    let (mut bob, _) = connect_as(&nodes[1], "bob", "a").await;
    let until = Timestamp::now() + Duration::from_secs(600);
    let revoked = nodes[0].revoke(Revocation::user("ada", until)).await;
    revoked.expect("the backplane is there");
    let ServerFrame::Goodbye(goodbye) = next(&mut ada).await else { panic!("a goodbye is due") };
    assert_eq!(goodbye.code, 4009);
    let peer = PeerInfo::new([127, 0, 0, 1].into());
    for node in [&nodes[0], &nodes[1], &node(second)] {
        let ada = node.admit(Credential::Bearer("ada".to_owned()), peer.clone()).await;
        assert_eq!(ada.err().map(|refusal| refusal.code), Some("TOKEN_REVOKED"));
    }
    let revoked = nodes[0].revoke(Revocation::room(room("b"), until)).await;
    revoked.expect("the backplane is there");
    let ServerFrame::Unsubscribed { room, .. } = next(&mut bob).await else { panic!("a room is to go") };
    assert_eq!(room, "b");
    publish(&nodes[0], &["b", "a"], "e").await;
    let ServerFrame::Event(event) = next(&mut bob).await else { panic!("an event is due") };
    assert_eq!(event.room.as_str(), "a");
}

/// A reader whose node is gone comes back to another one.
pub(super) async fn what_one_node_kept_another_recovers(
    first: Backplane,
    second: Backplane,
    can: &Capabilities,
) {
    let (east, west) = (node(first), node(second));
    let (reader, start) = connect_at(&east, "a").await;
    drop(reader);
    let missed = u64::try_from(can.history.min(200)).unwrap_or(0);
    for number in 0..missed {
        publish(&east, &["a"], &format!("m{number}")).await;
    }
    let mut reader = connect(&west).await;
    let answer = subscribe(&mut reader, Some(start.clone())).await;
    assert_eq!((answer.recovered, answer.offset), (Some(true), missed));
    let offsets: Vec<u64> = answer.events.iter().map(|event| event.offset).collect();
    assert_eq!(offsets, (1..=missed).collect::<Vec<_>>());
    for number in 0..=can.history {
        publish(&east, &["a"], &format!("t{number}")).await;
    }
    let mut reader = connect(&west).await;
    let answer = subscribe(&mut reader, Some(start)).await;
    assert_eq!((answer.recovered, answer.events.len()), (Some(false), 0));
}
