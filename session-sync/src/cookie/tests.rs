//! Tests of the cookie and the origin check.

use super::*;

type Headers<'a> = &'a [(&'static str, &'a str)];

fn headers(pairs: Headers<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn the_cookie_is_written_as_the_contract_says() {
    assert_eq!(
        RefreshCookie::Secure.set("abc-_9", Duration::from_secs(60)),
        "__Secure-tramline_refresh=abc-_9; HttpOnly; Secure; SameSite=Strict; Path=/api/auth; Max-Age=60"
    );
    assert_eq!(
        RefreshCookie::Loopback.clear(),
        "tramline_refresh=; HttpOnly; Secure; SameSite=Strict; Path=/api/auth; Max-Age=0"
    );
    let injected = RefreshCookie::Loopback.set("x; Domain=evil", Duration::ZERO);
    assert!(!injected.to_str().unwrap().contains("evil"));
    assert_eq!(RefreshCookie::for_origin("http://127.0.0.1:3000"), RefreshCookie::Loopback);
    assert_eq!(RefreshCookie::for_origin("https://a.example"), RefreshCookie::Secure);
}

#[test]
fn the_cookie_is_found_among_others_and_only_by_its_name() {
    let found = headers(&[("cookie", "a=1; tramline_refresh=tok; b=2")]);
    assert_eq!(RefreshCookie::Loopback.read(&found), Some("tok"));
    assert_eq!(RefreshCookie::Secure.read(&found), None);
    let two = headers(&[("cookie", "tramline_refresh=one; tramline_refresh=two")]);
    assert_eq!(RefreshCookie::Loopback.read(&two), None);
    let split = headers(&[("cookie", "x=1"), ("cookie", "tramline_refresh=tok")]);
    assert_eq!(RefreshCookie::Loopback.read(&split), Some("tok"));
    let empty = headers(&[("cookie", "tramline_refresh=")]);
    assert_eq!(RefreshCookie::Loopback.read(&empty), None);
    assert_eq!(RefreshCookie::Loopback.read(&HeaderMap::new()), None);
}

#[test]
fn only_our_pages_may_use_the_cookie() {
    let origins = Origins::new(["https://pay.example.com/".to_owned()]);
    let ours = ("origin", "https://pay.example.com");
    let cases: [(Headers<'_>, Result<(), OriginFault>); 8] = [
        (&[ours], Ok(())),
        (&[ours, ("sec-fetch-site", "same-origin")], Ok(())),
        (&[ours, ("sec-fetch-site", "same-site")], Ok(())),
        (&[ours, ("sec-fetch-site", "cross-site")], Err(OriginFault::Site)),
        (&[ours, ours], Err(OriginFault::Origin)),
        (&[("origin", "null")], Err(OriginFault::Origin)),
        (&[("origin", "https://pay.example.com.evil")], Err(OriginFault::Origin)),
        (&[], Err(OriginFault::Origin)),
    ];
    for (pairs, expected) in cases {
        assert_eq!(origins.check(&headers(pairs)), expected, "{pairs:?}");
    }
}
