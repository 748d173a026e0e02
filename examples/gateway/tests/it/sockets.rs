//! The sockets as this system wires them: who gets in, which events come, and what ends them.

use contracts::{
    PaymentChanged, PaymentEvent, PaymentStatus, PaymentType, RevokeReason, Role, SessionRevoked,
    UserChanged, UserDeleted, UserStatus, UserUpdated, wrap,
};
use jiff::Timestamp;
use serde_json::json;
use tramline_ws_rooms::client::Options;
use uuid::Uuid;

use crate::support::{ORIGIN, Setup, World, closed, frame, frame_of};

fn payment(sender: Uuid, recipient: Uuid) -> PaymentChanged {
    PaymentChanged {
        payment_id: Uuid::now_v7(),
        version: 1,
        sender_id: sender,
        recipient_id: recipient,
        amount: "1.00".to_owned(),
        currency: "EUR".to_owned(),
        status: PaymentStatus::Pending,
        payment_type: PaymentType::Instant,
        description: "a test".to_owned(),
        failure_reason: None,
        occurred_at: Timestamp::now(),
    }
}

fn user(id: Uuid, status: UserStatus) -> UserUpdated {
    UserUpdated(UserChanged {
        user_id: id,
        version: 2,
        email: "someone@example.com".to_owned(),
        name: "someone".to_owned(),
        role: Role::Customer,
        status,
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
    })
}

fn revoked(user_id: Uuid, session_id: Uuid, reason: RevokeReason) -> SessionRevoked {
    SessionRevoked { user_id, session_id, device_id: None, reason, at: Timestamp::now() }
}

/// A browser is let in from a page of the list alone; a refusal is a problem that also the plain GET tells.
#[tokio::test]
async fn who_gets_in() {
    let world = World::start(Setup::default()).await;
    let token = world.token(Uuid::now_v7(), Role::Customer).await;
    let browser = |origin: &str, token: &str| {
        let mut options = Options::bearer(token);
        options.token_as_subprotocol = true;
        options.origin = Some(origin.to_owned());
        options
    };
    let mut socket = world.connect("", browser(ORIGIN, &token)).await.unwrap();
    let welcome = frame(&mut socket).await;
    let rooms: Vec<_> =
        welcome["rooms"].as_array().unwrap().iter().map(|room| room["room"].clone()).collect();
    assert_eq!(
        rooms,
        [
            json!(format!("user:{}", welcome["userId"].as_str().unwrap())),
            json!("role:customer"),
            json!("broadcast")
        ]
    );

    // Its own address is not on the list, and so no reason.
    let own = world.url.clone();
    for origin in ["https://evil.example", "null", own.as_str()] {
        let (status, body) = world.connect("", browser(origin, &token)).await.unwrap_err();
        assert_eq!((status, body["code"].as_str()), (403, Some("FORBIDDEN")), "{origin}");
    }
    let (status, body) = world.connect("", browser(ORIGIN, &format!("{token}x"))).await.unwrap_err();
    assert_eq!(
        (status, body["code"].as_str(), body["instance"].as_str()),
        (401, Some("UNAUTHENTICATED"), Some("/ws"))
    );
    assert!(body["requestId"].is_string());
    // A token in the query is a token in logs.
    let query = format!("?token={token}");
    assert_eq!(world.connect(&query, Options::default()).await.unwrap_err().0, 401);

    drop(socket);
    world.get("/ws").await.is_problem(401, "UNAUTHENTICATED", "/ws");
    let bearer = format!("Bearer {token}");
    world.send("GET", "/ws", &[("authorization", &bearer)]).await.is_problem(426, "UPGRADE_REQUIRED", "/ws");
    world.stop().await;
}

