//! Tests of what is refused.

use proptest::prelude::*;

use super::*;

/// What the most lenient upstream would make of a path: decoded once, backslashes turned, parameters cut.
fn has_dot_segment(path: &str) -> bool {
    let decoded = path
        .replace("%2e", ".")
        .replace("%2E", ".")
        .replace("%2f", "/")
        .replace("%2F", "/")
        .replace("%5c", "/")
        .replace("%5C", "/")
        .replace("%3b", ";")
        .replace("%3B", ";")
        .replace('\\', "/");
    decoded.split('/').any(|segment| {
        let name = segment.split(';').next().unwrap_or_default();
        name == "." || name == ".."
    })
}

proptest! {
    #[test]
    fn dot_segments_are_found_in_every_spelling(
        parts in prop::collection::vec("\\.|%2[eE]|/|%2[fF]|%5[cC]|\\\\|;|%3[bB]|a|%41|%25", 0..14),
    ) {
        let path = format!("/{}", parts.concat());
        prop_assert_eq!(check_path(&path).is_err(), has_dot_segment(&path), "{}", path);
    }

    #[test]
    fn an_authority_that_passes_needs_no_escape(host in "[ -~]{0,16}") {
        let parts = http::Request::builder().uri("/").header(HOST, host).body(()).unwrap().into_parts().0;
        if let Ok(Some(authority)) = check(&parts, 1024) {
            prop_assert!(!authority.as_str().contains(['"', '\\', ',', ';', '@', ' ']));
        }
    }
}

#[test]
fn ordinary_paths_pass() {
    for path in ["/", "/.well-known/jwks.json", "/a..b/.../c", "/a/b.c;v=1", "//x", "/%2e%2ea", "/100%25"] {
        assert!(check_path(path).is_ok(), "{path}");
    }
}

#[test]
fn lengths_beside_chunks_are_refused_where_they_can_be_seen() {
    let mut headers = HeaderMap::new();
    headers.insert(TRANSFER_ENCODING, "chunked".parse().unwrap());
    assert!(check_length(&headers, Version::HTTP_11).is_ok());
    headers.insert(CONTENT_LENGTH, "3".parse().unwrap());
    assert_eq!(check_length(&headers, Version::HTTP_11).unwrap_err().kind(), ErrorKind::BadRequest);
}
