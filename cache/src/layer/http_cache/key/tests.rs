//! Tests of [`HttpKey`].

use super::*;
use crate::key::written;

fn key(scope: &Scope, uri: &str, fields: &[(&str, &str)]) -> HttpKey {
    let mut request = http::Request::get(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    HttpKey::new(&request.body(()).unwrap().into_parts().0, scope).unwrap()
}

#[test]
fn different_questions_have_different_names() {
    let accept = || Scope::public().with_vary(http::header::ACCEPT);
    let all = [
        key(&Scope::public(), "/x", &[]),
        key(&Scope::public(), "/x?", &[]),
        key(&Scope::public(), "/x?a", &[]),
        key(&Scope::public(), "/x", &[("host", "x")]),
        key(&Scope::public(), "http://x/x", &[]),
        key(&Scope::public(), "https://x/x", &[]),
        key(&Scope::public().with_place("x"), "/x", &[]),
        key(&Scope::role("x"), "/x", &[]),
        key(&Scope::user("x"), "/x", &[]),
        // Parts do not run into each other.
        key(&Scope::user("x:y"), "/x", &[]),
        key(&Scope::user("x"), "/x", &[("host", "y")]),
        key(&accept(), "/x", &[]),
        key(&accept(), "/x", &[("accept", "")]),
        key(&accept(), "/x", &[("accept", "a")]),
        key(&accept(), "/x", &[("accept", "=a")]),
        key(&accept(), "/x", &[("accept", "a,b")]),
        key(&accept(), "/x", &[("accept", "a, b")]),
        key(&accept(), "/x", &[("accept", "b,a")]),
        key(&accept(), "/x", &[("accept", "a"), ("accept", "b")]),
        key(&Scope::public().with_vary(http::header::ACCEPT_LANGUAGE), "/x", &[("accept-language", "a")]),
    ];
    let names: std::collections::BTreeSet<_> = all.iter().map(written).collect();
    assert_eq!(names.len(), all.len(), "{names:?}");
}

/// Names lie in Redis, and may be seen in its logs.
#[test]
fn secrets_and_long_values_are_hashed() {
    let scope = Scope::user("ada").with_vary(COOKIE).with_vary(AUTHORIZATION).with_vary(http::header::ACCEPT);
    let long = "x".repeat(65);
    let fields = [("cookie", "session=secret"), ("authorization", "Bearer secret"), ("accept", &long)];
    let one = key(&scope, "/x", &fields);
    let name = written(&one);
    assert!(!name.contains("secret") && !name.contains("xxx"), "{name}");
    assert!(!format!("{one:?}").contains("ada"));
    assert!(one != key(&scope, "/x", &[("cookie", "session=other"), fields[1], fields[2]]));
}

/// RFC 9112, section 3.2.2, would have a service read the target. Many read the field.
#[test]
fn requests_that_name_two_hosts_have_no_key() {
    let of = |uri: &str, hosts: &[&str], scope: &Scope| {
        let mut request = http::Request::get(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        HttpKey::new(&request.body(()).unwrap().into_parts().0, scope).is_some()
    };
    let all = Scope::public();
    assert!(of("http://a/x", &["A"], &all));
    assert!(of("/x", &["a", "a"], &all));
    assert!(!of("http://a/x", &["b"], &all));
    assert!(!of("http://a/x", &["a", "b"], &all));
    assert!(!of("http://a/x", &["\u{e4}"], &all));
    assert!(!of("/x", &["a", "b"], &all));
    assert!(of("/x", &["a", "b"], &all.for_any_host()), "to whom that says nothing");
}
