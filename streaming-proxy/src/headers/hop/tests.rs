//! Tests of stripping.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

const HOP: &[&str] = &["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

proptest! {
    /// Whatever `Connection` says in whatever spelling: what it names is gone unless protected, what it does not
    /// name stays byte for byte, and nothing of this hop is left.
    #[test]
    fn exactly_what_is_nominated_goes(
        fields in prop::collection::vec(("x-[a-z]{1,6}|close|cookie|authorization|x-forwarded-for", "[ -~\u{80}-\u{ff}]{0,12}"), 0..12),
        nominated in prop::collection::vec("(?i)x-[a-z]{1,6}|cookie|upgrade|close|@bad name|", 0..8),
        separators in prop::collection::vec(" ?,[ \t]{0,2}", 8),
        split in 0_usize..8,
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            if let Ok(value) = HeaderValue::from_str(value).or_else(|_| HeaderValue::from_bytes(value.as_bytes())) {
                headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
            }
        }
        for name in HOP.iter().skip(1) {
            headers.append(*name, HeaderValue::from_static("x"));
        }
        let before = headers.clone();
        // One field or two: it must not matter.
        let (first, second) = nominated.split_at(split.min(nominated.len()));
        for part in [first, second] {
            let mut text = String::new();
            for (name, separator) in part.iter().zip(&separators) {
                text.push_str(name);
                text.push_str(separator);
            }
            headers.append(CONNECTION, HeaderValue::from_str(&text).unwrap());
        }

        let scan = Scan::of(&headers);
        strip_request(&mut headers, scan).unwrap();

        for name in HOP {
            prop_assert!(!headers.contains_key(*name), "{}", name);
        }
        for name in before.keys().filter(|name| !HOP.contains(&name.as_str())) {
            let gone = nominated.iter().any(|nominated| nominated.eq_ignore_ascii_case(name.as_str()))
                && !is_protected(name.as_str());
            let kept: Vec<_> = headers.get_all(name).iter().collect();
            let had: Vec<_> = before.get_all(name).iter().collect();
            prop_assert_eq!(kept, if gone { vec![] } else { had }, "{}", name);
        }
    }
}

#[test]
fn trailers_are_noticed() {
    let mut headers = HeaderMap::new();
    headers.insert(TE, HeaderValue::from_static("gzip, Trailers"));
    let scan = Scan::of(&headers);
    assert!(strip_request(&mut headers, scan).unwrap());
    assert!(headers.is_empty());
}
