//! Tests of `Via`.

use super::*;

fn with(fields: &[&'static str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append(VIA, HeaderValue::from_static(field));
    }
    headers
}

#[test]
fn only_the_own_name_is_a_loop() {
    let via = Via::new("edge-1").unwrap();
    for fields in [&["1.1 edge-1"][..], &["1.0 a, HTTP/2  EDGE-1 (comment)"], &["1.1 a", "2\tedge-1"]] {
        assert_eq!(via.check(&with(fields)).unwrap_err().kind(), ErrorKind::Loop, "{fields:?}");
    }
    for fields in
        [&[][..], &["1.1 edge-10"], &["1.1 edge"], &["edge-1"], &["1.1 a (edge-1)"], &["1.1 edge-1:80"]]
    {
        assert!(via.check(&with(fields)).is_ok(), "{fields:?}");
    }
}

#[test]
fn what_is_added_stands_last_and_says_how_it_came() {
    let via = Via::new("edge (1)\n").unwrap();
    for (version, item) in
        [(Version::HTTP_10, "1.0 edge1"), (Version::HTTP_11, "1.1 edge1"), (Version::HTTP_2, "2 edge1")]
    {
        let mut headers = with(&["1.1 a, 1.1 b", "1.1 c"]);
        via.add(&mut headers, version, true);
        let items: Vec<_> = headers.get_all(VIA).iter().collect();
        assert_eq!(items, ["1.1 a, 1.1 b", "1.1 c", item]);
        let mut headers = with(&[]);
        via.add(&mut headers, version, false);
        assert_eq!(headers[VIA], item);
    }
    assert!(Via::new(" ()").is_none());
}
