//! Tests of the logs: numbers, bounds, and what is forgotten.

use std::time::Duration;

use tokio::time::advance;

use super::*;
use crate::publication::Publication;

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

fn publication(id: &str, bytes: usize) -> Arc<Publication> {
    let event = format!("{{\"x\":\"{}\"}}", "x".repeat(bytes));
    Arc::new(Publication::new(id, vec![room("a")], event).unwrap())
}

fn logs(change: impl FnOnce(&mut HistoryConfig)) -> Logs {
    let mut history = HistoryConfig::default();
    change(&mut history);
    Logs::new(Arc::new(history))
}

fn missed(logs: &mut Logs, name: &str, since: &Position) -> Option<usize> {
    let bounds = RecoveryBounds::new(usize::MAX, usize::MAX);
    let recovery = logs.recover(&room(name), Some(since), bounds);
    recovery.missed.unwrap().ok().map(|missed| missed.len())
}

#[tokio::test(start_paused = true)]
async fn the_total_is_bounded_over_many_rooms() {
    let mut logs = logs(|history| history.total_bytes = 100_000);
    let mut places = Vec::new();
    for n in 0..1_000 {
        let name = format!("r{n}");
        places.push((name.clone(), logs.append(&room(&name), &publication("e", 1_000)).unwrap()));
        assert!(logs.bytes() <= 100_000);
    }
    assert!(logs.rooms() < 100, "{} rooms", logs.rooms());
    let (name, last) = places.last().unwrap();
    assert_eq!(missed(&mut logs, name, &Position::new(Arc::clone(&last.epoch), 0)), Some(1));
    assert_eq!(missed(&mut logs, &places[0].0, &places[0].1), None);
}

#[tokio::test(start_paused = true)]
async fn a_busy_room_does_not_fill_the_queue_of_ages() {
    let mut logs = logs(|history| history.count = 10);
    for n in 0..100_000 {
        logs.append(&room("a"), &publication(&n.to_string(), 1));
    }
    assert!(logs.marks() <= 2 * 10 + 65, "{} marks", logs.marks());
    assert_eq!(logs.rooms(), 1);
}

#[tokio::test(start_paused = true)]
async fn age_empties_everything() {
    let mut logs = logs(|_| {});
    for n in 0..100 {
        logs.append(&room(&format!("r{n}")), &publication("e", 10));
    }
    advance(Duration::from_secs(300)).await;
    logs.join(&room("other"));
    assert_eq!((logs.rooms(), logs.bytes(), logs.marks()), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn rooms_kept_for_their_number_alone_are_bounded() {
    let mut logs = logs(|_| {});
    for n in 0..5_000 {
        let room = room(&format!("r{n}"));
        logs.join(&room);
        logs.leave(&room);
    }
    assert!(logs.rooms() <= 1_024);
    // One with members is never forgotten.
    logs.join(&room("held"));
    for n in 0..5_000 {
        let room = room(&format!("s{n}"));
        logs.join(&room);
        logs.leave(&room);
    }
    advance(Duration::from_secs(600)).await;
    logs.join(&room("other"));
    assert_eq!(logs.rooms(), 2);
}

#[tokio::test(start_paused = true)]
async fn leaving_and_joining_again_keeps_the_number() {
    let mut logs = logs(|_| {});
    let a = room("a");
    logs.join(&a);
    let first = logs.append(&a, &publication("1", 1)).unwrap();
    for _ in 0..3 {
        logs.leave(&a);
        advance(Duration::from_secs(200)).await;
        logs.join(&a);
    }
    let second = logs.append(&a, &publication("2", 1)).unwrap();
    assert_eq!((&second.epoch, second.offset), (&first.epoch, 2));
    assert_eq!(missed(&mut logs, "a", &first), Some(1));
    let start = Position::new(Arc::clone(&first.epoch), 0);
    assert_eq!(missed(&mut logs, "a", &start), None, "the first is too old by now");
}
