//! What ends answers.

use futures_util::FutureExt;
use tokio::sync::Notify;
use tramline_cache::Tag;

use crate::support::until_async;

use super::*;

/// Answers with the status that the request wants.
async fn wanted(request: Request<Full<Bytes>>) -> Result<Response<Body>, Infallible> {
    let status = request.headers().get("answer").map_or("200", |status| status.to_str().unwrap());
    Ok(Response::builder().status(status).body(full("")).unwrap())
}

fn by_user(request: &Parts) -> Option<Scope> {
    let user = request.headers.get("x-user").map(|user| user.to_str().unwrap().to_owned());
    Some(user.map_or_else(Scope::public, Scope::user))
}

fn lists(request: &Parts) -> Option<Scope> {
    by_user(request).map(Scope::only_its_own)
}

/// RFC 9111, section 4.4. What was refused has changed nothing; what failed may have.
const WRITES: [(&str, &str, &str); 9] = [
    ("POST", "201", "miss"),
    ("POST", "303", "miss"),
    ("DELETE", "204", "miss"),
    ("PUT", "500", "miss"),
    // Of which nobody knows whether it is safe.
    ("BREW", "200", "miss"),
    ("POST", "409", "hit"),
    ("PATCH", "422", "hit"),
    ("OPTIONS", "200", "hit"),
    ("TRACE", "200", "hit"),
];

#[tokio::test]
async fn unsafe_requests_end_what_is_kept_of_their_address() {
    let site = Site::new(minute(), everything, wanted);
    let ended = [("/a", ""), ("/a?page=2", ""), ("/a?", ""), ("/a", "accept")];
    let others = [("/b", ""), ("/a/", ""), ("/", "")];
    let get = async |(path, field): (&str, &str)| {
        let fields: &[(&str, &str)] = if field.is_empty() { &[] } else { &[(field, "text/plain")] };
        site.get(path, fields).await.from().unwrap().to_owned()
    };
    for asked in ended.into_iter().chain(others) {
        get(asked).await;
    }
    for (method, status, from) in WRITES {
        let read = site.read(method, "/a?by=ada", &[("answer", status)]).await;
        assert_eq!(read.from(), None, "{method} passes by");
        assert_eq!(read.head.status.as_str(), status);
        assert_eq!(get(ended[0]).await, from, "{method} {status}");
        assert_eq!(get(ended[1]).await, from, "{method} {status}: whatever the query");
        for other in others {
            assert_eq!(get(other).await, "hit", "{method} {status} {other:?}");
        }
    }
    site.read("PUT", "/a", &[("host", "two.example")]).await;
    assert_eq!(get(ended[0]).await, "hit", "another host is another address");
}

/// RFC 9111, section 4.4: bob must not read for a minute what ada, or an admin, has overwritten.
#[tokio::test]
async fn what_one_writes_ends_what_every_user_has_of_the_address() {
    let rule = |request: &Parts| match request.headers.contains_key("admin") {
        true => Some(Scope::role("admin")),
        false => by_user(request),
    };
    let site = Site::new(minute(), rule, wanted);
    let everyone: [&[(&str, &str)]; 4] = [&[("x-user", "ada")], &[("x-user", "bob")], &[("admin", "")], &[]];
    for writer in everyone {
        for reader in everyone {
            site.get("/documents/9", reader).await;
            site.get("/other", reader).await;
        }
        site.read("PUT", "/documents/9", writer).await;
        for reader in everyone {
            let from = site.get("/documents/9", reader).await.from().unwrap().to_owned();
            assert_eq!(from, "miss", "{writer:?} {reader:?}");
            assert_eq!(site.get("/other", reader).await.from(), Some("hit"), "{writer:?} {reader:?}");
        }
    }
}

#[tokio::test]
async fn what_a_user_writes_to_his_list_ends_his_own_and_what_is_for_all() {
    let site = Site::new(minute(), lists, wanted);
    let asks = [("ada", "/list"), ("bob", "/list"), ("", "/list"), ("ada", "/other")];
    let get = async |(user, path): (&str, &str)| {
        let fields: &[(&str, &str)] = if user.is_empty() { &[] } else { &[("x-user", user)] };
        site.get(path, fields).await.from().unwrap().to_owned()
    };
    for ask in asks {
        assert_eq!(get(ask).await, "miss");
    }
    site.read("POST", "/list", &[("x-user", "ada"), ("answer", "201")]).await;
    let mut from = Vec::new();
    for ask in asks {
        from.push(get(ask).await);
    }
    assert_eq!(from, ["miss", "hit", "miss", "hit"]);
    site.read("POST", "/list", &[("answer", "201")]).await;
    assert_eq!((&*get(asks[0]).await, &*get(asks[2]).await), ("hit", "miss"));
}

