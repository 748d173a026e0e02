//! Two gateways whose rooms are on one Redis.

use std::time::Duration;

use contracts::{RevokeReason, Role, SessionRevoked, wrap};
use devkit::Fault;
use jiff::Timestamp;
use serde_json::json;
use tramline_observability::health::{Outcome, Status};
use tramline_ws_rooms::Backplane;
use tramline_ws_rooms::backplane::RedisConfig;
use tramline_ws_rooms::client::{Client, Options};
use uuid::Uuid;

use crate::support::{Setup, World, frame_of, until};

fn on(url: &str, prefix: &str) -> Backplane {
    let mut config = RedisConfig::new(url);
    prefix.clone_into(&mut config.prefix);
    // A busy machine is no reason to give up here.
    config.patience = Duration::from_secs(8);
    Backplane::redis(config).unwrap()
}

async fn gateway(backplane: Backplane) -> World {
    World::start(Setup { backplane: Some(backplane), ..Setup::default() }).await
}

/// Both gateways carry every event, as their feeds bring it: it counts once, whoever is first, and a socket of either
/// has it with the same number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_both_feeds_counts_once() {
    let Some(url) = devkit::engines::redis().await else { return };
    let prefix = format!("test:{}:", Uuid::now_v7());
    let (east, west) = (gateway(on(url, &prefix)).await, gateway(on(url, &prefix)).await);
    let user = Uuid::now_v7();
    let mut sockets = Vec::new();
    for world in [&east, &west] {
        sockets.push(world.socket(&world.token(user, Role::Customer).await).await);
    }
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (user_id, session_id) = (user, Uuid::now_v7());
        let revoked = SessionRevoked {
            user_id,
            session_id,
            device_id: None,
            reason: RevokeReason::Logout,
            at: Timestamp::now(),
        };
        let event = wrap("/auth-service", &revoked).unwrap();
        for world in [&west, &east] {
            world.publish(&event).await;
        }
        ids.push(json!(event.id.as_str()));
    }
    for socket in &mut sockets {
        for (offset, id) in (1..).zip(&ids) {
            let event = frame_of(socket, "event").await;
            assert_eq!((&event["offset"], &event["event"]["id"]), (&json!(offset), id));
        }
    }
    // Another gateway knows what was missed at this one.
    let room = format!("user:{user}");
    let mut late = west.socket(&west.token(user, Role::Customer).await).await;
    let epoch = {
        let ask = json!({ "type": "subscribe", "id": "1", "room": room });
        late.send_text(ask.to_string()).await.unwrap();
        frame_of(&mut late, "subscribed").await["epoch"].clone()
    };
    let since = json!({ "epoch": epoch, "offset": 1 });
    late.send_text(json!({ "type": "subscribe", "id": "2", "room": room, "since": since }).to_string())
        .await
        .unwrap();
    let answer = frame_of(&mut late, "subscribed").await;
    let missed = answer["events"].as_array().unwrap();
    assert_eq!((&answer["recovered"], missed.len()), (&json!(true), 2), "{answer}");
    drop((sockets, late));
    east.stop().await;
    west.stop().await;
}

/// The feed of a gateway that starts is new, so its place is lost: that is nothing to the sockets of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_gateway_renumbers_nobody() {
    let Some(url) = devkit::engines::redis().await else { return };
    let prefix = format!("test:{}:", Uuid::now_v7());
    let east = gateway(on(url, &prefix)).await;
    let user = Uuid::now_v7();
    let token = east.token(user, Role::Customer).await;
    let mut socket = east.socket(&token).await;
    let room = format!("user:{user}");
    let place = async |socket: &mut Client| {
        let ask = json!({ "type": "subscribe", "id": "1", "room": room });
        socket.send_text(ask.to_string()).await.unwrap();
        frame_of(socket, "subscribed").await["epoch"].clone()
    };
    let before = place(&mut socket).await;
    let west = gateway(on(url, &prefix)).await;
    // It has opened its feed when an event comes through it.
    let revoked = SessionRevoked {
        user_id: user,
        session_id: Uuid::now_v7(),
        device_id: None,
        reason: RevokeReason::Logout,
        at: Timestamp::now(),
    };
    let mut there = west.socket(&west.token(user, Role::Customer).await).await;
    west.publish(&wrap("/auth-service", &revoked).unwrap()).await;
    frame_of(&mut there, "event").await;
    assert_eq!(place(&mut socket).await, before);
    drop((socket, there));
    east.stop().await;
    west.stop().await;
}

/// A gateway without its Redis lets no socket in, says so, and is ready for everything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_the_gateway_is_degraded() {
    let Some(url) = devkit::engines::redis().await else { return };
    let (fault, through) = Fault::in_front_of(url).await.unwrap();
    let mut config = RedisConfig::new(through);
    config.prefix = format!("test:{}:", Uuid::now_v7());
    config.patience = Duration::from_secs(2);
    let world = gateway(Backplane::redis(config).unwrap()).await;
    let rooms = async || {
        let report = world.service.health().ready().await;
        let rooms = report.checks.iter().find(|check| check.name == "rooms").expect("a check of the rooms");
        (report.status, rooms.outcome)
    };
    until("the rooms are well", async || (rooms().await.1 == Outcome::Ok).then_some(())).await;
    fault.cut();
    until("the rooms are away", async || (rooms().await.1 != Outcome::Ok).then_some(())).await;
    assert_eq!(rooms().await.0, Status::Degraded);
    let token = world.token(Uuid::now_v7(), Role::Customer).await;
    let refused = world.connect("", Options::bearer(&token)).await.unwrap_err();
    assert_eq!((refused.0, refused.1["code"].as_str()), (503, Some("UNAVAILABLE")));
    fault.heal();
    until("the rooms are back", async || (rooms().await.1 == Outcome::Ok).then_some(())).await;
    drop(world.socket(&token).await);
    world.stop().await;
}
