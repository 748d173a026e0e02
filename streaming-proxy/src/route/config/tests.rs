//! Tests of tables as data.

use std::time::Duration;

use http::{HeaderMap, Method};
use proptest::prelude::*;

use super::*;
use crate::config::{Answers, CookieDomain};
use crate::path::normal;
use crate::route::Routes;

const WHOLE: &str = r#"
[upstreams.users]
addresses = ["10.0.0.1:8080", "http://10.0.0.2:8080"]
connect_timeout = "500ms"
max_in_flight = 7
balance = "cookie:sid"
server_errors = 5
max_ejected = 30
resolve_every = "30s"
fail_fast = true
slow_start = "10s"
adaptive_limit = true
retry_budget = { percent = 10 }
health_check = { path = "/readyz?full", interval = "1s", unhealthy = 2 }

[upstreams.shop]
from = "SHOP_URL"

[[routes]]
host = "*.shop.example"
prefix = "/api"
methods = ["GET", "PURGE"]
headers = { X-Beta = true, x-tenant = "a" }
strip = "/api"
add = "/v2"
upstream = "shop"
timeouts = { response_header = "5s", response_idle = "off", expect_continue = "2s", total = "1h" }

[[routes]]
pattern = "/users/{id}/{*rest}"
template = "/u/{id}/{*rest}"
upstream = "users"
encoded_slashes = true
answers = { locations = false, cookie_paths = true, cookie_domain = "shop.example", strip_cors = true }
priority = "high"
retry = { attempts = 2, statuses = [502, 503] }
"#;

fn resolve(name: &str) -> Option<String> {
    (name == "SHOP_URL").then(|| "shop-1:80, shop-2:80".to_owned())
}

#[test]
fn a_table_is_what_it_says() {
    let routes = Routes::from_toml(WHOLE, resolve).unwrap();
    let lines: Vec<_> = routes.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["GET|PURGE *.shop.example /api/… x-beta x-tenant=\"a\"", "/users/{id}/{*rest}"]);
    let [shop, users] = routes.iter().collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!(shop.upstream.addresses().collect::<Vec<_>>(), ["shop-1:80", "shop-2:80"]);
    assert_eq!(users.upstream.addresses().collect::<Vec<_>>(), ["10.0.0.1:8080", "10.0.0.2:8080"]);
    assert_eq!(users.upstream.config().connect_timeout, Duration::from_millis(500));
    assert_eq!(users.upstream.config().max_in_flight, 7);
    assert_eq!(shop.answers, Answers::default());
    let Answers { locations: false, cookie_paths: true, cookie_domain, strip_cors: true } = &users.answers
    else {
        panic!("{:?}", users.answers);
    };
    assert_eq!(*cookie_domain, CookieDomain::Set("shop.example".to_owned()));
    let mut wanted = crate::UpstreamConfig::default();
    (wanted.connect_timeout, wanted.max_in_flight) = (Duration::from_millis(500), 7);
    wanted.balance = crate::config::Balance::Cookie("sid".to_owned());
    (wanted.server_errors, wanted.max_ejected, wanted.fail_fast) = (Some(5), 30, true);
    (wanted.slow_start, wanted.adaptive_limit) = (Some(Duration::from_secs(10)), true);
    wanted.resolve_every = Duration::from_secs(30);
    wanted.retry_budget.percent = 10;
    let mut check = crate::config::HealthCheck::new("/readyz?full");
    (check.interval, check.unhealthy) = (Duration::from_secs(1), 2);
    wanted.health_check = Some(check);
    assert_eq!(*users.upstream.config(), wanted);
    assert_eq!(*shop.upstream.config(), crate::UpstreamConfig::default());
    assert_eq!((users.priority, shop.priority), (Priority::High, Priority::Normal));
    assert_eq!((users.retries.attempts, users.retries.statuses.len()), (2, 2));
    assert_eq!((shop.retries.attempts, shop.retries.statuses.len()), (3, 0));
    assert_eq!(shop.timeouts.response_header, Some(Duration::from_secs(5)));
    assert_eq!(shop.timeouts.response_idle, None);
    assert_eq!(shop.timeouts.expect_continue, Some(Duration::from_secs(2)));
    assert_eq!(shop.timeouts.total, Some(Duration::from_secs(3600)));
    assert_eq!(shop.timeouts.request_idle, crate::config::Timeouts::default().request_idle);
    let headers = HeaderMap::from_iter(
        [("x-beta", "1"), ("x-tenant", "a")]
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())),
    );
    for (host, target, sent) in
        [("a.shop.example", "/api/x?y", "/v2/x?y"), ("else", "/users/1/a%2fb", "/u/1/a%2Fb")]
    {
        let uri: http::Uri = target.parse().unwrap();
        let path = normal(uri.path()).unwrap();
        let found = routes.find(Some(host), &path, &Method::GET, &headers).unwrap();
        assert_eq!(found.target(&uri, &path).unwrap(), sent);
    }
}

