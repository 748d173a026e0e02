//! What is counted.

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use tramline_streaming_proxy::config::Timeouts;
use tramline_streaming_proxy::server::ServerConfig;
use tramline_streaming_proxy::{Forwarder, ProxyConfig, Route, Routes, Upstream, UpstreamConfig};

use crate::client::{get, once};
use crate::origin::{Front, real};

/// The counters of `streaming_proxy.requests` that are not zero: route, upstream, outcome, count. Reading empties them.
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
    front.forwarder.set_routes(Routes::default());
    assert_eq!(get(front.addr, "/").await.status, 404);
    assert_eq!(get(front.addr, "/").await.status, 404);
    assert_eq!(
        outcomes(&snapshotter),
        ["none none bad_request 1", "none none method_refused 1", "none none no_route 2"]
    );
}

#[tokio::test]
async fn each_route_has_a_row_for_each_outcome() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let upstream = real(|request| async move {
        let mut response = http::Response::new(http_body_util::Full::new(bytes::Bytes::from_static(b"ok")));
        if request.uri().path().ends_with("broken") {
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        }
        response
    })
    .await;
    let (_held, nobody) = crate::origin::nowhere();
    let of = |addr: std::net::SocketAddr, name: &str| {
        Upstream::new(name, [addr.to_string()], UpstreamConfig::default()).unwrap()
    };
    let well = of(upstream, "well");
    let routes = Routes::new([
        Route::new("/shop", well.clone()),
        Route::pattern("/users/{id}", well.clone()),
        Route::new("/secret", well).named("inner"),
        Route::new("/dead", of(nobody, "dead")),
    ]);
    let forwarder = Forwarder::new(ProxyConfig::default(), routes.unwrap());
    let front = Front::serving(forwarder, ServerConfig::default()).await;
    assert!(outcomes(&snapshotter).is_empty());
    for path in ["/shop/1", "/shop/2", "/shop/broken", "/users/1", "/users/2", "/secret", "/dead", "/none"] {
        get(front.addr, path).await;
    }
    let wanted = [
        "/dead dead connect_failed 1",
        "/shop well answered 2",
        "/shop well answered_error 1",
        "/users/{id} well answered 2",
        "inner well answered 1",
        "none none no_route 1",
    ];
    assert_eq!(outcomes(&snapshotter), wanted);
    // Another table goes on with the same rows, and has no others: names are the table's, never the requests'.
    let same = Routes::new([Route::new("/shop", of(upstream, "well"))]).unwrap();
    front.forwarder.set_routes(same);
    get(front.addr, "/shop/3").await;
    assert_eq!(outcomes(&snapshotter), ["/shop well answered 1"]);
}

#[tokio::test]
async fn who_waits_for_a_turn_is_seen() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    // A snapshot sets the gauge back.
    let moved = || {
        let all = snapshotter.snapshot().into_vec();
        let found = all.into_iter().find(|(key, ..)| key.key().name() == "streaming_proxy.waiting");
        match found {
            Some((_, _, _, DebugValue::Gauge(count))) => count.into_inner(),
            other => panic!("{other:?}"),
        }
    };
    let (free, turn) = tokio::sync::watch::channel(false);
    let upstream = real(move |_| {
        let mut turn = turn.clone();
        async move {
            turn.wait_for(|free| *free).await.unwrap();
            http::Response::new(http_body_util::Empty::<bytes::Bytes>::new())
        }
    })
    .await;
    let mut config = UpstreamConfig::default();
    config.max_in_flight = 1;
    config.max_wait = crate::origin::SOON;
    let front = Front::with(&[upstream], config, Timeouts::default(), ProxyConfig::default()).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = crate::client::Client::connect(front.addr).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
    }
    crate::origin::soon("two wait", async {
        let mut waiting = moved();
        while waiting != 2.0 {
            tokio::task::yield_now().await;
            waiting += moved();
        }
    })
    .await;
    free.send(true).unwrap();
    for client in &mut clients {
        assert_eq!(client.answer().await.status, 200);
    }
    assert_eq!(moved(), -2.0);
}
