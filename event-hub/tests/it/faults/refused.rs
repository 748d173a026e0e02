//! What the broker refuses by closing the channel: told as that, to the one that it is about.

use devkit::Permissions;
use lapin::options::{BasicPublishOptions, ExchangeDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tramline_event_hub::topology::Queue;
use tramline_event_hub::{
    AmqpConfig, ConsumerConfig, Context, Event, Hub, MemoryConfig, Outcome, PublishErrorKind,
};

use crate::faults::{config, event, listen, topology};
use crate::support::{STRICT_BODY, name, soon, strict};

fn large(n: usize, size: usize) -> Event {
    Event::new("a.b", "faults", &json!({ "n": n, "body": "x".repeat(size) })).unwrap()
}

/// One of fifty is too large for the broker, which closes the channel: the others are in doubt once, and then each
/// hears its own answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_the_broker_refuses_is_told_apart_from_the_others() {
    let Some(broker) = strict().await else { return };
    let prefix = name();
    let hub = Hub::amqp(&broker.url(), config(&prefix)).unwrap();
    let queue = format!("{prefix}.work");
    hub.declare(&topology(&prefix, &[(Queue::quorum(&queue), "#")])).await.unwrap();
    let mut events: Vec<Event> = (0..50).map(|n| event("a.b", n)).collect();
    let poison = large(50, STRICT_BODY);
    events.insert(25, poison.clone());
    let doubtful: Vec<Event> = soon("answers", hub.publish_all(events))
        .await
        .into_iter()
        .filter_map(Result::err)
        .inspect(|error| {
            let told = matches!(error.kind(), PublishErrorKind::Refused { code: 406, alone: false, .. });
            assert!(told && error.may_have_arrived() && !error.is_refusal(), "{error}");
        })
        .map(tramline_event_hub::PublishError::into_event)
        .collect();
    assert!(doubtful.len() > 1, "the channel had others on it");

    let mut refused = Vec::new();
    for error in soon("answers", hub.publish_all(doubtful)).await.into_iter().filter_map(Result::err) {
        assert!(error.is_refusal() && !error.may_have_arrived(), "{error}");
        assert!(error.to_string().contains("406") && error.to_string().contains("larger than"), "{error}");
        refused.push(error.into_event().id);
    }
    assert_eq!(refused, [poison.id]);
    assert!(hub.health().ready());
    hub.shutdown().await;
}

/// Others that come before it do not take its turn to be alone, and are not troubled by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_comes_again_is_alone_beside_steady_traffic() {
    let Some(broker) = strict().await else { return };
    let prefix = name();
    let hub = Hub::amqp(&broker.url(), config(&prefix)).unwrap();
    let queue = format!("{prefix}.work");
    hub.declare(&topology(&prefix, &[(Queue::quorum(&queue), "#")])).await.unwrap();
    let poison = large(0, STRICT_BODY);
    let mut events: Vec<Event> = (1..10).map(|n| event("a.b", n)).collect();
    events.push(poison.clone());
    assert!(soon("answers", hub.publish_all(events)).await.iter().any(Result::is_err));

    let (stop, (rounds, mut done)) = (CancellationToken::new(), watch::channel(0));
    let traffic = tokio::spawn({
        let (hub, stop) = (hub.clone(), stop.clone());
        async move {
            while !stop.is_cancelled() {
                let events = (0..20).map(|n| event("a.b", n)).collect();
                for answer in hub.publish_all(events).await {
                    let _receipt = answer.expect("nobody else is refused, or in doubt");
                }
                rounds.send_modify(|rounds| *rounds += 1);
            }
        }
    });
    // More than were out when the channel was closed.
    soon("traffic", done.wait_for(|rounds| *rounds >= 3)).await.unwrap();
    for _ in 0..2 {
        let error = soon("an answer", hub.publish(&poison)).await.unwrap_err();
        let alone = matches!(error.kind(), PublishErrorKind::Refused { code: 406, alone: true, .. });
        assert!(alone, "{error}");
    }
    stop.cancel();
    traffic.await.unwrap();
    hub.shutdown().await;
}

/// The exchange is deleted under the hub: told by the broker's own words, and made again, with what leads out of it.
#[tokio::test]
async fn an_exchange_that_is_gone_is_made_again() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let prefix = name();
    let hub = Hub::amqp(url, config(&prefix)).unwrap();
    let queue = format!("{prefix}.work");
    hub.declare(&topology(&prefix, &[(Queue::quorum(&queue), "#")])).await.unwrap();
    let _receipt = hub.publish(&event("a.b", 1)).await.unwrap();
    let raw = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = raw.create_channel().await.unwrap();
    let exchange = format!("{prefix}.events");
    channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();

    let error = hub.publish(&event("a.b", 2)).await.unwrap_err();
    let told = matches!(error.kind(), PublishErrorKind::Refused { code: 404, alone: true, .. });
    assert!(told, "{error}");
    let _receipt = soon("a confirm", hub.publish(&error.into_event())).await.unwrap();
    assert_eq!(hub.queue(&queue).await.unwrap().unwrap().messages, 2);
    hub.shutdown().await;
}

