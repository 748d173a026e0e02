//! Requests and their answers.

use serde_json::json;

use crate::support::{Peer, node, publish};

#[tokio::test(start_paused = true)]
async fn the_welcome_says_who_where_and_what_is_allowed() {
    let rooms = node();
    publish(&rooms, &["broadcast"], "before").await;
    let peer = Peer::connect(&rooms, "ada/customer/s1").await;
    let welcome = &peer.welcome;
    assert_eq!(welcome["userId"], "ada");
    assert_eq!(welcome["heartbeatSeconds"], 25);
    assert_eq!(welcome["limits"]["frameBytes"], 65_536);
    let names: Vec<_> = welcome["rooms"].as_array().unwrap().iter().map(|r| &r["room"]).collect();
    assert_eq!(names, ["user:ada", "role:customer", "broadcast"]);
    assert_eq!(peer.place("broadcast")["offset"], 1);
    assert_eq!(peer.place("user:ada")["offset"], 0);
    assert!(peer.place("user:ada")["epoch"].is_string());
    assert!(welcome["expiresAt"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
}

#[tokio::test(start_paused = true)]
async fn subscribe_and_unsubscribe() {
    let rooms = node();
    let mut peer = Peer::connect(&rooms, "ada/customer/s1").await;
    let answer = peer.ask(json!({"type": "subscribe", "id": "1", "room": "payment:42"})).await;
    assert_eq!(answer["type"], "subscribed");
    assert_eq!((&answer["id"], &answer["offset"]), (&json!("1"), &json!(0)));
    assert_eq!(answer["events"], json!([]));
    assert!(answer.get("recovered").is_none());

    publish(&rooms, &["payment:42"], "e1").await;
    let event = peer.expect("event").await;
    assert_eq!((&event["room"], &event["offset"]), (&json!("payment:42"), &json!(1)));
    assert_eq!(event["event"]["id"], "e1");

    // Ids may be numbers, unknown fields are ignored.
    let request = json!({"type": "unsubscribe", "id": 2, "room": "payment:42", "new": true});
    let answer = peer.ask(request).await;
    assert_eq!(answer, json!({"type": "unsubscribed", "id": 2, "room": "payment:42"}));
    publish(&rooms, &["payment:42"], "e2").await;
    peer.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_open_is_forbidden_and_the_connection_stays() {
    let rooms = node();
    let mut peer = Peer::connect(&rooms, "ada/customer/s1").await;
    for room in [
        "user:bob",
        "role:admin",
        "USER:ada",
        "user:ada:x",
        "nowhere",
        "system:live",
        "no such name",
        "",
        "payment:",
        "payment:\u{ff10}",
        &"payment:x".repeat(50),
    ] {
        let answer = peer.ask(json!({"type": "subscribe", "id": "1", "room": room})).await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("FORBIDDEN")));
        assert_eq!((&answer["retry"], &answer["id"]), (&json!(false), &json!("1")));
        // The same words for absent and forbidden.
        assert_eq!(answer["message"], "this room is not open to you");
    }
    // The server's own rooms are not the client's to leave.
    let answer = peer.ask(json!({"type": "unsubscribe", "room": "user:ada"})).await;
    assert_eq!(answer["code"], "FORBIDDEN");
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_is_away_or_late_is_unavailable() {
    let rooms = node();
    let mut peer = Peer::connect(&rooms, "ada/customer/s1").await;
    for room in ["payment:away", "payment:never"] {
        let answer = peer.ask(json!({"type": "subscribe", "room": room})).await;
        assert_eq!((&answer["code"], &answer["retry"]), (&json!("UNAVAILABLE"), &json!(true)));
    }
    // Live frames flow while an authority takes its time.
    peer.send(json!({"type": "subscribe", "id": "slow", "room": "payment:never"})).await;
    crate::support::settle().await;
    publish(&rooms, &["broadcast"], "meanwhile").await;
    assert_eq!(peer.expect("event").await["event"]["id"], "meanwhile");
    assert_eq!(peer.expect("error").await["id"], "slow");
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_no_request_end_the_connection_at_the_tenth() {
    let rooms = node();
    let mut peer = Peer::connect(&rooms, "ada/customer/s1").await;
    let bad = [
        "",
        "nonsense",
        "[\"ping\"]",
        "\"ping\"",
        "null",
        "{\"type\":1}",
        "{\"type\":\"ping\",\"type\":\"ping\"}",
        "{\"type\":\"dance\",\"id\":\"7\"}",
        "{}",
        "{\"type\":",
    ];
    for (index, text) in bad.iter().enumerate() {
        peer.client.send_text(*text).await.unwrap();
        if index < 9 {
            let answer = peer.expect("error").await;
            assert_eq!(answer["code"], "BAD_FRAME", "{text}");
            if index == 7 {
                assert_eq!(answer["id"], "7");
            }
        }
    }
    let (frames, code) = peer.rest().await;
    assert_eq!(code, Some(4004));
    assert_eq!(frames.last().unwrap()["type"], "goodbye");
    assert_eq!(frames.last().unwrap()["code"], 4004);
    assert_eq!(peer.server.await.unwrap(), 4004);
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_wrong_field_is_answered_and_not_held_against_the_client() {
    let rooms = node();
    let mut peer = Peer::connect(&rooms, "ada/customer/s1").await;
    for frame in [
        json!({"type": "subscribe", "id": "1"}),
        json!({"type": "subscribe", "id": "1", "room": 7}),
        json!({"type": "subscribe", "id": "1", "room": "payment:1", "since": 3}),
        json!({"type": "subscribe", "id": "1", "room": "payment:1", "since": {"epoch": "e"}}),
        json!({"type": "subscribe", "id": "1", "room": "payment:1", "since": {"epoch": "e", "offset": -1}}),
        json!({"type": "auth", "id": "1"}),
        json!({"type": "auth", "id": "1", "token": "x".repeat(9_000)}),
        json!({"type": "presence", "id": "1", "room": null}),
    ] {
        let answer = peer.ask(frame).await;
        assert_eq!((&answer["code"], &answer["id"]), (&json!("BAD_REQUEST"), &json!("1")));
    }
    for frame in [json!({"type": "ping", "id": ["x"]}), json!({"type": "ping", "id": "x".repeat(65)})] {
        let answer = peer.ask(frame).await;
        assert_eq!(answer["code"], "BAD_REQUEST");
        assert!(answer.get("id").is_none());
    }
    peer.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_is_answered_and_forgotten() {
    let rooms = node();
    let mut peer = Peer::connect(&rooms, "ada/customer/s1").await;
    assert_eq!(rooms.stats().connections, 1);
    assert_eq!(rooms.stats().rooms, 3);
    peer.client.close().await.unwrap();
    let (_, code) = peer.rest().await;
    assert_eq!(code, Some(1000));
    assert_eq!(peer.server.await.unwrap(), 1000);
    let stats = rooms.stats();
    assert_eq!((stats.connections, stats.rooms, stats.queued_bytes), (0, 0, 0));
}
