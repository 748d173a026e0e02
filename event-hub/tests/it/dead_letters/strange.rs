//! Letters that no hub of ours has made: any body, any header, no id.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tramline_event_hub::dead_letters::Selection;
use tramline_event_hub::handler::RawDelivery;

use super::*;

macro_rules! on_rabbit {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let Some(url) = devkit::engines::amqp().await else { return };
                let Some(db) = crate::database::Database::sqlite().await else { return };
                super::$test(crate::dead_letters::Bed::rabbit(db, url).await, url).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let Some(url) = devkit::engines::amqp().await else { return };
                let Some(db) = crate::database::Database::postgres().await else { return };
                super::$test(crate::dead_letters::Bed::rabbit(db, url).await, url).await;
            })*
        }
    };
}
pub(crate) use on_rabbit;

on_rabbit!(
    bodies_and_headers_of_every_kind_come_back_as_they_were,
    letters_that_are_alike_are_two,
    what_the_broker_gave_up_on_goes_back_too,
    a_sender_s_list_of_further_keys_is_not_followed_again,
);

/// A channel of someone else's.
pub(crate) async fn channel(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    (connection, channel)
}

pub(crate) async fn put(channel: &Channel, queue: &str, body: &[u8], properties: BasicProperties) {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent = channel.basic_publish("".into(), queue.into(), options, body, properties).await.unwrap();
    assert!(sent.await.unwrap().is_ack());
}

