//! What an edge of this system does, asked of both: the library's own (TLS in the gateway, a redirect beside it), and
//! nginx in front of the gateway with the configuration of `examples/deploy/nginx`.

mod bed;
mod framing;
mod nginx;
mod sockets;
mod wire;

use contracts::Role;
use gateway::RateLimits;
use tokio::net::TcpStream;
use uuid::Uuid;

use self::bed::{Bed, HOST, request};
use self::wire::Wire;
use crate::support::{Setup, quota};

#[tokio::test]
async fn from_http_to_https() {
    for bed in Bed::both(Setup::default).await {
        let ask = async |request: String| {
            let mut wire = Wire::over(TcpStream::connect(bed.plain).await.unwrap());
            wire.send(request).await;
            wire.answer().await
        };
        for method in ["GET", "POST"] {
            let answer = ask(request(method, "/a%20b?c=d&e", &[])).await;
            assert_eq!(answer.status, 308, "{}", bed.name);
            assert_eq!(answer.header("location"), "https://example.com/a%20b?c=d&e", "{}", bed.name);
            // It counts within TLS only, and may not be said without (RFC 6797, 7.2).
            assert!(!answer.headers.contains_key("strict-transport-security"), "{}", bed.name);
        }
        for host in ["a\";x=\"", "u@example.com", ""] {
            let answer = ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            assert!(matches!(answer.status, 400 | 421), "{}: {host}: {answer:?}", bed.name);
            assert!(!answer.headers.contains_key("location"), "{}", bed.name);
        }
        assert!(bed.world.services.seen("/a%20b").is_empty());
        bed.stop().await;
    }
}

#[tokio::test]
async fn one_host_is_not_reached_by_the_name_of_another() {
    for bed in Bed::both(Setup::default).await {
        let refused = bed.try_connect("other.example").await.unwrap_err().to_string();
        // By the server: the client has seen no certificate.
        assert!(refused.contains("received fatal alert"), "{}: {refused}", bed.name);
        let answer = bed.ask("GET /api/auth/me HTTP/1.1\r\nHost: other.example\r\n\r\n").await;
        assert_eq!(answer.status, 421, "{}", bed.name);
        assert!(bed.world.services.seen("/api/auth/me").is_empty());
        bed.stop().await;
    }
}

/// Once each, on whatever is answered.
#[tokio::test]
async fn browsers_are_told_to_be_careful() {
    for bed in Bed::both(Setup::default).await {
        for path in ["/", "/assets/live.js", "/api/auth/thing", "/api/nothing", "/health"] {
            let answer = bed.get(path).await;
            for (name, value) in [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY")] {
                let all: Vec<_> = answer.headers.get_all(name).iter().collect();
                assert_eq!(all, [value], "{}: {path}: {name}", bed.name);
            }
            assert_eq!(answer.headers.get_all("referrer-policy").iter().count(), 1, "{}: {path}", bed.name);
        }
        // What the page says itself is not overwritten.
        let page = bed.get("/").await;
        assert_eq!((page.status, page.header("referrer-policy")), (200, "no-referrer"), "{}", bed.name);
        assert_eq!(page.headers.get_all("content-security-policy").iter().count(), 1, "{}", bed.name);
        bed.stop().await;
    }
}

/// A request is known by its id everywhere, and its trace goes on.
#[tokio::test]
async fn ids_and_traces_come_back() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for bed in Bed::both(Setup::default).await {
        let parent = format!("00-{trace}-00f067aa0ba902b7-01");
        let told = [("x-request-id", "mine-1"), ("traceparent", parent.as_str()), ("baggage", "admin=true")];
        let answer = bed.send("GET", "/api/auth/thing", &told).await;
        assert_eq!((answer.status, answer.header("x-request-id")), (200, "mine-1"), "{}", bed.name);
        assert!(answer.header("traceparent").contains(trace), "{}", bed.name);
        let seen = bed.world.services.seen("/api/auth/thing").pop().unwrap().headers;
        assert_eq!(seen["x-request-id"], "mine-1", "{}", bed.name);
        assert!(seen["traceparent"].to_str().unwrap().contains(trace) && !seen.contains_key("baggage"));

        for bad in ["not good!", "", &"a".repeat(129)] {
            let answer = bed.send("GET", "/api/auth/thing", &[("x-request-id", bad)]).await;
            let id = answer.header("x-request-id");
            assert!(id != bad && (1..=128).contains(&id.len()), "{}: {id}", bed.name);
            let seen = bed.world.services.seen("/api/auth/thing").pop().unwrap().headers;
            assert_eq!(seen["x-request-id"], id, "{}", bed.name);
        }
        bed.stop().await;
    }
}

