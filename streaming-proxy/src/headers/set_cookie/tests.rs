//! Tests of cookies.

use proptest::prelude::*;

use super::*;

fn prefixed(path: &str) -> String {
    format!("/api{path}")
}

fn through(text: &str, domain: &CookieDomain) -> String {
    let mut headers = HeaderMap::new();
    headers.append(SET_COOKIE, HeaderValue::from_static("first=1"));
    headers.append(SET_COOKIE, HeaderValue::from_str(text).unwrap());
    rewrite(&mut headers, Some(&prefixed), domain);
    let cookies: Vec<_> = headers.get_all(SET_COOKIE).iter().collect();
    assert_eq!((cookies.len(), cookies[0]), (2, &HeaderValue::from_static("first=1")));
    cookies[1].to_str().unwrap().to_owned()
}

#[test]
fn path_and_domain_are_found_however_they_are_written() {
    let set = CookieDomain::Set("shop.example".to_owned());
    for (text, kept, removed, other) in [
        ("a=b", "a=b", "a=b", "a=b"),
        (
            "a=b; Path=/x; Secure",
            "a=b; Path=/api/x; Secure",
            "a=b; Path=/api/x; Secure",
            "a=b; Path=/api/x; Secure",
        ),
        (
            "a=path=/x;DOMAIN = inner ; HttpOnly;path=/",
            "a=path=/x;DOMAIN = inner ; HttpOnly; Path=/api/",
            "a=path=/x; HttpOnly; Path=/api/",
            "a=path=/x; Domain=shop.example; HttpOnly; Path=/api/",
        ),
        // A path that is none is the browser's to guess (RFC 6265, 5.2.4).
        ("a=b; Path; Path=x", "a=b; Path; Path=x", "a=b; Path; Path=x", "a=b; Path; Path=x"),
    ] {
        assert_eq!(through(text, &CookieDomain::Keep), kept);
        assert_eq!(through(text, &CookieDomain::Remove), removed);
        assert_eq!(through(text, &set), other);
    }
}

proptest! {
    /// The pair, and each attribute that is not meant, stay byte for byte.
    #[test]
    fn nothing_else_changes(pair in "[a-z]{1,3}=[a-z=\" ]{0,5}", attributes in prop::collection::vec("[ ]?(?i)(Max-Age=1|Secure|x|path|domainx=1|)[ ]?", 0..4)) {
        let text = std::iter::once(pair).chain(attributes).collect::<Vec<_>>().join(";");
        prop_assume!(HeaderValue::from_str(&text).is_ok());
        prop_assert_eq!(cookie(&text, Some(&prefixed), &CookieDomain::Remove), None);
    }
}
