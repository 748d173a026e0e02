//! Tests of routes.

mod linear;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use proptest::prelude::*;

use super::*;
use crate::config::UpstreamConfig;
use crate::error::{ErrorKind, ProxyError, Stage};
use crate::path::normal;

fn upstream() -> Upstream {
    Upstream::parse("u", "127.0.0.1:1", UpstreamConfig::default()).unwrap()
}

/// The route of a GET for this target, and what is sent.
fn sent(routes: &Routes, target: &str) -> Result<(String, String), ProxyError> {
    let uri: Uri = target.parse().unwrap();
    let path = normal(uri.path())?;
    let matched = routes.find(None, &path, &Method::GET, &HeaderMap::new())?;
    Ok((matched.route().to_string(), matched.target(&uri, &path)?.to_string()))
}

proptest! {
    /// Taking a prefix away leaves a path that starts with exactly one slash, and the query as it was.
    #[test]
    fn a_rewrite_is_a_path_and_keeps_the_query(
        rest in "(/{1,3}([a-z]|%41|%2[fF]){0,3}){0,3}",
        query in proptest::option::of("[a-z=&?/%]{0,8}"),
        add in "(/[a-z]{1,3}){0,2}/?",
    ) {
        let route = Route::new("/api", upstream())
            .with_rewrite(Rewrite::replace("/api", add.clone()))
            .with_encoded_slashes();
        let routes = Routes::new([route]).unwrap();
        let mut target = format!("/api{rest}");
        if let Some(query) = &query {
            target.push('?');
            target.push_str(query);
        }
        let (_, sent) = sent(&routes, &target).unwrap();
        let sent: Uri = sent.parse().unwrap();
        prop_assert!(normal(sent.path()).unwrap().is_unchanged(), "{}", sent);
        prop_assert_eq!(sent.query(), query.as_deref());
        let base = add.trim_end_matches('/');
        prop_assert!(sent.path().starts_with(base));
        let path = format!("/api{rest}");
        let path = normal(&path).unwrap();
        prop_assert!(sent.path().ends_with(path.as_str().strip_prefix("/api").unwrap()), "{}", sent);
    }

    /// A place of the upstream's, turned around, is one that leads there again; and a cookie for it comes back.
    #[test]
    fn what_is_turned_around_leads_back(
        strip in prop_oneof![Just(""), Just("/api"), Just("/a/b")],
        add in prop_oneof![Just(""), Just("/v2"), Just("/v/2")],
        place in "(/v2|/v|/2)?(/[v2x]{1,2}){0,2}/?",
    ) {
        let place = if place.is_empty() { "/" } else { &place };
        let path = if strip.is_empty() { "/" } else { strip };
        let routes = Routes::new([Route::new(path, upstream()).with_rewrite(Rewrite::replace(strip, add))]).unwrap();
        let route = normal(path).unwrap();
        let matched = routes.find(None, &route, &Method::GET, &HeaderMap::new()).unwrap();
        let below = |path: &str, prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match matched.invert(place) {
            Some(outside) => {
                let (_, again) = sent(&routes, &outside).unwrap();
                // The one slash at the end of a whole place is not known any more.
                prop_assert_eq!(again.trim_end_matches('/'), place.trim_end_matches('/'), "{}", outside);
            }
            None => prop_assert!(!below(place, add)),
        }
        let cookie = matched.cookie_path(place);
        // RFC 6265, 5.1.4
        let sends = |request: &str, cookie: &str| {
            request == cookie || request.starts_with(cookie) && (cookie.ends_with('/') || request[cookie.len()..].starts_with('/'))
        };
        for request in ["/", "/v2", "/v2/", "/v2/x", "/v/2", "/v/2/x", "/x", "/2/x"] {
            // One for elsewhere is nobody's.
            let known = below(place, add) || below(add, place.trim_end_matches('/'));
            if let Some(outside) = matched.invert(request).filter(|_| known) {
                prop_assert_eq!(
                    sends(request, place) || below(request, place.trim_end_matches('/')),
                    sends(&outside, &cookie) || below(&outside, cookie.trim_end_matches('/')),
                    "{} for {}, outside {} for {}", request, place, outside, cookie
                );
            }
        }
    }

    /// Values go into a template byte for byte as they were matched, and the outcome is a path in its normal form.
    #[test]
    fn a_template_takes_values_as_they_were_matched(
        one in "([a-z]|%2[fF]|%3[fF]|%25|;|é){1,4}",
        rest in "(/([a-z]|%2[eE]x|%2[fF]){1,3}){0,3}/?",
    ) {
        let template = |text: &str| {
            Routes::new([Route::pattern("/t/{one}/{*rest}", upstream())
                .with_rewrite(Rewrite::template(text))
                .with_encoded_slashes()])
            .unwrap()
        };
        let target = format!("/t/{one}{rest}");
        let path = normal(&target).unwrap().as_str().to_owned();
        let (one, rest) = path.strip_prefix("/t/").map(|path| path.split_once('/').unwrap_or((path, ""))).unwrap();
        let (_, seen) = sent(&template("/v2/{one}/x/{one}/{*rest}"), &target).unwrap();
        prop_assert!(normal(&seen).unwrap().is_unchanged());
        prop_assert_eq!(seen, format!("/v2/{one}/x/{one}/{rest}"));
        prop_assert_eq!(sent(&template("/only/{one}"), &target).unwrap().1, format!("/only/{one}"));
    }

    /// Without a rewrite, what was matched is what is sent.
    #[test]
    fn what_matches_is_what_is_sent(path in "(/{1,2}([a-z]|%41|%7[eE]|é){0,3}){1,3}", query in "[a-z=&?/%]{0,8}") {
        let routes = Routes::new([Route::new("/", upstream())]).unwrap();
        let (_, sent) = sent(&routes, &format!("{path}?{query}")).unwrap();
        prop_assert_eq!(sent, format!("{}?{query}", normal(&path).unwrap().as_str()));
    }
}

