//! [`HttpLayer`] around services that behave, and that do not.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::io::{self, Write};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use metrics::LocalRecorderGuard;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tramline_observability::correlation::RequestId;
use tramline_observability::layer::{RecordRouteLayer, RouteTemplate};
use tramline_observability::metrics::{MetricsHandle, Recorder, RecorderConfig, SampleValue};
use tramline_observability::telemetry::LogFormat;
use tramline_observability::trace_context::TraceContext;
use tramline_observability::{HttpLayer, Telemetry, TelemetryConfig, Trust, current_traceparent};

const PARENT: &str = "00-12345678901234567890123456789012-1234567890123456-01";

/// The recorder of this test, on its thread.
fn recorder() -> (MetricsHandle, LocalRecorderGuard<'static>) {
    // Leaked: the guard borrows it, and a test is short.
    let recorder: &'static Recorder = Box::leak(Box::new(Recorder::new(&RecorderConfig::default())));
    (recorder.handle(), metrics::set_default_local_recorder(recorder))
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).body(Empty::new()).unwrap()
}

/// All requests counted: their labels without the service, and the sum of seconds.
fn counted(metrics: &MetricsHandle) -> Vec<(Vec<String>, u64, f64)> {
    let all = metrics.snapshot().into_iter();
    all.filter(|sample| sample.name == "http_server_request_duration_seconds")
        .map(|sample| {
            let SampleValue::Histogram { count, sum, .. } = sample.value else {
                panic!("{:?}", sample.value);
            };
            let (service, labels): (Vec<_>, Vec<_>) =
                sample.labels.into_iter().partition(|(name, _)| name == "service");
            assert_eq!(service[0].1, "test");
            (labels.into_iter().map(|(_, value)| value).collect(), count, sum)
        })
        .collect()
}

fn active(metrics: &MetricsHandle) -> f64 {
    let all = metrics.snapshot().into_iter();
    all.filter(|sample| sample.name == "http_server_active_requests")
        .map(|sample| match sample.value {
            SampleValue::Gauge(value) => value,
            other => panic!("{other:?}"),
        })
        .sum()
}

fn layer() -> HttpLayer {
    HttpLayer::new("test", Trust::Public)
}

async fn hello<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello")))
}

