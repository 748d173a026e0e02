//! Tests of [`Outbox`].

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::backplane::Missed;
use crate::publication::{Fanout, Publication};

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
        outbox.take(1, |queued| taken.push(queued));
        taken.len() > before
    } {}
    taken.iter().map(|queued| queued.text().as_str().to_owned()).collect()
}

#[test]
fn bytes_are_accounted_for() {
    let mut outbox = Outbox::new(1_000, 1_000);
    assert_eq!(outbox.offer(&entry("a", 1, 100), SlowPolicy::Close), 0);
    outbox.push("answer".into());
    let queued = outbox.bytes();
    assert!(queued > 100 && outbox.live_bytes == queued - 8);
    assert_eq!(texts(&mut outbox).len(), 2);
    assert_eq!((outbox.bytes(), outbox.live_bytes), (0, 0));
    assert!(outbox.is_idle());
}

#[test]
fn answers_do_not_count_against_live_frames() {
    let mut outbox = Outbox::new(1_000, 1_000);
    outbox.push("x".repeat(5_000).into());
    assert!(!outbox.has_room(), "no further request is taken up");
    assert_eq!(outbox.offer(&entry("a", 1, 100), SlowPolicy::Close), 0);
    assert!(outbox.closing().is_none());
}

#[test]
fn the_first_close_stands_and_empties_the_queue() {
    let mut outbox = Outbox::new(1_000, 1_000);
    outbox.push("x".into());
    outbox.hold(&room("a"), SlowPolicy::Close);
    outbox.close(Close::SESSION_REVOKED);
    outbox.close(Close::DRAIN);
    outbox.push("y".into());
    outbox.gap(&room("b"), &Position::new("e", 1), GapReason::Source, SlowPolicy::Close);
    outbox.notice(&"z".into());
    assert_eq!(outbox.offer(&entry("a", 1, 10), SlowPolicy::Close), 0);
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

/// What waits, each frame as `type offset` of its room.
fn told(outbox: &mut Outbox) -> Vec<String> {
    let frames = texts(outbox).into_iter().map(|text| serde_json::from_str::<Value>(&text).unwrap());
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    frames
        .map(|frame| format!("{} {} {}", word(&frame["type"]), word(&frame["room"]), frame["offset"]))
        .collect()
}

#[test]
fn the_oldest_goes_and_a_gap_stands_in_its_place() {
    // Five entries of 148 bytes and a gap of 76 fit.
    let mut outbox = Outbox::new(850, 1_000);
    let dropped: Vec<u64> =
        (1..=7).map(|offset| outbox.offer(&entry("a", offset, 100), SlowPolicy::DropOldest)).collect();
    assert_eq!(dropped, [0, 0, 0, 0, 0, 3, 0]);
    // Other rooms' frames stay, in their place.
    assert_eq!(outbox.offer(&entry("b", 1, 1), SlowPolicy::Close), 0);
    assert!(outbox.offer(&entry("a", 8, 100), SlowPolicy::DropOldest) > 0);
    assert_eq!(told(&mut outbox), ["gap a 5", "event a 6", "event a 7", "event b 1", "event a 8"]);
    assert_eq!((outbox.bytes(), outbox.live_bytes), (0, 0));
}

#[test]
fn the_latest_alone_waits() {
    let mut outbox = Outbox::new(1_000, 1_000);
    for offset in 1..=3 {
        outbox.offer(&entry("a", offset, 10), SlowPolicy::Latest);
        outbox.offer(&entry("b", offset, 10), SlowPolicy::Close);
    }
    assert_eq!(told(&mut outbox), ["gap a 2", "event b 1", "event b 2", "event a 3", "event b 3"]);
    outbox.offer(&entry("a", 4, 10), SlowPolicy::Latest);
    assert_eq!(told(&mut outbox), ["event a 4"]);
}

/// A client goes on from the place that an answer gives, so what went before it and what went after it are two gaps.
#[test]
fn what_is_dropped_around_an_answer_is_told_on_both_sides() {
    let mut outbox = Outbox::new(850, 1_000);
    for offset in 1..=2 {
        outbox.offer(&entry("a", offset, 100), SlowPolicy::Latest);
    }
    outbox.hold(&room("a"), SlowPolicy::Latest);
    release(&mut outbox, "a", 5, true);
    for offset in 6..=8 {
        outbox.offer(&entry("a", offset, 100), SlowPolicy::Latest);
    }
    assert_eq!(told(&mut outbox), ["gap a 2", "answer a 5", "gap a 7", "event a 8"]);
    // And a gap that comes after the answer does not go into one before it.
    let gap = |outbox: &mut Outbox, offset| {
        outbox.gap(&room("a"), &Position::new("e", offset), GapReason::Source, SlowPolicy::Latest);
    };
    gap(&mut outbox, 8);
    outbox.hold(&room("a"), SlowPolicy::Latest);
    release(&mut outbox, "a", 9, true);
    gap(&mut outbox, 10);
    assert_eq!(told(&mut outbox), ["gap a 8", "answer a 9", "gap a 10"]);
}

/// What may be dropped goes before anybody is cut for what may not.
#[test]
fn a_backlog_that_may_go_cuts_nobody() {
    let mut outbox = Outbox::new(850, 1_000);
    for offset in 1..=5 {
        outbox.offer(&entry("a", offset, 100), SlowPolicy::DropOldest);
    }
    assert_eq!(outbox.offer(&entry("b", 1, 200), SlowPolicy::Close), 3);
    outbox.notice(&"n".repeat(200).into());
    outbox.gap(&room("c"), &Position::new("e", 9), GapReason::Source, SlowPolicy::Close);
    assert!(outbox.closing().is_none());
    outbox.offer(&entry("b", 2, 800), SlowPolicy::Close);
    assert_eq!(outbox.closing(), Some(&Close::TOO_SLOW));
}

/// A notice is no reason to cut either, while something may go for it.
#[test]
fn a_notice_makes_room_before_it_cuts() {
    let mut outbox = Outbox::new(850, 1_000);
    for offset in 1..=5 {
        outbox.offer(&entry("a", offset, 100), SlowPolicy::DropOldest);
    }
    let notice = format!("{{\"type\":\"{}\"}}", "n".repeat(300));
    assert_eq!(outbox.notice(&notice.as_str().into()), 3);
    assert!(outbox.closing().is_none());
    let frames = texts(&mut outbox);
    assert_eq!((frames.len(), frames.last()), (4, Some(&notice)));
}

/// There is no room for a gap: what waits of its room goes, and one gap says both.
#[test]
fn a_gap_that_makes_its_own_room_is_one() {
    for (policy, dropped) in [(SlowPolicy::DropOldest, 5), (SlowPolicy::Latest, 1)] {
        let mut outbox = Outbox::new(10_000, 1_000);
        for offset in 1..=dropped {
            assert_eq!(outbox.offer(&entry("a", offset, 100), policy), 0);
        }
        outbox.queue_bound = outbox.live_bytes;
        let at = Position::new("e", dropped + 1);
        assert_eq!(outbox.gap(&room("a"), &at, GapReason::Source, policy), dropped);
        let text = texts(&mut outbox);
        assert_eq!(text.len(), 1, "{text:?}");
        let gap: Value = serde_json::from_str(&text[0]).unwrap();
        assert_eq!((&gap["offset"], &gap["reason"]), (&Value::from(dropped + 1), &Value::from("source")));
    }
}

/// Where each room's channel passes an event on by itself, as on Redis, it is known again by its id.
#[test]
fn an_event_that_is_passed_on_for_each_room_comes_once() {
    let mut outbox = Outbox::new(1_000, 1_000);
    for name in ["a", "b"] {
        let publication = Publication::new("e1", vec![room("a"), room("b")], "{\"id\":\"e1\"}").unwrap();
        let entry = Entry::new(Fanout::new(Arc::new(publication)), room(name), Position::new("e", 1));
        outbox.offer(&Arc::new(entry), SlowPolicy::Close);
    }
    assert_eq!(told(&mut outbox), ["event a 1", "position b 1"]);
}

/// Two rooms are asked for at once, and many events come for both meanwhile.
#[test]
fn events_of_two_held_rooms_come_once() {
    let mut outbox = Outbox::new(100_000, 100_000);
    outbox.hold(&room("a"), SlowPolicy::Close);
    outbox.hold(&room("b"), SlowPolicy::Close);
    for offset in 1..=100 {
        let publication = Publication::new(format!("e{offset}"), vec![room("a"), room("b")], "{}").unwrap();
        let fanout = Fanout::new(Arc::new(publication));
        for name in ["a", "b"] {
            let entry = Entry::new(fanout.clone(), room(name), Position::new("e", offset));
            outbox.offer(&Arc::new(entry), SlowPolicy::Close);
        }
    }
    for name in ["a", "b"] {
        release(&mut outbox, name, 0, false);
    }
    let frames = told(&mut outbox);
    assert_eq!(frames.iter().filter(|frame| frame.starts_with("event a")).count(), 100);
    assert_eq!(frames.iter().filter(|frame| frame.starts_with("position b")).count(), 100);
    assert!(outbox.recent.len() <= 16, "what was kept for the holds goes with them");
}

/// Others fill the queue: a room that may drop its own has nothing to drop, and cuts nobody.
#[test]
fn what_finds_no_room_at_all_is_told_by_one_gap() {
    let mut outbox = Outbox::new(300, 1_000);
    outbox.offer(&entry("full", 1, 200), SlowPolicy::Close);
    for offset in 1..=9 {
        assert_eq!(outbox.offer(&entry("a", offset, 100), SlowPolicy::DropOldest), 1);
    }
    assert!(outbox.live_bytes < 400);
    assert_eq!(told(&mut outbox), ["event full 1", "gap a 9"]);
}

/// An event of two rooms was to come in the first, where it is dropped: it comes in the second.
#[test]
fn an_event_that_is_dropped_in_one_room_comes_in_the_next() {
    let publication = |id: &str| {
        let event = format!("{{\"id\":\"{id}\"}}");
        Fanout::new(Arc::new(Publication::new(id, vec![room("a"), room("b")], event).unwrap()))
    };
    let both = |outbox: &mut Outbox, offset: u64, second: bool| {
        let fanout = publication(&format!("e{offset}"));
        for name in ["a", "b"].iter().take(1 + usize::from(second)) {
            let entry = Arc::new(Entry::new(fanout.clone(), room(name), Position::new("e", offset)));
            let policy = if *name == "a" { SlowPolicy::Latest } else { SlowPolicy::Close };
            outbox.offer(&entry, policy);
        }
    };
    let mut outbox = Outbox::new(1_000, 1_000);
    both(&mut outbox, 1, true);
    both(&mut outbox, 2, true);
    assert_eq!(told(&mut outbox), ["gap a 1", "event b 1", "event a 2", "position b 2"]);
    // And when the second was not there yet.
    both(&mut outbox, 3, false);
    both(&mut outbox, 4, false);
    let late = Arc::new(Entry::new(publication("e3"), room("b"), Position::new("e", 3)));
    outbox.offer(&late, SlowPolicy::Close);
    assert_eq!(told(&mut outbox), ["gap a 3", "event a 4", "event b 3"]);
}

/// A source that comes and goes tells of it each time: one gap says it all, and counts as what it is.
#[test]
fn gaps_are_folded_and_count() {
    let mut outbox = Outbox::new(300, 300);
    let gap = |outbox: &mut Outbox, offset, reason| {
        outbox.gap(&room("a"), &Position::new("e", offset), reason, SlowPolicy::Close);
    };
    gap(&mut outbox, 1, GapReason::Source);
    let one = outbox.live_bytes;
    assert!(one > 50);
    for offset in 2..=1_000 {
        gap(&mut outbox, offset, GapReason::Slow);
    }
    assert!(outbox.live_bytes < one + 5);
    let text = texts(&mut outbox).pop().unwrap();
    assert!(text.contains("\"offset\":1000") && text.contains("source"), "{text}");
    // With events between them they are several, within the bound like all else.
    for offset in 1..=10 {
        gap(&mut outbox, 2 * offset - 1, GapReason::Source);
        outbox.offer(&entry("a", 2 * offset, 1), SlowPolicy::Close);
    }
    assert_eq!(outbox.closing(), Some(&Close::TOO_SLOW));
}

#[test]
fn gaps_in_a_hold_are_folded_and_count() {
    let mut outbox = Outbox::new(10_000, 1_000);
    let gap = |outbox: &mut Outbox, offset| {
        outbox.gap(&room("a"), &Position::new("e", offset), GapReason::Source, SlowPolicy::Close);
    };
    outbox.hold(&room("a"), SlowPolicy::Close);
    for offset in 1..=100 {
        gap(&mut outbox, offset);
    }
    let frames = after_answer(&mut outbox, Position::new("e", 0), Some(Ok(Vec::new())));
    assert_eq!((frames.len(), &frames[1]["offset"]), (2, &Value::from(100)));

    outbox.hold(&room("a"), SlowPolicy::Close);
    for offset in 1..=100 {
        gap(&mut outbox, 2 * offset - 1);
        outbox.offer(&entry("a", 2 * offset, 1), SlowPolicy::Close);
    }
    // Nobody asked for what was missed, so the answer alone would hide that it is.
    let frames = after_answer(&mut outbox, Position::new("e", 0), None);
    assert_eq!((frames.len(), &frames[0]["offset"]), (2, &Value::from(200)));
    assert_eq!((&frames[1]["offset"], &frames[1]["reason"]), (&Value::from(200), &Value::from("source")));
}

#[test]
fn a_notice_that_does_not_fit_cuts() {
    let mut outbox = Outbox::new(12, 10);
    outbox.notice(&"0123456789".into());
    assert!(outbox.closing().is_none());
    outbox.notice(&"0".into());
    assert_eq!(outbox.closing(), Some(&Close::TOO_SLOW));
}

#[test]
fn a_burst_does_not_keep_its_memory() {
    let mut outbox = Outbox::new(1 << 20, 1_000);
    for offset in 1..=1_000 {
        outbox.offer(&entry("a", offset, 1), SlowPolicy::Close);
    }
    texts(&mut outbox);
    assert!(matches!(outbox.queue, Line::Empty));
}

/// What a hold has at the end of a question: the answer, then these.
fn after_answer(
    outbox: &mut Outbox,
    read: Position,
    missed: Option<Result<Vec<Missed>, NotRecovered>>,
) -> Vec<Value> {
    let joined = Joined { room: room("a"), recovery: Recovery::new(read, missed) };
    outbox.release(vec![joined], |joined| {
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
    outbox.hold(&room("a"), SlowPolicy::Close);
    outbox.gap(&room("a"), &Position::new("e", 4), GapReason::Source, SlowPolicy::Close);
    for offset in 5..=7 {
        outbox.offer(&entry("a", offset, 10), SlowPolicy::Close);
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
        outbox.hold(&room("a"), SlowPolicy::Close);
        outbox.gap(&room("a"), &Position::new("e", 4), reason, SlowPolicy::Close);
        outbox.offer(&entry("a", 5, 10), SlowPolicy::Close);
        outbox.offer(&entry("a", 6, 10), SlowPolicy::Close);
        let frames = after_answer(&mut outbox, Position::new("e", 6), None);
        let told: Vec<_> =
            frames.iter().map(|frame| (frame["type"].as_str().unwrap(), frame["offset"].as_u64())).collect();
        let expected = [("answer", Some(4)), ("gap", Some(4)), ("event", Some(5)), ("event", Some(6))];
        assert_eq!(told, expected);
        assert_eq!(frames[1]["reason"], word);
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Into the rooms of this mask.
    Publish {
        mask: usize,
        bytes: usize,
    },
    Gap(usize),
    /// A reader takes so many bytes.
    Take(usize),
    /// A room is asked for.
    Hold(usize),
    /// And answered, with what was missed or with the place alone.
    Release(usize, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1_usize..8, 0_usize..300).prop_map(|(mask, bytes)| Step::Publish { mask, bytes }),
        1 => (0_usize..3).prop_map(Step::Gap),
        1 => (1_usize..2_000).prop_map(Step::Take),
        1 => (0_usize..3).prop_map(Step::Hold),
        2 => (0_usize..3, any::<bool>()).prop_map(|(index, whole)| Step::Release(index, whole)),
    ];
    proptest::collection::vec(step, 1..80)
}

/// What a client has to see, whatever is dropped.
#[derive(Default)]
struct Client {
    places: HashMap<String, u64>,
    /// Ids that came as `event`.
    events: HashMap<String, u32>,
    /// Rooms whose answer skipped something: its gap comes next.
    owed: HashMap<String, u64>,
}

impl Client {
    fn take(&mut self, frame: &Value) {
        let room = frame["room"].as_str().unwrap().to_owned();
        let offset = frame["offset"].as_u64().unwrap();
        let owed = self.owed.remove(&room);
        let place = self.places.entry(room.clone()).or_default();
        match frame["type"].as_str().unwrap() {
            "answer" => {
                assert!(offset >= *place, "a place that goes back: {frame}");
                if offset > *place && frame["whole"] == false {
                    self.owed.insert(room, offset);
                }
            }
            "gap" if owed.is_some_and(|owed| offset >= owed) => {}
            _ if owed.is_some() => panic!("an answer hid something before {frame}"),
            "gap" => assert!(offset > *place || frame["reason"] == "source", "a gap that goes back: {frame}"),
            kind => {
                assert_eq!(offset, *place + 1, "a hole: {frame}");
                let id = if kind == "event" { &frame["event"]["id"] } else { &frame["id"] };
                let times = self.events.entry(id.as_str().unwrap().to_owned()).or_default();
                *times += u32::from(kind == "event");
                assert_eq!(*times, 1, "not once, or a position before its event: {frame}");
            }
        }
        *place = offset;
    }
}

/// Answers for a room whose history reaches `read`, if it is asked for.
fn release(outbox: &mut Outbox, name: &str, read: u64, whole: bool) {
    if !outbox.holds.iter().any(|hold| hold.room == room(name)) {
        return;
    }
    let missed = whole.then(|| Ok(Vec::new()));
    let joined = Joined { room: room(name), recovery: Recovery::new(Position::new("e", read), missed) };
    outbox.release(vec![joined], |joined| {
        let offset = joined[0].recovery.position.offset;
        let whole = joined[0].recovery.missed.is_some();
        serde_json::json!({"type": "answer", "room": name, "offset": offset, "whole": whole})
            .to_string()
            .into()
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rooms of all three policies and events that go to several of them.
    #[test]
    fn whatever_is_dropped_is_told(steps in steps(), close in any::<bool>()) {
        const ROOMS: [&str; 3] = ["oldest", "latest", "third"];
        let policies =
            [SlowPolicy::DropOldest, SlowPolicy::Latest, if close { SlowPolicy::Close } else { SlowPolicy::DropOldest }];
        const BOUND: usize = 2_000;
        let mut outbox = Outbox::new(BOUND, 1_000);
        let (mut client, mut offsets, mut number) = (Client::default(), [0_u64; 3], 0);
        for step in steps {
            let mut taken = Vec::new();
            match step {
                Step::Publish { mask, bytes } => {
                    number += 1;
                    let to: Vec<usize> = (0..3).filter(|index| mask & (1 << index) != 0).collect();
                    let rooms = to.iter().map(|index| room(ROOMS[*index])).collect();
                    let event = format!("{{\"id\":\"{number}\",\"x\":\"{}\"}}", "x".repeat(bytes));
                    let fanout = Fanout::new(Arc::new(Publication::new(number.to_string(), rooms, event).unwrap()));
                    for index in to {
                        offsets[index] += 1;
                        let position = Position::new("e", offsets[index]);
                        let entry = Arc::new(Entry::new(fanout.clone(), room(ROOMS[index]), position));
                        outbox.offer(&entry, policies[index]);
                    }
                }
                Step::Gap(index) => {
                    let at = Position::new("e", offsets[index]);
                    outbox.gap(&room(ROOMS[index]), &at, GapReason::Source, policies[index]);
                }
                Step::Take(bytes) => _ = outbox.take(bytes, |queued| taken.push(queued)),
                Step::Hold(index) => outbox.hold(&room(ROOMS[index]), policies[index]),
                Step::Release(index, whole) => release(&mut outbox, ROOMS[index], offsets[index], whole),
            }
            if outbox.closing().is_some() {
                prop_assert!(close, "nobody is cut for rooms that drop");
                return Ok(());
            }
            taken.iter().for_each(|queued| client.take(&serde_json::from_str(queued.text().as_str()).unwrap()));
            // A gap for each room, and events that moved to their second room.
            prop_assert!(outbox.live_bytes <= BOUND + 3 * 100 + 400, "{} bytes wait", outbox.live_bytes);
            let counted: usize = outbox.queue.iter().map(|queued| queued.text().len()).sum();
            prop_assert_eq!(counted, outbox.bytes());
        }
        for (index, name) in ROOMS.iter().enumerate() {
            release(&mut outbox, name, offsets[index], false);
        }
        if outbox.closing().is_some() {
            prop_assert!(close, "nobody is cut for rooms that drop");
            return Ok(());
        }
        texts(&mut outbox).iter().for_each(|text| client.take(&serde_json::from_str(text).unwrap()));
        prop_assert!(client.owed.is_empty(), "an answer hid something: {:?}", client.owed);
        for (index, name) in ROOMS.iter().enumerate() {
            let place = client.places.get(*name).copied().unwrap_or_default();
            prop_assert_eq!(place, offsets[index], "the end of {}", name);
        }
        prop_assert_eq!((outbox.bytes(), outbox.live_bytes), (0, 0));
    }
}
