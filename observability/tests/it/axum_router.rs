//! The layer around axum, over a real socket.

use axum::Router;
use axum::extract::MatchedPath;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tramline_observability::layer::RecordRouteLayer;
use tramline_observability::metrics::{Recorder, RecorderConfig, SampleValue};
use tramline_observability::{HttpLayer, Trust};

use crate::wire::exchange;

#[tokio::test]
async fn templates_fallbacks_and_wrong_methods() {
    let recorder: &'static Recorder = Box::leak(Box::new(Recorder::new(&RecorderConfig::default())));
    let _guard = metrics::set_default_local_recorder(recorder);
    let inner = Router::new()
        .route("/{id}", get(|| async { "paid" }))
        .route("/{id}/cancel", post(|| async { "cancelled" }));
    let router: Router = Router::new()
        .nest("/api/payments", inner)
        .route_layer(RecordRouteLayer::new(|extensions| {
            extensions.get::<MatchedPath>().map(|path| path.as_str().into())
        }))
        .layer(HttpLayer::new("payments", Trust::Internal));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });

    for (head, status) in [
        ("GET /api/payments/1", "200"),
        ("GET /api/payments/2", "200"),
        ("GET /api/payments/2/cancel", "405"),
        ("HEAD /api/payments/3", "200"),
        ("GET /.env", "404"),
        ("BREW /coffee", "404"),
    ] {
        let answer = exchange(addr, head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("x-request-id: "), "{answer}");
        assert!(answer.contains("traceparent: 00-"), "{answer}");
    }
    let mut counted: Vec<_> = recorder
        .handle()
        .snapshot()
        .into_iter()
        .filter_map(|sample| match sample.value {
            SampleValue::Histogram { count, .. } => {
                let labels: Vec<_> = sample.labels.into_iter().map(|(_, value)| value).collect();
                Some((labels.join(" "), count))
            }
            _ => None,
        })
        .collect();
    counted.sort();
    let expected = [
        ("GET 200 /api/payments/{id} payments", 2),
        ("GET 404 unmatched payments", 1),
        ("GET 405 /api/payments/{id}/cancel payments", 1),
        ("HEAD 200 /api/payments/{id} payments", 1),
        ("_OTHER 404 unmatched payments", 1),
    ];
    assert_eq!(counted, expected.map(|(labels, count)| (labels.to_owned(), count)));
}
