//! What holds on one node.

use super::Capabilities;
use super::harness::{connect, next, node, publish, room, subscribe};
use crate::backplane::Backplane;
use crate::protocol::{GapReason, NotRecovered, Position, ServerFrame};

pub(super) async fn numbers_count_by_one(backplane: Backplane) {
    let node = node(backplane);
    let mut reader = connect(&node).await;
    for offset in 1..=5 {
        publish(&node, &["a", "b"], &format!("n{offset}")).await;
    }
    let mut at = [0, 0];
    for _ in 0..10 {
        let (room, offset) = match next(&mut reader).await {
            ServerFrame::Event(event) => (event.room, event.offset),
            ServerFrame::Position(moved) => (moved.room, moved.offset),
            other => panic!("not an event: {other:?}"),
        };
        let index = usize::from(room.as_str() == "b");
        at[index] += 1;
        assert_eq!(offset, at[index], "a hole in {room}");
    }
    assert_eq!(at, [5, 5]);
}

pub(super) async fn an_id_counts_once(backplane: Backplane) {
    let node = node(backplane);
    let mut reader = connect(&node).await;
    for id in ["x", "x", "y"] {
        publish(&node, &["a"], id).await;
    }
    for (offset, id) in [(1, "x"), (2, "y")] {
        let ServerFrame::Event(event) = next(&mut reader).await else { panic!("an event is due") };
        assert_eq!((event.offset, event.event["id"].as_str()), (offset, Some(id)));
    }
}

/// A source may deliver again what the history has dropped since.
pub(super) async fn an_id_outlives_its_event(backplane: Backplane, can: &Capabilities) {
    let node = node(backplane);
    let mut reader = connect(&node).await;
    let ids: Vec<String> = (0..=can.history).map(|number| format!("o{number}")).collect();
    let again = [ids[0].clone(), "last".to_owned()];
    for (offset, id) in (1..).zip(ids.iter().chain([&again[1]])) {
        if *id == again[1] {
            publish(&node, &["a"], &again[0]).await;
        }
        publish(&node, &["a"], id).await;
        let ServerFrame::Event(event) = next(&mut reader).await else { panic!("an event is due") };
        assert_eq!((event.offset, event.event["id"].as_str()), (offset, Some(id.as_str())));
    }
}

pub(super) async fn recovery_is_whole_or_nothing(backplane: Backplane, can: &Capabilities) {
    let node = node(backplane);
    let mut reader = connect(&node).await;
    let start = subscribe(&mut reader, None).await;
    let epoch = start.epoch.as_str();
    for number in 0..3 {
        publish(&node, &["a"], &format!("r{number}")).await;
    }
    let answer = subscribe(&mut reader, Some(Position::new(epoch, 1))).await;
    assert_eq!((answer.recovered, answer.offset), (Some(true), 3));
    let offsets: Vec<u64> = answer.events.iter().map(|event| event.offset).collect();
    assert_eq!(offsets, [2, 3]);
    let answer = subscribe(&mut reader, Some(Position::new(epoch, 3))).await;
    assert_eq!((answer.recovered, answer.events.len()), (Some(true), 0));
    for (since, reason) in
        [(Position::new("another", 0), NotRecovered::Epoch), (Position::new(epoch, 4), NotRecovered::Epoch)]
    {
        let answer = subscribe(&mut reader, Some(since)).await;
        assert_eq!((answer.reason, answer.events.len()), (Some(reason), 0));
    }
    for number in 0..=can.history {
        publish(&node, &["a"], &format!("t{number}")).await;
    }
    let answer = subscribe(&mut reader, Some(Position::new(epoch, 1))).await;
    assert_eq!((answer.recovered, answer.events.len()), (Some(false), 0));
    assert!(matches!(answer.reason, Some(NotRecovered::Trimmed | NotRecovered::TooMany)));
}

pub(super) async fn a_lost_place_is_told(backplane: Backplane) {
    let node = node(backplane);
    let mut reader = connect(&node).await;
    publish(&node, &["a"], "before").await;
    next(&mut reader).await;
    node.new_epochs().await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let ServerFrame::Gap(gap) = next(&mut reader).await else { panic!("a gap is due") };
        told.push(gap);
    }
    let gap = told.iter().find(|gap| gap.room.as_str() == "a").expect("every room is told");
    publish(&node, &["a"], "after").await;
    let ServerFrame::Event(event) = next(&mut reader).await else { panic!("an event is due") };
    assert_eq!(event.offset, gap.offset + 1);
}

pub(super) async fn a_skipped_event_is_a_gap(backplane: Backplane) {
    let node = node(backplane);
    let mut reader = connect(&node).await;
    let start = subscribe(&mut reader, None).await;
    publish(&node, &["a"], "before").await;
    next(&mut reader).await;
    let rooms = [room("a"), room("b")];
    for _ in 0..2 {
        node.skip("skipped", &rooms, GapReason::Source).await.expect("the backplane is there");
    }
    publish(&node, &["a"], "after").await;
    // In each of its rooms, in whichever order.
    let mut told = Vec::new();
    for _ in rooms {
        let ServerFrame::Gap(gap) = next(&mut reader).await else { panic!("a gap is due") };
        assert_eq!(gap.reason, GapReason::Source);
        told.push((gap.room.to_string(), gap.offset));
    }
    told.sort_unstable();
    assert_eq!(told, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    let ServerFrame::Event(event) = next(&mut reader).await else { panic!("an event is due") };
    assert_eq!(event.offset, 3, "once for its id");
    for (offset, whole) in [(0, false), (1, false), (2, true), (3, true)] {
        let answer = subscribe(&mut reader, Some(Position::new(start.epoch.as_str(), offset))).await;
        assert_eq!(answer.recovered, Some(whole), "from {offset} on");
    }
}
