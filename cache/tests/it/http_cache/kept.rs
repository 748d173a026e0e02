//! What is kept, by what, and how it ends.

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::sync::Notify;
use tramline_cache::Tag;

use super::*;

#[tokio::test]
async fn an_answer_is_kept_for_its_life_and_says_its_age() {
    let site =
        Site::new(minute(), everything, numbered(&[("cache-control", "max-age=10"), ("etag", "\"a\"")]));
    let first = site.get("/x", &[]).await;
    assert_eq!((first.body.as_str(), first.from(), first.field("age")), ("1", Some("miss"), None));
    site.clock.advance(Duration::from_secs(9));
    let second = site.get("/x", &[]).await;
    assert_eq!((second.body.as_str(), second.from(), second.field("age")), ("1", Some("hit"), Some("9")));
    assert_eq!(second.field("etag"), Some("\"a\""));
    assert!(second.field("date").is_some(), "from when it is must not be lost");
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.get("/x", &[]).await.body, "2");
    assert_eq!(site.asked(), 2);
}

/// Longer than the cache's, too: it is the scope's to say.
#[tokio::test]
async fn a_scope_keeps_by_its_own_policy() {
    for (secs, vary) in [(600, &[][..]), (600, &[("vary", "accept")]), (10, &[])] {
        let mut own = Policy::new(Duration::from_secs(secs));
        own.jitter = 0.0;
        let site = Site::by(minute(), own, numbered(vary));
        site.get("/x", &[]).await;
        if !vary.is_empty() {
            assert_eq!(site.get("/x", &[]).await.from(), Some("miss"), "now it is known on what it depends");
        }
        let asked = site.asked();
        site.clock.advance(Duration::from_secs(secs - 1));
        assert_eq!(site.get("/x", &[]).await.from(), Some("hit"), "{secs} {vary:?}");
        assert_eq!(site.get("/x", &[("cache-control", "only-if-cached")]).await.from(), Some("hit"));
        assert_eq!(site.read("HEAD", "/x", &[]).await.from(), Some("hit"));
        site.clock.advance(Duration::from_secs(1));
        assert_eq!(site.get("/x", &[]).await.from(), Some("miss"), "{secs} {vary:?}");
        assert_eq!(site.asked(), asked + 1);
    }
}

/// It is renewed when the scope's policy says, too.
#[tokio::test]
async fn a_scope_refreshes_by_its_own_policy() {
    let mut own = Policy::new(Duration::from_secs(60));
    own.refresh = tramline_cache::Refresh::At { share: 0.5 };
    let site = Site::by(minute(), own, numbered(&[]));
    site.get("/x", &[]).await;
    site.clock.advance(Duration::from_secs(40));
    assert_eq!(site.get("/x", &[]).await.from(), Some("hit"));
    until(|| site.asked() == 2).await;
}

#[tokio::test]
async fn ages_of_other_caches_count() {
    let site = Site::new(minute(), everything, numbered(&[("age", "20"), ("cache-control", "max-age=30")]));
    assert_eq!(site.get("/x", &[]).await.field("age"), Some("20"));
    site.clock.advance(Duration::from_secs(9));
    assert_eq!(site.get("/x", &[]).await.field("age"), Some("29"));
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.get("/x", &[]).await.from(), Some("miss"));
}

/// RFC 9111, section 4.2.3: an answer ages while it is made, and while it comes.
#[tokio::test]
async fn what_it_takes_to_answer_counts() {
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, let_go) = (Arc::clone(&begun), Arc::clone(&go));
    let site = Site::new(minute(), everything, move |_| {
        let (told, let_go) = (Arc::clone(&told), Arc::clone(&let_go));
        async move {
            told.notify_one();
            let_go.notified().await;
            Ok(Response::builder().header("cache-control", "max-age=10").body(full("")).unwrap())
        }
    });
    let first = tokio::spawn(site.service.clone().oneshot(request("GET", "/x", &[])));
    begun.notified().await;
    site.clock.advance(Duration::from_secs(4));
    go.notify_one();
    assert_eq!(read(first.await.unwrap().unwrap()).await.field("age"), Some("4"));
    site.clock.advance(Duration::from_secs(5));
    let kept = site.get("/x", &[]).await;
    assert_eq!((kept.from(), kept.field("age")), (Some("hit"), Some("9")));
    site.clock.advance(Duration::from_secs(1));
    go.notify_one();
    assert_eq!(site.get("/x", &[]).await.from(), Some("miss"));
}

