//! Tests of the normal form.

use proptest::prelude::*;

use super::*;
use crate::config::UpstreamConfig;
use crate::route::{Route, Routes};
use crate::upstream::Upstream;

/// Paths of what matters: separators and dots in all spellings, and what looks like them.
const SPELLINGS: &str =
    "\\.|%2[eE]|/|%2[fF]|%5[cC]|\\\\|;|%3[bB]|a|%61|%41|A|%25|%7[eE]|~|é|%[cC]3%[aA]9|\\$|%24|%00|%";

/// What the most lenient upstream makes of a path: decoded once, backslashes turned, parameters cut.
fn lenient(path: &str) -> Vec<String> {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        bytes.push(*first);
        if *first == b'%'
            && let [high, low, tail @ ..] = tail
            && let (Ok(high), Ok(low)) = (digit(*high), digit(*low))
        {
            *bytes.last_mut().unwrap() = (high << 4) | low;
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes)
        .replace('\\', "/")
        .split('/')
        .map(|segment| segment.split(';').next().unwrap().to_owned())
        .collect()
}

proptest! {
    #[test]
    fn what_is_normal_stays_so(parts in prop::collection::vec(SPELLINGS, 0..14)) {
        let path = format!("/{}", parts.concat());
        if let Ok(once) = normal(&path) {
            let twice = normal(once.as_str()).unwrap();
            prop_assert_eq!(twice.as_str(), once.as_str());
            prop_assert!(twice.is_unchanged());
            prop_assert_eq!(twice.has_encoded_slash(), once.has_encoded_slash());
            prop_assert_eq!(once.is_unchanged(), once.as_str() == path);
            prop_assert!(once.as_str().is_ascii() && once.as_str().starts_with('/') && !once.as_str().contains("//"));
        }
    }

    #[test]
    fn dot_segments_are_found_in_every_spelling(parts in prop::collection::vec(SPELLINGS, 0..14)) {
        let path = format!("/{}", parts.concat());
        let dots = lenient(&path).iter().any(|segment| segment == "." || segment == "..");
        if dots {
            prop_assert!(normal(&path).is_err(), "{}", path);
        }
        // And what is refused has a reason.
        let reason = dots || path.contains('\\') || path.to_lowercase().contains("%5c") || path.contains("%00");
        let digits = |escape: &str| escape.len() > 1 && escape.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
        if !reason && path.split('%').skip(1).all(digits) {
            prop_assert!(normal(&path).is_ok(), "{}", path);
        }
    }

    /// An upstream decodes what it gets. It must not see more in it than in what was matched.
    #[test]
    fn the_normal_form_means_the_same(parts in prop::collection::vec(SPELLINGS, 0..14)) {
        let path = format!("/{}", parts.concat());
        if let Ok(normal) = normal(&path) {
            let not_empty = |path: &str| lenient(path).into_iter().filter(|segment| !segment.is_empty()).collect::<Vec<_>>();
            prop_assert_eq!(not_empty(normal.as_str()), not_empty(&path));
        }
    }

    /// Scenario: `/` is open and `/a/b` is guarded. However `/a/b/…` is spelled, whoever decodes it once and merges
    /// slashes must not find it behind the open route.
    #[test]
    fn no_spelling_reaches_a_route_that_its_normal_form_does_not_match(
        parts in prop::collection::vec("(/|//|%2[fF])(a|%61|b|%62|c|%2D)", 0..4),
    ) {
        let upstream = Upstream::parse("u", "127.0.0.1:1", UpstreamConfig::default()).unwrap();
        let routes = Routes::new(["/", "/a/b"].map(|prefix| Route::new(prefix, upstream.clone()))).unwrap();
        let path = format!("/{}", parts.concat());
        let normal = normal(&path).unwrap();
        let seen: Vec<_> = lenient(&path).into_iter().filter(|segment| !segment.is_empty()).collect();
        let guarded = matches!(seen.as_slice(), [a, b, ..] if a == "a" && b == "b");
        let found = routes.find(None, &normal, &http::Method::GET, &http::HeaderMap::new());
        if guarded {
            // With an encoded slash it is refused, unless the route says that its upstream takes those for data.
            prop_assert!(found.is_err() || found.unwrap().route().path.as_str() == "/a/b", "{}", path);
        } else {
            prop_assert!(found.is_err() || found.unwrap().route().path.as_str() == "/", "{}", path);
        }
    }
}

#[test]
fn ordinary_paths_are_as_they_are() {
    for path in [
        "/",
        "/.well-known/jwks.json",
        "/a..b/.../c",
        "/a/b.c;v=1",
        "/100%25",
        "/caf%C3%A9",
        "/a@b:c/$x,(y)!*'+&=",
        "/a/",
        "/%3F%23",
    ] {
        assert!(normal(path).unwrap().is_unchanged(), "{path}");
    }
}

#[test]
fn spellings_become_one() {
    for (path, wanted) in [
        ("//", "/"),
        ("/a//b///", "/a/b/"),
        ("/%61%7e%2D", "/a~-"),
        ("/%c3%a9", "/%C3%A9"),
        ("/é", "/%C3%A9"),
        ("/a|b\"{}", "/a%7Cb%22%7B%7D"),
        ("/%252e%252e", "/%252e%252e"),
        ("/%2e%2ea", "/..a"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%3b%24", "/a%3B%24"),
    ] {
        assert_eq!(normal(path).unwrap().as_str(), wanted, "{path}");
    }
    for path in
        ["", "a", "*", "/.", "/..", "/../a", "/a/..;x", "/%2e", "/a\\b", "/%5C", "/%00", "/%", "/%4", "/%g0"]
    {
        assert!(normal(path).is_err(), "{path}");
    }
    // A slash that was encoded separates where dots are looked for.
    for path in ["/a/..%2fb", "/a%2F.", "/a%2f%2e%2e%2fb"] {
        assert!(normal(path).is_err(), "{path}");
    }
}
