//! How long Redis takes, as the metrics facade hears of it.

use std::collections::BTreeMap;

use metrics::Unit;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::rights::everything;
use super::*;
use crate::tier::suite::{LONG, value};

/// How many trips there were since the last look, by what was asked and what came of it.
fn trips(news: &Snapshotter) -> BTreeMap<String, usize> {
    let mut trips = BTreeMap::new();
    for (key, unit, _, value) in news.snapshot().into_vec() {
        let DebugValue::Histogram(took) = value else { continue };
        let key = key.key();
        assert_eq!((key.name(), unit), ("db.client.operation.duration", Some(Unit::Seconds)));
        assert!(took.iter().all(|seconds| (0.0..60.0).contains(&seconds.into_inner())), "{took:?}");
        let mut labels = key.labels().map(|label| (label.key(), label.value()));
        assert_eq!(labels.next(), Some(("db.system.name", "redis")));
        let (name, operation) = labels.next().unwrap();
        assert_eq!(name, "db.operation.name");
        let error = labels.next();
        assert!(error.is_none_or(|(name, _)| name == "error.type"));
        if !took.is_empty() {
            let error = error.map(|(_, error)| format!(" {error}")).unwrap_or_default();
            trips.insert(format!("{operation}{error}"), took.len());
        }
    }
    trips
}

/// A Redis within its time limit costs each load some trips: this is the place where that shows.
#[tokio::test]
async fn each_trip_is_told_by_what_was_asked_and_what_came_of_it() {
    let Some((server, mut config)) = server().await else { return };
    let recorder = DebuggingRecorder::new();
    let news = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let node = Node::new(&config);
    everything(&node).await;
    let asked: Vec<_> = trips(&news).into_keys().collect();
    assert_eq!(asked, ["EVALSHA", "GET", "PIPELINE", "SET"]);
    node.tier.read(&slot()).await;
    node.tier.read(&slot()).await;
    assert_eq!(trips(&news), BTreeMap::from([("GET".to_owned(), 2)]));

    // It is full.
    let mut raw = Raw::new(&server.url()).await;
    let _: () = raw.say("CONFIG SET maxmemory 1").await;
    let token = Token::draw();
    node.tier.fill(&slot(), token, value("x").1, LONG).await;
    node.tier.read_or_lease(&slot(), token, LONG).await;
    let refused = trips(&news);
    assert_eq!(refused.get("SET OOM"), Some(&1), "{refused:?}");
    let _: () = raw.say("CONFIG SET maxmemory 0").await;

    // It does not answer.
    config.response_timeout = Duration::from_millis(100);
    let hasty = Node::new(&config);
    back(&hasty).await;
    trips(&news);
    server.pause();
    assert!(matches!(hasty.tier.read(&slot()).await, Found::Away));
    assert!(matches!(hasty.tier.read(&slot()).await, Found::Away), "and is not asked any more");
    assert_eq!(trips(&news), BTreeMap::from([("GET timeout".to_owned(), 1)]));
    server.resume();
}
