//! Tests of the tags of addresses.

use std::collections::BTreeSet;

use super::*;

fn put(uri: &str, hosts: &[&str]) -> Parts {
    let mut request = http::Request::put(uri);
    for host in hosts {
        request = request.header("host", *host);
    }
    request.body(()).unwrap().into_parts().0
}

fn ends(kept: &Scope, host: &str, path: &str, request: &Parts, scope: &Scope) -> bool {
    let ended = ended(request, scope);
    carried(&kept.audience, kept.place(), host, path).iter().any(|tag| ended.contains(tag))
}

#[test]
fn addresses_are_ended_by_their_host_and_path_however_they_are_spelled() {
    let all = Scope::public();
    let table = [
        ("/x", &["one.EXAMPLE"][..], true),
        ("https://one.example/x?b", &[], true),
        ("/x", &["one.example:80"], true),
        ("/x", &["one.example:443"], true),
        ("/%78", &["one.example"], true),
        // Which one it is, nobody knows.
        ("/x", &["two.example", "one.example"], true),
        ("https://two.example/x", &["one.example"], true),
        ("/y", &["one.example"], false),
        ("/x", &["one.example:8080"], false),
        ("/x", &["two.example"], false),
        ("/%7", &["one.example"], false),
    ];
    for (uri, hosts, ended) in table {
        assert_eq!(ends(&all, "one.example", "/x", &put(uri, hosts), &all), ended, "{uri} {hosts:?}");
    }
    assert!(ends(&all, "a:80", "/x", &put("/x", &["a"]), &all));
    assert!(ends(&all, "a", "/%31/%c3%a4", &put("/1/%C3%A4", &["a"]), &all));
    let placed = Scope::public().with_place("/acme");
    assert!(ends(&placed, "a", "/x", &put("/x", &["a"]), &placed));
    assert!(!ends(&placed, "a", "/x", &put("/x", &["a"]), &all));
    let any = Scope::public().for_any_host();
    assert!(ends(&any, "", "/x", &put("/x", &["a"]), &any));
}

#[test]
fn whose_answers_end_is_the_scopes_to_say() {
    let (ada, bob, admin) = (Scope::user("ada"), Scope::user("bob"), Scope::role("admin"));
    let own = || Scope::user("ada").only_its_own();
    let request = put("/x", &[]);
    let ended = |scope: &Scope| [&ada, &bob, &admin].map(|kept| ends(kept, "", "/x", &request, scope));
    assert_eq!(ended(&ada), [true, true, true]);
    assert_eq!(ended(&admin), [true, true, true]);
    assert_eq!(ended(&Scope::public()), [true, true, true]);
    assert_eq!(ended(&own()), [true, false, true]);
    assert_eq!(ended(&Scope::role("admin").only_its_own()), [false, false, true]);
}

/// Whoever asks for what is not there must not fill Redis.
#[test]
fn tags_are_so_many_and_no_more() {
    let path = |number: u32| format!("/items/{number}");
    let tags = (0..200_000).flat_map(|number| carried(&Audience::User("ada".into()), "", "", &path(number)));
    let tags: BTreeSet<Tag> = tags.collect();
    assert!((16_000..=usize::from(TAGS)).contains(&tags.len()), "{}", tags.len());
}
