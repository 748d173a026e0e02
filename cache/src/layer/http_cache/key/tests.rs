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

#[test]
fn addresses_are_ended_by_their_host_and_path() {
    let put = |uri: &str, host: &str| {
        let request = http::Request::put(uri).header("host", host).body(()).unwrap();
        request.into_parts().0
    };
    let one = std::slice::from_ref::<Tag>;
    let kept = key(&Scope::role("x"), "/x?a", &[("host", "One.example")]).address();
    assert_eq!(addresses(&put("/x", "one.EXAMPLE"), &Audience::Public), one(&kept));
    assert_eq!(addresses(&put("https://one.example/x?b", ""), &Audience::Role("y".into())), one(&kept));
    assert_ne!(addresses(&put("/y", "one.example"), &Audience::Public), one(&kept));
    let ada = Scope::user("ada");
    let hers = key(&ada, "/x", &[("host", "one.example")]).address();
    assert_eq!(addresses(&put("/x", "one.example"), &ada.audience), [kept, hers.clone()]);
    assert!(!addresses(&put("/x", "one.example"), &Scope::user("bob").audience).contains(&hers));
}
