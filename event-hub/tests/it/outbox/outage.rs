//! The relay's metrics, as a recorder sees them: in an outage above all.

use std::collections::BTreeMap;

use devkit::Fault;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::*;

type Seen = BTreeMap<String, f64>;

/// Counters add up over the calls, since a snapshot takes what it shows.
fn look(snapshotter: &Snapshotter, seen: &mut Seen) {
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let name = key.key().name().to_owned();
        let state =
            key.key().labels().find(|label| label.key() == "state").map(|label| label.value().to_owned());
        let name = state.map_or(name.clone(), |state| format!("{name}.{state}"));
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        match value {
            DebugValue::Counter(count) => *seen.entry(name).or_default() += count as f64,
            DebugValue::Gauge(value) => match name.strip_prefix("tramline_outbox_") {
                // The relays' parts, added up; a snapshot begins anew.
                Some("active" | "partitions" | "in_flight") => *seen.entry(name).or_default() += value.0,
                _ => drop(seen.insert(name, value.0)),
            },
            DebugValue::Histogram(values) => *seen.entry(name).or_default() += values.len() as f64,
        }
    }
}

/// Looks until the figures say so: a status may be told before them.
async fn look_until(
    snapshotter: &Snapshotter,
    seen: &mut Seen,
    what: &str,
    wanted: impl Fn(&dyn Fn(&str) -> f64) -> bool,
) {
    let looking = async {
        let mut pause = tokio::time::interval(Duration::from_millis(10));
        loop {
            look(snapshotter, seen);
            let is = |name: &str| seen.get(&format!("tramline_outbox_{name}")).copied().unwrap_or(-1.0);
            if wanted(&is) {
                return;
            }
            pause.tick().await;
        }
    };
    crate::support::soon(what, looking).await;
}

/// The database goes while rows wait: the rows are still there, they age, and the alarm goes on, not off. The one
/// thread has the recorder.
#[tokio::test]
async fn an_outage_does_not_look_like_an_empty_outbox() {
    let Some(url) = devkit::engines::fresh_database().await else { return };
    let (fault, through) = Fault::in_front_of(&url).await.unwrap();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let db = Database::at(&url).await;
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut quick = config();
    quick.gauge_interval = Duration::from_millis(20);
    quick.share_interval = Duration::from_millis(20);
    quick.alarm_age = Some(Duration::from_secs(3_600));
    let through = Database::at(&through).await;
    let (relay, other) = (through.relay(&hub, quick.clone()), through.relay(&hub, quick.clone()));
    let mut orders = Collector::new(&hub, "orders.queue");
    db.enqueue(&placed("a", 0)).await;
    orders.next().await;
    // Nobody wants this one.
    db.enqueue(&event("bills.bill.made", Some("a"), &json!({}))).await;
    relay.until("one waits", |status| status.waiting == 1 && status.partitions == 8).await;
    other.until("one waits", |status| status.waiting == 1 && status.partitions == 8).await;
    let mut seen = Seen::new();
    // The one that is sent may still have been among those that wait.
    look_until(&snapshotter, &mut seen, "the first figures", |is| {
        is("sent_total") == 1.0 && is("failed_total") >= 1.0 && is("rows.waiting") == 1.0
    })
    .await;
    let is = |seen: &Seen, name: &str| seen[&format!("tramline_outbox_{name}")];
    assert_eq!((is(&seen, "sent_total"), is(&seen, "lag_seconds"), is(&seen, "store_up")), (1.0, 1.0, 1.0));
    assert_eq!((is(&seen, "rows.waiting"), is(&seen, "rows.parked"), is(&seen, "alarm")), (1.0, 0.0, 0.0));
    assert_eq!((is(&seen, "active"), is(&seen, "partitions")), (2.0, 16.0), "two relays of one process");
    assert!(is(&seen, "failed_total") >= 1.0 && is(&seen, "partitions_moved_total") >= 16.0, "{seen:?}");

    // Old enough for the alarm, and then the outage.
    db.execute("UPDATE outbox SET created_at = created_at - 7200000000").await;
    for relay in [&relay, &other] {
        relay.until("the alarm", |status| status.alarm).await;
    }
    fault.cut();
    for relay in [&relay, &other] {
        let status = relay.until("the outage", |status| status.relays == 0).await;
        assert_eq!((status.waiting, status.partitions, status.alarm), (1, 0, true));
        assert!(status.oldest > Some(Duration::from_secs(7_200)), "{status:?}");
        // Nobody can look, and still it gets older.
        relay.until("its age", |now| now.oldest > status.oldest && now.alarm).await;
    }
    look_until(&snapshotter, &mut seen, "the outage's figures", |is| {
        is("store_up") == 0.0 && is("store_errors_total") >= 2.0 && is("partitions") == 0.0
    })
    .await;
    assert_eq!((is(&seen, "rows.waiting"), is(&seen, "alarm"), is(&seen, "store_up")), (1.0, 1.0, 0.0));
    assert!(is(&seen, "oldest_seconds") > 7_200.0 && is(&seen, "store_errors_total") >= 2.0, "{seen:?}");
    assert_eq!((is(&seen, "active"), is(&seen, "partitions")), (0.0, 0.0));

    fault.heal();
    db.execute("DELETE FROM outbox").await;
    relay.until("the alarm is off", |status| !status.alarm).await;
    other.until("the alarm is off", |status| !status.alarm).await;
    look_until(&snapshotter, &mut seen, "the end's figures", |is| {
        is("store_up") == 1.0 && is("rows.waiting") == 0.0 && is("alarm") == 0.0
    })
    .await;
    relay.stop().await;
    other.stop().await;
    look(&snapshotter, &mut seen);
    assert_eq!((is(&seen, "active"), is(&seen, "in_flight")), (0.0, 0.0));
}
