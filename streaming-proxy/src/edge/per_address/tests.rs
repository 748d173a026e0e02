//! Tests of [`PerAddress`].

use super::*;

#[test]
fn each_client_has_its_own_count_and_gives_back() {
    let counts = Arc::new(PerAddress::new(2));
    let take = |addr: &str| counts.take(addr.parse().unwrap());
    let first = take("192.0.2.1").unwrap();
    let _mapped = take("::ffff:192.0.2.1").expect("the same client, and its second");
    assert!(take("192.0.2.1").is_none());
    assert!(take("192.0.2.2").is_some());
    drop(first);
    let _again = take("192.0.2.1").expect("a place was given back");
    assert!(take("192.0.2.1").is_none());
}

#[test]
fn a_64_is_one_client() {
    let counts = Arc::new(PerAddress::new(1));
    let take = |addr: &str| counts.take(addr.parse().unwrap());
    let _one = take("2001:db8:0:1::1").unwrap();
    assert!(take("2001:db8:0:1:ffff::2").is_none());
    assert!(take("2001:db8:0:2::1").is_some());
}

#[test]
fn nothing_is_kept_of_clients_that_are_gone() {
    let counts = Arc::new(PerAddress::new(1));
    let place = counts.take("192.0.2.1".parse().unwrap());
    drop(place);
    let none = Arc::new(PerAddress::new(0));
    assert!(none.take("192.0.2.1".parse().unwrap()).is_none());
    assert!(counts.open.lock().unwrap().is_empty() && none.open.lock().unwrap().is_empty());
}