/// A ticket opens one socket; the rooms that are asked for with a token open once the token is there.
#[tokio::test]
async fn a_ticket_opens_one_socket() {
    let world = World::start(Setup::default()).await;
    let id = Uuid::now_v7();
    let token = world.token(id, Role::Customer).await;
    let claims = world.issuer.auth().verifier().verify(&token).await.unwrap();
    let ticket = world.tickets.issue(&claims, world.issuer.sessions().keys()).await.unwrap().ticket;
    let query = format!("?ticket={ticket}");
    let mut socket = world.connect(&query, Options::default()).await.unwrap();
    assert_eq!(frame(&mut socket).await["userId"], id.to_string());
    assert_eq!(world.connect(&query, Options::default()).await.unwrap_err().0, 401, "used");

    let payment = Uuid::now_v7();
    world.services.payments.lock().unwrap().push(payment);
    let room = format!("payment:{payment}");
    let subscribe = json!({ "type": "subscribe", "id": "1", "room": room }).to_string();
    socket.send_text(subscribe.clone()).await.unwrap();
    assert_eq!(frame_of(&mut socket, "error").await["code"], "FORBIDDEN");
    socket.send_text(json!({ "type": "auth", "id": "2", "token": token }).to_string()).await.unwrap();
    frame_of(&mut socket, "authenticated").await;
    socket.send_text(subscribe).await.unwrap();
    assert_eq!(frame_of(&mut socket, "subscribed").await["room"], room);
    drop(socket);
    world.stop().await;
}

/// The event in the first of a connection's rooms, a position in each of the others, in the contract's order.
#[tokio::test]
async fn an_event_comes_once_and_moves_the_other_rooms() {
    let world = World::start(Setup::default()).await;
    let (sender, recipient, admin) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    // The sender is an admin, too: three of their rooms hear of the payment.
    let mut both = world.socket(&world.token(sender, Role::Admin).await).await;
    let mut other = world.socket(&world.token(recipient, Role::Vendor).await).await;
    let mut watcher = world.socket(&world.token(admin, Role::Admin).await).await;
    let data = payment(sender, recipient);
    let room = format!("payment:{}", data.payment_id);
    world.services.payments.lock().unwrap().push(data.payment_id);
    both.send_text(json!({ "type": "subscribe", "id": "1", "room": room }).to_string()).await.unwrap();
    frame_of(&mut both, "subscribed").await;
    let asked = world.services.seen(&format!("/api/payments/{}", data.payment_id));
    assert!(
        asked[0].headers["authorization"].to_str().unwrap().starts_with("Bearer "),
        "the connection's own token"
    );

    let event = data.wrap("/payments-service", PaymentEvent::Created).unwrap();
    world.publish(&event).await;
    let id = event.id.as_str().to_owned();
    // Presence of one's own comes between; it is not what is asked for here.
    let mut next = async |kind: &str| frame_of(&mut both, kind).await;
    let first = next("event").await;
    assert_eq!((&first["room"], &first["event"]["id"]), (&json!(format!("user:{sender}")), &json!(id)));
    for expected in ["role:admin".to_owned(), room] {
        let position = next("position").await;
        assert_eq!((&position["room"], &position["id"]), (&json!(expected), &json!(id)));
    }
    assert_eq!(frame_of(&mut other, "event").await["room"], format!("user:{recipient}"));
    assert_eq!(frame_of(&mut watcher, "event").await["room"], "role:admin");
    drop((both, other, watcher));
    world.stop().await;
}

/// Who else is in a payment's room is told to those in it: a user's first connection and last.
#[tokio::test]
async fn presence_in_a_payments_room() {
    let world = World::start(Setup::default()).await;
    let (one, other, payment) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    world.services.payments.lock().unwrap().push(payment);
    let room = format!("payment:{payment}");
    let subscribe = json!({ "type": "subscribe", "id": "1", "room": room }).to_string();
    let mut first = world.socket(&world.token(one, Role::Customer).await).await;
    first.send_text(subscribe.clone()).await.unwrap();
    frame_of(&mut first, "subscribed").await;
    let of_other = json!(other.to_string());

    let mut second = world.socket(&world.token(other, Role::Vendor).await).await;
    second.send_text(subscribe).await.unwrap();
    frame_of(&mut second, "subscribed").await;
    while frame_of(&mut first, "joined").await["userId"] != of_other {}
    first.send_text(json!({ "type": "presence", "id": "2", "room": room }).to_string()).await.unwrap();
    let members = frame_of(&mut first, "presence").await["members"].clone();
    assert_eq!(members.as_array().map(Vec::len), Some(2), "{members}");
    drop(second);
    let left = frame_of(&mut first, "left").await;
    assert_eq!((&left["room"], &left["userId"]), (&json!(room), &of_other));
    drop(first);
    world.stop().await;
}