/// What no rule names is nobody's, and an ending costs a message to every process.
#[tokio::test]
async fn what_no_rule_names_ends_nothing_by_itself() {
    fn rule(request: &Parts) -> Option<Scope> {
        (!request.headers.contains_key("cookie")).then(Scope::public)
    }
    let site = Site::new(minute(), rule, wanted);
    site.get("/x", &[]).await;
    site.read("POST", "/x", &[("cookie", "a=b")]).await;
    assert_eq!(site.get("/x", &[]).await.from(), Some("hit"));
    // The rule is asked as for a `GET`.
    let of_get: fn(&Parts) -> Option<Scope> =
        |request| (request.method == http::Method::GET).then(Scope::public);
    let site = Site::new(minute(), of_get, wanted);
    site.get("/x", &[]).await;
    site.read("POST", "/x", &[]).await;
    assert_eq!(site.get("/x", &[]).await.from(), Some("miss"));
}

#[tokio::test]
async fn tags_end_answers_and_unsafe_requests_end_tags() {
    fn page(path: &str) -> Tag {
        Tag::new("page", &path.to_owned())
    }
    let rule: fn(&Parts) -> Option<Scope> =
        |request| Some(Scope::public().with_tag(page(request.uri.path())));
    // A form elsewhere changes the page.
    let endings = |layer: HttpCacheLayer| {
        layer.with_endings(|request| {
            request.headers.get("page").map(|path| page(path.to_str().unwrap())).into_iter().collect()
        })
    };
    let site = Site::with(minute(), endings, rule, wanted);
    for path in ["/a", "/b"] {
        site.get(path, &[]).await;
    }
    for (method, status, from) in WRITES {
        site.read(method, "/form", &[("answer", status), ("page", "/a")]).await;
        assert_eq!(site.get("/a", &[]).await.from(), Some(from), "{method} {status}");
        assert_eq!(site.get("/b", &[]).await.from(), Some("hit"), "{method} {status}");
    }
    site.store.invalidate_tag(&page("/b")).await;
    assert_eq!(site.get("/b", &[]).await.from(), Some("miss"));
}

#[tokio::test]
async fn an_unsafe_request_that_goes_away_ends_its_tags() {
    let site = Site::new(minute(), everything, async |request: Request<Full<Bytes>>| {
        if request.method() == "POST" {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(full("")))
    });
    site.get("/x", &[]).await;
    let mut write = Box::pin(site.service.clone().oneshot(request("POST", "/x", &[])));
    assert!(write.as_mut().now_or_never().is_none());
    assert_eq!(site.get("/x", &[]).await.from(), Some("hit"));
    // Wherever that may be.
    std::thread::spawn(move || drop(write)).join().unwrap();
    until_async(async || site.get("/x", &[]).await.from() == Some("miss")).await;
}

/// One asks, the service has read what it will answer, and before it does, another one writes.
#[tokio::test]
async fn an_answer_that_was_made_before_a_write_is_not_kept_after_it() {
    let (read, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, let_go) = (Arc::clone(&read), Arc::clone(&go));
    let site = Site::new(minute(), everything, move |request: Request<Full<Bytes>>| {
        let (told, let_go) = (Arc::clone(&told), Arc::clone(&let_go));
        async move {
            if request.method() == "GET" {
                told.notify_one();
                let_go.notified().await;
            }
            Ok::<_, Infallible>(Response::new(full("")))
        }
    });
    let first = tokio::spawn(site.service.clone().oneshot(request("GET", "/x", &[])));
    read.notified().await;
    site.read("PUT", "/x", &[]).await;
    go.notify_one();
    first.await.unwrap().unwrap();
    go.notify_one();
    assert_eq!(site.get("/x", &[]).await.from(), Some("miss"));
    assert_eq!(site.get("/x", &[]).await.from(), Some("hit"));
}

#[tokio::test]
async fn more_tags_than_can_be_minded_are_not_cached() {
    // One is the address's, or two.
    let (all, one) = (Scope::public(), Scope::user("ada"));
    for (scope, tags, from) in
        [(&all, 15_u8, "hit"), (&all, 16, "miss"), (&one, 14, "hit"), (&one, 15, "miss")]
    {
        let scope = scope.clone();
        let rule = move |_: &Parts| {
            let tags = (0..tags).map(|number| Tag::new("n", &number));
            Some(tags.fold(scope.clone(), Scope::with_tag))
        };
        let site = Site::new(minute(), rule, numbered(&[]));
        assert_eq!(site.get("/x", &[]).await.from(), Some("miss"));
        assert_eq!(site.get("/x", &[]).await.from(), Some(from), "{tags}");
    }
}

/// As everywhere: a policy of one's own has the tags of the cache's, too.
#[tokio::test]
async fn the_caches_own_tags_end_what_a_scope_keeps_by_its_own_policy() {
    let mut policy = minute();
    policy.tags = vec![Tag::of("everything")];
    let site = Site::by(policy, Policy::new(Duration::from_secs(10)), wanted);
    for turn in ["miss", "hit"] {
        assert_eq!(site.get("/x", &[]).await.from(), Some(turn));
    }
    site.store.invalidate_tag(&Tag::of("everything")).await;
    assert_eq!(site.get("/x", &[]).await.from(), Some("miss"));
}