/// Scanners invent paths and methods: two series, whatever they send.
#[tokio::test]
async fn invented_paths_and_methods_make_no_series() {
    let (metrics, _guard) = recorder();
    let service = layer().layer(service_fn(hello));
    for n in 0..2_000 {
        let mut request = get(&format!("/wp-admin/{n}?token={n}"));
        if n % 2 == 0 {
            *request.method_mut() = format!("FOO{n}").parse().unwrap();
        }
        let response = service.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    let counted = counted(&metrics);
    let labels: Vec<_> = counted.iter().map(|(labels, count, _)| (labels.join(" "), *count)).collect();
    assert_eq!(labels, [("GET 200 unmatched".to_owned(), 1_000), ("_OTHER 200 unmatched".to_owned(), 1_000)]);
    assert_eq!(active(&metrics), 0.0);
}

#[tokio::test]
async fn three_ways_to_name_the_route() {
    let (metrics, _guard) = recorder();
    // By a layer inside the router.
    let inside = RecordRouteLayer::new(|extensions: &http::Extensions| {
        extensions.get::<&'static str>().map(|&route| route.into())
    });
    let service = ServiceBuilder::new().layer(layer()).layer(inside).service_fn(hello);
    // What a router would put there.
    let service = service.map_request(|mut request: Request<Empty<Bytes>>| {
        request.extensions_mut().insert("/inside/{id}");
        request
    });
    service.oneshot(get("/inside/1")).await.unwrap().collect().await.unwrap();
    // By the response.
    let service = layer().layer(service_fn(|request| async {
        let mut response = hello(request).await?;
        response.extensions_mut().insert(RouteTemplate::new("/answered/{id}"));
        Ok::<_, Infallible>(response)
    }));
    service.oneshot(get("/answered/1")).await.unwrap().collect().await.unwrap();
    // By the request, for a layer inside the router.
    let service = layer()
        .with_route_of(|extensions| extensions.get::<&'static str>().map(|&route| route.into()))
        .layer(service_fn(hello));
    let mut request = get("/x");
    request.extensions_mut().insert("/of/{id}");
    service.oneshot(request).await.unwrap().collect().await.unwrap();

    let routes: Vec<_> = counted(&metrics).into_iter().map(|(labels, ..)| labels[2].clone()).collect();
    assert_eq!(routes, ["/answered/{id}", "/inside/{id}", "/of/{id}"]);
}

#[tokio::test]
async fn panics_and_cancelled_requests_are_counted_under_their_route() {
    let (metrics, _guard) = recorder();
    let panics = layer().layer(service_fn(|request: Request<Empty<Bytes>>| async move {
        RouteTemplate::record(request.extensions(), "/panics");
        assert!(std::hint::black_box(false), "the handler's own fault");
        hello(request).await
    }));
    // Caught outside, as a runtime's task does: the future is dropped when the panic is over.
    let mut future = Box::pin(AssertUnwindSafe(panics.oneshot(get("/"))).catch_unwind());
    assert!((&mut future).await.is_err());
    drop(future);

    let hangs = layer().layer(service_fn(|request: Request<Empty<Bytes>>| async move {
        RouteTemplate::record(request.extensions(), "/hangs");
        pending::<()>().await;
        hello(request).await
    }));
    let mut future = Box::pin(hangs.oneshot(get("/")));
    assert!((&mut future).now_or_never().is_none());
    assert_eq!(active(&metrics), 1.0);
    drop(future);

    let fails = layer().layer(service_fn(|_: Request<Empty<Bytes>>| async {
        Err::<Response<Full<Bytes>>, _>(io::Error::other("fails"))
    }));
    assert!(fails.oneshot(get("/")).await.is_err());

    let labels: Vec<_> = counted(&metrics).into_iter().map(|(labels, ..)| labels.join(" ")).collect();
    assert_eq!(labels, ["cancelled GET 499 /hangs", "error GET 500 unmatched", "panic GET 500 /panics"]);
    assert_eq!(active(&metrics), 0.0);
}

/// A stream takes two seconds after its head: that is the request's duration.
#[tokio::test(start_paused = true)]
async fn a_request_is_over_at_the_end_of_its_body() {
    let (metrics, _guard) = recorder();
    let service = layer().layer(service_fn(|_: Request<Empty<Bytes>>| async {
        let frames = stream::unfold(0, |n| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            (n < 2).then(|| (Ok::<_, io::Error>(Frame::data(Bytes::from("x"))), n + 1))
        });
        Ok::<_, Infallible>(Response::new(StreamBody::new(Box::pin(frames))))
    }));
    let response = service.oneshot(get("/")).await.unwrap();
    assert!(counted(&metrics).is_empty());
    assert_eq!(active(&metrics), 1.0);
    response.into_body().collect().await.unwrap();
    let counted = counted(&metrics);
    assert_eq!(counted[0].1, 1);
    assert!((counted[0].2 - 3.0).abs() < 0.1, "{counted:?}");
    assert_eq!(active(&metrics), 0.0);
}

#[tokio::test]
async fn bodies_end_in_many_ways() {
    let (metrics, _guard) = recorder();
    let frames = |fail: bool| {
        let end = if fail { Err(io::Error::other("x")) } else { Ok(Frame::data(Bytes::from("y"))) };
        StreamBody::new(stream::iter([Ok(Frame::data(Bytes::from("x"))), end]))
    };
    let service = |route: &'static str, head: Response<()>, fail| {
        layer().layer(service_fn(move |request: Request<Empty<Bytes>>| {
            RouteTemplate::record(request.extensions(), route);
            let response = head.clone().map(|()| frames(fail));
            async { Ok::<_, Infallible>(response) }
        }))
    };
    let head = |status: StatusCode, length: Option<&str>| {
        let mut head = Response::builder().status(status);
        if let Some(length) = length {
            head = head.header("content-length", length);
        }
        head.body(()).unwrap()
    };
    let ok = StatusCode::OK;

    let mut body = service("/dropped", head(ok, None), false).oneshot(get("/")).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let mut body = service("/broken", head(ok, None), true).oneshot(get("/")).await.unwrap().into_body();
    while let Some(Ok(_)) = body.frame().await {}
    // All that was promised is sent; a server does not ask for more.
    let mut body = service("/sent", head(ok, Some("2")), false).oneshot(get("/")).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let mut request = get("/");
    *request.method_mut() = http::Method::HEAD;
    drop(service("/head", head(ok, Some("2")), false).oneshot(request).await.unwrap());
    let switch = head(StatusCode::SWITCHING_PROTOCOLS, None);
    drop(service("/upgrade", switch, false).oneshot(get("/")).await.unwrap());

    let mut labels: Vec<_> = counted(&metrics).into_iter().map(|(labels, ..)| labels.join(" ")).collect();
    labels.sort();
    assert_eq!(
        labels,
        [
            "GET 101 /upgrade",
            "GET 200 /sent",
            "HEAD 200 /head",
            "body GET 200 /broken",
            "cancelled GET 200 /dropped",
        ]
    );
    assert_eq!(active(&metrics), 0.0);
}

