//! Tests of [`Tries`].

use super::*;

fn refused() -> PublishErrorKind {
    PublishErrorKind::Refused { code: 404, text: "NOT_FOUND - no exchange 'theirs'".to_owned(), alone: true }
}

#[test]
fn the_pauses_grow_to_a_bound() {
    let moves = Moves::default();
    let mut tries = Tries::of(&moves, 0);
    let mut bound = PAUSE;
    for _ in 0..100 {
        let pause = tries.failed(&refused());
        assert!((bound / 2..=bound).contains(&pause), "{pause:?} of {bound:?}");
        bound = (bound * 2).min(LONGEST);
    }
    assert_eq!(bound, LONGEST);
}

/// One that goes back is tried by another `Tries` the next time.
#[test]
fn what_went_back_before_pauses_longer() {
    let moves = Moves::default();
    assert!(Tries::of(&moves, 3).failed(&refused()) >= PAUSE * 4);
}

/// A refusal is about the copy that was sent last, and says nothing of one before it.
#[test]
fn a_doubt_stays() {
    let moves = Moves::default();
    let mut tries = Tries::of(&moves, 0);
    tries.failed(&refused());
    assert!(!tries.may_have_arrived());
    tries.failed(&PublishErrorKind::Unknown);
    tries.failed(&refused());
    assert!(tries.may_have_arrived());
}

#[test]
fn it_is_told_as_long_as_it_lasts() {
    let moves = Moves::default();
    let (mut one, mut other) = (Tries::of(&moves, 0), Tries::of(&moves, 0));
    assert_eq!(moves.trouble(), None);
    one.failed(&PublishErrorKind::Timeout);
    other.failed(&refused());
    one.failed(&refused());
    let told = moves.trouble().unwrap();
    assert!(told.starts_with("2 events could not be moved") && told.contains("404 NOT_FOUND"), "{told}");
    drop(one);
    assert!(moves.trouble().unwrap().starts_with("an event could"));
    drop(other);
    assert_eq!(moves.trouble(), None);
}
