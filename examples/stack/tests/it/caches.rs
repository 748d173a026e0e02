//! The hit rate that the page shows: of the caches of all services, where they share a process.

use reqwest::StatusCode;
use serde_json::json;

use crate::api::{ADMIN, Api};
use crate::socket::Socket;
use crate::world::Embedded;

/// How often each is read: more than the rest of this binary does, which counts into the same recorder.
const READS: u64 = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_live_room_counts_every_services_cache() -> anyhow::Result<()> {
    let system = Embedded::start(&[]).await?;
    let admin = Api::sign_in(&system.url, ADMIN).await?;
    // One of auth, admin and profile each, and of payments a list and a report.
    let report = "/api/payments/reports?from=2026-03-01&to=2026-04-01";
    let paths = ["/api/auth/me", "/api/payments", report, "/api/admin/users", "/api/profile"];
    for path in paths {
        for _ in 0..READS {
            admin.get(path).await?.expect(StatusCode::OK)?;
        }
    }
    let mut socket = Socket::open(&admin).await?;
    socket.send(json!({ "type": "subscribe", "id": "live", "room": "system:live" })).await?;
    // An event of the start may still have ended one or two meanwhile.
    let expected = paths.len() as u64 * (READS - 10);
    let sample = socket
        .wait("a sample with the hits of all five", |frame| {
            frame["event"]["data"]["cache"]["hits"].as_u64().is_some_and(|hits| hits >= expected)
        })
        .await?;
    let cache = &sample["event"]["data"]["cache"];
    let (hits, misses) = (cache["hits"].as_u64(), cache["misses"].as_u64());
    assert!(misses > Some(0) && misses < hits, "{cache}");
    system.stop().await
}