/// What the handler saw, and what came back.
async fn ids(layer: HttpLayer, headers: &[(&'static str, &str)]) -> (HeaderMap, Option<String>, HeaderMap) {
    let seen = Arc::new(Mutex::new(None));
    let service = layer.layer(service_fn({
        let seen = Arc::clone(&seen);
        move |request: Request<Empty<Bytes>>| {
            let id = request.extensions().get::<RequestId>().unwrap();
            assert_eq!(request.headers()["x-request-id"], id.as_str());
            let context = request.extensions().get::<TraceContext>().unwrap();
            assert_eq!(request.headers()["traceparent"], context.to_traceparent());
            *seen.lock().unwrap() = Some((request.headers().clone(), current_traceparent()));
            hello(request)
        }
    }));
    let mut request = get("/secret?token=1");
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let response = service.oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    body.collect().await.unwrap();
    let (request, current) = seen.lock().unwrap().take().unwrap();
    (request, current, head.headers)
}

#[tokio::test]
async fn request_ids_are_kept_if_they_are_good() {
    let longest = "x".repeat(128);
    for good in ["a", "A-Z_0.9", &longest] {
        let (request, _, response) = ids(layer(), &[("x-request-id", good)]).await;
        assert_eq!(request["x-request-id"], good);
        assert_eq!(response["x-request-id"], good);
    }
    let long = "x".repeat(129);
    for bad in ["", "a b", "a\"b", "ä", &long] {
        let (request, _, response) = ids(layer(), &[("x-request-id", bad)]).await;
        assert_ne!(request["x-request-id"], bad);
        assert_eq!(request["x-request-id"].len(), 36);
        assert_eq!(request["x-request-id"], response["x-request-id"]);
    }
    let (request, ..) = ids(layer(), &[("x-request-id", "a"), ("x-request-id", "b")]).await;
    assert_eq!(request.get_all("x-request-id").iter().count(), 1);
    assert_eq!(request["x-request-id"].len(), 36);
}

/// Without any telemetry there is one trace id still, in headers and extensions.
#[tokio::test]
async fn without_telemetry_the_headers_have_a_trace() {
    // Another test may have installed a subscriber for the process.
    let _none = tracing::dispatcher::set_default(&tracing::Dispatch::none());
    let (request, current, response) = ids(layer(), &[("traceparent", PARENT)]).await;
    assert_eq!(current, None);
    assert_eq!(request["traceparent"], response["traceparent"]);
    assert_eq!(request["traceparent"].to_str().unwrap()[..35], PARENT[..35]);
    assert_ne!(request["traceparent"], PARENT);
    let (request, ..) = ids(layer(), &[("traceparent", "nonsense")]).await;
    assert!(TraceContext::from_headers(&request).is_some());
}

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One trace id: in the request passed on, in what a handler writes into its outbox, in the response, in the log.
#[tokio::test]
async fn one_trace_id_in_all_places() {
    let output = Output::default();
    let mut config = TelemetryConfig::new("process");
    config.log_format = LogFormat::Json;
    config.sample_ratio = 0.0;
    let (dispatch, guard) = Telemetry::build(&config, Box::new(output.clone())).unwrap();
    let trusting = HttpLayer::new("test", Trust::Internal);
    let sent =
        [("traceparent", PARENT), ("tracestate", "foo=1"), ("baggage", "user=1"), ("x-request-id", "r-1")];
    {
        let _default = tracing::dispatcher::set_default(&dispatch);
        for (layer, sampled, baggage) in [(layer(), "00", false), (trusting, "01", true)] {
            let (request, current, response) = ids(layer, &sent).await;
            let here = current.unwrap();
            assert_eq!(here[..35], PARENT[..35]);
            assert_ne!(here[36..52], PARENT[36..52]);
            assert_eq!(&here[53..], sampled);
            assert_eq!(request["traceparent"], here);
            assert_eq!(request["tracestate"], "foo=1");
            assert_eq!(response["traceparent"], here);
            assert_eq!(request.contains_key("baggage"), baggage);
        }
    }
    guard.shutdown(Duration::from_secs(60)).await;
    let bytes = output.0.lock().unwrap().clone();
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!(line["trace_id"], PARENT[3..35]);
        assert_eq!(line["request_id"], "r-1");
        assert_eq!(line["service"], "test");
        assert_eq!(line["status"], 200);
    }
    assert!(!text.contains("token"), "{text}");
}

/// The span is left between polls: what else runs on the thread is not inside it.
#[tokio::test]
async fn the_span_does_not_leak_out_of_its_request() {
    let (dispatch, _guard) =
        Telemetry::build(&TelemetryConfig::new("process"), Box::new(io::sink())).unwrap();
    let _default = tracing::dispatcher::set_default(&dispatch);
    let mut service = layer().layer(service_fn(|request: Request<Empty<Bytes>>| async {
        tokio::task::yield_now().await;
        assert!(current_traceparent().is_some());
        hello(request).await
    }));
    let mut future = pin!(service.call(get("/")));
    assert_eq!(current_traceparent(), None);
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    assert_eq!(current_traceparent(), None);
    future.await.unwrap().collect().await.unwrap();
    assert_eq!(current_traceparent(), None);
}