/// That one may see a payment says nothing of another user, nor of the same one by another role. Each is asked for once.
#[tokio::test]
async fn a_payments_room_is_of_those_who_may_see_it() {
    let world = World::start(Setup::default()).await;
    let (one, other, payment) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let party = world.token(one, Role::Customer).await;
    let (admin, fallen) = (world.token(other, Role::Admin).await, world.token(other, Role::Customer).await);
    let stranger = world.token(Uuid::now_v7(), Role::Customer).await;
    world.services.private.lock().unwrap().extend([(payment, party.clone()), (payment, admin.clone())]);
    let room = format!("payment:{payment}");
    for (token, answer, asked) in [
        (&party, "subscribed", 1),
        (&stranger, "error", 2),
        (&party, "subscribed", 2),
        (&stranger, "error", 2),
        (&admin, "subscribed", 3),
        (&fallen, "error", 4),
        (&admin, "subscribed", 4),
    ] {
        let mut socket = world.socket(token).await;
        socket.send_text(json!({ "type": "subscribe", "id": "1", "room": room }).to_string()).await.unwrap();
        let frame = frame_of(&mut socket, answer).await;
        assert_eq!(frame.get("code"), (answer == "error").then_some(&json!("FORBIDDEN")), "{frame}");
        assert_eq!(world.services.seen(&format!("/api/payments/{payment}")).len(), asked);
    }
    world.stop().await;
}

