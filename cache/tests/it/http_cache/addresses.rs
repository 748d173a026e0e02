//! What is one address, and what is another.

use axum::Router;
use axum::extract::{OriginalUri, Path};
use axum::routing::get;
use tower::ServiceExt;

use super::*;

/// `/{tenant}/report`, where the layer is inside of the inner router.
fn nested(rule: fn(&Parts) -> Option<Scope>) -> (Router, Store) {
    let store = Store::memory(StoreConfig::default());
    let layer = || {
        HttpCacheLayer::new(store.cache(CacheConfig::new("http")).unwrap(), HttpCacheConfig::default(), rule)
    };
    let report = async |Path(tenant): Path<String>| format!("the report of {tenant}");
    let inner = Router::new().route("/report", get(report).put(report)).route_layer(layer());
    (Router::new().nest("/{tenant}", inner), store)
}

async fn ask(router: &Router, method: &str, path: &str) -> (String, String) {
    let request = Request::builder().method(method).uri(path).body(axum::body::Body::empty()).unwrap();
    let answer = router.clone().oneshot(request).await.unwrap();
    let from = answer.headers().get("server-timing").map_or("", |from| from.to_str().unwrap()).to_owned();
    let body = axum::body::to_bytes(answer.into_body(), 1000).await.unwrap();
    (String::from_utf8(body.to_vec()).unwrap(), from)
}

/// A router in a router takes off what it has read of the path, before the layers inside see it.
#[tokio::test]
async fn in_a_nested_router_the_place_tells_addresses_apart() {
    let rule: fn(&Parts) -> Option<Scope> = |request| {
        let whole = request.extensions.get::<OriginalUri>()?;
        Some(Scope::role("admin").with_place(whole.path()))
    };
    let (router, _store) = nested(rule);
    for from in ["cache;desc=miss", "cache;desc=hit"] {
        for tenant in ["acme", "globex"] {
            let (body, said) = ask(&router, "GET", &format!("/{tenant}/report")).await;
            assert_eq!((body, &*said), (format!("the report of {tenant}"), from));
        }
    }
    ask(&router, "PUT", "/acme/report").await;
    assert_eq!(ask(&router, "GET", "/globex/report").await.1, "cache;desc=hit");
    assert_eq!(ask(&router, "GET", "/acme/report").await.1, "cache;desc=miss");
}

/// Links by the host that a request says: what one says must not be in what another one gets.
#[tokio::test]
async fn a_request_that_names_two_hosts_leaves_nothing() {
    let site = Site::new(minute(), everything, async |request: Request<Full<Bytes>>| {
        let host = request.headers().get_all("host").iter().next_back();
        Ok(Response::new(full(host.map_or("", |host| host.to_str().unwrap()).to_owned())))
    });
    let target = "http://shop.example/x";
    let table: [(&str, &[(&str, &str)]); 3] = [
        (target, &[("host", "evil.example")]),
        (target, &[("host", "shop.example"), ("host", "evil.example")]),
        ("/x", &[("host", "shop.example"), ("host", "evil.example")]),
    ];
    for (path, hosts) in table {
        let read = site.get(path, hosts).await;
        assert_eq!((read.body.as_str(), read.from()), ("evil.example", None), "{path} {hosts:?}");
        let read = site.get(path, &[("host", "shop.example")]).await;
        assert_eq!(read.body, "shop.example", "{path} {hosts:?}");
    }
}

/// A writer that goes by another name, or spells in another way, must not read what it has overwritten.
#[tokio::test]
async fn a_write_by_another_spelling_of_the_address_ends_it() {
    let site = Site::new(minute(), everything, numbered(&[]));
    let table = [
        ("/x", "a:80", "/x", "a"),
        ("/x", "a", "/x", "A:443"),
        ("/items/%31", "a", "/items/1", "a"),
        ("/items/2", "a", "/items/%32", "a"),
        ("http://a/y", "a", "/y", "a:80"),
    ];
    for (read, by, write, name) in table {
        for from in ["miss", "hit"] {
            assert_eq!(site.get(read, &[("host", by)]).await.from(), Some(from), "{read} {by}");
        }
        site.read("PUT", write, &[("host", name)]).await;
        assert_eq!(site.get(read, &[("host", by)]).await.from(), Some("miss"), "{read} {by}");
        site.read("PUT", write, &[("host", name)]).await;
    }
}

#[tokio::test]
async fn a_service_that_answers_to_any_name_has_one_address() {
    let site = Site::new(minute(), |_| Some(Scope::public().for_any_host()), numbered(&[]));
    for (host, from) in [("api.example", "miss"), ("payments:8080", "hit")] {
        assert_eq!(site.get("/x", &[("host", host)]).await.from(), Some(from));
    }
    site.read("PUT", "/x", &[("host", "payments:8080")]).await;
    assert_eq!(site.get("/x", &[("host", "api.example")]).await.from(), Some("miss"));
}

/// Frameworks that look at these fields do another thing than the method and the path say.
#[tokio::test]
async fn requests_that_say_another_method_or_path_pass_by() {
    let fields = [
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "DELETE"),
        ("x-method-override", "DELETE"),
        ("x-original-url", "/admin"),
        ("x-rewrite-url", "/admin"),
    ];
    for field in fields {
        let site = Site::new(minute(), everything, numbered(&[]));
        assert_eq!(site.get("/x", &[field]).await.from(), None, "{field:?}");
        let read = site.get("/x", &[]).await;
        assert_eq!((read.body.as_str(), read.from()), ("2", Some("miss")), "{field:?}");
        assert_eq!(site.get("/x", &[field]).await.body, "3", "{field:?}: nor gets what is kept");
    }
    let rule = |_: &Parts| Some(Scope::public().with_vary(http::HeaderName::from_static("x-original-url")));
    let site = Site::new(minute(), rule, numbered(&[]));
    for (field, body) in [("/a", "1"), ("/b", "2"), ("/a", "1")] {
        assert_eq!(site.get("/x", &[("x-original-url", field)]).await.body, body, "in the key by the rule");
    }
}
