//! What a relay tells, and what it keeps for a while.

use tramline_event_hub::outbox::RelayStatus;

use super::*;

on_both!(
    the_monitor_tells_depth_and_sets_the_alarm_on_and_off,
    an_old_row_sets_the_alarm_on,
    sent_rows_are_kept_for_a_while_and_pruned,
    rows_that_were_kept_go_when_nobody_keeps_them_any_more,
);

const SENT: &str = "SELECT count(*) FROM outbox WHERE state = 3 AND sent_at > created_at";

fn watched() -> RelayConfig {
    let mut config = config();
    config.gauge_interval = Duration::from_millis(20);
    config.alarm_rows = None;
    config.alarm_age = None;
    config
}

async fn the_monitor_tells_depth_and_sets_the_alarm_on_and_off(db: Database) {
    db.migrate().await.unwrap();
    let hub = Hub::memory(MemoryConfig::default());
    // No queue yet: everything waits.
    hub.declare(&Topology::new().exchange(Exchange::topic("events"))).await.unwrap();
    let mut alarmed = watched();
    alarmed.alarm_rows = Some(10);
    let relay = db.relay(&hub, alarmed);
    for n in 0..9 {
        db.enqueue(&placed("a", n)).await;
    }
    let status = relay.until("nine wait", |status| status.waiting == 9).await;
    assert!(!status.alarm && status.oldest.is_some() && status.sent == 0, "{status:?}");
    assert!(status.partitions > 0 && status.relays == 1, "{status:?}");
    db.enqueue(&placed("a", 9)).await;
    let status = relay.until("the alarm is on", |status| status.alarm).await;
    assert_eq!(status.waiting, 10);
    let returned = |error: &String| error.contains("312");
    relay.until("why is told", |status| status.last_error.as_ref().is_some_and(returned)).await;
    hub.declare(&orders()).await.unwrap();
    relay.until("ten are unsettled", |status| status.unsettled == 10).await;
    let status = relay.until("the alarm is off", |status| !status.alarm).await;
    assert_eq!((status.waiting, status.sent, status.oldest), (0, 10, None));
    assert_eq!(status.last_error, None);
    let mut orders = Collector::new(&hub, "orders.queue");
    assert_ordered(&orders.distinct(10).await);
    relay.until("all is settled", |status| status.unsettled == 0).await;
    relay.stop().await;
}

async fn an_old_row_sets_the_alarm_on(db: Database) {
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut alarmed = watched();
    alarmed.alarm_age = Some(Duration::from_secs(3_600));
    let relay = db.relay(&hub, alarmed);
    db.enqueue(&event("bills.bill.made", Some("a"), &json!({}))).await;
    assert!(!relay.until("one waits", |status| status.waiting == 1).await.alarm);
    db.execute("UPDATE outbox SET created_at = created_at - 3600000000").await;
    let status = relay.until("the alarm is on", |status| status.alarm).await;
    assert!(status.oldest >= Some(Duration::from_secs(3_600)));
    db.execute("DELETE FROM outbox").await;
    relay.until("the alarm is off", |status| !status.alarm).await;
    relay.stop().await;
}

async fn sent_rows_are_kept_for_a_while_and_pruned(db: Database) {
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let mut keeping = watched();
    keeping.keep_sent = Some(Duration::from_secs(3_600));
    let relay = db.relay(&hub, keeping);
    let mut tx = db.begin().await;
    for n in 0..1_500 {
        tx.enqueue(&event("orders.order.placed", None, &json!({ "key": "none", "n": n }))).await;
    }
    tx.commit().await;
    relay.waker.notify();
    orders.distinct(1_500).await;
    db.until(SENT, 1_500).await;
    // What is sent counts nowhere.
    let nothing = |status: &RelayStatus| status.waiting + status.unsettled + status.parked == 0;
    relay.until("nothing waits", |status| status.sent == 1_500 && nothing(status)).await;
    // More than one statement removes at once; what is young stays.
    db.execute("UPDATE outbox SET sent_at = sent_at - 7200000000 WHERE seq <= 1400").await;
    db.until(ALL, 100).await;
    relay.stop().await;
}

async fn rows_that_were_kept_go_when_nobody_keeps_them_any_more(db: Database) {
    db.migrate().await.unwrap();
    let mut tx = db.begin().await;
    for n in 0..5 {
        tx.enqueue(&placed("a", n)).await;
    }
    tx.execute("UPDATE outbox SET state = 3, sent_at = created_at WHERE seq <= 3").await;
    tx.commit().await;
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let relay = db.relay(&hub, watched());
    let events = orders.distinct(2).await;
    let data: serde_json::Value = events[0].data().unwrap();
    assert_eq!(data["n"], 3, "what was sent is not sent again");
    db.until(ALL, 0).await;
    relay.stop().await;
}
