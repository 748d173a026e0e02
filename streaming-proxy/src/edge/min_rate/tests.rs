//! Tests of [`Pace`].

use proptest::prelude::*;

use super::*;

fn rate(bytes: u32, seconds: u64) -> MinRate {
    MinRate::new(bytes, Duration::from_secs(seconds))
}

#[test]
fn a_window_without_enough_is_too_slow() {
    let mut pace = Pace::new(rate(10, 4));
    assert!(pace.keeps_up(0, Duration::from_secs(3)), "the window is not over");
    assert_eq!(pace.left(), Duration::from_secs(1));
    assert!(pace.keeps_up(40, Duration::from_secs(1)), "exactly enough is enough");
    assert_eq!(pace.left(), Duration::from_secs(4), "a new window");
    assert!(!pace.keeps_up(39, Duration::from_secs(4)));
}

#[test]
fn what_moves_without_a_wait_counts_for_the_window_it_is_in() {
    let mut pace = Pace::new(rate(10, 4));
    assert!(pace.keeps_up(40, Duration::ZERO));
    assert!(pace.keeps_up(0, Duration::from_secs(4)));
    assert!(!pace.keeps_up(0, Duration::from_secs(4)), "and for no later one");
}

/// Its field is free for all to set.
#[test]
fn a_window_has_a_length() {
    let mut rate = rate(10, 4);
    rate.window = Duration::ZERO;
    let pace = Pace::new(rate);
    assert_eq!(pace.left(), Duration::from_millis(1));
}

proptest! {
    #[test]
    fn a_steady_client_is_judged_by_its_rate(bytes in 1_u32..1000, seconds in 1_u64..100, own in 0_u32..2000) {
        let mut pace = Pace::new(rate(bytes, seconds));
        let always = (0..seconds * 3).all(|_| pace.keeps_up(own.into(), Duration::from_secs(1)));
        prop_assert_eq!(always, own >= bytes);
    }
}
