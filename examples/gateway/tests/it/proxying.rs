//! What passes through, both ways, and what is said when nothing comes back.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{PATIENCE, Services, Setup, World, until};

/// An upstream's answer is not ours to change: status, body and its own headers come through, hop-by-hop ones do not.
#[tokio::test]
async fn an_upstreams_answer_passes_unchanged() {
    let world = World::start(Setup::default()).await;
    let answer = world.get("/api/payments/refused").await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json["code"], "SELF_PAYMENT");
    assert_eq!(answer.json["instance"], "/theirs", "their problem, their words");
    assert_eq!(answer.header("x-own"), "kept");
    assert!(!answer.headers.contains_key("x-hop"));
    world.stop().await;
}

/// A body streams: its first half is back before its second half is sent.
#[tokio::test]
async fn bodies_stream_both_ways() {
    let world = World::start(Setup::default()).await;
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    let head = "POST /api/payments/echo HTTP/1.1\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(format!("{head}5\r\nfirst\r\n").as_bytes()).await.unwrap();
    let mut seen = String::new();
    read_until(&mut stream, &mut seen, "first").await;
    assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
    stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
    read_until(&mut stream, &mut seen, "second").await;
    drop(stream);
    world.stop().await;
}

/// What the internet says about where a request comes from, and about traces, is not passed on as it is.
#[tokio::test]
async fn claims_of_a_stranger_are_not_passed_on() {
    let world = World::start(Setup::default()).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let claims = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-real-ip", "203.0.113.9"),
        ("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01")),
        ("baggage", "admin=true"),
        ("x-request-id", "mine-1"),
    ];
    let answer = world.send("GET", "/api/auth/thing", &claims).await;
    assert_eq!(answer.header("x-request-id"), "mine-1");
    assert!(answer.header("traceparent").contains(trace), "the trace goes on");
    let seen = world.services.seen("/api/auth/thing").pop().unwrap().headers;
    assert_eq!(seen["x-forwarded-for"], "127.0.0.1");
    assert_eq!(seen["x-real-ip"], "127.0.0.1");
    assert!(!seen.contains_key("baggage"));
    assert_eq!(seen["x-request-id"], "mine-1");
    let traceparent = seen["traceparent"].to_str().unwrap();
    assert!(traceparent.contains(trace) && !traceparent.contains("00f067aa0ba902b7"), "{traceparent}");

    // No id that could break a log line.
    let answer = world.send("GET", "/api/auth/thing", &[("x-request-id", "not good!")]).await;
    assert_ne!(answer.header("x-request-id"), "not good!");
    world.stop().await;
}

/// From a trusted proxy the client's address is believed, and handed on.
#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let world = World::start(Setup { trusted: "127.0.0.0/8", ..Setup::default() }).await;
    world.send("GET", "/api/auth/thing", &[("x-forwarded-for", "203.0.113.9")]).await;
    let seen = world.services.seen("/api/auth/thing").pop().unwrap().headers;
    assert_eq!(seen["x-forwarded-for"], "203.0.113.9, 127.0.0.1");
    world.stop().await;
}

/// A service that is down is a 502 of its paths alone; once it is up, the gateway finds it by itself.
#[tokio::test]
async fn a_service_that_is_down_is_502_until_it_is_back() {
    let place = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = place.local_addr().unwrap();
    drop(place);
    let world = World::start(Setup { profile: Some(format!("http://{addr}")), ..Setup::default() }).await;
    world.get("/api/profile").await.is_problem(502, "BAD_GATEWAY", "/api/profile");
    assert_eq!(world.get("/api/auth/thing").await.status, 200);

    let _back = Services::serve(TcpListener::bind(addr).await.unwrap());
    until("the gateway recovers", async || (world.get("/api/profile").await.status == 200).then_some(()))
        .await;
    world.stop().await;
}

/// A service that takes a request and never answers is a 504 after its time. The clock is paused once the request
/// is there, so that the thirty seconds pass at once.
#[tokio::test]
async fn a_service_that_never_answers_is_504() {
    let world = World::start(Setup::default()).await;
    let asked = async {
        let answer = world.get("/api/profile/never").await;
        tokio::time::resume();
        answer
    };
    let pause = async {
        until("the service has it", async || world.services.seen("/api/profile/never").pop()).await;
        tokio::time::pause();
    };
    let (answer, ()) = tokio::join!(asked, pause);
    answer.is_problem(504, "GATEWAY_TIMEOUT", "/api/profile/never");
    world.stop().await;
}

pub(crate) async fn read_until(stream: &mut TcpStream, seen: &mut String, wanted: &str) {
    let reading = async {
        let mut buffer = [0; 1024];
        while !seen.contains(wanted) {
            let read = stream.read(&mut buffer).await.unwrap();
            assert_ne!(read, 0, "ended after {seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("in time");
}