/// Dates of the service are times of day: an answer that is old by them has lived so long.
#[tokio::test]
async fn what_is_old_by_its_date_is_old() {
    let hour_ago = httpdate::fmt_http_date(std::time::SystemTime::now() - Duration::from_secs(3600));
    let date: &'static str = hour_ago.leak();
    let site = Site::new(minute(), everything, move |_| {
        let answer = Response::builder().header("date", date).header("cache-control", "max-age=60");
        std::future::ready(Ok(answer.body(full("")).unwrap()))
    });
    for _ in 0..2 {
        assert_eq!(site.get("/x", &[]).await.from(), Some("miss"));
    }
}

#[tokio::test]
async fn what_no_rule_names_passes_by() {
    let site = Site::new(minute(), |_| None, numbered(&[("cache-control", "public, max-age=60")]));
    for expected in ["1", "2"] {
        let read = site.get("/x", &[]).await;
        assert_eq!((read.body.as_str(), read.field("server-timing")), (expected, None));
    }
}

#[tokio::test]
async fn paths_queries_and_hosts_are_different_questions() {
    let site = Site::new(minute(), everything, numbered(&[]));
    let asked = [
        ("/x", ""),
        ("/x?", ""),
        ("/x?a=1", ""),
        ("/x?a=1&b=2", ""),
        ("/x?b=2&a=1", ""),
        ("/X", ""),
        ("/x/", ""),
        ("/x", "one.example"),
        ("/x", "two.example"),
        ("http://three.example/x", "three.example"),
        // Its answer may be that one should come by the other.
        ("https://three.example/x", "three.example"),
    ];
    for turn in ["miss", "hit"] {
        for (path, host) in asked {
            let fields: &[(&str, &str)] = if host.is_empty() { &[] } else { &[("host", host)] };
            assert_eq!(site.get(path, fields).await.from(), Some(turn), "{path} {host}");
        }
    }
    assert_eq!(site.get("/x", &[("host", "ONE.example")]).await.from(), Some("hit"), "hosts have no case");
    let long = format!("/x?{}", "a".repeat(3000));
    assert_eq!(site.get(&long, &[]).await.from(), None, "nobody links there");
}

#[tokio::test]
async fn a_query_may_be_sorted() {
    let site = Site::new(minute(), |_| Some(Scope::public().with_sorted_query()), numbered(&[]));
    assert_eq!(site.get("/x?b=2&a=1&a=0", &[]).await.body, "1");
    assert_eq!(site.get("/x?a=1&b=2&a=0", &[]).await.body, "1");
    assert_eq!(site.get("/x?a=0&a=1&b=2", &[]).await.body, "2", "the order of one name's values may matter");
    // Two spellings of `a`: their order is that of one name's values.
    assert_eq!(site.get("/x?a=1&%61=2", &[]).await.body, "3");
    assert_eq!(site.get("/x?%61=2&a=1", &[]).await.body, "4");
}

#[tokio::test]
async fn head_is_answered_from_get_and_leaves_nothing() {
    let site = Site::new(minute(), everything, numbered(&[]));
    assert_eq!(site.read("HEAD", "/x", &[]).await.from(), Some("miss"));
    assert_eq!(site.get("/x", &[]).await.body, "2");
    let head = site.read("HEAD", "/x", &[]).await;
    assert_eq!((head.from(), head.body.as_str(), head.field("content-length")), (Some("hit"), "", Some("1")));
    assert_eq!(site.asked(), 2);
}

