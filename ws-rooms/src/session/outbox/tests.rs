//! Tests of [`Outbox`].

use super::*;
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
