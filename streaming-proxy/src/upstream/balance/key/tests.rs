//! Tests of keys and their places.

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

fn owner(key: u64, places: &[u64]) -> usize {
    (0..places.len()).max_by_key(|index| score(key, places[*index])).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One of n leaves: what it had goes to the others, and nothing else moves.
    #[test]
    fn only_what_an_address_had_moves(count in 2..20_usize, gone in any::<prop::sample::Index>(), salt in any::<u32>()) {
        let places: Vec<u64> = (0..count).map(|n| place(&format!("10.0.{salt}.{n}:80"))).collect();
        let gone = gone.index(count);
        let mut left = places.clone();
        left.remove(gone);
        let mut moved = 0_usize;
        let keys = 4000;
        for n in 0..keys {
            let key = place(&format!("client {n} {salt}"));
            let before = owner(key, &places);
            if before == gone {
                moved += 1;
            } else {
                prop_assert_eq!(places[before], left[owner(key, &left)]);
            }
        }
        // A share of 1/n, within what chance makes of it.
        let fair = keys / count;
        prop_assert!(moved > fair / 2 && moved < fair * 2, "{} of {}, {} addresses", moved, keys, count);
    }
}

#[test]
fn keys_are_what_they_say() {
    let mut headers = HeaderMap::new();
    headers.insert("x-tenant", HeaderValue::from_static("a"));
    headers.append(COOKIE, HeaderValue::from_static("other=1; sid2=x"));
    headers.append(COOKIE, HeaderValue::from_static("xsid=no;  sid=yes; sid=later"));
    let client = || Some("10.0.0.1".parse().unwrap());
    let of = |text: &str| key(&text.parse().unwrap(), &headers, client);
    assert_eq!(of("fastest"), None);
    assert_eq!(of("round_robin"), None);
    assert_eq!(of("header:x-tenant"), Some(xxh3_64(b"a")));
    assert_eq!(of("header:x-none"), None);
    assert_eq!(of("cookie:sid"), Some(xxh3_64(b"yes")));
    assert_eq!(of("cookie:SID"), None, "cookies have case");
    assert_eq!(of("client"), Some(xxh3_64(&[10, 0, 0, 1])));
    assert_eq!(key(&Balance::Client, &headers, || Some("::ffff:10.0.0.1".parse().unwrap())), of("client"));
    assert_eq!(key(&Balance::Client, &headers, || None), None);
}

#[test]
fn texts_of_balances() {
    let header = Balance::Header(HeaderName::from_static("x-a"));
    for balance in
        [Balance::Fastest, Balance::RoundRobin, Balance::Client, header, Balance::Cookie("Sid".into())]
    {
        assert_eq!(balance.to_string().parse::<Balance>(), Ok(balance));
    }
    for wrong in ["", "fast", "header", "header:", "header:a b", "cookie:", "cookie:a=b", "client:1"] {
        assert!(wrong.parse::<Balance>().is_err(), "{wrong}");
    }
}