#[tokio::test]
async fn vary_is_honoured_found_out_or_said() {
    async fn by_language(request: Request<Full<Bytes>>) -> Result<Response<Body>, Infallible> {
        let language =
            request.headers().get("accept-language").map_or("none", |value| value.to_str().unwrap());
        let answer = Response::builder().header("vary", "Accept-Language");
        Ok(answer.body(full(language.to_owned())).unwrap())
    }
    let said: fn(&Parts) -> Option<Scope> =
        |_| Some(Scope::public().with_vary(http::header::ACCEPT_LANGUAGE));
    // Found out, the first answer tells on what it depends, and no more.
    for (rule, asked) in [(everything as fn(&Parts) -> Option<Scope>, 4), (said, 3)] {
        let site = Site::new(minute(), rule, by_language);
        for turn in 0..3 {
            for language in ["de", "en"] {
                let read = site.get("/x", &[("accept-language", language)]).await;
                assert_eq!(read.body, language);
                assert_eq!(
                    read.from() == Some("hit"),
                    turn > 0 && (turn > 1 || asked == 3 || language == "en")
                );
            }
        }
        assert_eq!(site.get("/x", &[]).await.body, "none", "no field is a value of its own");
        assert_eq!(site.get("/x", &[("accept-language", "")]).await.body, "", "and not the empty one");
        assert_eq!(site.read("HEAD", "/x", &[("accept-language", "en")]).await.from(), Some("hit"));
        assert_eq!(site.asked(), asked + 1);
    }
}

#[tokio::test]
async fn vary_may_grow() {
    let site = Site::new(minute(), everything, async |request: Request<Full<Bytes>>| {
        // What it depends on depends on what it is asked for.
        let vary = if request.headers().contains_key("a") { "a, b" } else { "a" };
        let said = request.headers().get("b").map_or("", |b| b.to_str().unwrap()).to_owned();
        Ok(Response::builder().header("vary", vary).body(full(said)).unwrap())
    });
    for _ in 0..4 {
        assert_eq!(site.get("/x", &[]).await.body, "");
        assert_eq!(site.get("/x", &[("a", "1"), ("b", "2")]).await.body, "2");
        assert_eq!(site.get("/x", &[("a", "1"), ("b", "3")]).await.body, "3");
    }
    for b in ["2", "3"] {
        assert_eq!(site.get("/x", &[("a", "1"), ("b", b)]).await.from(), Some("hit"));
    }
}

