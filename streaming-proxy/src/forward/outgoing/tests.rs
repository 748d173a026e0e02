//! Tests of [`Outgoing`]: what is sent again is what was sent.

use super::*;

#[test]
fn a_request_comes_back_as_it_was() {
    let mut secret = HeaderValue::from_static("secret");
    secret.set_sensitive(true);
    let request = Request::put("/a?b")
        .version(Version::HTTP_10)
        .header("Host", "a")
        .header("x-many", "one")
        .header("x-empty", "")
        .header("x-many", HeaderValue::from_bytes(b"t\xc3\xb6").unwrap())
        .header("x-secret", secret)
        .body(Upload::empty())
        .unwrap();
    let (parts, _) = request.into_parts();
    let mut outgoing = Outgoing::new(Request::from_parts(parts.clone(), Upload::empty()));
    drop(outgoing.take(true));
    assert!(outgoing.is_whole() && outgoing.renew());
    let again = outgoing.request();
    assert_eq!((again.method(), again.uri(), again.version()), (&parts.method, &parts.uri, parts.version));
    let fields = |headers: &HeaderMap| {
        let fields = headers.iter().map(|(name, value)| (name.clone(), value.clone(), value.is_sensitive()));
        fields.collect::<Vec<_>>()
    };
    assert_eq!(fields(again.headers()), fields(&parts.headers));
    drop(outgoing.take(false));
    assert!(!outgoing.is_whole() && !outgoing.renew(), "nobody wanted to know what it was");
}
