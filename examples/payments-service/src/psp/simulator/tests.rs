//! Tests of the provider's rules.

use super::*;

#[test]
fn the_amount_tells_how_a_payment_ends() {
    for (minor, expected) in [
        (1_250, Fate::Completes),
        (1_213, Fate::Fails),
        (13, Fate::Fails),
        (1_299, Fate::Stays),
        (1_300, Fate::Completes),
    ] {
        assert_eq!(fate(minor), expected, "{minor}");
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
