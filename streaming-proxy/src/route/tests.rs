//! Tests of routes.

use proptest::prelude::*;

use super::*;
use crate::config::UpstreamConfig;
use crate::route::Rewrite;

fn upstream(name: &str) -> Upstream {
    Upstream::parse(name, "127.0.0.1:1", UpstreamConfig::default()).unwrap()
}

proptest! {
    /// A route has its prefix and what is below it, and the longest one wins.
    #[test]
    fn the_longest_prefix_on_a_boundary_wins(
        prefixes in prop::collection::btree_set("(/[ab]{1,2}){1,3}", 1..6),
        path in "(/[ab]{1,3}){0,4}/?",
    ) {
        let routes = Routes::new(prefixes.iter().map(|prefix| Route::new(prefix.as_str(), upstream(prefix)))).unwrap();
        let wanted = prefixes
            .iter()
            .filter(|prefix| path == **prefix || path.starts_with(&format!("{prefix}/")))
            .max_by_key(|prefix| prefix.len());
        let found = routes.find(&path).ok().map(|route| route.prefix.clone());
        prop_assert_eq!(found.as_ref(), wanted);
    }

    /// Taking a prefix away leaves a path that starts with exactly one slash, and the query as it was.
    #[test]
    fn a_rewrite_is_a_path_and_keeps_the_query(
        rest in "(/{1,3}[a-z%]{0,3}){0,3}",
        query in proptest::option::of("[a-z=&?/%]{0,8}"),
        replacement in "(/[a-z]{1,3}){0,2}/?",
    ) {
        let routes =
            Routes::new([Route::new("/api", upstream("u")).with_rewrite(Rewrite::Prefix(replacement.clone()))]).unwrap();
        let mut target = format!("/api{rest}");
        if let Some(query) = &query {
            target.push('?');
            target.push_str(query);
        }
        let uri: Uri = target.parse().unwrap();
        let sent = routes.find(uri.path()).unwrap().target(&uri).unwrap();
        prop_assert!(sent.path().starts_with('/') && !sent.path().starts_with("//"), "{}", sent);
        prop_assert_eq!(sent.query(), query.as_deref());
        let base = replacement.trim_end_matches('/');
        prop_assert!(sent.path().starts_with(base));
        let tail = rest.trim_start_matches('/');
        prop_assert!(sent.path().ends_with(tail), "{}", sent);
    }
}

#[test]
fn tables_are_checked() {
    let two = [Route::new("/a", upstream("1")), Route::new("/a/", upstream("2"))];
    assert!(Routes::new(two).is_err());
    for prefix in ["a", "/a?b", "/a b"] {
        assert!(Routes::new([Route::new(prefix, upstream("1"))]).is_err(), "{prefix}");
    }
    assert!(Routes::new([Route::new("", upstream("1"))]).unwrap().find("/x").is_ok());
    assert!(Routes::default().find("/").is_err());
}
