//! Tests of the ledger: each kind of wrong is found, and nothing else.

use super::*;

fn effect(id: &str, key: &str, seq: i64) -> Effect {
    Effect { event_id: id.to_owned(), ordered: true, key: key.to_owned(), seq }
}

/// Three events of a key, one of them poison, and one that nobody answered for.
fn sound() -> Ledger {
    let mut ledger = Ledger::default();
    for (id, poison) in [("one", false), ("two", true), ("three", false)] {
        ledger.accepted.insert(id.to_owned(), Accepted { poison, ordered: true });
    }
    ledger.unanswered.insert("maybe".to_owned(), false);
    ledger.effects = vec![effect("one", "k", 1), effect("three", "k", 3)];
    ledger.letters.insert("two".to_owned(), vec!["rejected".to_owned()]);
    ledger.deaths.insert("two".to_owned(), 1);
    ledger
}

fn found(change: impl FnOnce(&mut Ledger)) -> Vec<(&'static str, Vec<String>)> {
    let mut ledger = sound();
    change(&mut ledger);
    ledger.findings().into_iter().map(|finding| (finding.what, finding.ids)).collect()
}

fn one(what: &'static str, id: &str) -> Vec<(&'static str, Vec<String>)> {
    vec![(what, vec![id.to_owned()])]
}

#[test]
fn a_sound_ledger_has_no_findings() {
    assert_eq!(found(|_| {}), []);
    let arrived = |ledger: &mut Ledger| ledger.effects.push(effect("maybe", "k", 4));
    assert_eq!(found(arrived), [], "what nobody answered for may be there");
}

#[test]
fn what_is_lost_is_found() {
    assert_eq!(found(|l| drop(l.effects.pop())), one("lost: accepted, and no effect", "three"));
    assert_eq!(found(|l| drop(l.letters.remove("two"))), one("lost: poison, and no dead letter", "two"));
    assert_eq!(found(|l| l.outbox.push("three".to_owned())), one("left in the outbox", "three"));
}

#[test]
fn what_is_there_twice_is_found() {
    assert_eq!(found(|l| l.effects.push(effect("one", "k", 1))), one("more than one effect", "one"));
    let again = |l: &mut Ledger| l.letters.entry("two".to_owned()).or_default().push("rejected".to_owned());
    assert_eq!(found(again), one("more dead letters than deaths", "two"));
    let died_twice = |l: &mut Ledger| {
        again(l);
        l.deaths.insert("two".to_owned(), 2);
    };
    assert_eq!(found(died_twice), [], "a death that came again is told, and is no loss");
}

#[test]
fn what_should_not_be_is_found() {
    let stranger = |l: &mut Ledger| l.effects.push(effect("rolled back", "k", 9));
    assert_eq!(found(stranger), one("an effect of what nobody committed or sent", "rolled back"));
    let poison = |l: &mut Ledger| l.effects.insert(1, effect("two", "k", 2));
    assert_eq!(found(poison), one("an effect of poison", "two"));
    let letter = |l: &mut Ledger| {
        l.letters.insert("one".to_owned(), vec!["redelivered".to_owned()]);
    };
    assert_eq!(found(letter), one("a dead letter that was no poison", "one"));
}

/// A mended event's letter is to be sent back, and then its effect comes.
#[test]
fn it_is_settled_when_all_that_was_accepted_has_ended() {
    assert!(sound().is_settled());
    let mut waits = sound();
    waits.effects.remove(0);
    waits.letters.insert("one".to_owned(), vec!["rejected".to_owned()]);
    waits.deaths.insert("one".to_owned(), 1);
    assert!(!waits.is_settled());
    waits.effects.push(effect("one", "k", 1));
    assert!(!waits.is_settled(), "a letter of its own is still to go back");
    waits.letters.remove("one");
    assert!(waits.is_settled());
    waits.effects.push(effect("one", "k", 1));
    assert!(waits.is_settled(), "no time mends a second effect");
}

#[test]
fn what_was_overtaken_is_found() {
    assert_eq!(found(|l| l.effects.swap(0, 1)), one("out of order", "one"));
    let other = |l: &mut Ledger| {
        l.effects.swap(0, 1);
        l.effects[1].key = "other".to_owned();
    };
    assert_eq!(found(other), [], "keys have no order among themselves");
    let direct = |l: &mut Ledger| {
        l.effects.swap(0, 1);
        l.effects.iter_mut().for_each(|effect| effect.ordered = false);
    };
    assert_eq!(found(direct), [], "direct events have none");
}