/// What a stranger says of where it comes from reaches nobody, in whichever spelling.
#[tokio::test]
async fn claims_of_a_stranger_are_replaced() {
    for bed in Bed::both(Setup::default).await {
        let claims = [
            ("x-forwarded-for", "203.0.113.9"),
            ("X_Forwarded_For", "203.0.113.9"),
            ("forwarded", "for=203.0.113.9;proto=http;host=evil.example"),
            ("x-real-ip", "203.0.113.9"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-port", "1"),
        ];
        assert_eq!(bed.send("GET", "/api/auth/thing", &claims).await.status, 200);
        let seen = bed.world.services.seen("/api/auth/thing").pop().unwrap().headers;
        for (name, value) in &seen {
            let value = value.to_str().unwrap();
            assert!(
                !value.contains("203.0.113.9") && !value.contains("evil"),
                "{}: {name}: {value}",
                bed.name
            );
        }
        // One hop, or two.
        let addrs = seen["x-forwarded-for"].to_str().unwrap();
        assert!(addrs.split(", ").all(|addr| addr == "127.0.0.1"), "{}: {addrs}", bed.name);
        assert!(seen["x-forwarded-proto"].to_str().unwrap().starts_with("https"), "{}: {seen:?}", bed.name);
        assert!(seen["x-forwarded-host"].to_str().unwrap().starts_with(HOST), "{}: {seen:?}", bed.name);
        // An absolute target says which host is meant, and `Host` nothing (RFC 9112, 3.2.2): refused, or not passed on.
        let absolute = format!("GET https://{HOST}/api/auth/absolute HTTP/1.1\r\nHost: evil.example\r\n\r\n");
        let status = bed.ask(absolute).await.status;
        let seen = bed.world.services.seen("/api/auth/absolute").pop();
        assert_eq!([400, 421].contains(&status), seen.is_none(), "{}: {status}", bed.name);
        let evil = |value: &http::HeaderValue| value.to_str().is_ok_and(|value| value.contains("evil"));
        assert!(seen.is_none_or(|seen| !seen.headers.values().any(evil)), "{}", bed.name);
        bed.stop().await;
    }
}

/// Of the client, and not of the edge: a forged address makes no bucket of its own.
#[tokio::test]
async fn limits_are_told_and_kept() {
    let few = || Setup {
        limits: RateLimits { api: quota("3/min"), auth: quota("2/min"), statics: quota("4/min") },
        ..Setup::default()
    };
    for bed in Bed::both(few).await {
        for n in 0..2 {
            let forged = [("x-forwarded-for", "203.0.113.9"), ("x-n", &n.to_string())];
            assert_eq!(bed.send("POST", "/api/auth/login", &forged).await.status, 200, "{}", bed.name);
        }
        let refused = bed.send("POST", "/api/auth/login", &[("x-forwarded-for", "203.0.113.10")]).await;
        refused.is_problem(429, "RATE_LIMITED", "/api/auth/login");
        assert_eq!(refused.header("ratelimit-policy"), "\"sign-in\";q=2;w=60", "{}", bed.name);
        assert!((1..=60).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
        // Users have their own, beside the address's.
        let token = format!("Bearer {}", bed.world.token(Uuid::now_v7(), Role::Customer).await);
        for left in [2, 1, 0] {
            let answer = bed.send("GET", "/api/auth/me", &[("authorization", &token)]).await;
            assert!(answer.header("ratelimit").starts_with(&format!("\"api\";r={left};")), "{}", bed.name);
        }
        bed.send("GET", "/api/auth/me", &[("authorization", &token)]).await.is_problem(
            429,
            "RATE_LIMITED",
            "/api/auth/me",
        );
        for _ in 0..5 {
            assert_eq!(bed.get("/health").await.status, 200, "{}", bed.name);
            assert_eq!(bed.send("POST", "/api/payments/webhooks/psp", &[]).await.status, 200, "{}", bed.name);
        }
        bed.stop().await;
    }
}

/// JSON has 64 KiB and an avatar 6 MiB. A client that reads when it has written all gets its answer, and no reset.
#[tokio::test]
async fn bodies_have_limits_by_path() {
    for bed in Bed::both(Setup::default).await {
        let upload = async |method: &str, path: &str, length: usize| {
            let mut wire = bed.connect().await;
            let head =
                format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\n\r\n");
            wire.send(head).await;
            wire.send(vec![b'z'; length]).await;
            wire.answer().await
        };
        assert_eq!(upload("POST", "/api/auth/login", 64 * 1024).await.status, 200, "{}", bed.name);
        let path = "/api/auth/login";
        for length in [64 * 1024 + 1, 1024 * 1024] {
            upload("POST", path, length).await.is_problem(413, "BODY_TOO_LARGE", path);
        }
        let path = "/api/profile/avatar";
        let answer = upload("PUT", path, 5 * 1024 * 1024).await;
        assert_eq!(
            (answer.status, answer.json["length"].as_u64()),
            (200, Some(5 * 1024 * 1024)),
            "{}",
            bed.name
        );
        upload("PUT", path, 6 * 1024 * 1024 + 1).await.is_problem(413, "BODY_TOO_LARGE", path);
        bed.stop().await;
    }
}

#[tokio::test]
async fn pieces_pass_as_they_come_in_both_directions() {
    for bed in Bed::both(Setup::default).await {
        let mut wire = bed.connect().await;
        wire.send(request("GET", "/api/payments/events", &[("accept", "text/event-stream")])).await;
        bed.world.services.events.add_permits(1);
        let (status, headers) = wire.head().await.unwrap();
        assert_eq!((status, headers["content-type"].as_bytes()), (200, b"text/event-stream".as_slice()));
        assert_eq!(wire.chunk().await.unwrap(), b"data: 0\n\n", "{}", bed.name);
        bed.world.services.events.add_permits(1);
        assert_eq!(wire.chunk().await.unwrap(), b"data: 1\n\n", "{}", bed.name);
        drop(wire);

        let mut wire = bed.connect().await;
        let head =
            "POST /api/payments/echo HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n";
        wire.send(format!("{head}5\r\nfirst\r\n")).await;
        assert_eq!(wire.head().await.unwrap().0, 200, "{}", bed.name);
        assert_eq!(wire.chunk().await.unwrap(), b"first", "{}", bed.name);
        wire.send("6\r\nsecond\r\n0\r\n\r\n").await;
        assert_eq!(wire.chunk().await.unwrap(), b"second", "{}", bed.name);
        assert!(wire.chunk().await.unwrap().is_empty(), "{}", bed.name);
        bed.stop().await;
    }
}

/// Problems are the system's own, and those of a service pass as they are.
#[tokio::test]
async fn failures_are_problems() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = || Setup { profile: Some(format!("http://{closed}")), ..Setup::default() };
    for bed in Bed::both(setup).await {
        bed.get("/api/nothing").await.is_problem(404, "NOT_FOUND", "/api/nothing");
        bed.get("/api/profile").await.is_problem(502, "BAD_GATEWAY", "/api/profile");
        bed.send("POST", "/some/page", &[]).await.is_problem(405, "METHOD_NOT_ALLOWED", "/some/page");
        let theirs = bed.get("/api/payments/refused").await;
        assert_eq!((theirs.status, theirs.json["instance"].as_str()), (422, Some("/theirs")), "{}", bed.name);
        assert_eq!(theirs.header("x-own"), "kept", "{}", bed.name);
        let revocations = "/api/auth/.well-known/revocations";
        bed.get(revocations).await.is_problem(404, "NOT_FOUND", revocations);
        assert!(bed.world.services.seen(revocations).is_empty());
        bed.stop().await;
    }
}
