//! Addresses that are passed over, and upstreams that have enough.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use metrics_util::debugging::DebuggingRecorder;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, Semaphore};
use tramline_streaming_proxy::config::{Balance, HealthCheck, Priority, Timeouts};
use tramline_streaming_proxy::server::ServerConfig;
use tramline_streaming_proxy::{Forwarder, ProxyConfig, Route, Routes, Upstream, UpstreamConfig};

use crate::client::{Client, get, once, read_head};
use crate::origin::{Front, nowhere, raw, real, soon};
use crate::retry::counted;

async fn front(addresses: &[SocketAddr], config: UpstreamConfig) -> (Front, Upstream) {
    let front = Front::with(addresses, config, Timeouts::default(), ProxyConfig::default()).await;
    let upstream = front.forwarder.routes().iter().next().unwrap().upstream.clone();
    (front, upstream)
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    soon(what, async {
        while !done() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Answers with its number; to checks by whether it is `well`.
async fn checked(number: usize, well: Arc<AtomicBool>) -> SocketAddr {
    real(move |request: Request<Incoming>| {
        let well = well.load(Ordering::SeqCst);
        async move {
            let mut response = Response::new(Full::new(Bytes::from(number.to_string())));
            if request.uri() == "/readyz?x" {
                let headers = request.headers();
                let asked = headers["user-agent"] == "tramline-health-check" && headers.contains_key("host");
                if !(well && asked) {
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
            }
            response
        }
    })
    .await
}

#[tokio::test]
async fn checks_take_an_address_out_and_bring_it_back() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let well = Arc::new(AtomicBool::new(true));
    let addresses = [checked(0, well.clone()).await, checked(1, Arc::new(AtomicBool::new(true))).await];
    let mut config = UpstreamConfig::default();
    let mut check = HealthCheck::new("/readyz?x");
    check.interval = Duration::from_millis(2);
    config.health_check = Some(check);
    config.balance = Balance::RoundRobin;
    let (front, upstream) = front(&addresses, config).await;
    assert_eq!(upstream.available(), 2);
    well.store(false, Ordering::SeqCst);
    // No request has failed, and none is needed.
    until("it is out", || upstream.available() == 1).await;
    for _ in 0..20 {
        assert_eq!(get(front.addr, "/").await.text(), "1");
    }
    well.store(true, Ordering::SeqCst);
    until("it is back", || upstream.available() == 2).await;
    let answers = [get(front.addr, "/").await, get(front.addr, "/").await];
    assert_ne!(answers[0].text(), answers[1].text());
    let checks = counted(&snapshotter, "streaming_proxy.checks");
    assert!(checks.len() == 2 && checks[0].starts_with("test failed "), "{checks:?}");
}

#[tokio::test]
async fn checks_end_with_their_upstream() {
    // Scenario: a table without the upstream, while a check of it waits for its answer.
    let (asked, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let address = raw({
        let (asked, ended) = (asked.clone(), ended.clone());
        move |mut stream, _| {
            let (asked, ended) = (asked.clone(), ended.clone());
            async move {
                let mut buffer = Vec::new();
                read_head(&mut stream, &mut buffer).await.unwrap();
                asked.notify_one();
                assert_eq!(read_head(&mut stream, &mut buffer).await, None);
                ended.notify_one();
            }
        }
    })
    .await;
    let mut config = UpstreamConfig::default();
    let mut check = HealthCheck::new("/");
    check.timeout = Duration::from_secs(3600);
    config.health_check = Some(check);
    let (front, upstream) = front(&[address], config).await;
    soon("the check", asked.notified()).await;
    front.forwarder.set_routes(Routes::default());
    drop(upstream);
    soon("the end of it", ended.notified()).await;
}

#[tokio::test]
async fn errors_take_some_addresses_out_and_never_all() {
    let mut addresses = Vec::new();
    for _ in 0..4 {
        let broken = real(|_| async {
            Response::builder().status(500).body(Full::new(Bytes::from_static(b"broken"))).unwrap()
        });
        addresses.push(broken.await);
    }
    let mut config = UpstreamConfig::default();
    config.server_errors = Some(2);
    config.avoid = Duration::from_secs(60);
    config.avoid_max = Duration::from_secs(60);
    let (front, upstream) = front(&addresses, config).await;
    let mut fewest = 4;
    for _ in 0..60 {
        assert_eq!(get(front.addr, "/").await.text(), "broken");
        fewest = fewest.min(upstream.available());
    }
    assert_eq!(fewest, 2, "half of them");
}

#[tokio::test]
async fn what_cannot_be_reached_counts_in_what_may_be_out() {
    // Scenario: two of four addresses are gone. The other two fail then, and have to bear the load all the same.
    let well = Arc::new(AtomicBool::new(true));
    let (mut addresses, mut held) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let (socket, nobody) = nowhere();
        held.push(socket);
        addresses.push(nobody);
        let well = well.clone();
        let answers = real(move |_| {
            let status = if well.load(Ordering::SeqCst) { 200 } else { 500 };
            async move { Response::builder().status(status).body(Full::<Bytes>::default()).unwrap() }
        });
        addresses.push(answers.await);
    }
    let mut config = UpstreamConfig::default();
    (config.server_errors, config.balance) = (Some(2), Balance::RoundRobin);
    (config.avoid, config.avoid_max) = (Duration::from_secs(60), Duration::from_secs(60));
    let (front, upstream) = front(&addresses, config).await;
    for _ in 0..4 {
        assert_eq!(get(front.addr, "/").await.status, 200);
    }
    assert_eq!(upstream.available(), 2);
    well.store(false, Ordering::SeqCst);
    for _ in 0..20 {
        assert_eq!(get(front.addr, "/").await.status, 500);
        assert_eq!(upstream.available(), 2);
    }
}

#[tokio::test]
async fn clients_that_leave_are_no_failures() {
    let arrived = Arc::new(Semaphore::new(0));
    let address = raw({
        let arrived = arrived.clone();
        move |mut stream, _| {
            let arrived = arrived.clone();
            async move {
                let mut buffer = Vec::new();
                read_head(&mut stream, &mut buffer).await;
                arrived.add_permits(1);
                read_head(&mut stream, &mut buffer).await;
            }
        }
    })
    .await;
    let mut config = UpstreamConfig::default();
    config.failures = 1;
    let (front, upstream) = front(&[address], config).await;
    for _ in 0..10 {
        let mut client = Client::connect(front.addr).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        soon("it arrives", arrived.acquire()).await.unwrap().forget();
        drop(client);
    }
    assert_eq!(upstream.available(), 1);
}

#[tokio::test]
async fn a_breaker_answers_at_once_and_one_request_closes_it() {
    let (asked, well) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let address = raw({
        let (asked, well) = (asked.clone(), well.clone());
        move |mut stream, _| {
            let (asked, well) = (asked.clone(), well.clone());
            async move {
                let mut buffer = Vec::new();
                while read_head(&mut stream, &mut buffer).await.is_some() {
                    asked.fetch_add(1, Ordering::SeqCst);
                    if !well.load(Ordering::SeqCst) {
                        return;
                    }
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                }
            }
        }
    })
    .await;
    let mut config = UpstreamConfig::default();
    (config.failures, config.fail_fast) = (2, true);
    (config.avoid, config.avoid_max) = (Duration::from_secs(60), Duration::from_secs(60));
    let (open, _) = front(&[address], config.clone()).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(get(open.addr, "/").await.status, 502);
    assert_eq!(once(open.addr, post).await.status, 502);
    for _ in 0..10 {
        let answer = get(open.addr, "/").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"));
        assert_eq!(answer.header("proxy-status"), Some("tramline; error=destination_unavailable"));
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((40..=75).contains(&seconds), "{seconds}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    // Its time is over soon, and it is well: one request finds out, for all. Also where none but POSTs come.
    (config.avoid, config.avoid_max) = (Duration::from_millis(1), Duration::from_millis(1));
    let (front, upstream) = front(&[address], config).await;
    assert_eq!(once(front.addr, post).await.status, 502);
    assert_eq!(once(front.addr, post).await.status, 502);
    well.store(true, Ordering::SeqCst);
    soon("it is closed", async { while once(front.addr, post).await.status != 200 {} }).await;
    assert_eq!(upstream.available(), 1);
}

#[tokio::test]
async fn the_same_cookie_has_the_same_address() {
    let mut addresses = Vec::new();
    for number in 0..4 {
        addresses.push(checked(number, Arc::new(AtomicBool::new(true))).await);
    }
    let mut config = UpstreamConfig::default();
    config.balance = "cookie:sid".parse().unwrap();
    let (front, _) = front(&addresses, config).await;
    let mut owners = Vec::new();
    for sid in 0..40 {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: b=c; sid={sid}\r\n\r\n");
        let owner = once(front.addr, &request).await.text().to_owned();
        for _ in 0..3 {
            assert_eq!(once(front.addr, &request).await.text(), owner);
        }
        owners.push(owner);
    }
    owners.sort();
    owners.dedup();
    assert_eq!(owners.len(), 4, "each has some");
}

/// Waits at the gate, and says when it has come to it.
async fn gated(arrived: Arc<Semaphore>, gate: Arc<Semaphore>) -> SocketAddr {
    real(move |_| {
        let (arrived, gate) = (arrived.clone(), gate.clone());
        async move {
            arrived.add_permits(1);
            gate.acquire().await.unwrap().forget();
            Response::new(Full::new(Bytes::from_static(b"ok")))
        }
    })
    .await
}

#[tokio::test]
async fn health_and_sign_in_are_shed_last() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let (arrived, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let address = gated(arrived.clone(), gate.clone()).await;
    let mut config = UpstreamConfig::default();
    // The limit starts there: eight for all, one more for signing in, one more for health.
    (config.adaptive_limit, config.max_in_flight) = (true, 10);
    let upstream = Upstream::new("test", [address.to_string()], config).unwrap();
    let routes = [("/", Priority::Normal), ("/sign-in", Priority::High), ("/livez", Priority::Critical)]
        .map(|(path, priority)| Route::new(path, upstream.clone()).with_priority(priority));
    let forwarder = Forwarder::new(ProxyConfig::default(), Routes::new(routes).unwrap());
    let front = Front::serving(forwarder, ServerConfig::default()).await;
    let mut waiting = Vec::new();
    for (path, count) in [("/", 8), ("/sign-in", 1), ("/livez", 1)] {
        for _ in 0..count {
            let mut client = Client::connect(front.addr).await;
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            soon(path, arrived.acquire()).await.unwrap().forget();
            waiting.push(client);
        }
        let answer = get(front.addr, path).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{path}");
        assert_eq!(answer.header("proxy-status"), Some("tramline; error=connection_limit_reached"));
    }
    let shed = counted(&snapshotter, "streaming_proxy.shed");
    assert_eq!(shed, ["test critical 1", "test high 1", "test normal 1"]);
    gate.add_permits(100);
    for mut client in waiting {
        assert_eq!(client.answer().await.text(), "ok");
    }
    assert_eq!(get(front.addr, "/").await.text(), "ok");
}

#[tokio::test]
async fn bodies_that_last_take_no_place_in_the_limit() {
    // Scenario: event streams. Their heads have come, and what they send says nothing about how busy a service is.
    let address = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nevent").await.unwrap();
        read_head(&mut stream, &mut buffer).await;
    })
    .await;
    let mut config = UpstreamConfig::default();
    (config.adaptive_limit, config.max_in_flight) = (true, 20);
    let (front, _) = front(&[address], config).await;
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(front.addr).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
        open.push(client);
    }
}
