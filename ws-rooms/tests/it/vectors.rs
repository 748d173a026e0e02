//! `protocol/vectors`: what every implementation of the protocol must do.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use tramline_ws_rooms::RoomId;
use tramline_ws_rooms::protocol::{Advice, ServerFrame};

use crate::support::{Peer, config, node_with, publication};

fn vectors(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol/vectors").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn rooms() {
    for vector in vectors("rooms.json") {
        let valid = RoomId::parse(vector["room"].as_str().unwrap()).is_ok();
        assert_eq!(valid, vector["valid"], "{vector}");
    }
}

#[test]
fn closes() {
    for vector in vectors("closes.json") {
        let code = u16::try_from(vector["code"].as_u64().unwrap()).unwrap();
        let advice = match Advice::of(code) {
            Advice::StayAway => "stay away",
            Advice::BackOff => "back off",
            Advice::Reconnect => "reconnect",
            other => panic!("{other:?}"),
        };
        assert_eq!(advice, vector["advice"], "{vector}");
    }
}

#[test]
fn server_frames() {
    for vector in vectors("server_frames.json") {
        let parsed = ServerFrame::parse(vector["frame"].as_str().unwrap());
        let kind = match &parsed {
            Ok(ServerFrame::Unknown(_)) => "unknown".to_owned(),
            Ok(frame) => {
                let debug = format!("{frame:?}");
                let end = debug.find(['(', ' ', '{']).unwrap_or(debug.len());
                debug[..end].to_lowercase()
            }
            Err(_) => "invalid".to_owned(),
        };
        assert_eq!(kind, vector["kind"], "{vector}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests() {
    let mut config = config();
    config.limits.bad_frames = u32::MAX;
    config.limits.messages_per_second = 1_000;
    let mut peer = Peer::connect(&node_with(config), "ada/customer/s1").await;
    for vector in vectors("requests.json") {
        peer.client.send_text(vector["frame"].as_str().unwrap()).await.unwrap();
        let answer = peer.next().await;
        let what = answer.get("code").unwrap_or(&answer["type"]);
        assert_eq!(*what, vector["answer"], "{vector}");
        assert_eq!(answer.get("id"), vector.get("id"), "{vector}");
    }
}

/// Scripts: what a client sends, what is published, and the frames that come, word for word;
/// `"$name"` stands for a value that is bound where it comes first and the same afterwards.
#[tokio::test(start_paused = true)]
async fn sessions() {
    for script in vectors("sessions.json") {
        let rooms = node_with(config());
        let mut peer = Peer::connect(&rooms, "ada/customer/s1").await;
        let mut bound = HashMap::new();
        for step in script["steps"].as_array().unwrap() {
            if let Some(frame) = step.get("send") {
                let mut frame = frame.clone();
                fill(&mut frame, &bound);
                peer.send(frame).await;
            } else if let Some(id) = step.get("publish") {
                let to = step["rooms"].as_array().unwrap();
                let to: Vec<&str> = to.iter().map(|room| room.as_str().unwrap()).collect();
                rooms.publish(publication(&to, id.as_str().unwrap())).await.unwrap();
            } else if let Some(expected) = step.get("expect") {
                let frame = peer.next().await;
                assert!(matches(expected, &frame, &mut bound), "{script}\n{expected}\n{frame}");
            } else {
                assert_eq!(step["reconnect"], true);
                drop(peer);
                crate::support::settle().await;
                peer = Peer::connect(&rooms, "ada/customer/s1").await;
            }
        }
        peer.quiet().await;
    }
}

fn fill(value: &mut Value, bound: &HashMap<String, Value>) {
    match value {
        Value::String(name) if name.starts_with('$') => *value = bound[name.as_str()].clone(),
        Value::Array(values) => values.iter_mut().for_each(|value| fill(value, bound)),
        Value::Object(fields) => fields.values_mut().for_each(|value| fill(value, bound)),
        _ => {}
    }
}

fn matches(expected: &Value, found: &Value, bound: &mut HashMap<String, Value>) -> bool {
    match (expected, found) {
        (Value::String(name), _) if name.starts_with('$') => {
            bound.entry(name.clone()).or_insert_with(|| found.clone()) == found
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| matches(a, b, bound))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| matches(a, b, bound)))
        }
        (a, b) => a == b,
    }
}
