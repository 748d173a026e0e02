//! Tests of a relay's settings.

use super::*;

#[test]
fn nothing_stands_still_and_nothing_spins() {
    let mut config = RelayConfig { window: 0, max_unsettled: 0, ..RelayConfig::default() };
    config.poll_interval = Duration::ZERO;
    config.first_delay = Duration::ZERO;
    config.max_delay = Duration::ZERO;
    config.max_pause = Duration::ZERO;
    config.store_timeout = Duration::ZERO;
    config.gauge_interval = Duration::ZERO;
    config.share_interval = Duration::ZERO;
    let config = config.checked();
    assert_eq!((config.window, config.max_unsettled), (1, 1));
    for rest in [config.poll_interval, config.max_pause, config.gauge_interval, config.share_interval] {
        assert_eq!(rest, REST);
    }
    for least in [config.first_delay, config.max_delay, config.store_timeout] {
        assert_eq!(least, SHORTEST);
    }
    assert!(config.delay(1, config.max_delay) > Duration::ZERO);
}

#[test]
fn what_is_sound_stays() {
    let default = RelayConfig::default();
    assert_eq!(format!("{:?}", default.clone().checked()), format!("{default:?}"));
}
