//! Tests of [`Outbox`].

use serde_json::Value;

use super::*;
use crate::backplane::Missed;
use crate::publication::{Fanout, Publication};

const ME: ConnId = ConnId(1);

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

fn entry(name: &str, offset: u64, bytes: usize) -> Arc<Entry> {
    let event = format!("{{\"x\":\"{}\"}}", "x".repeat(bytes));
    let publication = Publication::new(format!("e{offset}"), vec![room(name)], event).unwrap();
    let fanout = Fanout::new(Arc::new(publication));
    Arc::new(Entry::new(fanout, room(name), Position::new("e", offset)))
}

fn texts(outbox: &mut Outbox) -> Vec<String> {
    let mut taken = Vec::new();
    while {
        let before = taken.len();
        outbox.take(1, &mut taken);
        taken.len() > before
    } {}
    taken.iter().map(|queued| queued.text.as_str().to_owned()).collect()
}

#[test]
fn bytes_are_accounted_for() {
    let mut outbox = Outbox::new(1_000, 1_000);
    assert!(!outbox.offer(ME, &entry("a", 1, 100), SlowPolicy::Close));
    outbox.push("answer".into());
    let queued = outbox.bytes();
    assert!(queued > 100 && outbox.live_bytes == queued - 6);
    assert_eq!(texts(&mut outbox).len(), 2);
    assert_eq!((outbox.bytes(), outbox.live_bytes), (0, 0));
    assert!(outbox.is_idle());
}

#[test]
fn answers_do_not_count_against_live_frames() {
    let mut outbox = Outbox::new(1_000, 1_000);
    outbox.push("x".repeat(5_000).into());
    assert!(!outbox.has_room(), "no further request is taken up");
    assert!(!outbox.offer(ME, &entry("a", 1, 100), SlowPolicy::Close));
    assert!(outbox.closing().is_none());
}

#[test]
fn the_first_close_stands_and_empties_the_queue() {
    let mut outbox = Outbox::new(1_000, 1_000);
    outbox.push("x".into());
    outbox.hold(&room("a"));
    outbox.close(Close::SESSION_REVOKED);
    outbox.close(Close::DRAIN);
    outbox.push("y".into());
    outbox.gap(&room("b"), &Position::new("e", 1), GapReason::Source);
    outbox.notice(&"z".into());
    assert!(!outbox.offer(ME, &entry("a", 1, 10), SlowPolicy::Close));
    assert_eq!(outbox.closing(), Some(&Close::SESSION_REVOKED));
    assert_eq!((texts(&mut outbox).len(), outbox.bytes()), (0, 0));
}

#[test]
fn a_drain_sends_what_waits() {
    let mut outbox = Outbox::new(1_000, 1_000);
    outbox.push("x".into());
    outbox.close(Close::DRAIN);
    assert_eq!(texts(&mut outbox), ["x"]);
}

#[test]
fn drops_are_told_once_with_the_newest_place() {
    let mut outbox = Outbox::new(300, 1_000);
    let gap = SlowPolicy::Gap;
    assert!(!outbox.offer(ME, &entry("a", 1, 200), gap));
    assert!(outbox.offer(ME, &entry("a", 2, 200), gap));
    assert!(outbox.offer(ME, &entry("a", 3, 200), gap));
    let texts = texts(&mut outbox);
    assert_eq!(texts.len(), 2);
    assert!(texts[1].contains("\"gap\"") && texts[1].contains("\"offset\":3"), "{}", texts[1]);
}

#[test]
fn a_notice_that_does_not_fit_cuts() {
    let mut outbox = Outbox::new(10, 10);
    outbox.notice(&"0123456789".into());
    assert!(outbox.closing().is_none());
    outbox.notice(&"0".into());
    assert_eq!(outbox.closing(), Some(&Close::TOO_SLOW));
}

#[test]
fn a_burst_does_not_keep_its_memory() {
    let mut outbox = Outbox::new(1 << 20, 1_000);
    for offset in 1..=1_000 {
        outbox.offer(ME, &entry("a", offset, 1), SlowPolicy::Close);
    }
    texts(&mut outbox);
    assert!(outbox.queue.capacity() <= 64);
}

/// What a hold has at the end of a question: the answer, then these.
fn after_answer(
    outbox: &mut Outbox,
    read: Position,
    missed: Option<Result<Vec<Missed>, NotRecovered>>,
) -> Vec<Value> {
    let joined = Joined { room: room("a"), recovery: Recovery::new(read, missed) };
    outbox.release(ME, vec![joined], |joined| {
        let Position { epoch, offset, .. } = &joined[0].recovery.position;
        serde_json::json!({"type": "answer", "epoch": &**epoch, "offset": offset}).to_string().into()
    });
    texts(outbox).iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

/// The source's loss is in no history, so it is told though the history was read beyond its place; but a place never
/// goes back, or the client would take events that it has had for new ones.
#[test]
fn a_held_gap_is_told_at_the_place_of_the_answer() {
    let mut outbox = Outbox::new(1_000, 1_000);
    outbox.hold(&room("a"));
    outbox.gap(&room("a"), &Position::new("e", 4), GapReason::Source);
    for offset in 5..=7 {
        outbox.offer(ME, &entry("a", offset, 10), SlowPolicy::Close);
    }
    let frames = after_answer(&mut outbox, Position::new("e", 6), Some(Ok(Vec::new())));
    let told: Vec<_> =
        frames.iter().map(|frame| (frame["type"].as_str().unwrap(), frame["offset"].as_u64())).collect();
    assert_eq!(told, [("answer", Some(6)), ("gap", Some(6)), ("event", Some(7))]);
    assert_eq!(frames[1]["reason"], "source");
}

/// A member asked again without `since`, and the room lost its place meanwhile: what follows the gap is not hidden
/// behind the place that the answer tells.
#[test]
fn an_answer_without_events_hides_none_behind_a_gap() {
    for (reason, word) in [(GapReason::Source, "source"), (GapReason::Trimmed, "trimmed")] {
        let mut outbox = Outbox::new(1_000, 1_000);
        outbox.hold(&room("a"));
        outbox.gap(&room("a"), &Position::new("e", 4), reason);
        outbox.offer(ME, &entry("a", 5, 10), SlowPolicy::Close);
        outbox.offer(ME, &entry("a", 6, 10), SlowPolicy::Close);
        let frames = after_answer(&mut outbox, Position::new("e", 6), None);
        let told: Vec<_> =
            frames.iter().map(|frame| (frame["type"].as_str().unwrap(), frame["offset"].as_u64())).collect();
        let expected = [("answer", Some(4)), ("gap", Some(4)), ("event", Some(5)), ("event", Some(6))];
        assert_eq!(told, expected);
        assert_eq!(frames[1]["reason"], word);
    }
}
