//! What only nginx does: its own refusals, its own limits, its log.

use tokio::net::TcpStream;

use super::bed::{Bed, request};
use super::wire::Wire;
use crate::support::{Setup, until};

#[tokio::test]
async fn it_takes_the_configuration_without_a_warning() {
    let Some(bed) = Bed::nginx(Setup::default()).await else { return };
    let words = bed.nginx.as_ref().unwrap().check().await.unwrap();
    assert!(words.contains("test is successful") && !words.contains("[warn]"), "{words}");
    bed.stop().await;
}

/// Its refusals are in the contract's words, and in its log without the query, in which tickets stand.
#[tokio::test]
async fn a_gateway_that_is_away_is_a_problem_and_a_line() {
    let Some(bed) = Bed::nginx(Setup::default()).await else { return };
    let folder = bed.nginx.as_ref().unwrap().folder().to_owned();
    let passed = bed.get("/api/auth/thing?secret=1").await;
    assert_eq!(passed.status, 200);
    let Bed { edge, world } = bed;
    world.stop().await;
    let answer = edge.send("POST", "/api/auth/thing?secret=2", &[("x-request-id", "mine-2")]).await;
    answer.is_problem(502, "BAD_GATEWAY", "/api/auth/thing");
    assert_eq!((answer.header("x-request-id"), answer.header("retry-after")), ("mine-2", "1"));
    assert_eq!(answer.json["type"], "urn:tramline:problem:bad-gateway");
    let log = until("two lines", async || {
        let log = std::fs::read_to_string(folder.join("tramline.log")).unwrap_or_default();
        (log.lines().count() >= 2).then_some(log)
    })
    .await;
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, second] = lines.as_slice() else { panic!("{log}") };
    assert_eq!((first["status"].as_u64(), first["upstreamStatus"].as_str()), (Some(200), Some("200")));
    assert_eq!(first["requestId"], passed.header("x-request-id"), "one id in both logs");
    assert_eq!((second["method"].as_str(), second["requestId"].as_str()), (Some("POST"), Some("mine-2")));
    assert!(!log.contains("secret"), "{log}");
    edge.stop().await;
}

/// On answers of its own, of the gateway and of the services; the plain port's redirect has none.
#[tokio::test]
async fn browsers_come_by_https_the_next_time() {
    let Some(bed) = Bed::nginx(Setup::default()).await else { return };
    for (path, status) in
        [("/", 200), ("/api/auth/thing", 200), ("/api/nothing", 404), (&"/a".repeat(5000), 414)]
    {
        let answer = bed.get(path).await;
        assert_eq!(answer.status, status);
        let told: Vec<_> = answer.headers.get_all("strict-transport-security").iter().collect();
        assert_eq!(told, ["max-age=300"], "{status}");
    }
    bed.stop().await;
}

/// By its own numbers, whatever the service behind would take; and without a word of a length, by count.
#[tokio::test]
async fn long_bodies_cost_nobody_behind_it_anything() {
    let Some(bed) = Bed::nginx(Setup::default()).await else { return };
    let path = "/api/payments/long";
    let head = format!("POST {path} HTTP/1.1\r\nHost: example.com\r\n");
    bed.ask(format!("{head}Content-Length: 65537\r\n\r\n")).await.is_problem(413, "BODY_TOO_LARGE", path);
    assert!(bed.world.services.seen(path).is_empty());
    let chunk = format!("10001\r\n{}\r\n0\r\n\r\n", "z".repeat(65537));
    let answer = bed.ask(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}")).await;
    answer.is_problem(413, "BODY_TOO_LARGE", path);
    bed.stop().await;
}

/// Far more sign-ins than anybody needs are refused before the gateway has work with them, which has no limit here.
#[tokio::test]
async fn floods_end_at_the_edge() {
    let Some(bed) = Bed::nginx(Setup::default()).await else { return };
    let mut wire = bed.connect().await;
    let mut refused = 0;
    for _ in 0..300 {
        wire.send(request("POST", "/api/auth/login", &[])).await;
        let answer = wire.answer().await;
        if answer.status == 429 {
            answer.is_problem(429, "RATE_LIMITED", "/api/auth/login");
            assert_eq!(answer.header("retry-after"), "1");
            refused += 1;
        }
    }
    assert!(refused > 0 && bed.world.services.seen("/api/auth/login").len() == 300 - refused, "{refused}");
    // Others go on, and webhooks have no limit.
    for _ in 0..200 {
        wire.send(request("POST", "/api/payments/webhooks/psp", &[])).await;
        assert_eq!(wire.answer().await.status, 200);
    }
    bed.stop().await;
}

#[tokio::test]
async fn the_plain_port_serves_one_host() {
    let Some(bed) = Bed::nginx(Setup::default()).await else { return };
    let mut wire = Wire::over(TcpStream::connect(bed.plain).await.unwrap());
    wire.send("GET /a HTTP/1.1\r\nHost: other.example\r\n\r\n").await;
    let answer = wire.answer().await;
    answer.is_problem(421, "BAD_REQUEST", "/a");
    assert!(!answer.headers.contains_key("strict-transport-security"));
    bed.stop().await;
}
