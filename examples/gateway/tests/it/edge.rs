//! The answers of the gateway itself.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{ORIGIN, Setup, World, until};

#[tokio::test]
async fn unknown_ways_and_what_is_not_the_internets() {
    let world = World::start(Setup::default()).await;
    world.get("/api/nothing").await.is_problem(404, "NOT_FOUND", "/api/nothing");
    let revocations = "/api/auth/.well-known/revocations";
    world.get(revocations).await.is_problem(404, "NOT_FOUND", revocations);
    assert!(world.services.seen(revocations).is_empty(), "not even asked");
    // The proxy sends one spelling of each path: no other one gets past the routes and limits of the gateway.
    for path in
        ["/api/auth//.well-known/revocations", "/api/auth/%2Ewell-known/revocations", "/api/auth/%6Cogin"]
    {
        world.get(path).await.is_problem(404, "NOT_FOUND", path);
    }
    assert!(world.services.seen(revocations).is_empty() && world.services.seen("/api/auth/login").is_empty());
    assert_eq!(world.get("/api/auth/.well-known/jwks.json").await.status, 200);
    world.send("POST", "/some/page", &[]).await.is_problem(405, "METHOD_NOT_ALLOWED", "/some/page");
    world.send("DELETE", "/health", &[]).await.is_problem(405, "METHOD_NOT_ALLOWED", "/health");
    world.get("/api/docs").await.is_problem(501, "NOT_IMPLEMENTED", "/api/docs");
    // A path that only begins like a service's is nobody's.
    world.get("/api/paymentsx").await.is_problem(404, "NOT_FOUND", "/api/paymentsx");
    world.stop().await;
}

/// The listener has the bounds of the proxy library's server: hyper's own would hold 400 KiB for each connection.
#[tokio::test]
async fn a_head_that_is_too_large_is_not_read_to_its_end() {
    let world = World::start(Setup::default()).await;
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nhost: gateway\r\nx: {}\r\n\r\n", "z".repeat(200 * 1024));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&status), "HTTP/1.1 431");
    world.stop().await;
}

#[tokio::test]
async fn the_page_may_only_what_it_needs() {
    let world = World::start(Setup::default()).await;
    for path in ["/", "/payments/some/view"] {
        let page = world.get(path).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
    }
    world.stop().await;
}

/// Pages of the list may call with credentials; all others get no permission.
#[tokio::test]
async fn other_origins_by_the_list_and_nothing_else() {
    let world = World::start(Setup::default()).await;
    let ask = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,content-type,idempotency-key"),
        ];
        world.send("OPTIONS", "/api/payments", &headers).await
    };
    let allowed = ask(ORIGIN).await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), ORIGIN);
    assert_eq!(allowed.header("access-control-allow-credentials"), "true");
    assert!(allowed.header("access-control-allow-headers").contains("idempotency-key"));
    assert!(allowed.header("access-control-allow-methods").contains("PATCH"));
    assert!(world.services.seen("/api/payments").is_empty(), "a preflight is answered here");
    for stranger in ["https://evil.example", "null", "https://app.example.com.evil.example"] {
        assert!(!ask(stranger).await.headers.contains_key("access-control-allow-origin"), "{stranger}");
    }
    // Problems are readable for those pages too.
    let answer = world.send("GET", "/api/nothing", &[("origin", ORIGIN)]).await;
    answer.is_problem(404, "NOT_FOUND", "/api/nothing");
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
    assert!(answer.header("access-control-expose-headers").contains("retry-after"));
    world.stop().await;
}

/// A service that says who may read its answers would let in whom the gateway does not know.
#[tokio::test]
async fn an_upstreams_cors_never_passes() {
    let world = World::start(Setup::default()).await;
    for origin in ["https://evil.example", "null", ORIGIN] {
        let answer = world.send("GET", "/api/payments/refused", &[("origin", origin)]).await;
        assert_eq!((answer.status, answer.header("x-own")), (422, "kept"));
        let told = answer.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(told, (origin == ORIGIN).then_some(ORIGIN));
        let shown = answer.headers.get("access-control-expose-headers");
        assert!(shown.is_none_or(|names| names != "x-secret"), "{shown:?}");
    }
    world.stop().await;
}

/// However many ask, the services are asked once a second; what they say is what is said.
#[tokio::test]
async fn health_is_that_of_all_and_asked_once_a_second() {
    let world = World::start(Setup::default()).await;
    // Four services at one address, asked together; a gateway that starts asks until all is well.
    let rounds = || world.services.seen("/health").len().div_ceil(4);
    let (before, started) = (rounds(), tokio::time::Instant::now());
    for _ in 0..20 {
        assert_eq!(world.get("/health").await.status, 200);
    }
    let (all, most) = (rounds(), 1 + usize::try_from(started.elapsed().as_secs()).unwrap());
    assert!(all >= 1 && all - before <= most, "{before} rounds, then {all}");

    *world.services.well.lock().unwrap() = false;
    let ill =
        until("it is told", async || Some(world.get("/health").await).filter(|a| a.status != 200)).await;
    ill.is_problem(503, "UNAVAILABLE", "/health");
    *world.services.well.lock().unwrap() = true;
    until("it is well again", async || (world.get("/health").await.status == 200).then_some(())).await;
    world.stop().await;
}