#[test]
fn rewrites() {
    let up = upstream();
    let routes = Routes::new([
        Route::new("/api/users", up.clone()).with_rewrite(Rewrite::strip("/api")),
        Route::new("/old", up.clone()).with_rewrite(Rewrite::replace("/old", "/new/")),
        Route::exact("/one", up.clone()).with_rewrite(Rewrite::strip("/one")),
        Route::pattern("/p/{a}", up.clone()).with_rewrite(Rewrite::add("/base")),
        Route::pattern("/t/{a}/{b}", up.clone()).with_rewrite(Rewrite::template("/{b}/{a}")),
        Route::pattern("/gone/{a}", up).with_rewrite(Rewrite::template("/")),
    ])
    .unwrap();
    for (target, wanted) in [
        ("/api/users?a", "/users?a"),
        ("/api/users/1/", "/users/1/"),
        ("/old", "/new"),
        ("/old/x", "/new/x"),
        ("/one", "/"),
        ("/p/%3F", "/base/p/%3F"),
        ("/t/x%25/y?q=%41", "/y/x%25?q=%41"),
        ("/gone/x?q", "/?q"),
    ] {
        assert_eq!(sent(&routes, target).unwrap().1, wanted, "{target}");
    }
}

#[test]
fn tables_are_checked() {
    let refused = |route: Route| Routes::new([route]).unwrap_err();
    for prefix in ["a", "/a?b", "/a b", "/a//b", "/%61", "/a%2fb", "/a/../b"] {
        assert_eq!(refused(Route::new(prefix, upstream())).kind(), ErrorKind::Config, "{prefix}");
        assert_eq!(refused(Route::exact(prefix, upstream())).kind(), ErrorKind::Config, "{prefix}");
        assert_eq!(refused(Route::pattern(prefix, upstream())).kind(), ErrorKind::Config, "{prefix}");
    }
    for pattern in [
        "",
        "/{a}b",
        "/a{b}",
        "/{}",
        "/{*}",
        "/{a-b}",
        "/{*a}/b",
        "/{a}/{a}",
        "/{a}/{*a}",
        "//{*a}",
        "/a//{*b}",
        "/{a}/..",
    ] {
        refused(Route::pattern(pattern, upstream()));
    }
    refused(Route::exact("", upstream()));
    for host in ["", "A.example", "a.example:80", "*", "*.", "a..b", "a.", "*.*.b", "a/b", "[::1", "*.[::1]"]
    {
        refused(Route::new("/", upstream()).with_host(host));
    }
    for host in ["a", "*.a", "a.example", "127.0.0.1", "[::1]"] {
        Routes::new([Route::new("/", upstream()).with_host(host)]).unwrap();
    }
    for rewrite in [
        Rewrite::strip("/b"),
        Rewrite::strip("/a/b"),
        Rewrite::strip("/a/{x}"),
        Rewrite::strip("a"),
        Rewrite::add("a"),
        Rewrite::add("/a//b"),
        Rewrite::template("/{y}"),
        Rewrite::template("/{*x}"),
        Rewrite::template("/{*rest}/x"),
        Rewrite::template("/a/../{x}"),
        Rewrite::template("x"),
    ] {
        refused(Route::pattern("/a/{x}/{*rest}", upstream()).with_rewrite(rewrite));
    }
    assert!(sent(&Routes::new([Route::new("", upstream())]).unwrap(), "/x").is_ok());
    assert!(sent(&Routes::default(), "/").is_err());
}

