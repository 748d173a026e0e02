//! The index against a plain search by the documented precedence, which shares no code with it.

use std::cmp::Reverse;

use super::*;

/// What the documentation of [`Routes`] says of one route and one request, as a value that is greater for what comes
/// first; `None` if it does not match.
type Claim = (u8, usize, Vec<u8>, bool, usize, Reverse<usize>);

fn claim(
    place: usize,
    route: &Route,
    host: Option<&str>,
    path: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Option<Claim> {
    let (kind, length) = match (&route.host, host) {
        (None, _) => (0, 0),
        (Some(_), None) => return None,
        (Some(wanted), Some(host)) => {
            let host = host.to_lowercase();
            let host = host.trim_end_matches('.');
            match wanted.strip_prefix('*') {
                Some(suffix) if host.len() > suffix.len() && host.ends_with(suffix) => (1, suffix.len()),
                None if wanted == host => (2, 0),
                _ => return None,
            }
        }
    };
    let (text, open) = match &route.path {
        PathMatch::Exact(text) => (text.as_str(), false),
        PathMatch::Prefix(text) => (text.trim_end_matches('/'), true),
        PathMatch::Pattern(text) => {
            text.split_once("/{*").map_or((text.as_str(), false), |(text, _)| (text, true))
        }
    };
    let mut segments = path.split('/').skip(1);
    let mut ranks = Vec::new();
    for wanted in text.split('/').skip(1) {
        let segment = segments.next()?;
        ranks.push(match wanted.starts_with('{') {
            true if !segment.is_empty() => 2,
            false if wanted == segment => 3,
            _ => return None,
        });
    }
    match (segments.next(), open) {
        (None, false) => ranks.push(1),
        (_, true) => ranks.push(0),
        (Some(_), false) => return None,
    }
    let get = *method == Method::HEAD && route.methods.contains(&Method::GET);
    if !(route.methods.is_empty() || route.methods.contains(method) || get) {
        return None;
    }
    for header in &route.headers {
        let (name, value) = match header {
            HeaderMatch::Present(name) => (name, None),
            HeaderMatch::Equal(name, value) => (name, Some(value)),
        };
        let lines: Vec<_> = headers.get_all(name).iter().collect();
        if lines.is_empty() || value.is_some_and(|value| lines != [value]) {
            return None;
        }
    }
    Some((kind, length, ranks, !route.methods.is_empty(), route.headers.len(), Reverse(place)))
}

fn path() -> impl Strategy<Value = PathMatch> {
    let pattern = "(/([ab]|\\{x\\}|\\{y\\})){0,3}(/|/\\{\\*r\\})";
    prop_oneof![
        "(/[ab]{1,2}){1,3}/?".prop_map(PathMatch::Exact),
        "(/[ab]{1,2}){0,3}/?".prop_map(PathMatch::Prefix),
        pattern.prop_map(|text| {
            // Every parameter has a name of its own.
            let mut count = 0;
            PathMatch::Pattern(
                text.split('/')
                    .map(|segment| match segment {
                        "{x}" | "{y}" => {
                            count += 1;
                            format!("{{x{count}}}")
                        }
                        other => other.to_owned(),
                    })
                    .collect::<Vec<_>>()
                    .join("/"),
            )
        }),
    ]
}

fn header() -> impl Strategy<Value = HeaderMatch> {
    let name = || prop::sample::select(vec!["x-a", "x-b"]).prop_map(HeaderName::from_static);
    prop_oneof![
        name().prop_map(HeaderMatch::Present),
        (name(), "[12]").prop_map(|(name, value)| HeaderMatch::Equal(name, value.parse().unwrap())),
    ]
}

fn method() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![Method::GET, Method::HEAD, Method::POST])
}

fn route() -> impl Strategy<Value = Route> {
    let upstream = upstream();
    let host = prop::option::of("(\\*\\.)?([ab]\\.){0,2}c");
    (host, path(), prop::collection::vec(method(), 0..3), prop::collection::vec(header(), 0..2)).prop_map(
        move |(host, path, methods, headers)| {
            let mut route = Route::with_path(path, upstream.clone());
            (route.host, route.methods, route.headers) = (host, methods, headers);
            route
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The index finds what a search of all routes finds, in every spelling of the request.
    #[test]
    fn the_index_finds_what_a_plain_search_finds(
        routes in prop::collection::vec(route(), 0..24),
        requests in prop::collection::vec(
            (prop::option::of("([abAB]\\.){0,3}[cC]\\.?"), "(/[ab]{1,2}){0,4}/?", method(), prop::collection::vec(("x-[ab]", "[12]"), 0..3)),
            1..8,
        ),
    ) {
        // Without those that would never be found.
        let mut table: Vec<Route> = Vec::new();
        for route in routes {
            if Routes::new(table.iter().cloned().chain([route.clone()])).is_ok() {
                table.push(route);
            }
        }
        let routes = Routes::new(table.clone()).unwrap();
        for (host, path, method, fields) in requests {
            let path = if path.is_empty() { "/" } else { &*path };
            let headers: HeaderMap = {
                let mut headers = HeaderMap::new();
                for (name, value) in fields {
                    headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
                }
                headers
            };
            let wanted = table
                .iter()
                .enumerate()
                .filter_map(|(place, route)| claim(place, route, host.as_deref(), path, &method, &headers))
                .max()
                .map(|claim| claim.5.0);
            let place = |spelling: &str| {
                let found = routes.find(host.as_deref(), &normal(spelling).unwrap(), &method, &headers).ok()?;
                routes.iter().position(|route| std::ptr::eq(route, found.route()))
            };
            prop_assert_eq!(place(path), wanted, "{} {}", method, path);
            // No spelling goes around a route.
            let spelled = path.replace('/', "//").replace('a', "%61").replace('b', "%62");
            prop_assert_eq!(place(&spelled), wanted, "{} {}", method, spelled);
        }
    }
}

/// Scenario: a table grows from ten routes to ten thousand. A look-up goes by as many places as before.
#[test]
fn the_cost_is_that_of_the_path_and_not_of_the_table() {
    let steps = |count: usize| {
        let up = upstream();
        let rest = (0..count).map(|n| Route::pattern(format!("/tenants/t{n}/{{id}}/{{*rest}}"), up.clone()));
        let routes = Routes::new(rest.chain([Route::new("/", up.clone())])).unwrap();
        let mut steps = 0;
        let mut places = |path: &str| {
            routes.index.search(Some("a.example"), path, &mut |_| {
                steps += 1;
                None::<()>
            })
        };
        places("/tenants/t7/x/y/z");
        places("/nowhere/at/all");
        steps
    };
    assert_eq!(steps(10), steps(10_000));
}
