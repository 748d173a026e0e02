//! Tests of routes.

use proptest::prelude::*;

use super::*;
use crate::config::UpstreamConfig;
use crate::error::{ErrorKind, Stage};
use crate::path::normal;
use crate::route::Rewrite;

fn upstream(name: &str) -> Upstream {
    Upstream::parse(name, "127.0.0.1:1", UpstreamConfig::default()).unwrap()
}

proptest! {
    /// A route has its prefix and what is below it, and the longest one wins.
    #[test]
    fn the_longest_prefix_on_a_boundary_wins(
        prefixes in prop::collection::btree_set("(/[ab]{1,2}){1,3}", 1..6),
        path in "(/[ab]{1,3}){1,4}/?",
    ) {
        let routes = Routes::new(prefixes.iter().map(|prefix| Route::new(prefix.as_str(), upstream(prefix)))).unwrap();
        let wanted = prefixes
            .iter()
            .filter(|prefix| path == **prefix || path.starts_with(&format!("{prefix}/")))
            .max_by_key(|prefix| prefix.len());
        let found = routes.find(&normal(&path).unwrap()).ok().map(|route| route.prefix.clone());
        prop_assert_eq!(found.as_ref(), wanted);
    }

    /// Taking a prefix away leaves a path that starts with exactly one slash, and the query as it was.
    #[test]
    fn a_rewrite_is_a_path_and_keeps_the_query(
        rest in "(/{1,3}([a-z]|%41|%2[fF]){0,3}){0,3}",
        query in proptest::option::of("[a-z=&?/%]{0,8}"),
        replacement in "(/[a-z]{1,3}){0,2}/?",
    ) {
        let route = Route::new("/api", upstream("u"))
            .with_rewrite(Rewrite::Prefix(replacement.clone()))
            .with_encoded_slashes();
        let routes = Routes::new([route]).unwrap();
        let mut target = format!("/api{rest}");
        if let Some(query) = &query {
            target.push('?');
            target.push_str(query);
        }
        let uri: Uri = target.parse().unwrap();
        let path = normal(uri.path()).unwrap();
        let sent = routes.find(&path).unwrap().target(&uri, &path).unwrap();
        prop_assert!(normal(sent.path()).unwrap().is_unchanged(), "{}", sent);
        prop_assert_eq!(sent.query(), query.as_deref());
        let base = replacement.trim_end_matches('/');
        prop_assert!(sent.path().starts_with(base));
        let tail = path.as_str().strip_prefix("/api").unwrap();
        prop_assert!(sent.path().ends_with(tail), "{}", sent);
    }

    /// Without a rewrite, what was matched is what is sent.
    #[test]
    fn what_matches_is_what_is_sent(path in "(/{1,2}([a-z]|%41|%7[eE]|é){0,3}){1,3}", query in "[a-z=&?/%]{0,8}") {
        let routes = Routes::new([Route::new("/", upstream("u"))]).unwrap();
        let uri: Uri = format!("{path}?{query}").parse().unwrap();
        let path = normal(uri.path()).unwrap();
        let sent = routes.find(&path).unwrap().target(&uri, &path).unwrap();
        prop_assert_eq!(sent.path(), path.as_str());
        prop_assert_eq!(sent.query(), Some(query.as_str()));
    }
}

#[test]
fn tables_are_checked() {
    let two = [Route::new("/a", upstream("1")), Route::new("/a/", upstream("2"))];
    assert!(Routes::new(two).is_err());
    for prefix in ["a", "/a?b", "/a b", "/a//b", "/%61", "/a%2fb", "/a/../b"] {
        assert!(Routes::new([Route::new(prefix, upstream("1"))]).is_err(), "{prefix}");
    }
    assert!(Routes::new([Route::new("", upstream("1"))]).unwrap().find(&normal("/x").unwrap()).is_ok());
    assert!(Routes::default().find(&normal("/").unwrap()).is_err());
}

#[test]
fn an_encoded_slash_needs_a_route_that_allows_it() {
    let open = Routes::new([Route::new("/", upstream("1"))]).unwrap();
    let path = normal("/a%2fb").unwrap();
    let error = open.find(&path).unwrap_err();
    assert_eq!((error.kind(), error.stage()), (ErrorKind::BadRequest, Stage::Route));
    let open = Routes::new([Route::new("/", upstream("1")).with_encoded_slashes()]).unwrap();
    let uri: Uri = "/a%2fb?c%2fd".parse().unwrap();
    assert_eq!(open.find(&path).unwrap().target(&uri, &path).unwrap().as_str(), "/a%2Fb?c%2fd");
}
