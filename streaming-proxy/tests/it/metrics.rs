//! What is counted.

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use crate::client::{get, once};
use crate::origin::{Front, real};

/// The counters of `streaming_proxy.requests` that are not zero: upstream, outcome, count. Reading empties them.
pub(crate) fn outcomes(snapshotter: &Snapshotter) -> Vec<String> {
    let mut found: Vec<String> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .filter(|(key, ..)| key.key().name() == "streaming_proxy.requests")
        .filter_map(|(key, _, _, value)| {
            let DebugValue::Counter(count @ 1..) = value else { return None };
            let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
            Some(format!("{} {count}", labels.join(" ")))
        })
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn what_is_refused_before_a_route_is_found_is_counted() {
    // Scenario: an attack, or a table that lacks a route, must be seen in the metrics.
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let upstream =
        real(|_| async { http::Response::new(http_body_util::Empty::<bytes::Bytes>::new()) }).await;
    let front = Front::new(upstream).await;
    assert_eq!(get(front.addr, "/../x").await.status, 400);
    assert_eq!(once(front.addr, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 405);
    front.forwarder.set_routes(tramline_streaming_proxy::Routes::default());
    assert_eq!(get(front.addr, "/").await.status, 404);
    assert_eq!(get(front.addr, "/").await.status, 404);
    assert_eq!(outcomes(&snapshotter), ["none bad_request 1", "none method_refused 1", "none no_route 2"]);
}
