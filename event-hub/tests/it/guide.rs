//! The service of `docs/guides/events.md`, which is the example `orders`, and the story that is told of it.

use std::time::Duration;

use serde_json::json;
use sqlx::SqlitePool;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tramline_event_hub::dead_letters::{self, DrainConfig, RedriveConfig, Selection};
use tramline_event_hub::{Hub, MemoryConfig};

#[path = "../../examples/orders.rs"]
#[allow(dead_code, reason = "its `main` is the example's")]
mod orders;

const GUIDE: &str = include_str!("../../../docs/guides/events.md");
const EXAMPLE: &str = include_str!("../../examples/orders.rs");

#[test]
fn the_guide_shows_the_example() {
    let shown: Vec<_> = GUIDE.split("```rs\n").skip(1).collect();
    assert!(shown.len() >= 3);
    for block in shown {
        let (block, _) = block.split_once("```").unwrap();
        assert!(EXAMPLE.contains(block), "not in examples/orders.rs:\n{block}");
    }
}

#[tokio::test]
async fn an_order_is_mailed_and_a_dead_one_is_sent_back() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?mode=rwc", folder.path().join("orders.db").display());
    let pool = SqlitePool::connect(&url).await.unwrap();
    let hub = Hub::memory(MemoryConfig::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let service = tokio::spawn(orders::serve(hub.clone(), pool.clone(), listener, stop.clone()));

    let client = reqwest::Client::new();
    for item in ["tea", "teapot"] {
        let answer =
            client.post(format!("{base}/orders")).json(&json!({ "item": item })).send().await.unwrap();
        assert_eq!(answer.status(), 201);
    }
    until(async || {
        let dead = hub.queue("events.dlq").await.unwrap().map_or(0, |queue| queue.messages);
        (mails(&pool).await.len(), dead) == (1, 1)
    })
    .await;
    assert_eq!(client.get(format!("{base}/readyz")).send().await.unwrap().status(), 200);

    dead_letters::sqlite::migrate(&pool).await.unwrap();
    let letters = dead_letters::sqlite::open(pool.clone());
    let mut config = DrainConfig::default();
    config.until_empty = true;
    letters.drain(&hub, "events.dlq", config, |_| {}, std::future::pending()).await.unwrap();
    let letter = letters.list(&Default::default(), None, 10).await.unwrap().letters.remove(0);
    assert_eq!((letter.reason.as_str(), letter.handler.as_deref()), ("rejected", Some("mail")));
    assert_eq!(letter.error.as_deref(), Some("teapot has no price"));

    sqlx::query("INSERT INTO prices VALUES ('teapot', 2400)").execute(&pool).await.unwrap();
    let back = letters.redrive(&hub, &Selection::All, RedriveConfig::default(), |_| {}).await.unwrap();
    assert_eq!((back.sent, back.left), (1, 0));
    assert_eq!(mails(&pool).await, [(1, 450), (2, 2400)]);

    drop(client);
    stop.cancel();
    timeout(PATIENCE, service).await.expect("a drain in time").unwrap().unwrap();
}

const PATIENCE: Duration = Duration::from_secs(30);

async fn mails(pool: &SqlitePool) -> Vec<(i64, i64)> {
    // The table is there a moment after the service's start.
    let found = sqlx::query_as("SELECT order_id, cents FROM mails ORDER BY order_id").fetch_all(pool).await;
    found.unwrap_or_default()
}

async fn until(holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, wait).await.expect("in time");
}
