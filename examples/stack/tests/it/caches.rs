//! The hit rates that the page shows: of each cache of all services, where they share a process.

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
    let names = ["auth-user", "payment-list", "payment-report", "admin-user-list", "profile"];
    let sample = socket
        .wait("a sample with the hits of all five", |frame| {
            // An event of the start may still have ended one or two meanwhile.
            let hits = |name| frame["event"]["data"]["caches"][name]["hits"].as_u64();
            names.iter().all(|name| hits(name).is_some_and(|hits| hits >= READS - 10))
        })
        .await?;
    let data = &sample["event"]["data"];
    let sum = |of: &str| {
        let caches = data["caches"].as_object().into_iter().flatten();
        caches.map(|(_, asked)| asked[of].as_u64().unwrap_or_default()).sum::<u64>()
    };
    let (hits, misses) = (sum("hits"), sum("misses"));
    assert!(misses > 0 && misses < hits, "{data}");
    assert_eq!(data["cache"], json!({ "hits": hits, "misses": misses }));
    system.stop().await
}
