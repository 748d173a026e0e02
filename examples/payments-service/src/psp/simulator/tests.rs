//! Tests of the provider's rules.

use super::*;

#[test]
fn the_amount_tells_how_a_payment_ends() {
    for (minor, digits, expected) in [
        (1_250, 2, Fate::Completes),
        (1_213, 2, Fate::Fails),
        (13, 2, Fate::Fails),
        (1_299, 2, Fate::Stays),
        (1_300, 2, Fate::Completes),
        // No digits, no such ending; three digits end in `.130` and `.990`.
        (113, 0, Fate::Completes),
        (99, 0, Fate::Completes),
        (1_130, 3, Fate::Fails),
        (1_013, 3, Fate::Completes),
        (1_990, 3, Fate::Stays),
    ] {
        assert_eq!(fate(Amount::from_minor(minor, digits)), expected, "{minor} {digits}");
    }
}

#[test]
fn a_delay_grows_and_is_bounded() {
    assert!(delay(1) <= FIRST_DELAY);
    for attempts in 1..100 {
        let delay = delay(attempts);
        assert!(delay >= FIRST_DELAY / 2 && delay <= LAST_DELAY, "{attempts}: {delay:?}");
    }
    assert!(delay(60) >= LAST_DELAY / 2);
}
