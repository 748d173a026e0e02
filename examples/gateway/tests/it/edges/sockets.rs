//! WebSockets through an edge.

use contracts::Role;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use uuid::Uuid;

use super::bed::Bed;
use crate::support::{ORIGIN, PATIENCE, Setup};

#[tokio::test]
async fn frames_pass_in_both_directions() {
    for bed in Bed::both(Setup::default).await {
        let token = bed.world.token(Uuid::now_v7(), Role::Customer).await;
        let stream = bed.try_connect("example.com").await.unwrap();
        // As a browser does it.
        let mut request = "wss://example.com/ws".into_client_request().unwrap();
        let protocols = format!("tramline.v1, bearer.{token}");
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
        request.headers_mut().insert("origin", ORIGIN.parse().unwrap());
        let (mut socket, response) = client_async(request, stream).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "tramline.v1", "{}", bed.name);
        let mut next = async |wanted: &str| {
            let frame = timeout(PATIENCE, socket.next()).await.expect("a frame in time").unwrap().unwrap();
            let frame: Value = serde_json::from_str(frame.to_text().unwrap()).unwrap();
            assert_eq!(frame["type"], wanted, "{}", bed.name);
        };
        next("welcome").await;
        socket.send(Message::text("{\"type\":\"ping\"}")).await.unwrap();
        let frame = timeout(PATIENCE, socket.next()).await.expect("a frame in time").unwrap().unwrap();
        assert!(frame.to_text().unwrap().contains("\"pong\""), "{}: {frame}", bed.name);
        socket.close(None).await.unwrap();
        while let Some(Ok(_)) = timeout(PATIENCE, socket.next()).await.expect("an end in time") {}
        bed.stop().await;
    }
}

/// A browser cannot read a refused upgrade, so that the plain GET says why.
#[tokio::test]
async fn refusals_are_problems() {
    for bed in Bed::both(Setup::default).await {
        let upgrade = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        bed.send("GET", "/ws", &upgrade).await.is_problem(401, "UNAUTHENTICATED", "/ws");
        bed.get("/ws").await.is_problem(401, "UNAUTHENTICATED", "/ws");
        let token = format!("Bearer {}", bed.world.token(Uuid::now_v7(), Role::Customer).await);
        let plain = bed.send("GET", "/ws", &[("authorization", &token)]).await;
        plain.is_problem(426, "UPGRADE_REQUIRED", "/ws");
        let evil =
            [upgrade.as_slice(), &[("authorization", &token), ("origin", "https://evil.example")]].concat();
        bed.send("GET", "/ws", &evil).await.is_problem(403, "FORBIDDEN", "/ws");
        // Nothing else is a tunnel, and no other protocol is one.
        let h2c =
            [("connection", "upgrade, http2-settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABk")];
        let answer = bed.send("GET", "/api/auth/thing", &h2c).await;
        assert_ne!(answer.status, 101, "{}", bed.name);
        bed.stop().await;
    }
}
