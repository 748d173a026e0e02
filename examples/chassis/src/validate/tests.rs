//! Tests of [`Faults`].

use super::*;

#[test]
fn all_faults_are_told_at_once() {
    let mut faults = Faults::new();
    faults.text("/name", "  ", 1..=3);
    faults.text("/note", "a\u{0}b", 1..=500);
    faults.email("/email", "no");
    faults.check(false, "/amount", "must be positive");
    assert_eq!(faults.take::<u8, _>("/n", "x".parse::<u8>()), None);
    let problem = faults.finish().unwrap_err();
    let pointers: Vec<_> = problem.errors().iter().map(|e| &*e.pointer).collect();
    assert_eq!(pointers, ["/name", "/note", "/email", "/amount", "/n"]);
}

#[test]
fn texts_are_trimmed_and_counted_in_characters() {
    let mut faults = Faults::new();
    assert_eq!(faults.text("/a", " äöü ", 3..=3), "äöü");
    assert_eq!(faults.optional_text("/b", None, 1..=1), None);
    assert!(faults.is_empty());
    faults.text("/a", "äöüx", 1..=3);
    assert!(!faults.is_empty());
}

#[test]
fn emails() {
    for good in ["a@b.co", "first.last+tag@sub.example.com", "ü@exämple.org"] {
        assert!(is_email(good), "{good}");
    }
    let long = format!("{}@example.com", "a".repeat(65));
    for bad in ["", "@b.co", "a@", "a@b", "a b@c.de", "a@@b.co", "a@b..co", "a@-b.co", "a@b.co\n", &long] {
        assert!(!is_email(bad), "{bad}");
    }
}

#[test]
fn the_number_of_faults_is_bounded() {
    let mut faults = Faults::new();
    for _ in 0..1000 {
        faults.add("/x", "bad");
    }
    assert_eq!(faults.finish().unwrap_err().errors().len(), MAX_FAULTS);
}
