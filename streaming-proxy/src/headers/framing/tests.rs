//! Tests of what is refused.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn an_authority_that_passes_needs_no_escape(host in "[ -~]{0,16}") {
        let request = Request::builder().uri("/").header(HOST, host).body(()).unwrap();
        if let Ok(Some(authority)) = check(&request, Scan::of(request.headers()), 1024) {
            prop_assert!(!authority.as_str().contains(['"', '\\', ',', ';', '@', ' ']));
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
