//! Tests of [`request`] and [`back`].

use bytes::Bytes;
use http::Method;
use http_body_util::Full;

use super::*;

fn asked(fields: &[(&str, &str)], body: &'static str) -> Request<Upload> {
    let mut request =
        Request::new(Upload::new(Full::new(Bytes::from_static(body.as_bytes())), Version::HTTP_11));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/a/b?c=d");
    for (name, value) in fields {
        request.headers_mut().append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    request
}

#[test]
fn what_was_not_sent_comes_back_as_it_was() {
    // Scenario: a connection of HTTP/2 is closed before it takes the request, and the next address speaks HTTP/1.1.
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("host", "a.example:81"), ("x-a", "1"), ("x-a", "2")], ""),
        (&[("host", "[::1]:81"), ("te", "trailers"), ("connection", "te")], ""),
        (&[("host", "a"), ("content-length", "4")], "body"),
        (&[("host", "a"), ("transfer-encoding", "chunked"), ("trailer", "x-sum")], "body"),
    ];
    for (fields, body) in cases {
        let sent = request(asked(fields, body), true);
        assert_eq!(sent.uri().authority().unwrap().as_str(), fields[0].1);
        assert_eq!(sent.uri().scheme(), Some(&Scheme::HTTPS));
        for name in ["host", "connection", "transfer-encoding"] {
            assert!(!sent.headers().contains_key(name), "{name}");
        }
        let (back, wanted) = (back(sent), asked(fields, body));
        assert_eq!(
            (back.method(), back.uri(), back.version()),
            (wanted.method(), wanted.uri(), wanted.version())
        );
        assert_eq!(back.headers(), wanted.headers());
    }
}
