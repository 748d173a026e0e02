//! The cache on a real Redis.

use tramline_cache::conformance::{self, Nodes};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let Some(url) = devkit::engines::redis().await else { return };
    let feeds = Arc::new(std::sync::Mutex::new(Vec::new()));
    conformance::check(|| async {
        let names = config();
        let (a, b) = (Node::new(url, names.clone()).await, Node::new(url, names).await);
        let nodes = Nodes::new(a.cache.clone(), b.cache.clone());
        feeds.lock().unwrap().extend([a, b]);
        nodes
    })
    .await;
}

/// Two processes miss the same key at once: one of them loads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_load_serves_several_processes() {
    let Some(url) = devkit::engines::redis().await else { return };
    let mut names = config();
    // The one load is the claim here, not how fast a busy machine answers.
    names.redis_timeout = Duration::from_secs(5);
    let mut nodes = Vec::new();
    for _ in 0..4 {
        nodes.push(Node::new(url, names.clone()).await);
    }
    let loads = Arc::new(AtomicUsize::new(0));
    let mut asked = Vec::new();
    for n in 0..200 {
        let (cache, loads) = (nodes[n % 4].cache.clone(), loads.clone());
        asked.push(tokio::spawn(async move {
            let load = move || async move {
                loads.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(30)).await;
                Ok::<_, ()>(7)
            };
            cache.get_or_load(&key("one"), &policy(), load).await
        }));
    }
    for task in asked {
        assert_eq!(task.await.unwrap(), Ok(7));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

/// The process that loads dies: the others wait a while, then load themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_whose_holder_is_gone_holds_up_nobody_for_long() {
    let Some(url) = devkit::engines::redis().await else { return };
    let mut names = config();
    names.lease_wait = Duration::from_millis(200);
    let gone = Node::new(url, names.clone()).await;
    let never = tokio::spawn({
        let cache = gone.cache.clone();
        async move {
            let never = || async { std::future::pending::<Result<String, ()>>().await };
            cache.get_or_load(&key("one"), &policy(), never).await
        }
    });
    until(|| gone.cache.stats().loads == 1).await;
    let node = Node::new(url, names).await;
    assert_eq!(load(&node.cache, "one", "loaded").await, "loaded");
    never.abort();
}

/// Every name that is written has an end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_in_redis_has_a_life() {
    let Some(url) = devkit::engines::redis().await else { return };
    let names = config();
    let node = Node::new(url, names.clone()).await;
    let tagged = policy().with_tags([tag("x")]).unwrap();
    let loads = Arc::new(AtomicUsize::new(0));
    node.cache.get_or_load(&key("one"), &tagged, counted(&loads)).await.unwrap();
    node.cache.set(&key("two"), &2, &tagged).await;
    node.cache.get::<u32>(&key("three"), &tagged).await;
    node.cache.invalidate_tag(&tag("x")).await;
    node.cache.invalidate(&key("two")).await;
    node.cache.get_or_load(&key("two"), &tagged, counted(&loads)).await.unwrap();
    let mut connection = raw(url).await;
    let keys: Vec<String> =
        ::redis::cmd("KEYS").arg(format!("{}:*", names.prefix)).query_async(&mut connection).await.unwrap();
    assert!(keys.len() >= 3, "{keys:?}");
    for name in keys {
        let life: i64 = ::redis::cmd("PTTL").arg(&name).query_async(&mut connection).await.unwrap();
        assert!(life > 0 && life <= 86_430_000, "{name} {life}");
    }
}

/// What cannot be read is a miss, is removed, and is no failure of Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_values_are_misses() {
    let Some(url) = devkit::engines::redis().await else { return };
    let names = config();
    let writer = Node::new(url, names.clone()).await;
    let name = format!("{}:v:test:one", names.prefix);
    let mut connection = raw(url).await;
    let damages: [&[u8]; 4] = [b"1:{\"half", b"garbage", b"", b"\xff\xfe:1"];
    for damage in damages {
        writer.cache.invalidate(&key("one")).await;
        assert_eq!(load(&writer.cache, "one", "good").await, "good");
        let slot: Vec<u8> = ::redis::cmd("GET").arg(&name).query_async(&mut connection).await.unwrap();
        let head = slot.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let damaged = [&slot[..head], damage].concat();
        ::redis::cmd("SET")
            .arg(&name)
            .arg(damaged)
            .arg("KEEPTTL")
            .query_async::<()>(&mut connection)
            .await
            .unwrap();
        let reader = Node::new(url, names.clone()).await;
        assert_eq!(reader.cache.get::<String>(&key("one"), &policy()).await, None);
        assert_eq!(load(&reader.cache, "one", "again").await, "again");
        assert_eq!(load(&reader.cache, "one", "more").await, "again");
        assert_eq!(reader.cache.stats().redis_errors, 0);
    }
    // Not even a string.
    ::redis::cmd("DEL").arg(&name).query_async::<()>(&mut connection).await.unwrap();
    ::redis::cmd("RPUSH").arg(&name).arg("x").query_async::<()>(&mut connection).await.unwrap();
    let reader = Node::new(url, names).await;
    assert_eq!(load(&reader.cache, "one", "loaded").await, "loaded");
    assert_eq!(load(&reader.cache, "two", "fine").await, "fine");
    assert_eq!(writer.cache.get::<String>(&key("two"), &policy()).await.as_deref(), Some("fine"));
}

/// Redis throws marks away when it is full: what carried them is gone too, and nothing old comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evicted_mark_ends_what_carried_it() {
    let Some(url) = devkit::engines::redis().await else { return };
    let names = config();
    let tagged = policy().with_tags([tag("x")]).unwrap();
    let node = Node::new(url, names.clone()).await;
    let loads = Arc::new(AtomicUsize::new(0));
    assert_eq!(node.cache.get_or_load(&key("one"), &tagged, counted(&loads)).await, Ok(1));
    let mut connection = raw(url).await;
    ::redis::cmd("DEL")
        .arg(format!("{}:t:test:x", names.prefix))
        .query_async::<()>(&mut connection)
        .await
        .unwrap();
    let fresh = Node::new(url, names).await;
    assert_eq!(fresh.cache.get_or_load(&key("one"), &tagged, counted(&loads)).await, Ok(2));
}

#[tokio::test]
async fn a_url_that_is_none_is_the_only_error() {
    for url in ["", "http://localhost", "redis//x"] {
        let error = Cache::redis(url, config()).unwrap_err();
        assert_eq!(error.kind(), tramline_cache::ErrorKind::Config, "{url}");
    }
}

async fn raw(url: &str) -> ::redis::aio::MultiplexedConnection {
    ::redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}