fn every_kind() -> FieldTable {
    let mut inner = FieldTable::default();
    inner.insert("deep".into(), AMQPValue::LongString("é".into()));
    inner.insert("$odd".into(), AMQPValue::Void);
    let list = vec![AMQPValue::LongLongInt(i64::MIN), AMQPValue::FieldTable(inner.clone())];
    let mut table = FieldTable::default();
    for (name, value) in [
        ("text", AMQPValue::LongString("plain".into())),
        ("raw", AMQPValue::LongString(vec![0xff, 0x00, 0xfe].into())),
        ("nul", AMQPValue::LongString("a\0b".into())),
        ("number", AMQPValue::LongLongInt(-5)),
        ("flag", AMQPValue::Boolean(true)),
        ("double", AMQPValue::Double(1.5e300)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
        ("time", AMQPValue::Timestamp(1_700_000_000)),
        ("bytes", AMQPValue::ByteArray(vec![1, 2, 255].into())),
        ("none", AMQPValue::Void),
        ("list", AMQPValue::FieldArray(FieldArray::from(list))),
        ("table", AMQPValue::FieldTable(inner)),
        ("x-tramline-reason", AMQPValue::LongString("nul \0 inside".into())),
    ] {
        table.insert(name.into(), value);
    }
    table
}

async fn bodies_and_headers_of_every_kind_come_back_as_they_were(bed: Bed, url: &str) {
    let (_connection, channel) = channel(url).await;
    let mut table = every_kind();
    table.insert("x-tramline-queue".into(), AMQPValue::LongString(bed.name("work").into()));
    let properties = BasicProperties::default()
        .with_headers(table)
        .with_content_type("application/octet-stream".into())
        .with_content_encoding("gzip".into())
        .with_reply_to("somewhere".into())
        .with_correlation_id("c-1".into())
        .with_priority(3)
        .with_timestamp(1_700_000_001);
    let bodies: [&[u8]; 4] =
        [b"", b"{not json", &[0xff, 0xfe, 0x00, 0x80], b"{\"type\":7,\"id\":\"\\u0000\"}"];
    for body in bodies {
        put(&channel, &bed.name("dlq"), body, properties.clone()).await;
    }
    bed.drain(4).await;
    for letter in bed.all().await {
        assert_eq!((letter.reason.as_str(), letter.queue), ("nul \u{fffd} inside", Some(bed.name("work"))));
    }
    // A consumer of someone else's, which sees every bit.
    let (_connection, consuming) = self::channel(url).await;
    let redriven = bed.letters.redrive(&bed.hub, &Selection::All, fast(), |_| {});
    assert_eq!(soon("the redrive", redriven).await.unwrap().sent, 4);
    let mut found = Vec::new();
    while found.len() < 4 {
        let queue = bed.name("work");
        let Some(message) = consuming.basic_get(queue.as_str().into(), Default::default()).await.unwrap()
        else {
            tokio::task::yield_now().await;
            continue;
        };
        let headers = message.properties.headers().as_ref().unwrap().inner();
        for (name, value) in every_kind().inner() {
            if name.as_str() != "x-tramline-reason" {
                assert_eq!(headers.get(name.as_str()), Some(value), "{name}");
            }
        }
        assert_eq!(headers.get("x-tramline-reason"), None, "that life is over");
        assert_eq!(headers["x-tramline-redrives"], AMQPValue::LongLongInt(1));
        let own = &message.properties;
        assert_eq!(own.content_encoding(), properties.content_encoding());
        assert_eq!(own.content_type(), properties.content_type());
        assert_eq!(own.reply_to(), properties.reply_to());
        assert_eq!(own.correlation_id(), properties.correlation_id());
        assert_eq!((own.priority(), own.timestamp()), (properties.priority(), properties.timestamp()));
        assert_eq!(own.message_id(), &None);
        found.push(message.delivery.data.clone());
    }
    found.sort();
    let mut wanted = bodies.map(<[u8]>::to_vec).to_vec();
    wanted.sort();
    assert_eq!(found, wanted);
}

/// Two messages without an id, byte for byte the same, are two letters; nobody knows where they died.
async fn letters_that_are_alike_are_two(bed: Bed, url: &str) {
    let (_connection, channel) = channel(url).await;
    for _ in 0..3 {
        put(&channel, &bed.name("dlq"), b"tick", BasicProperties::default()).await;
    }
    bed.drain(3).await;
    for letter in bed.all().await {
        assert_eq!((letter.reason.as_str(), letter.queue, letter.attempts), ("unknown", None, 0));
    }
    let mut told = Vec::new();
    let redriven = bed.letters.redrive(&bed.hub, &Selection::All, fast(), |one| told.push(one.error.clone()));
    assert_eq!(soon("the redrive", redriven).await.unwrap().left, 3);
    assert!(told.iter().all(|why| why.as_deref() == Some("nobody said which queue it died in")), "{told:?}");
    assert_eq!(bed.letters.count(&Filter::new()).await.unwrap(), 3);
}

/// Messages that no consumer of ours has moved: the broker's own delivery limit and the age have.
async fn what_the_broker_gave_up_on_goes_back_too(bed: Bed, url: &str) {
    let (_connection, channel) = channel(url).await;
    let old = Queue::quorum(bed.name("old"))
        .with_message_ttl(Duration::from_millis(50))
        .with_dead_letter(bed.name("dlx"), "dead-letter");
    let picky = Queue::quorum(bed.name("picky"))
        .with_delivery_limit(Some(1))
        .with_dead_letter(bed.name("dlx"), "dead-letter");
    bed.hub.declare(&Topology::new().queue(old).queue(picky)).await.unwrap();
    put(&channel, &bed.name("old"), b"with an id", BasicProperties::default().with_message_id("m-1".into()))
        .await;
    put(&channel, &bed.name("picky"), b"without", BasicProperties::default()).await;
    let picky = bed.name("picky");
    let mut returned = 0;
    while returned < 2 {
        let got = channel.basic_get(picky.as_str().into(), Default::default()).await.unwrap();
        let Some(message) = got else {
            tokio::task::yield_now().await;
            continue;
        };
        let requeue = lapin::options::BasicRejectOptions { requeue: true };
        message.acker.reject(requeue).await.unwrap();
        returned += 1;
    }
    bed.drain(2).await;
    let mut letters = bed.all().await;
    letters.sort_by_key(|letter| letter.reason.clone());
    assert_eq!((letters[0].reason.as_str(), &letters[0].queue), ("delivery_limit", &Some(bed.name("picky"))));
    assert_eq!((letters[1].reason.as_str(), &letters[1].queue), ("expired", &Some(bed.name("old"))));
    assert_eq!(letters[1].event_id.as_deref(), Some("m-1"));
    assert!(letters.iter().all(|letter| letter.last_failed_at.is_some()));

    let selection = Selection::Ids(vec![letters[0].id]);
    let redriven = bed.letters.redrive(&bed.hub, &selection, fast(), |_| {});
    assert_eq!(soon("the redrive", redriven).await.unwrap().sent, 1);
    let (sender, mut seen) = mpsc::channel(10);
    let handler = move |raw: RawDelivery, cx: Context| {
        let sender = sender.clone();
        async move {
            sender.send((raw, cx)).await.unwrap();
            Outcome::Ack
        }
    };
    let hub = bed.hub.clone();
    let task = tokio::spawn(async move {
        hub.consume(&picky, ConsumerConfig::default(), handler, std::future::pending()).await
    });
    let (raw, cx) = soon("the letter", seen.recv()).await.unwrap();
    assert_eq!((raw.body.as_ref(), cx.attempt, cx.dead_letter), (&b"without"[..], 1, None));
    assert_eq!(raw.header("x-tramline-previous-reason"), Some("delivery_limit"));
    task.abort();
}

/// RabbitMQ routes by the header `CC` too: a letter that goes back would go to the others on the list once more.
async fn a_sender_s_list_of_further_keys_is_not_followed_again(bed: Bed, url: &str) {
    let (_connection, channel) = channel(url).await;
    let others = FieldArray::from(vec![AMQPValue::LongString(bed.name("other").into())]);
    let mut table = FieldTable::default();
    table.insert("CC".into(), AMQPValue::FieldArray(others));
    table.insert("x-tramline-queue".into(), AMQPValue::LongString(bed.name("work").into()));
    table.insert("x-tramline-reason".into(), AMQPValue::LongString("rejected".into()));
    let event = event("orders.order.placed", 1).to_json();
    put(&channel, &bed.name("dlq"), &event, BasicProperties::default().with_headers(table)).await;
    bed.drain(1).await;
    let redriven = bed.letters.redrive(&bed.hub, &Selection::All, fast(), |_| {});
    assert_eq!(soon("the redrive", redriven).await.unwrap().sent, 1);
    let mut work = bed.consume("work", |_, _| Outcome::Reject { reason: "again".to_owned() });
    work.next().await;
    bed.drain(1).await;
    let other = bed.hub.queue(&bed.name("other")).await.unwrap().unwrap();
    assert_eq!(other.messages, 1, "what the sender himself has sent there");
    work.stop().await;
}
