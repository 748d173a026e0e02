//! Tests of stamps.

use super::*;
use crate::mark::MarkName;

const LIFE: Duration = Duration::from_secs(60);

fn name(text: &str) -> MarkName {
    MarkName::from_wire(text)
}

#[test]
fn an_ending_between_question_and_answer_kills_the_entry() {
    let (epochs, tags) = (Epochs::new(), Tags::default());
    let stamp = || epochs.stamp(":7", tags.stamps([name("t:x"), name("t:y")]), 0);
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
    let stamps: Vec<_> = (0..10_000).map(|n| epochs.stamp(&format!(":{n}"), None, 0)).collect();
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

/// However often the dead ones are swept out.
#[test]
fn tags_that_are_carried_can_be_ended() {
    let (epochs, tags) = (Epochs::new(), Tags::default());
    let names: Vec<_> = (0..5_000).map(|n| name(&format!("t:{n}"))).collect();
    let stamps: Vec<_> =
        names.iter().map(|name| epochs.stamp(":7", tags.stamps([name.clone()]), 0)).collect();
    for (name, stamp) in names.iter().zip(stamps) {
        assert!(epochs.is_current(&stamp));
        tags.end(name, None);
        assert!(!epochs.is_current(&stamp), "{name:?}");
    }
}

#[test]
fn a_mark_is_known_until_something_ends_or_the_feed_breaks() {
    let cell = Cell::default();
    let (one, two) = (Mark { incarnation: 1, number: 1 }, Mark { incarnation: 1, number: 2 });
    let epoch = cell.epoch();
    cell.learn(one, 5, epoch);
    assert_eq!((cell.known(5, LIFE), cell.known(6, LIFE)), (Some(one), None));
    cell.end(Some((two, 5)));
    // Read before the ending, and late.
    cell.learn(one, 5, epoch);
    assert_eq!(cell.known(5, LIFE), Some(two));
    cell.end(None);
    assert_eq!(cell.known(5, LIFE), None);
}

#[test]
fn a_mark_does_not_go_back_to_what_is_heard_late() {
    let cell = Cell::default();
    let [one, two, three] = [1, 2, 3].map(|number| Mark { incarnation: 1, number });
    // The third was read before the second was heard.
    cell.learn(three, 5, cell.epoch());
    cell.end(Some((two, 5)));
    assert_eq!(cell.known(5, LIFE), Some(three));
    // In another attachment nothing of that holds.
    cell.end(Some((one, 6)));
    assert_eq!(cell.known(6, LIFE), None);
    // Ended here, with a number that nobody told: what is heard then may be from before.
    cell.learn(one, 6, cell.epoch());
    cell.end(None);
    cell.end(Some((two, 6)));
    assert_eq!(cell.known(6, LIFE), None);
    cell.learn(two, 6, cell.epoch());
    cell.end(Some((three, 6)));
    assert_eq!(cell.known(6, LIFE), Some(three));
}

#[tokio::test(start_paused = true)]
async fn a_mark_is_read_again_before_the_tier_forgets_it() {
    let cell = Cell::default();
    let mark = Mark { incarnation: 1, number: 1 };
    cell.learn(mark, 5, cell.epoch());
    tokio::time::advance(LIFE - Duration::from_millis(1)).await;
    assert_eq!(cell.known(5, LIFE), Some(mark));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(cell.known(5, LIFE), None);
}

#[test]
fn a_write_ends_all_but_itself() {
    let epochs = Epochs::new();
    let (write, read) = (epochs.stamp(":7", None, 0), epochs.stamp(":7", None, 0));
    let written = epochs.end_others(":7", write.clone()).unwrap();
    assert!(epochs.is_current(&written) && !epochs.is_current(&read));
    // Another one that began with it, and was overtaken: neither is known to be the newer one.
    assert!(epochs.end_others(":7", write).is_none());
    assert!(!epochs.is_current(&written));
}

#[test]
fn late_tags_are_judged_by_what_ended_meanwhile() {
    let tags = Tags::default();
    let x = || tags.stamps([name("t:x")]).unwrap();
    tags.end(&name("t:x"), None);
    let begun = tags.moment();
    assert_eq!(tags.ended_since(begun, &x()), None, "before it began");
    tags.end(&name("t:y"), None);
    assert_eq!(tags.ended_since(begun, &x()), None);
    tags.end(&name("t:x"), None);
    let ended = tags.moment();
    tags.end(&name("t:y"), None);
    tags.end(&name("t:x"), None);
    assert_eq!(tags.ended_since(begun, &x()), Some(ended));
    let both = tags.stamps([name("t:x"), name("t:y")]).unwrap();
    assert_eq!(tags.ended_since(begun, &both), Some(ended - 1), "the first of them");
    let begun = tags.moment();
    for n in 0..4096 {
        tags.end(&name(&format!("t:{n}")), None);
    }
    assert_eq!(tags.ended_since(begun, &x()), None, "all of it is remembered");
    tags.end(&name("t:one-more"), None);
    assert_eq!(tags.ended_since(begun, &x()), Some(begun + 1), "it may have been the one that is forgotten");
}
