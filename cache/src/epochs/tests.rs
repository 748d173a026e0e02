//! Tests of stamps.

use super::*;
use crate::mark::MarkName;

fn name(text: &str) -> MarkName {
    MarkName::from_wire(text)
}

#[test]
fn an_ending_between_question_and_answer_kills_the_entry() {
    let (epochs, tags) = (Epochs::new(), Tags::default());
    let stamp = || epochs.stamp(":7", tags.stamps([name("t:x"), name("t:y")]));
    let stamps: Vec<_> = (0..4).map(|_| stamp()).collect();
    assert!(stamps.iter().all(|stamp| epochs.is_current(stamp)));
    epochs.end(":7");
    assert!(!epochs.is_current(&stamps[0]));
    let fresh = stamp();
    tags.end(&name("t:z"), None);
    assert!(epochs.is_current(&fresh), "of another tag");
    tags.end(&name("t:y"), None);
    assert!(!epochs.is_current(&fresh));
    let fresh = stamp();
    epochs.cell.end(None);
    assert!(!epochs.is_current(&fresh));
    assert!(epochs.is_current(&stamp()));
}

#[test]
fn an_ending_takes_few_others_with_it() {
    let epochs = Epochs::new();
    let stamps: Vec<_> = (0..10_000).map(|n| epochs.stamp(&format!(":{n}"), None)).collect();
    epochs.end(":7");
    let dead = stamps.iter().filter(|stamp| !epochs.is_current(stamp)).count();
    assert!((1..12).contains(&dead), "{dead}");
}

#[test]
fn tags_that_nobody_carries_take_no_room() {
    let tags = Tags::default();
    for n in 0..10_000 {
        drop(tags.stamps([name(&format!("t:{n}"))]));
    }
    assert!(tags.len() <= 1024);
}

#[test]
fn a_mark_is_known_until_something_ends_or_the_feed_breaks() {
    let cell = Cell::default();
    let (one, two) = (Mark { incarnation: 1, number: 1 }, Mark { incarnation: 1, number: 2 });
    let epoch = cell.epoch();
    cell.learn(one, 5, epoch);
    assert_eq!((cell.known(5), cell.known(6)), (Some(one), None));
    cell.end(Some((two, 5)));
    // Read before the ending, and late.
    cell.learn(one, 5, epoch);
    assert_eq!(cell.known(5), Some(two));
    cell.end(None);
    assert_eq!(cell.known(5), None);
}

#[test]
fn late_tags_are_judged_by_what_ended_meanwhile() {
    let tags = Tags::default();
    let x = || tags.stamps([name("t:x")]).unwrap();
    tags.end(&name("t:x"), None);
    let begun = tags.moment();
    assert!(!tags.ended_since(begun, &x()), "before it began");
    tags.end(&name("t:y"), None);
    assert!(!tags.ended_since(begun, &x()));
    tags.end(&name("t:x"), None);
    assert!(tags.ended_since(begun, &x()));
    let begun = tags.moment();
    for n in 0..4096 {
        tags.end(&name(&format!("t:{n}")), None);
    }
    assert!(!tags.ended_since(begun, &x()), "all of it is remembered");
    tags.end(&name("t:one-more"), None);
    assert!(tags.ended_since(begun, &x()), "it may have been the one that is forgotten");
    let begun = tags.moment();
    tags.end_all();
    assert!(tags.ended_since(begun, &x()));
}
