//! From the hub into a socket.

use serde_json::json;
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{ConsumerConfig, Event, Hub, MemoryConfig};
use tramline_ws_rooms::{Bridge, RoomId};

use crate::support::{Peer, node, room};

fn route(event: &Event) -> Vec<RoomId> {
    match event.event_type.as_str() {
        "payments.payment.created" => {
            let data: serde_json::Value = event.data().unwrap();
            ["senderId", "recipientId"]
                .iter()
                .map(|party| room(&format!("user:{}", data[party].as_str().unwrap())))
                .chain([room("role:admin")])
                .collect()
        }
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn an_event_reaches_the_rooms_that_the_route_names() {
    let hub = Hub::memory(MemoryConfig::default());
    let topology = Topology::new()
        .exchange(Exchange::topic("events"))
        .queue(Queue::quorum("gateway.events"))
        .binding(Binding::new("events", "#", "gateway.events"));
    hub.declare(&topology).await.unwrap();
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let mut eve = Peer::connect(&rooms, "eve/customer/s2").await;
    let mut root = Peer::connect(&rooms, "root/admin/s3").await;

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let consuming = tokio::spawn({
        let (hub, bridge) = (hub.clone(), Bridge::new(rooms.clone(), route));
        async move {
            let stopped = async { drop(stopped.await) };
            hub.consume("gateway.events", ConsumerConfig::default(), bridge, stopped).await
        }
    });
    let data = json!({"senderId": "ada", "recipientId": "bob", "amount": "12.50"});
    let other = Event::new("payments.other", "payments", &json!({})).unwrap();
    hub.publish(&other).await.unwrap();
    let event = Event::new("payments.payment.created", "payments", &data).unwrap();
    hub.publish(&event).await.unwrap().settled().await.unwrap();

    let frame = ada.expect("event").await;
    assert_eq!((&frame["room"], &frame["event"]["id"]), (&json!("user:ada"), &json!(event.id.as_str())));
    assert_eq!(frame["event"]["data"], data);
    assert_eq!(frame["event"]["specversion"], "1.0");
    assert_eq!(root.expect("event").await["room"], "role:admin");
    eve.quiet().await;
    drop(stop);
    consuming.await.unwrap().unwrap();
}