/// A user who may not publish hears so, and the connection stays.
#[tokio::test]
async fn a_missing_permission_to_publish_is_told() {
    let Some(broker) = strict().await else { return };
    let vhost = broker.fresh_vhost().await.unwrap();
    let prefix = name();
    let wanted = topology(&prefix, &[(Queue::quorum(format!("{prefix}.work")), "#")]);
    let owner = Hub::amqp(&vhost, config(&prefix)).unwrap();
    owner.declare(&wanted).await.unwrap();
    let url = broker.user(&vhost, "reader", Permissions::new("", "", ".*")).await.unwrap();
    let hub = Hub::amqp(&url, config(&prefix)).unwrap();
    hub.assume(&wanted);
    for _ in 0..3 {
        let error = soon("an answer", hub.publish(&event("a.b", 1))).await.unwrap_err();
        let told = matches!(error.kind(), PublishErrorKind::Refused { code: 403, alone: true, .. });
        assert!(told && hub.health().connected, "{error}");
    }
    hub.shutdown().await;
    owner.shutdown().await;
}

/// What is too large is not sent, and what goes with it is.
async fn too_large_is_told_and_not_sent(hub: Hub, prefix: &str) {
    let queue = format!("{prefix}.work");
    hub.declare(&topology(prefix, &[(Queue::quorum(&queue), "#")])).await.unwrap();
    let mut misnamed = event("a.b", 3);
    misnamed.event_type = "t".repeat(256);
    let events = vec![event("a.b", 0), large(1, 2000), event("a.b", 2), misnamed, event("a.b", 4)];
    let told: Vec<_> = hub
        .publish_all(events)
        .await
        .into_iter()
        .map(|answer| match answer.as_ref().map_err(|error| error.kind()) {
            Ok(_) => "",
            Err(PublishErrorKind::TooLarge { what, size, max }) if size > max => *what,
            Err(other) => panic!("{other}"),
        })
        .collect();
    assert_eq!(told, ["", "body", "", "type", ""]);
    assert_eq!(hub.queue(&queue).await.unwrap().unwrap().messages, 3);
    hub.shutdown().await;
}

#[tokio::test]
async fn too_large_is_told_and_not_sent_on_rabbitmq() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let prefix = name();
    let mut settings = config(&prefix);
    settings.hub.max_body = 1000;
    too_large_is_told_and_not_sent(Hub::amqp(url, settings).unwrap(), &prefix).await;
}

#[tokio::test]
async fn too_large_is_told_and_not_sent_in_memory() {
    let prefix = name();
    let mut memory = MemoryConfig::default();
    memory.hub.exchange = format!("{prefix}.events");
    memory.hub.max_body = 1000;
    too_large_is_told_and_not_sent(Hub::memory(memory), &prefix).await;
}

/// A trace context that is none stays in the body: as a header it would be larger than a frame.
#[tokio::test]
async fn a_huge_trace_context_harms_nobody() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let prefix = name();
    let hub = Hub::amqp(url, config(&prefix)).unwrap();
    let queue = format!("{prefix}.work");
    hub.declare(&topology(&prefix, &[(Queue::quorum(&queue), "#")])).await.unwrap();
    let (mut seen, _stop, _task) = listen(&hub, &queue);
    let sent = event("a.b", 1).with_trace(Some("0".repeat(200_000)), None);
    let _receipt = soon("a confirm", hub.publish(&sent)).await.unwrap();
    assert_eq!(soon("it", seen.recv()).await.unwrap().0, sent.id.to_string());
    hub.shutdown().await;
}

/// Another's message whose headers nearly fill a frame cannot be moved with ours beside them: nobody else is harmed, and
/// the broker's own limit ends it.
#[tokio::test]
async fn headers_that_fill_a_frame_harm_nobody_else() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let prefix = name();
    let mut settings = AmqpConfig::default();
    settings.hub.exchange = format!("{prefix}.events");
    let hub = Hub::amqp(url, settings).unwrap();
    let queue = Queue::quorum(format!("{prefix}.work")).with_delivery_limit(Some(1));
    let name = queue.name.clone();
    let other = Queue::quorum(format!("{prefix}.other"));
    hub.declare(&topology(&prefix, &[(queue, "a.b"), (other, "other")])).await.unwrap();
    let raw = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = raw.create_channel().await.unwrap();
    let mut headers = FieldTable::default();
    headers.insert("large".into(), AMQPValue::LongString("x".repeat(130_900).into()));
    let properties = lapin::BasicProperties::default().with_headers(headers).with_message_id("huge".into());
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish("".into(), name.as_str().into(), options, b"no event", properties);
    sent.await.unwrap().await.unwrap();
    let handler = |_: Event, _: Context| async { Outcome::Reject { reason: "no".to_owned() } };
    let consuming = tokio::spawn({
        let (hub, name) = (hub.clone(), name.clone());
        async move { hub.consume(&name, ConsumerConfig::default(), handler, std::future::pending()).await }
    });
    let dlq = format!("{prefix}.dlq");
    // A frame that is too large would end the connection, with whatever is out on it.
    let letter = async {
        while hub.queue(&dlq).await.unwrap().unwrap().messages == 0 {
            let _receipt = hub.publish(&event("other", 0)).await.unwrap();
        }
    };
    soon("its letter", letter).await;
    assert!(hub.health().ready());
    consuming.abort();
    hub.shutdown().await;
}

#[tokio::test]
async fn a_back_off_of_zero_is_refused() {
    for (first, max) in [(0, 1), (1, 0)] {
        let mut settings = AmqpConfig::default();
        settings.backoff_first = std::time::Duration::from_secs(first);
        settings.backoff_max = std::time::Duration::from_secs(max);
        let error = Hub::amqp("amqp://127.0.0.1:1", settings).unwrap_err();
        assert_eq!(error.kind(), tramline_event_hub::ErrorKind::Config);
    }
}
