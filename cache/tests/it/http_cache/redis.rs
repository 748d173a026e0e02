//! Two processes behind one Redis.

use std::sync::Mutex;

use devkit::Redis;
use tokio::sync::Notify;
use tramline_cache::RedisConfig;

use crate::redis::{named, node, node_that_waits};
use crate::support::until_async;

use super::*;

/// What the database has: a text, which `PUT` replaces.
#[derive(Clone)]
struct Texts(Arc<Mutex<&'static str>>);

impl Texts {
    fn new() -> Self {
        Self(Arc::new(Mutex::new("first")))
    }

    /// A process of a system with these texts.
    async fn site(&self, redis: &RedisConfig) -> (Site, AbortOnDropHandle<()>) {
        let (store, run) = node(redis.clone()).await;
        let Self(text) = self.clone();
        let service = move |request: Request<Full<Bytes>>| {
            let mut text = text.lock().unwrap();
            if request.method() == "PUT" {
                *text = "second";
            }
            let answer = Response::builder().header("etag", format!("\"{text}\"")).header("vary", "accept");
            let answer = answer.header("cache-control", "private, max-age=60").body(full(*text)).unwrap();
            std::future::ready(Ok(answer))
        };
        let rule = |request: &Parts| {
            let user = request.headers.get("x-user")?.to_str().ok()?;
            Some(Scope::user(user).with_vary(http::header::ACCEPT))
        };
        (Site::over(store, Clock::system(), minute(), |layer| layer, rule, service), run)
    }
}

const ADA: &[(&str, &str)] = &[("x-user", "ada"), ("authorization", "Bearer ada")];

async fn url() -> Option<RedisConfig> {
    Some(named(RedisConfig::new(devkit::engines::redis().await?)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_asked_for_the_other_answers() {
    let Some(redis) = url().await else { return };
    let texts = Texts::new();
    let ((one, _run), (other, _other_run)) = (texts.site(&redis).await, texts.site(&redis).await);
    assert_eq!(one.get("/x", ADA).await.from(), Some("miss"));
    for _ in 0..2 {
        let read = other.get("/x", ADA).await;
        assert_eq!((read.body.as_str(), read.from()), ("first", Some("hit")));
        assert!(read.field("age").is_some() && read.field("date").is_some());
    }
    let condition = [ADA, &[("if-none-match", "\"first\"")]].concat();
    assert_eq!(other.get("/x", &condition).await.head.status, 304);
    assert_eq!(other.read("HEAD", "/x", ADA).await.from(), Some("hit"));
    assert_eq!((one.asked(), other.asked()), (1, 0));
    assert_eq!(other.cache.stats().hits_shared, 1, "and then its own memory");

    // Whom it is not for asks for himself, and so does who wants something else.
    for fields in [&[("x-user", "bob")][..], &[("x-user", "ada"), ("accept", "text/html")]] {
        assert_eq!(other.get("/x", fields).await.from(), Some("miss"), "{fields:?}");
    }
    assert_eq!(other.get("/x", &[("accept", "text/html")]).await.from(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_writes_the_other_forgets() {
    let Some(redis) = url().await else { return };
    let texts = Texts::new();
    let ((one, _run), (other, _other_run)) = (texts.site(&redis).await, texts.site(&redis).await);
    for site in [&one, &other] {
        assert_eq!(site.get("/x", ADA).await.body, "first");
        site.get("/y", ADA).await;
    }
    assert_eq!(other.read("PUT", "/x", ADA).await.head.status, 200);
    // At once for who wrote, and a moment later for the others.
    assert_eq!(other.get("/x", ADA).await.body, "second");
    until_async(async || one.get("/x", ADA).await.body == "second").await;
    assert_eq!(one.get("/x", ADA).await.from(), Some("hit"));
    for site in [&one, &other] {
        assert_eq!(site.get("/y", ADA).await.from(), Some("hit"), "another address");
    }
}

/// Both ask at the same time: one service is asked, unless its answer is for one only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_ask_once_for_what_they_may_share() {
    for (fields, bodies, asked) in
        [(&[][..], ["1", "1"], 1), (&[("set-cookie", "session=ada")], ["1", "2"], 2)]
    {
        let Some(redis) = url().await else { return };
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let answers = numbered(fields);
        let service = {
            let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
            move |request| {
                let (begun, go, answer) = (Arc::clone(&begun), Arc::clone(&go), answers(request));
                async move {
                    begun.notify_one();
                    go.notified().await;
                    answer.await
                }
            }
        };
        let site = async || {
            let (store, run) = node_that_waits(redis.clone(), Duration::from_secs(20)).await;
            let policy = minute();
            (Site::over(store, Clock::system(), policy, |layer| layer, everything, service.clone()), run)
        };
        let ((one, _run), (other, _other_run)) = (site().await, site().await);
        let ask = |site: &Site| tokio::spawn(site.service.clone().oneshot(request("GET", "/x", &[])));
        let first = ask(&one);
        begun.notified().await;
        let second = ask(&other);
        until(|| other.cache.stats().lease_waits == 1).await;
        go.notify_one();
        assert_eq!(read(first.await.unwrap().unwrap()).await.body, bodies[0], "{fields:?}");
        go.notify_one();
        assert_eq!(read(second.await.unwrap().unwrap()).await.body, bodies[1], "{fields:?}");
        assert_eq!(one.asked() + other.asked(), asked, "{fields:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_all_are_answered_and_what_was_written_meanwhile_does_not_come_back() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let server = Redis::start().await.unwrap();
    let redis = named(RedisConfig::new(server.url()));
    let texts = Texts::new();
    let ((one, _run), (other, _other_run)) = (texts.site(&redis).await, texts.site(&redis).await);
    let sites = [&one, &other];
    for site in sites {
        assert_eq!(site.get("/x", ADA).await.body, "first");
    }
    server.stop().await;
    until(|| sites.iter().all(|site| !site.store.stats().attached)).await;
    for site in sites {
        assert_eq!(site.get("/x", ADA).await.from(), Some("hit"), "memory");
        for path in ["/y", "/z"] {
            assert_eq!(site.get(path, ADA).await.from(), Some("miss"));
            assert_eq!(site.get(path, ADA).await.from(), Some("hit"));
        }
    }
    assert_eq!(one.read("PUT", "/x", ADA).await.head.status, 200);
    assert_eq!(one.get("/x", ADA).await.body, "second");
    server.restart().await.unwrap();
    until(|| sites.iter().all(|site| site.store.stats().attached)).await;
    until_async(async || other.get("/x", ADA).await.body == "second").await;
    for site in sites {
        assert_eq!(site.get("/x", ADA).await.body, "second");
    }
}

/// Anybody can make addresses up, and what is not there is not kept: nothing of it may fill Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_what_is_not_there_does_not_fill_redis() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let server = Redis::start().await.unwrap();
    let (store, _run) = node(named(RedisConfig::new(server.url()))).await;
    let site = Site::over(
        store,
        Clock::system(),
        minute(),
        |layer| layer,
        everything,
        numbered(&[(":status", "404")]),
    );
    for batch in 0..100 {
        let paths = (0..100).map(|number| format!("/items/{batch}/{number}"));
        let reads = paths.map(|path| async { site.get(&{ path }, &[]).await.from().map(str::to_owned) });
        assert!(
            futures_util::future::join_all(reads).await.iter().all(|from| from.as_deref() == Some("miss"))
        );
    }
    // Of 10,000 addresses; they share 16,384 marks.
    let keys = keys(&server).await;
    assert!((1000..8000).contains(&keys), "{keys}");
}

/// How many there are in this database.
async fn keys(server: &Redis) -> usize {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
    let address = server.url().trim_start_matches("redis://").trim_end_matches('/').to_owned();
    let mut raw = BufStream::new(tokio::net::TcpStream::connect(address).await.unwrap());
    raw.write_all(b"DBSIZE\r\n").await.unwrap();
    raw.flush().await.unwrap();
    let mut line = String::new();
    raw.read_line(&mut line).await.unwrap();
    line.trim_start_matches(':').trim_end().parse().unwrap()
}
