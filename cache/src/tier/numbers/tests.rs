//! Tests of the numbers.

use super::*;
use crate::mark::MarkName;

fn at(incarnation: u64, number: u64) -> Mark {
    Mark { incarnation, number }
}

fn tag() -> Ending {
    Ending::Mark(MarkName::from_wire("t:x"))
}

#[test]
fn one_after_the_other_without_a_gap() {
    let mut numbers = Numbers::new(at(7, 10));
    assert_eq!(numbers.hear(&tag(), at(7, 9)), Verdict::Old);
    assert_eq!(numbers.hear(&tag(), at(7, 10)), Verdict::Old);
    assert_eq!(numbers.hear(&tag(), at(7, 11)), Verdict::Next);
    assert_eq!(numbers.hear(&tag(), at(7, 12)), Verdict::Next);
    assert_eq!(numbers.hear(&tag(), at(7, 14)), Verdict::Hole);
    assert_eq!(numbers.hear(&tag(), at(7, 12)), Verdict::Hole, "twice the same is another count");
    assert_eq!(numbers.hear(&tag(), at(8, 13)), Verdict::Hole);
    assert_eq!(numbers.hear(&Ending::All, at(8, 1)), Verdict::Next);
    assert_eq!(numbers.hear(&tag(), at(8, 2)), Verdict::Next, "its count begins anew");
}

#[test]
fn what_was_there_at_the_last_look_has_been_heard() {
    let mut numbers = Numbers::new(at(7, 10));
    assert_eq!(numbers.look(at(7, 12), 1), Look::Unsure, "it may be on its way");
    numbers.hear(&tag(), at(7, 11));
    numbers.hear(&tag(), at(7, 12));
    assert_eq!(numbers.look(at(7, 13), 2), Look::Whole(1), "13 may be on its way");
    assert_eq!(numbers.look(at(7, 13), 3), Look::Behind, "13 never came");

    let mut numbers = Numbers::new(at(7, 10));
    assert_eq!(numbers.look(at(8, 0), 1), Look::Unsure);
    assert_eq!(numbers.look(at(8, 0), 2), Look::Behind, "nobody said that the count is another one");

    let mut numbers = Numbers::new(at(7, 10));
    assert_eq!(
        numbers.look(at(7, 9), 1),
        Look::Unsure,
        "the look may have begun before the count that it began with"
    );
    assert_eq!(numbers.look(at(7, 9), 2), Look::Behind, "it went back");
}

/// What was looked at before everything ended was another count.
#[test]
fn a_look_before_everything_ended_says_nothing_about_the_new_count() {
    let mut numbers = Numbers::new(at(7, 10));
    assert_eq!(numbers.look(at(7, 10), 1), Look::Unsure);
    assert_eq!(numbers.hear(&Ending::All, at(8, 1)), Verdict::Next);
    assert_eq!(numbers.look(at(8, 1), 2), Look::Unsure);
    assert_eq!(numbers.look(at(8, 2), 3), Look::Whole(2));
    assert_eq!(numbers.look(at(8, 2), 4), Look::Behind, "2 never came");
}

/// The look's answer is on its way while two more end, and those are heard first.
#[test]
fn what_is_heard_after_a_look_has_begun_is_not_too_much() {
    let mut numbers = Numbers::new(at(7, 10));
    assert_eq!(numbers.look(at(7, 10), 1), Look::Unsure);
    numbers.hear(&tag(), at(7, 11));
    numbers.hear(&tag(), at(7, 12));
    assert_eq!(numbers.look(at(7, 11), 2), Look::Whole(2));
    assert_eq!(numbers.look(at(7, 12), 3), Look::Whole(3));
    assert_eq!(numbers.look(at(7, 12), 4), Look::Whole(4));
}
