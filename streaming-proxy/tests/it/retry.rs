//! What goes out again, where to, and what does not.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::StatusCode;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tramline_streaming_proxy::config::{Retries, RetryBudget};
use tramline_streaming_proxy::server::ServerConfig;
use tramline_streaming_proxy::{Forwarder, ProxyConfig, Route, Routes, Upstream, UpstreamConfig};

use crate::client::{Answer, Client, get, once, read_head};
use crate::origin::{Front, SOON, raw};

/// What two addresses have seen together: the requests, whole, in the order they came.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Two addresses; `answers` are given in the order in which requests come to either, and `None` closes the connection.
/// The last one is repeated. The body is read before, unless `early`.
async fn pair(answers: &'static [Option<&'static str>], early: bool) -> ([SocketAddr; 2], Seen) {
    let (count, seen) = (Arc::new(AtomicUsize::new(0)), Seen::default());
    let script = {
        let seen = seen.clone();
        move |mut stream: TcpStream, _| {
            let (count, seen) = (count.clone(), seen.clone());
            async move {
                let mut buffer = Vec::new();
                while let Some(head) = read_head(&mut stream, &mut buffer).await {
                    let number = count.fetch_add(1, Ordering::SeqCst);
                    let answer = *answers.get(number).unwrap_or(answers.last().unwrap());
                    let mut body = String::new();
                    if !(early && number == 0) {
                        body = read_body(&head, &mut stream, &mut buffer).await;
                    }
                    seen.0.lock().unwrap().push(format!("{} {body}", head.split(' ').next().unwrap()));
                    let Some(answer) = answer else { return };
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        }
    };
    ([raw(script.clone()).await, raw(script).await], seen)
}

async fn read_body(head: &str, stream: &mut TcpStream, buffer: &mut Vec<u8>) -> String {
    let head = head.to_ascii_lowercase();
    let chunked = head.contains("transfer-encoding: chunked");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    let end = |got: &[u8]| match chunked {
        true => got.windows(5).position(|five| five == b"0\r\n\r\n").map(|at| at + 5),
        false => (got.len() >= length).then_some(length),
    };
    let length = loop {
        if let Some(length) = end(buffer) {
            break length;
        }
        if stream.read_buf(buffer).await.unwrap() == 0 {
            return "broken".to_owned();
        }
    };
    let raw = String::from_utf8(buffer.drain(..length).collect()).unwrap();
    // A chunk's size is on a line of its own.
    if chunked { raw.split("\r\n").skip(1).step_by(2).collect() } else { raw }
}

async fn front(addresses: &[SocketAddr], retries: Retries, budget: RetryBudget, proxy: ProxyConfig) -> Front {
    let mut config = UpstreamConfig::default();
    config.retry_budget = budget;
    front_with(config, addresses, retries, proxy).await
}

async fn front_with(
    mut config: UpstreamConfig,
    addresses: &[SocketAddr],
    retries: Retries,
    proxy: ProxyConfig,
) -> Front {
    // What is told about health elsewhere must not decide here.
    config.failures = 1000;
    let upstream = Upstream::new("test", addresses.iter().map(ToString::to_string), config).unwrap();
    let routes = Routes::new([Route::new("/", upstream).with_retries(retries)]).unwrap();
    Front::serving(Forwarder::new(proxy, routes), ServerConfig::default()).await
}

async fn plain(addresses: &[SocketAddr], statuses: &[u16]) -> Front {
    front(addresses, after(statuses), RetryBudget::default(), ProxyConfig::default()).await
}

fn after(statuses: &[u16]) -> Retries {
    let mut retries = Retries::default();
    retries.statuses = statuses.iter().map(|status| StatusCode::from_u16(*status).unwrap()).collect();
    retries
}

fn with_body(method: &str, body: &str) -> String {
    format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

const OK: Option<&str> = Some("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
const BUSY: Option<&str> = Some("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy");
const AT_ONCE: Option<&str> =
    Some("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy");
const LATER: Option<&str> =
    Some("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 4\r\n\r\nbusy");

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.text())
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_no_failure_where_another_address_may_be_asked() {
    let (addresses, seen) = pair(&[None, OK], false).await;
    let front = plain(&addresses, &[]).await;
    assert_eq!(told(&get(front.addr, "/").await), (200, "ok"));
    assert_eq!(seen.take(), ["GET ", "GET "]);
    // With its body.
    let (addresses, seen) = pair(&[None, OK], false).await;
    let front = plain(&addresses, &[]).await;
    assert_eq!(told(&once(front.addr, &with_body("PUT", "body")).await), (200, "ok"));
    assert_eq!(seen.take(), ["PUT body", "PUT body"]);
    // What may not be done twice is not.
    let (addresses, seen) = pair(&[None, OK], false).await;
    let front = plain(&addresses, &[]).await;
    assert_eq!(once(front.addr, &with_body("POST", "body")).await.status, 502);
    assert_eq!(seen.take(), ["POST body"]);
}

#[tokio::test]
async fn tries_end_after_three() {
    let (mut addresses, seen) = (Vec::new(), Seen::default());
    for _ in 0..5 {
        let seen = seen.clone();
        let script = move |mut stream: TcpStream, _| {
            let seen = seen.clone();
            async move {
                let mut buffer = Vec::new();
                read_head(&mut stream, &mut buffer).await;
                seen.0.lock().unwrap().push(String::new());
            }
        };
        addresses.push(raw(script).await);
    }
    let front = plain(&addresses, &[]).await;
    assert_eq!(get(front.addr, "/").await.status, 502);
    assert_eq!(seen.take().len(), 3);
}

#[tokio::test]
async fn a_kept_connection_that_is_closed_takes_a_body_again_too() {
    // Scenario: the race of a kept connection, with a PUT on it.
    let (addresses, seen) = pair(&[OK, None, OK], false).await;
    let front = plain(&addresses[..1], &[]).await;
    for _ in 0..2 {
        assert_eq!(told(&once(front.addr, &with_body("PUT", "body")).await), (200, "ok"));
    }
    assert_eq!(seen.take(), ["PUT body", "PUT body", "PUT body"]);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_sent_whole_and_once() {
    let chunk = "x".repeat(40);
    let chunked = format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n{chunk}\r\n28\r\n{chunk}\r\n0\r\n\r\n"
    );
    for (max_replay, max_replay_total) in [(79, 1000), (1000, 79)] {
        let mut proxy = ProxyConfig::default();
        (proxy.max_replay, proxy.max_replay_total) = (max_replay, max_replay_total);
        let (addresses, seen) = pair(&[OK, None, OK], false).await;
        let front = front(&addresses, Retries::default(), RetryBudget::default(), proxy).await;
        assert_eq!(told(&once(front.addr, &chunked).await), (200, "ok"));
        assert_eq!(once(front.addr, &chunked).await.status, 502);
        let whole = format!("PUT {chunk}{chunk}");
        assert_eq!(seen.take(), [whole.clone(), whole]);
    }
    // The room is there again: what fits goes out twice.
    let mut proxy = ProxyConfig::default();
    proxy.max_replay_total = 80;
    let (addresses, seen) = pair(&[None, OK, None, OK], false).await;
    let front = front(&addresses, Retries::default(), RetryBudget::default(), proxy).await;
    for _ in 0..2 {
        assert_eq!(told(&once(front.addr, &chunked).await), (200, "ok"));
    }
    assert_eq!(seen.take().len(), 4);
}

#[tokio::test]
async fn answers_on_the_list_are_asked_elsewhere() {
    let (addresses, seen) = pair(&[BUSY, OK], false).await;
    let front = plain(&addresses, &[503]).await;
    assert_eq!(told(&get(front.addr, "/").await), (200, "ok"));
    assert_eq!(seen.take().len(), 2);
    // Those that are not pass, and so do those to what may not be done twice.
    for (statuses, request) in [
        (&[502, 504][..], with_body("GET", "")),
        (&[][..], with_body("GET", "")),
        (&[503][..], with_body("POST", "x")),
    ] {
        let (addresses, seen) = pair(&[BUSY, OK], false).await;
        let front = plain(&addresses, statuses).await;
        assert_eq!(told(&once(front.addr, &request).await), (503, "busy"));
        assert_eq!(seen.take().len(), 1);
    }
    // All say so: the last answer is the client's, as it is.
    let (addresses, seen) = pair(&[BUSY], false).await;
    let front = plain(&addresses, &[503]).await;
    assert_eq!(told(&get(front.addr, "/").await), (503, "busy"));
    assert_eq!(seen.take().len(), 2);
}

#[tokio::test]
async fn an_answer_is_not_given_up_for_an_address_that_is_out() {
    let (addresses, _) = pair(&[BUSY], false).await;
    let (gone, away) = crate::origin::listen().await;
    drop(gone);
    let mut config = UpstreamConfig::default();
    // Out for as long as this takes.
    (config.avoid, config.avoid_max) = (SOON, SOON);
    let front = front_with(config, &[addresses[0], away], after(&[503]), ProxyConfig::default()).await;
    // Whoever is asked first: after this it is known which one is away.
    get(front.addr, "/").await;
    for _ in 0..5 {
        assert_eq!(told(&get(front.addr, "/").await), (503, "busy"));
    }
}

#[tokio::test]
async fn one_address_is_asked_again_when_it_says_so_and_not_for_long() {
    let (addresses, seen) = pair(&[AT_ONCE, AT_ONCE, OK], false).await;
    let front = plain(&addresses[..1], &[503]).await;
    assert_eq!(told(&get(front.addr, "/").await), (200, "ok"));
    assert_eq!(seen.take().len(), 3);
    for busy in [&[BUSY, OK][..], &[LATER, OK]] {
        let (addresses, seen) = pair(busy, false).await;
        let front = plain(&addresses[..1], &[503]).await;
        let answer = get(front.addr, "/").await;
        assert_eq!(told(&answer), (503, "busy"));
        assert_eq!(answer.header("retry-after"), (busy[0] == LATER).then_some("2"));
        assert_eq!(seen.take().len(), 1);
    }
}

#[tokio::test]
async fn an_upload_goes_on_elsewhere_after_an_answer_in_its_middle() {
    // Scenario: the first address answers 503 when it has seen the head and a part; the client is still sending.
    let (addresses, seen) = pair(&[BUSY, OK], true).await;
    let front = plain(&addresses, &[503]).await;
    let mut client = Client::connect(front.addr).await;
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n").await;
    while seen.0.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    client.send("5\r\n rest\r\n0\r\n\r\n").await;
    assert_eq!(told(&client.answer().await), (200, "ok"));
    assert_eq!(seen.take(), ["PUT ", "PUT part rest"]);
}

/// What of `name` was counted, by its labels.
pub(crate) fn counted(snapshotter: &Snapshotter, name: &str) -> Vec<String> {
    let found = snapshotter.snapshot().into_vec().into_iter().filter(|(key, ..)| key.key().name() == name);
    let found = found.filter_map(|(key, _, _, value)| {
        let DebugValue::Counter(count @ 1..) = value else { return None };
        let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
        Some(format!("{} {count}", labels.join(" ")))
    });
    let mut found: Vec<_> = found.collect();
    found.sort();
    found
}

#[tokio::test]
async fn the_budget_ends_what_would_be_a_storm() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let (addresses, seen) = pair(&[BUSY], false).await;
    let mut retries = Retries::default();
    retries.statuses = vec![StatusCode::SERVICE_UNAVAILABLE];
    let mut budget = RetryBudget::default();
    (budget.percent, budget.per_second) = (20, 0);
    let front = front(&addresses, retries, budget, ProxyConfig::default()).await;
    for _ in 0..50 {
        assert_eq!(told(&get(front.addr, "/").await), (503, "busy"));
    }
    assert_eq!(seen.take().len(), 60);
    assert_eq!(counted(&snapshotter, "streaming_proxy.retries"), ["test status 10"]);
}

#[tokio::test]
async fn each_reason_is_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let (free, away) = crate::origin::listen().await;
    drop(free);
    for (answers, count, requests) in [(&[None, OK][..], 2, 1), (&[BUSY, OK], 2, 1), (&[OK, None, OK], 1, 2)]
    {
        let (addresses, _) = pair(answers, false).await;
        let front = plain(&addresses[..count], &[503]).await;
        for _ in 0..requests {
            assert_eq!(get(front.addr, "/").await.status, 200);
        }
    }
    let found = counted(&snapshotter, "streaming_proxy.retries");
    assert_eq!(found, ["test closed 1", "test kept 1", "test status 1"]);
    let (addresses, _) = pair(&[OK], false).await;
    let front = plain(&[away, addresses[0]], &[]).await;
    // Which one is asked first is drawn.
    while !counted(&snapshotter, "streaming_proxy.retries").iter().any(|line| line == "test unsent 1") {
        assert_eq!(get(front.addr, "/").await.status, 200);
    }
    let mut none = RetryBudget::default();
    (none.percent, none.per_second) = (0, 0);
    let (addresses, _) = pair(&[None, OK], false).await;
    let front = self::front(&addresses, Retries::default(), none, ProxyConfig::default()).await;
    assert_eq!(get(front.addr, "/").await.status, 502);
    assert_eq!(counted(&snapshotter, "streaming_proxy.retries.denied"), ["test 1"]);
}