/// Rooms that are someone else's, or nobody's, are forbidden, and the connection stays; a service that is away is
/// another matter.
#[tokio::test]
async fn rooms_that_are_not_ones_own() {
    let world = World::start(Setup::default()).await;
    let token = world.token(Uuid::now_v7(), Role::Customer).await;
    let mut socket = world.socket(&token).await;
    let mine = format!("user:{}", Uuid::now_v7());
    let theirs = format!("payment:{}", Uuid::now_v7());
    for room in [mine.as_str(), theirs.as_str(), "payment:x", "role:admin", "system:live", "nothing:1"] {
        socket.send_text(json!({ "type": "subscribe", "id": room, "room": room }).to_string()).await.unwrap();
        let error = frame_of(&mut socket, "error").await;
        assert_eq!((&error["code"], &error["id"]), (&json!("FORBIDDEN"), &json!(room)));
    }
    socket.send_text(r#"{"type":"ping"}"#).await.unwrap();
    frame_of(&mut socket, "pong").await;
    drop(socket);
    world.stop().await;
}

/// The live room is the admins', and tells what this process knows once a second.
#[tokio::test]
async fn the_live_room_is_for_admins() {
    let world = World::start(Setup::default()).await;
    let mut socket = world.socket(&world.token(Uuid::now_v7(), Role::Admin).await).await;
    let subscribe = json!({ "type": "subscribe", "id": "1", "room": "system:live", "since": { "epoch": "x", "offset": 0 } });
    socket.send_text(subscribe.to_string()).await.unwrap();
    assert_eq!(frame_of(&mut socket, "subscribed").await["recovered"], false);
    let sample = frame_of(&mut socket, "event").await["event"].clone();
    assert_eq!(sample["type"], "system.live.sampled");
    assert_eq!(sample["data"]["sockets"]["connections"], 1);
    let queues = sample["data"]["queues"].as_array().unwrap();
    assert!(queues.iter().any(|queue| queue["name"] == contracts::ADMIN_QUEUE), "{queues:?}");
    assert_eq!(sample["data"].get("cache"), None, "without a recorder it is not known");
    drop(socket);
    world.stop().await;
}

/// A renewal with another role moves the connection to the other role's room at once.
#[tokio::test]
async fn a_renewal_changes_the_role_room() {
    let world = World::start(Setup::default()).await;
    let id = Uuid::now_v7();
    let mut socket = world.socket(&world.token(id, Role::Customer).await).await;
    let auth = json!({ "type": "auth", "id": "r", "token": world.token(id, Role::Admin).await });
    socket.send_text(auth.to_string()).await.unwrap();
    frame_of(&mut socket, "authenticated").await;
    world.publish(&payment(Uuid::now_v7(), Uuid::now_v7()).wrap("/t", PaymentEvent::Created).unwrap()).await;
    assert_eq!(frame_of(&mut socket, "event").await["room"], "role:admin");
    // Somebody else's token renews nothing.
    let auth = json!({ "type": "auth", "id": "s", "token": world.token(Uuid::now_v7(), Role::Admin).await });
    socket.send_text(auth.to_string()).await.unwrap();
    let error = frame_of(&mut socket, "error").await;
    assert_eq!((&error["id"], &error["code"]), (&json!("s"), &json!("FORBIDDEN")));
    drop(socket);
    world.stop().await;
}

/// A session that ended takes its own sockets along and no others; a user who is suspended or deleted, all of theirs.
#[tokio::test]
async fn what_ended_closes_its_sockets() {
    let world = World::start(Setup::default()).await;
    let id = Uuid::now_v7();
    let (ends, stays) = (
        world.issuer.grant(id, Role::Customer, "someone").await,
        world.issuer.grant(id, Role::Customer, "someone").await,
    );
    let ending = world.socket(&ends.access_token).await;
    let mut staying = world.socket(&stays.access_token).await;
    let session = ends.session.id.parse().unwrap();
    world.publish(&wrap("/auth-service", &revoked(id, session, RevokeReason::Revoked)).unwrap()).await;
    let (frames, code) = closed(ending).await;
    assert_eq!(code, 4009);
    // At once: whoever comes back with the token of that session is refused.
    let (status, body) = world.connect("", Options::bearer(&ends.access_token)).await.unwrap_err();
    assert_eq!((status, body["code"].as_str()), (401, Some("TOKEN_REVOKED")));
    assert_eq!(frames.last().map(|frame| frame["type"].clone()), Some(json!("goodbye")));
    assert_eq!(frame_of(&mut staying, "event").await["event"]["type"], "auth.session.revoked");

    // Another name is no reason; suspended is.
    world.publish(&wrap("/auth-service", &user(id, UserStatus::Active)).unwrap()).await;
    assert_eq!(frame_of(&mut staying, "event").await["event"]["type"], "auth.user.updated");
    world.publish(&wrap("/auth-service", &user(id, UserStatus::Suspended)).unwrap()).await;
    assert_eq!(closed(staying).await.1, 4009);

    let gone = Uuid::now_v7();
    let socket = world.socket(&world.token(gone, Role::Customer).await).await;
    let deleted = UserDeleted { user_id: gone, version: 3, deleted_at: Timestamp::now() };
    world.publish(&wrap("/auth-service", &deleted).unwrap()).await;
    assert_eq!(closed(socket).await.1, 4009);

    // Another role ends the token and not the sign-in.
    let other = Uuid::now_v7();
    let promoted = world.issuer.grant(other, Role::Customer, "someone").await;
    let socket = world.socket(&promoted.access_token).await;
    let session = promoted.session.id.parse().unwrap();
    world.publish(&wrap("/auth-service", &revoked(other, session, RevokeReason::Role)).unwrap()).await;
    assert_eq!(closed(socket).await.1, 4201);
    world.socket(&promoted.access_token).await;
    world.stop().await;
}

/// Another role: the sockets of the old one end, to be renewed, and its tokens have expired; those of the new one stay.
#[tokio::test]
async fn another_role_ends_the_sockets_of_the_old_one() {
    let world = World::start(Setup::default()).await;
    let id = Uuid::now_v7();
    let former = world.token(id, Role::Admin).await;
    let old = world.socket(&former).await;
    let mut new = world.socket(&world.token(id, Role::Customer).await).await;
    world.publish(&wrap("/auth-service", &user(id, UserStatus::Active)).unwrap()).await;
    assert_eq!(closed(old).await.1, 4201);
    let (status, body) = world.connect("", Options::bearer(&former)).await.unwrap_err();
    assert_eq!((status, body["code"].as_str()), (401, Some("TOKEN_EXPIRED")));
    assert_eq!(frame_of(&mut new, "event").await["event"]["type"], "auth.user.updated");
    world.socket(&world.token(id, Role::Customer).await).await;
    world.stop().await;
}

/// A drain tells every socket when to come back, and ends by itself.
#[tokio::test]
async fn a_drain_says_goodbye() {
    let world = World::start(Setup::default()).await;
    let socket = world.socket(&world.token(Uuid::now_v7(), Role::Customer).await).await;
    let (told, ()) = tokio::join!(closed(socket), world.stop());
    let (frames, code) = told;
    assert_eq!(code, 4200);
    let goodbye = frames.last().unwrap();
    assert_eq!((&goodbye["type"], &goodbye["code"]), (&json!("goodbye"), &json!(4200)));
    assert!(goodbye["retryAfterMs"].as_u64().is_some_and(|wait| wait <= 5_000), "{goodbye}");
}
