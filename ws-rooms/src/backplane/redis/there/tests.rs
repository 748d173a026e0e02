use super::*;

fn joined(user: &str) -> Moved {
    Moved::read(format!("J {user}").as_bytes()).unwrap()
}

fn left(user: &str) -> Moved {
    Moved::read(format!("L {user}").as_bytes()).unwrap()
}

fn users(names: &[&str]) -> HashSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A list with these users, of whom none is this node's own.
fn list(there: &mut There, names: &[&str], now: Instant) -> Vec<Moved> {
    let mut tell = Vec::new();
    assert!(!there.list(users(names), HashSet::new, now, &mut tell));
    tell
}

#[test]
fn after_a_loss_the_difference_is_told() {
    let (mut there, mut tell, now) = (There::default(), Vec::new(), Instant::now());
    there.ask();
    assert!(list(&mut there, &["ada"], now).is_empty(), "those who were there before us are no news");
    there.said(joined("bob"), &mut tell);
    there.said(joined("bob"), &mut tell);
    there.said(left("nobody"), &mut tell);
    assert_eq!(tell, [joined("bob")]);
    there.ask();
    there.said(left("cyd"), &mut tell);
    there.said(joined("dan"), &mut tell);
    assert_eq!(tell.len(), 1, "held");
    assert_eq!(list(&mut there, &["ada", "bob", "cyd"], now), [joined("cyd"), left("cyd"), joined("dan")]);
}

/// A Redis that started empty has nobody until the nodes have written again: who is back in time has never left.
#[test]
fn who_is_missing_has_a_moment_to_come_back() {
    let (mut there, mut tell, start) = (There::default(), Vec::new(), Instant::now());
    there.ask();
    list(&mut there, &["ada", "bob", "cyd", "dan"], start);
    there.ask();
    assert!(list(&mut there, &["ada"], start).is_empty());
    assert!(!there.is_due(start));
    // One is said to be there again, and one is said to have left after all.
    there.said(joined("cyd"), &mut tell);
    there.said(left("dan"), &mut tell);
    assert_eq!(tell, [left("dan")]);
    there.ask();
    assert!(list(&mut there, &["ada", "cyd"], start + LINGER / 2).is_empty());
    assert!(there.is_due(start + LINGER));
    there.ask();
    assert!(!there.is_due(start + LINGER), "it is asked already");
    assert_eq!(list(&mut there, &["ada", "cyd"], start + LINGER), [left("bob")]);
    assert!(!there.is_due(start + 9 * LINGER), "nobody is missing");
}

/// A list that is late is not asked for a second time: whoever asks looks at how old the last one is.
#[test]
fn a_list_that_is_out_has_no_age() {
    let (mut there, start) = (There::default(), Instant::now());
    assert_eq!(there.age(start), None);
    there.ask();
    list(&mut there, &["ada"], start);
    assert_eq!(there.age(start + LINGER), Some(LINGER));
    there.ask();
    assert_eq!(there.age(start + LINGER), None, "the next is on its way");
    there.fail(&mut Vec::new());
    assert_eq!(there.age(start + LINGER), Some(LINGER));
    there.ask();
    there.unask();
    assert_eq!(there.age(start + LINGER), Some(LINGER));
}

/// What the own node counts is the truth, and Redis has a copy of it.
#[test]
fn ones_own_users_do_not_leave_by_a_list() {
    let (mut there, mut tell, start) = (There::default(), Vec::new(), Instant::now());
    there.ask();
    list(&mut there, &["ada"], start);
    for moments in 0..3 {
        let now = start + LINGER * moments;
        there.ask();
        there.list(users(&[]), || HashSet::from(["ada".into()]), now, &mut tell);
        assert!(tell.is_empty());
        assert!(there.is_due(now + LINGER), "it is looked at again");
    }
    there.ask();
    assert_eq!(list(&mut there, &[], start + LINGER * 9), [left("ada")], "gone, and nobody could say so");
}

/// A list that is late or refused loses nothing that was said meanwhile.
#[test]
fn what_was_held_for_a_list_that_fails_is_told() {
    let (mut there, mut tell) = (There::default(), Vec::new());
    there.ask();
    there.said(joined("ada"), &mut tell);
    there.fail(&mut tell);
    there.said(left("ada"), &mut tell);
    assert_eq!(tell, [joined("ada"), left("ada")]);
}

#[test]
fn more_than_is_held_wants_another_list() {
    let (mut there, mut tell, now) = (There::default(), Vec::new(), Instant::now());
    there.ask();
    list(&mut there, &[], now);
    there.ask();
    for number in 0..=HELD {
        there.said(joined(&number.to_string()), &mut tell);
    }
    there.said(joined("late"), &mut tell);
    assert!(there.list(users(&["0"]), HashSet::new, now, &mut tell));
    assert_eq!(tell, [joined("0")]);
    there.ask();
    assert_eq!(list(&mut there, &["0", "late"], now), [joined("late")]);
}

#[test]
fn a_loss_before_the_first_list_tells_everybody() {
    let (mut there, mut tell, now) = (There::default(), Vec::new(), Instant::now());
    there.said(joined("ada"), &mut tell);
    there.ask();
    there.unask();
    there.ask();
    assert_eq!((tell, list(&mut there, &["bob"], now)), (vec![joined("ada")], vec![joined("bob")]));
    there.unask();
    there.ask();
    assert!(list(&mut there, &["bob"], now).is_empty());
}

#[test]
fn before_the_first_list_everything_is_told() {
    let (mut there, mut tell, now) = (There::default(), Vec::new(), Instant::now());
    there.said(joined("ada"), &mut tell);
    there.ask();
    there.said(joined("bob"), &mut tell);
    there.said(left("ada"), &mut tell);
    assert_eq!(tell, [joined("ada")]);
    assert_eq!(list(&mut there, &["bob"], now), [joined("bob"), left("ada")]);
    assert_eq!(Moved::read(b"E 1 2 x"), None);
}