#[test]
fn every_fault_is_told_with_its_line() {
    let text = r#"
colour = "red"
[upstreams.a]
addresses = ["gopher://a", "b:80", "/c"]
conect_timeout = "1s"
max_idle = "many"
[upstreams.b]
addresses = ["gopher://a", "b:80", "/c"]
failures = 0
[upstreams.c]
from = "NOBODY"
[upstreams.d]
[[routes]]
path = "/a"
prefix = "/a"
host = "A"
upstream = "nobody"
[[routes]]
pattern = "/{x}y"
methods = ["get"]
headers = { "a b" = true, c = false }
upstream = "a"
answers = { cookie_domain = "drop" }
[[routes]]
prefix = "/same"
upstream = "b"
timeouts = { total = "0s" }
[[routes]]
prefix = "/x/.."
upstream = "b"
[[routes]]
prefix = "/same"
upstream = "b"
[[routes]]
prefix = "/same/"
upstream = "c"
"#;
    let error = Routes::from_toml(text, resolve).unwrap_err();
    let told = error.to_string();
    let lines: Vec<&str> = told.lines().collect();
    let wanted = [
        "line 2: unknown: `colour`",
        "line 5: upstream a: unknown field `conect_timeout`",
        "line 6: upstream a: invalid type: string \"many\"",
        "line 7: upstream b: `/c`: an upstream's address",
        "line 7: upstream b: `failures` must be at least 1",
        "line 7: upstream b: `gopher://a`: an upstream's address must be http",
        "line 10: upstream c: no addresses for `NOBODY`",
        "line 12: upstream d: neither `addresses` nor `from`",
        "line 13: route 1: exactly one of `path`, `prefix` and `pattern`",
        "line 13: route 1: there is no upstream `nobody`",
        "line 18: route 2: `a b` is no field's name",
        "line 18: route 2: `drop` is neither a domain nor `keep` nor `remove`",
        "line 18: route 2: `get` is no method",
        "line 18: route 2: the field `c` is `true` or a text",
        "line 27: route 3: `0s` is no time",
        "line 28: route 4: a path must be in its normal form",
        "line 34: route 6: a route before it matches the same",
    ];
    for (line, wanted) in lines.iter().zip(wanted) {
        assert!(line.starts_with(wanted), "{line}\n{wanted}\n\n{told}");
    }
    assert_eq!(lines.len(), wanted.len(), "{told}");
    assert_eq!(error.faults()[0].line, Some(2));
}

