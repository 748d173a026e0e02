//! Tests of attempts in memory.

use std::sync::Mutex;

use jiff::Timestamp;

use super::*;

struct Hand(Arc<Mutex<Timestamp>>);

impl Hand {
    fn clock() -> (Self, Clock) {
        let now = Arc::new(Mutex::new(Timestamp::UNIX_EPOCH));
        let clock = Clock::from_fn({
            let now = Arc::clone(&now);
            move || *now.lock().unwrap()
        });
        (Self(now), clock)
    }

    fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = crate::clock::after(*now, by);
    }
}

fn attempts() -> (Hand, Attempts) {
    let (hand, clock) = Hand::clock();
    let config = AttemptsConfig { clock, ..AttemptsConfig::default() };
    (hand, Attempts::memory(config))
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

#[tokio::test]
async fn five_failures_close_the_account_for_one_address_and_a_while() {
    let (hand, attempts) = attempts();
    for name in ["a@x", "A@X", " a@x", "a@x", "a@x"] {
        attempts.begin(name, HERE).await.unwrap();
    }
    hand.advance(Duration::from_secs(60));
    let refused = attempts.begin("a@x", HERE).await.unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_secs(14 * 60));
    attempts.begin("a@x", THERE).await.unwrap();
    attempts.begin("b@x", HERE).await.unwrap();
    hand.advance(Duration::from_secs(14 * 60));
    attempts.begin("a@x", HERE).await.unwrap();
}

#[tokio::test]
async fn a_success_forgets_the_account_but_not_the_others() {
    let (_hand, attempts) = attempts();
    for n in 0..12 {
        for _ in 0..4 {
            attempts.begin(&format!("u{n}@x"), HERE).await.unwrap();
        }
    }
    attempts.begin("u0@x", HERE).await.unwrap();
    attempts.succeeded("u0@x", HERE).await;
    // 48 failures are left: two more, and the address is closed.
    attempts.begin("u0@x", HERE).await.unwrap();
    attempts.begin("u0@x", HERE).await.unwrap();
    attempts.begin("new@x", HERE).await.unwrap_err();
    attempts.withdraw("u0@x", HERE).await;
    attempts.begin("new@x", HERE).await.unwrap();
}

#[tokio::test]
async fn neighbours_in_ipv6_are_one_address() {
    let (_hand, attempts) = attempts();
    for n in 1..=5 {
        let address: IpAddr = format!("2001:db8::{n}").parse().unwrap();
        attempts.begin("a@x", address).await.unwrap();
    }
    let address: IpAddr = "2001:db8::ffff".parse().unwrap();
    attempts.begin("a@x", address).await.unwrap_err();
    let other: IpAddr = "2001:db8:0:1::1".parse().unwrap();
    attempts.begin("a@x", other).await.unwrap();
    let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
    assert_eq!(names("a@x", mapped).address, names("a@x", HERE).address);
}

#[tokio::test]
async fn the_map_stays_within_its_bound() {
    let (_hand, clock) = Hand::clock();
    let attempts = Attempts::memory(AttemptsConfig { capacity: 100, clock, ..AttemptsConfig::default() });
    for n in 0..1000_u32 {
        let address = IpAddr::V4(std::net::Ipv4Addr::from(n));
        attempts.begin(&format!("u{n}@x"), address).await.unwrap();
        let text = format!("{:?}", attempts.memory);
        let counters: usize = text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap();
        assert!(counters <= 100, "{text}");
    }
}
