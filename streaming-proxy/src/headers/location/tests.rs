//! Tests of places.

use proptest::prelude::*;

use super::*;

/// As a route does that puts `/v2` in the place of `/api`.
fn invert(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/v2").filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    Some(format!("/api{rest}"))
}

fn seen(text: &str) -> String {
    let client: Authority = "shop.example".parse().unwrap();
    let places = Places { upstream: "10.0.0.1:8080", client: Some(&client) };
    let mut headers = HeaderMap::new();
    headers.insert(LOCATION, HeaderValue::from_str(text).unwrap());
    rewrite(&mut headers, places, invert);
    headers[LOCATION].to_str().unwrap().to_owned()
}

#[test]
fn what_the_client_cannot_reach_so_is_written_as_it_can() {
    for (text, expected) in [
        ("/v2/users/1?a=/v2#/v2", "/api/users/1?a=/v2#/v2"),
        ("/v2", "/api"),
        ("http://10.0.0.1:8080/v2/x", "/api/x"),
        ("HTTP://10.0.0.1:8080/v2?q", "/api?q"),
        // The scheme may be what it is about.
        ("https://shop.example/v2/x", "https://shop.example/api/x"),
        ("https://SHOP.example:443/v2/x", "https://SHOP.example:443/api/x"),
        ("http://shop.example:80/v2/x", "http://shop.example:80/api/x"),
    ] {
        assert_eq!(seen(text), expected, "{text}");
    }
    for text in [
        // Elsewhere, or not of this route.
        "/v3/x",
        "/v2x",
        "/",
        "http://10.0.0.1:8080/v3",
        "http://10.0.0.1:8080",
        "http://10.0.0.1/v2",
        "https://10.0.0.1:8080/v2",
        "http://10.0.0.1:8081/v2",
        "http://shop.example:81/v2",
        "https://shop.example",
        "http://evil@10.0.0.1:8080/v2",
        "http://10.0.0.1:8080\\@evil/v2",
        "//10.0.0.1:8080/v2",
        "//v2/x",
        // As the client is.
        "x",
        "../v2",
        "?v2",
        "#v2",
        "mailto:a@b",
        "ftp://10.0.0.1:8080/v2",
        "://x",
        "http:///v2",
        "",
    ] {
        assert_eq!(seen(text), text);
    }
}

#[test]
fn an_upstream_of_the_common_port_need_not_say_it() {
    let places = Places { upstream: "inner:80", client: None };
    let keep = |path: &str| Some(path.to_owned());
    for (text, expected) in [
        ("http://inner/x", Some("/x")),
        ("http://inner:80", Some("/")),
        ("http://inner?q", Some("/?q")),
        // To the client that would be a host.
        ("http://inner//evil.example", None),
        ("http://inner/\\evil.example", None),
    ] {
        assert_eq!(place(text, places, keep).as_deref(), expected, "{text}");
    }
}

proptest! {
    /// Nothing becomes a place on another host.
    #[test]
    fn no_host_is_made(text in "(http://(10\\.0\\.0\\.1:8080|shop\\.example|evil))?[/\\\\v2a.?#]{0,12}") {
        // The worst of routes: it takes `/v2` away.
        let bare = |path: &str| {
            let rest = path.strip_prefix("/v2").filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
            Some(if rest.is_empty() { "/".to_owned() } else { rest.to_owned() })
        };
        let client: Authority = "shop.example".parse().unwrap();
        let places = Places { upstream: "10.0.0.1:8080", client: Some(&client) };
        if let Some(new) = place(&text, places, bare) {
            let of_client = new.strip_prefix("http://shop.example").unwrap_or(&new);
            prop_assert!(of_client.starts_with('/'), "{} {}", text, new);
            prop_assert!(of_client != new || !new.starts_with("//") && !new.starts_with("/\\"), "{} {}", text, new);
        }
    }
}

#[test]
fn two_are_left_alone_and_both_fields_are_meant() {
    let places = Places { upstream: "inner", client: None };
    let keep = |path: &str| Some(path.to_owned());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_LOCATION, HeaderValue::from_static("http://inner/c"));
    headers.append(LOCATION, HeaderValue::from_static("http://inner/a"));
    headers.append(LOCATION, HeaderValue::from_static("http://inner/b"));
    rewrite(&mut headers, places, keep);
    assert_eq!(headers[CONTENT_LOCATION], "/c");
    assert_eq!(headers.get_all(LOCATION).iter().collect::<Vec<_>>(), ["http://inner/a", "http://inner/b"]);
}
