//! Tests of [`Alarm`].

use super::*;

fn alarm() -> Alarm {
    Alarm::new(&RelayConfig {
        alarm_rows: Some(100),
        alarm_age: Some(Duration::from_secs(10)),
        ..RelayConfig::default()
    })
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn it_comes_at_a_threshold_and_goes_at_half_of_it() {
    let mut alarm = alarm();
    assert!(!alarm.look(99, seconds(9)));
    assert!(alarm.look(100, seconds(1)) && alarm.on());
    assert!(!alarm.look(51, None) && alarm.on());
    assert!(alarm.look(50, None) && !alarm.on());
}

#[test]
fn age_alone_is_enough_and_both_have_to_be_over() {
    let mut alarm = alarm();
    assert!(alarm.look(1, seconds(10)));
    assert!(!alarm.look(60, seconds(1)), "the rows hold it");
    assert!(!alarm.look(1, seconds(6)), "the age holds it");
    assert!(alarm.look(1, seconds(5)));
}

#[test]
fn off_is_off() {
    let config = RelayConfig { alarm_rows: None, alarm_age: None, ..RelayConfig::default() };
    assert!(!Alarm::new(&config).look(u64::MAX, seconds(u64::MAX)));
}
