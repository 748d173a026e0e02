//! The built-in page, and the answers at the edge that no service gives.

use reqwest::Method;

use crate::api::{Api, CUSTOMER};
use crate::world::Embedded;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_and_the_edge() -> anyhow::Result<()> {
    let system = Embedded::start(&[]).await?;
    let nobody = Api::nobody(&system.url);

    let page = nobody.get("/").await?;
    assert_eq!(
        (page.status.as_u16(), page.headers["content-type"].as_str()),
        (200, "text/html; charset=utf-8")
    );
    assert!(page.headers["content-security-policy"].contains("default-src 'none'"));
    let html = page.body.as_str().unwrap_or_default().to_owned();
    // Every file that the page names is served from the same binary, and nothing is fetched from elsewhere.
    let files: Vec<&str> = html.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert_eq!(nobody.get(file).await?.status, 200, "{file}");
        assert!(!nobody.get(file).await?.headers["content-type"].starts_with("text/html"), "{file}");
    }
    assert!(!html.contains("https://") && !html.contains("http://"), "an external request");
    assert_eq!(nobody.get("/payments/some/view").await?.status, 200, "the front end knows its own ways");

    nobody.get("/api/nothing").await?.expect_problem(404, "NOT_FOUND")?;
    nobody.get("/api/auth/.well-known/revocations").await?.expect_problem(404, "NOT_FOUND")?;
    assert_eq!(nobody.get("/api/auth/.well-known/jwks.json").await?.status, 200);
    nobody.send(Method::POST, "/", &[], None).await?.expect_problem(405, "METHOD_NOT_ALLOWED")?;
    nobody.send(Method::PUT, "/api/payments", &[], None).await?.expect_problem(405, "METHOD_NOT_ALLOWED")?;
    nobody.get("/api/payments").await?.expect_problem(401, "UNAUTHENTICATED")?;
    nobody.get("/ws").await?.expect_problem(401, "UNAUTHENTICATED")?;
    let customer = Api::sign_in(&system.url, CUSTOMER).await?;
    customer.get("/ws").await?.expect_problem(426, "UPGRADE_REQUIRED")?;
    let foreign = [("origin", "https://evil.example"), ("upgrade", "websocket"), ("connection", "upgrade")];
    customer.send(Method::GET, "/ws", &foreign, None).await?.expect_problem(403, "FORBIDDEN")?;
    customer.get("/api/admin/users").await?.expect_problem(403, "FORBIDDEN")?;
    customer.get("/api/admin/config").await?.expect_problem(403, "FORBIDDEN")?;
    customer.get("/api/auth/activity").await?.expect_problem(501, "NOT_IMPLEMENTED")?;
    nobody.get("/api/docs").await?.expect_problem(501, "NOT_IMPLEMENTED")?;
    let mut forged = customer.clone();
    forged.token = forged.token.map(|token| token + "x");
    forged.get("/api/payments").await?.expect_problem(401, "UNAUTHENTICATED")?;
    system.stop().await
}

/// The limits of the contract's defaults, told in headers, and refused with a time to come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_told_and_kept() -> anyhow::Result<()> {
    let limits =
        [("RATE_LIMIT_API", "100/min"), ("RATE_LIMIT_AUTH", "10/min"), ("RATE_LIMIT_STATIC", "1000/min")];
    let system = Embedded::start(&limits).await?;
    let nobody = Api::nobody(&system.url);
    let login = serde_json::json!({ "email": "nobody@example.com", "password": "wrong-password-1" });
    // One more every six seconds, on a machine on which twelve take as long.
    let mut passed = 0;
    let last = loop {
        let answer = nobody.post("/api/auth/login", &login).await?;
        if answer.body["code"] == "RATE_LIMITED" {
            break answer;
        }
        passed += 1;
        assert!(passed < 40, "none of {passed} refused at 10 a minute");
    };
    assert!(passed >= 10, "{passed} at 10 a minute");
    assert!(last.headers.contains_key("retry-after") && last.headers.contains_key("ratelimit-policy"));
    last.expect_problem(429, "RATE_LIMITED")?;
    // Outside of limits.
    for _ in 0..30 {
        assert_eq!(nobody.get("/health").await?.status, 200);
    }
    system.stop().await
}