/// So that who wonders finds out.
#[tokio::test]
async fn what_is_not_kept_is_counted_by_its_reason() {
    let recorder: &'static DebuggingRecorder = Box::leak(Box::default());
    let _recorder = metrics::set_default_local_recorder(recorder);
    let table: [(&'static [(&'static str, &'static str)], &str); 8] = [
        (&[("set-cookie", "a=b")], "set_cookie"),
        (&[("cache-control", "private")], "private"),
        (&[("cache-control", "max-age=0")], "no_life"),
        (&[("vary", "accept")], "varies"),
        (&[(":status", "404")], "status"),
        (&[(":status", "503")], "failed"),
        (&[(":status", "503"), ("cache-control", "no-store")], "no_store"),
        (&[("content-length", "2000")], "too_long"),
    ];
    for (fields, reason) in table {
        Site::new(minute(), everything, numbered(fields)).get("/x", &[]).await;
        assert_eq!(counted(recorder, "cache.http.not_kept"), ["http", reason], "{fields:?}");
    }
}

/// The labels of what was counted once since the last look.
fn counted(recorder: &DebuggingRecorder, name: &str) -> Vec<String> {
    let all = recorder.snapshotter().snapshot().into_vec();
    // What was counted before is told as zero.
    let now =
        all.iter().filter(|(key, .., value)| key.key().name() == name && *value == DebugValue::Counter(1));
    now.flat_map(|(key, ..)| key.key().labels().map(|label| label.value().to_owned())).collect()
}

/// As a site does whose rule forgets that browsers send a cookie: nothing of it is ever a hit.
#[tokio::test]
async fn what_passes_by_is_counted_by_its_reason() {
    let recorder: &'static DebuggingRecorder = Box::leak(Box::default());
    let _recorder = metrics::set_default_local_recorder(recorder);
    let rule = |request: &Parts| match request.uri.path() {
        "/no-rule" => None,
        "/nobody" => Some(Scope::user("")),
        "/tags" => Some((0..20_u32).fold(Scope::public(), |scope, n| scope.with_tag(Tag::new("n", &n)))),
        _ => Some(Scope::public()),
    };
    let site = Site::new(minute(), rule, numbered(&[]));
    type Asked = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);
    let table: [Asked; 7] = [
        ("/x", &[], &[]),
        ("/no-rule", &[("cookie", "a=b")], &[]),
        ("/x", &[("cookie", "a=b")], &["http", "credentials"]),
        ("/x", &[("range", "bytes=0-1")], &["http", "conditions"]),
        ("/x", &[("x-http-method-override", "DELETE")], &["http", "override"]),
        ("/nobody", &[], &["http", "no_key"]),
        ("/tags", &[], &["http", "too_many_tags"]),
    ];
    for (path, fields, reason) in table {
        site.get(path, fields).await;
        assert_eq!(counted(recorder, "cache.http.passed_by"), reason, "{path} {fields:?}");
    }
    let asks = Request::get("/x").body(Full::from("a question")).unwrap();
    drop(site.service.clone().oneshot(asks).await);
    assert_eq!(counted(recorder, "cache.http.passed_by"), ["http", "body"]);
}

#[tokio::test]
async fn answers_outlive_their_process_in_every_codec() {
    use tramline_cache::{Codec, twin::Twin};
    // Bytes that are no text, a field that is no ASCII, a field twice.
    async fn odd(_: Request<Full<Bytes>>) -> Result<Response<Body>, Infallible> {
        let obscure = http::HeaderValue::from_bytes(b"\xfc").unwrap();
        let answer = Response::builder().header("x-odd", obscure).header("link", "<a>").header("link", "<b>");
        let answer = answer.header("connection", "x-hop").header("x-hop", "1");
        let answer = answer.header("proxy-authentication-info", "nextnonce=1");
        Ok(answer.body(full(&b"\xff\0="[..])).unwrap())
    }
    for codec in [Codec::Json, Codec::MessagePack, Codec::Postcard] {
        let twin = Twin::new();
        let node = || async {
            let store = Store::twin(&twin, StoreConfig::default());
            let run = running(&store);
            until(|| store.stats().attached).await;
            let mut config = CacheConfig::new("http");
            config.codec = codec;
            let cache: Cache<HttpKey, HttpAnswer> = store.cache(config).unwrap();
            let layer = HttpCacheLayer::new(cache.clone(), HttpCacheConfig::default(), everything);
            (layer.layer(service_fn(odd)), cache, run)
        };
        let (first, second) = (node().await, node().await);
        for (service, cache, _) in [first, second] {
            let answer = service.oneshot(request("GET", "/x", &[])).await.unwrap();
            let (head, body) = answer.into_parts();
            assert_eq!(body.collect().await.unwrap().to_bytes(), b"\xff\0="[..]);
            assert_eq!(head.headers["x-odd"], b"\xfc"[..]);
            assert_eq!(head.headers.get_all("link").iter().count(), 2);
            for name in ["x-hop", "connection", "proxy-authentication-info"] {
                assert_eq!(head.headers.get(name), None, "{codec:?}: {name} is about the connection only");
            }
            assert_eq!(cache.stats().loads + cache.stats().hits_shared, 1, "{codec:?}");
        }
    }
}
