//! Tests of what is refused.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn an_authority_that_passes_needs_no_escape(text in "[ -~]{0,16}|[a-b:.\\[\\]]{1,8}") {
        let request = Request::builder().uri("/").header(HOST, text).body(()).unwrap();
        if let Ok(Some(authority)) = check(&request, Scan::of(request.headers()), 1024) {
            prop_assert!(!authority.as_str().contains(['"', '\\', ',', ';', '@', ' ']));
            prop_assert_eq!(host(&authority), authority.host());
        }
    }
}

#[test]
fn lengths_beside_chunks_are_refused_where_they_can_be_seen() {
    let mut headers = HeaderMap::new();
    headers.insert(TRANSFER_ENCODING, "chunked".parse().unwrap());
    assert!(check_length(&headers, Scan::of(&headers), Version::HTTP_11).is_ok());
    headers.insert(CONTENT_LENGTH, "3".parse().unwrap());
    let refused = check_length(&headers, Scan::of(&headers), Version::HTTP_11);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::BadRequest);
}

#[test]
fn a_host_ends_where_its_port_begins() {
    for (text, expected) in [
        ("a", "a"),
        ("a.example:80", "a.example"),
        ("a:", "a"),
        ("1.2.3.4:5", "1.2.3.4"),
        ("[::1]", "[::1]"),
        ("[::1]:80", "[::1]"),
    ] {
        let authority = plain_authority(text).unwrap();
        assert_eq!((host(&authority), authority.host()), (expected, expected));
    }
    assert!(plain_authority(":80").is_none(), "no host");
}