#[test]
fn a_route_that_would_never_be_found_is_refused() {
    let get = |route: Route| route.with_methods([Method::GET]);
    for (a, b) in [
        (Route::new("/a", upstream()), Route::new("/a/", upstream())),
        (Route::new("/a", upstream()), Route::pattern("/a/{*x}", upstream())),
        (Route::exact("/a", upstream()), Route::pattern("/a", upstream())),
        (Route::pattern("/{a}", upstream()), Route::pattern("/{b}", upstream())),
        (get(Route::new("/", upstream())), get(Route::new("/", upstream()))),
    ] {
        assert!(Routes::new([a.clone(), b.clone()]).is_err(), "{a} and {b}");
        assert!(Routes::new([a.clone().with_host("h"), b.clone()]).is_ok(), "{a} and {b}");
        let present = HeaderMatch::Present(HeaderName::from_static("x"));
        assert!(Routes::new([a, b.with_header(present)]).is_ok());
    }
}

#[test]
fn faults_are_all_told_and_where() {
    let bad = || Route::new("a", upstream()).with_host("A");
    let faults = Routes::checked([bad(), Route::new("/", upstream()), bad()]).unwrap_err();
    assert_eq!(faults.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [0, 0, 2, 2]);
}

#[test]
fn an_encoded_slash_needs_a_route_that_allows_it() {
    // The one below would allow it, but the one that matches does not.
    let open =
        Routes::new([Route::new("/a", upstream()), Route::new("/", upstream()).with_encoded_slashes()])
            .unwrap();
    let error = sent(&open, "/a/b%2fc").unwrap_err();
    assert_eq!((error.kind(), error.stage()), (ErrorKind::BadRequest, Stage::Route));
    assert_eq!(sent(&open, "/b%2fc?d%2fe").unwrap().1, "/b%2Fc?d%2fe");
}

#[test]
fn only_another_method_is_405_with_those_allowed() {
    let routes = Routes::new([
        Route::new("/a", upstream()).with_methods([Method::GET]),
        Route::pattern("/{x}", upstream()).with_methods([Method::POST]),
        Route::new("/a", upstream())
            .with_methods([Method::PUT])
            .with_header(HeaderMatch::Equal(HeaderName::from_static("x"), HeaderValue::from_static("1"))),
    ])
    .unwrap();
    let find = |path: &str, method: Method, headers: &HeaderMap| {
        let error = routes.find(Some("h"), &normal(path).unwrap(), &method, headers).err()?;
        Some((error.kind(), error.allow().map(|allow| allow.to_str().unwrap().to_owned())))
    };
    let none = HeaderMap::new();
    let allowed = |methods: &str| Some((ErrorKind::MethodRefused, Some(methods.to_owned())));
    assert_eq!(find("/a", Method::HEAD, &none), None);
    assert_eq!(find("/a", Method::POST, &none), None, "the parameter's route takes it");
    assert_eq!(find("/a", Method::DELETE, &none), allowed("GET, HEAD, POST"));
    assert_eq!(find("/a/b", Method::POST, &none), allowed("GET, HEAD"));
    assert_eq!(find("/b/c", Method::GET, &none), Some((ErrorKind::NoRoute, None)));
    let once = HeaderMap::from_iter([(HeaderName::from_static("x"), HeaderValue::from_static("1"))]);
    assert_eq!(find("/a", Method::PUT, &once), None);
    let mut twice = once;
    twice.append("x", HeaderValue::from_static("2"));
    assert_eq!(find("/a", Method::PUT, &twice), allowed("GET, HEAD, POST"), "nobody knows which one counts");
}

/// The form that a client of a proxy uses: its path may be missing, and a fragment may stand there.
#[test]
fn what_has_no_path_is_sent_as_the_root() {
    let routes = Routes::new([Route::new("/", upstream())]).unwrap();
    for (target, sent) in [
        ("http://a.example#y", "/"),
        ("http://a.example", "/"),
        ("http://a.example?x=1", "/?x=1"),
        ("http://a.example/b?x#y", "/b?x"),
    ] {
        let uri: Uri = target.parse().unwrap();
        let path = normal(uri.path()).unwrap();
        let matched = routes.find(None, &path, &Method::GET, &HeaderMap::new()).unwrap();
        assert_eq!(Uri::from(matched.target(&uri, &path).unwrap()).to_string(), sent, "{target}");
    }
}

#[test]
fn a_name_below_another_has_something_before_the_dot() {
    let routes = Routes::new([Route::new("/", upstream()).with_host("*.b.example")]).unwrap();
    let path = normal("/").unwrap();
    for (host, found) in
        [("a.b.example", true), ("a.b.example.", true), (".b.example", false), ("b.example", false)]
    {
        let matched = routes.find(Some(host), &path, &Method::GET, &HeaderMap::new());
        assert_eq!(matched.is_ok(), found, "{host}");
    }
}
