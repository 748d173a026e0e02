//! Dead letters: moved into their table, once, whatever they are.

use chassis::args;
use contracts::{DEAD_LETTER_QUEUE, EXCHANGE, PaymentStatus};
use serde_json::json;
use tramline_event_hub::Event;
use tramline_event_hub::dead_letters::{Filter, RedriveConfig, Selection};
use tramline_event_hub::topology::{Binding, Topology};
use uuid::Uuid;

use crate::support::{App, created, paid, payment, user};

on_both_databases! {
    start: what_has_no_rule_is_kept, an_error_that_no_database_can_hold_is_kept, a_letter_waits_for_its_table,
        letters_that_are_alike_are_two;
    upgraded: letters_of_an_older_version_are_still_there;
}

async fn what_has_no_rule_is_kept(app: App) {
    let unknown = Event::new("stock.item.sold", "/stock", &json!({ "item": "ä\u{1F600}" })).unwrap();
    let broken = Event::new("auth.user.created", "/t", &json!({ "userId": 7 })).unwrap();
    let ours = Event::new("admin.magic.done", "/t", &json!({})).unwrap();
    for event in [&unknown, &broken, &ours] {
        app.tell(event).await;
    }
    let rows = app
        .db
        .query("SELECT event_id, event_type, queue, routing_key, reason, error, attempts, body FROM dead_letters \
                ORDER BY received_at, id", args![])
        .await
        .unwrap();
    assert_eq!(rows.len(), 3);
    for (row, event) in rows.iter().zip([&unknown, &broken, &ours]) {
        let text = |name: &str| row.get::<Option<String>>(name).unwrap();
        assert_eq!(text("event_id").as_deref(), Some(event.id.as_str()));
        assert_eq!(text("event_type").as_deref(), Some(event.event_type.as_str()));
        assert_eq!(text("routing_key").as_deref(), Some(event.event_type.as_str()));
        assert_eq!(text("queue").as_deref(), Some("admin.events.queue"));
        assert_eq!(text("reason").as_deref(), Some("rejected"));
        assert!(text("error").is_some_and(|error| !error.is_empty()));
        assert_eq!(row.get::<i64>("attempts").unwrap(), 1);
        let body: Vec<u8> = row.get("body").unwrap();
        let kept = Event::from_json(&body).unwrap();
        assert_eq!(
            (&kept.id, kept.data.get()),
            (&event.id, event.data.get()),
            "the whole event can be sent again"
        );
    }
    assert_eq!(app.entries().await, 0, "what is no fact is not audited");
    // The queue goes on.
    app.tell(&created(user(Uuid::from_u128(1), 1, "ada"))).await;
    assert_eq!(app.entries().await, 1);
    assert_eq!(app.list("/dashboard").await["deadLetters"], 3);
}

/// PostgreSQL stores no U+0000, and what cannot be stored would come again for ever.
async fn an_error_that_no_database_can_hold_is_kept(app: App) {
    let mut data = serde_json::to_value(user(Uuid::from_u128(1), 1, "ada")).unwrap();
    data["role"] = json!("AD\0MIN");
    app.tell(&Event::new("auth.user.created", "/t", &data).unwrap()).await;
    let row = app.db.query_one("SELECT error FROM dead_letters", args![]).await.unwrap();
    let error: String = row.get("error").unwrap();
    assert!(error.contains("AD\u{fffd}MIN"), "{error:?}");
}

/// The table is away for a while: nothing is acked that was not kept, and nothing is kept twice.
async fn a_letter_waits_for_its_table(app: App) {
    app.db.execute("ALTER TABLE tramline_dead_letters RENAME TO away", args![]).await.unwrap();
    let event = Event::new("stock.item.sold", "/stock", &json!({})).unwrap();
    let receipt = app.hub.publish(&event).await.unwrap();
    let mut settled = Box::pin(receipt.settled());
    // Audited meanwhile: the dead letter holds up nobody.
    app.tell(&paid(&payment(Uuid::from_u128(9), 1, PaymentStatus::Pending))).await;
    let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(settled.as_mut().poll(cx)));
    assert!(poll.await.is_pending(), "not settled while it is not in the table");
    app.db.execute("ALTER TABLE away RENAME TO tramline_dead_letters", args![]).await.unwrap();
    settled.await.unwrap();
    assert_eq!(app.count("SELECT COUNT(*) AS n FROM dead_letters", args![]).await, 1);
}

/// Letters that some program has put into the queue: nothing tells one from the other, and none is lost for that.
async fn letters_that_are_alike_are_two(app: App) {
    let straight = Topology::new().binding(Binding::new(EXCHANGE, "straight", DEAD_LETTER_QUEUE));
    app.hub.declare(&straight).await.unwrap();
    let event = Event::new("straight", "/t", &json!({})).unwrap();
    for _ in 0..2 {
        app.hub.publish(&event).await.unwrap().settled().await.unwrap();
    }
    // Beside those of the admin service's own queue, which has no rule for them.
    let kept = "SELECT COUNT(*) AS n FROM dead_letters WHERE event_type = 'straight' AND reason = 'unknown'";
    assert_eq!(app.count(kept, args![]).await, 2);
}

/// They were in a table of this service's own: they move, oldest first, and go back as others do.
async fn letters_of_an_older_version_are_still_there(app: App) {
    assert_eq!(app.list("/dashboard").await["deadLetters"], 2);
    let letters = app.db.dead_letters();
    let page = letters.list(&Filter::new(), None, 10).await.unwrap();
    let told: Vec<_> = page.letters.iter().map(|l| (l.event_type.as_deref(), l.reason.as_str())).collect();
    assert_eq!(told, [(None, "unknown"), (Some("auth.user.created"), "rejected")]);
    assert_eq!(page.letters[1].queue.as_deref(), Some("admin.events.queue"));

    let redriven =
        letters.redrive(&app.hub, &Selection::All, RedriveConfig::default(), |_| {}).await.unwrap();
    assert_eq!((redriven.sent, redriven.left), (1, 1), "{redriven:?}");
    assert_eq!(app.entries().await, 1);
    let left = app.db.query("SELECT reason, received_at FROM dead_letters", args![]).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].get::<String>("reason").unwrap(), "unknown");
}