#[test]
fn numbers_without_a_sense_are_told() {
    let text = r#"
[upstreams.a]
addresses = ["a:80"]
balance = "random"
server_errors = 0
max_ejected = 101
retry_budget = { percent = 200 }
health_check = { path = "readyz", healthy = 0 }
[upstreams.b]
addresses = ["b:80"]
health_check = { interval = "1s" }
[[routes]]
prefix = "/"
upstream = "a"
retry = { attempts = 0, statuses = [404, 1000] }
[[routes]]
prefix = "/x"
upstream = "a"
priority = "highest"
"#;
    let told = Routes::from_toml(text, resolve).unwrap_err().to_string();
    let wanted = [
        "line 2: upstream a: `healthy` must be at least 1",
        "line 2: upstream a: `max_ejected` is of a hundred",
        "line 2: upstream a: `percent` is of a hundred",
        "line 2: upstream a: `random` is none of",
        "line 2: upstream a: `readyz` is no path",
        "line 2: upstream a: `server_errors` must be at least 1",
        "line 11: upstream b: missing field `path`",
        "line 12: route 1: 1000 is no status",
        "line 12: route 1: 404 is no status",
        "line 12: route 1: `attempts` must be at least 1",
        "line 19: route 2: unknown variant `highest`",
    ];
    let lines: Vec<&str> = told.lines().collect();
    for (line, wanted) in lines.iter().zip(wanted) {
        assert!(line.starts_with(wanted), "{line}\n{wanted}\n\n{told}");
    }
    assert_eq!(lines.len(), wanted.len(), "{told}");
}

#[test]
fn what_is_no_table_is_refused() {
    for (text, wanted) in [
        ("", "a table without routes"),
        ("routes = 1", "line 1: `routes` is a list of tables"),
        ("upstreams = []", "line 1: `upstreams` is a table for each name"),
        ("routes = [1]", "line 1: route 1: invalid type"),
        ("[[routes]]\nprefix = \"/\"", "line 1: route 1: no upstream"),
        ("\n\na = = 1", "line 3: "),
    ] {
        let told = Routes::from_toml(text, resolve).unwrap_err().to_string();
        assert!(told.starts_with(wanted), "{told}\n{wanted}");
    }
}

fn time() -> impl Strategy<Value = Time> {
    (1_u64..10_000_000).prop_map(|millis| Time(Duration::from_millis(millis)))
}

fn entry() -> impl Strategy<Value = RouteEntry> {
    let header =
        prop_oneof![any::<bool>().prop_map(HeaderEntry::Present), ".{0,4}".prop_map(HeaderEntry::Equal)];
    let limit = prop::option::of(time()).prop_map(|time| Limit(time.map(|time| time.0)));
    (
        prop::option::of(".{0,6}"),
        prop::option::of(".{0,6}"),
        prop::collection::vec("[A-Z]{1,4}", 0..3),
        prop::collection::btree_map(".{1,4}", header, 0..3),
        prop::option::of(limit),
        any::<bool>(),
    )
        .prop_map(|(host, path, methods, headers, total, encoded_slashes)| RouteEntry {
            strip: path.clone(),
            upstream: host.clone().unwrap_or_default(),
            timeouts: TimeoutsEntry { total, ..TimeoutsEntry::default() },
            host,
            path,
            methods,
            headers,
            encoded_slashes,
            ..RouteEntry::default()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What is written is read as the same, sense or not.
    #[test]
    fn round_trip(
        routes in prop::collection::vec(entry(), 0..4),
        names in prop::collection::btree_map(".{0,4}", (prop::collection::vec(".{0,6}", 0..3), prop::option::of(time()), prop::option::of(0..9_usize)), 0..3),
    ) {
        let upstreams = names.into_iter().map(|(name, (addresses, avoid, max_idle))| {
            (name, UpstreamEntry { addresses, avoid, max_idle, ..UpstreamEntry::default() })
        });
        let table = TableConfig { upstreams: upstreams.collect(), routes };
        let text = table.to_toml();
        prop_assert_eq!(TableConfig::from_toml(&text).unwrap_or_else(|error| panic!("{error}\n{text}")), table);
    }

    /// Anything is a table or a fault.
    #[test]
    fn nothing_panics(text in "(\\[\\[routes\\]\\]\n|\\[upstreams\\.a\\]\n|prefix = \"/[ab.]{0,3}\"\n|upstream = \"[ab]\"\n|addresses = \\[\"[a:/@]{0,4}\"\\]\n|.{0,8}\n){0,12}") {
        if let Err(error) = Routes::from_toml(&text, resolve) {
            prop_assert!(!error.faults().is_empty());
        }
    }
}
