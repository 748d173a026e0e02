//! How many requests are taken, of whom, and how that is told.

use contracts::Role;
use gateway::RateLimits;
use uuid::Uuid;

use crate::support::{Setup, World, quota};

fn few() -> RateLimits {
    RateLimits { api: quota("3/min"), auth: quota("2/min"), statics: quota("4/min") }
}

/// Users have buckets of their own behind one address; who has no good token shares the address's.
#[tokio::test]
async fn the_api_is_limited_per_user_else_per_address() {
    let world = World::start(Setup { limits: few(), ..Setup::default() }).await;
    let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
    let bearer = async |id| format!("Bearer {}", world.token(id, Role::Customer).await);
    let (first, again, second) = (bearer(one).await, bearer(one).await, bearer(other).await);

    for left in [2, 1, 0] {
        let answer = world.send("GET", "/api/auth/me", &[("authorization", &first)]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-policy"), "\"api\";q=3;w=60");
        assert!(answer.header("ratelimit").starts_with(&format!("\"api\";r={left};t=")), "{answer:?}");
    }
    // Another session of the same user is the same user.
    let refused = world.send("GET", "/api/auth/me", &[("authorization", &again)]).await;
    refused.is_problem(429, "RATE_LIMITED", "/api/auth/me");
    assert!((1..=20).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    assert!(refused.header("ratelimit").starts_with("\"api\";r=0;t="));
    assert_eq!(world.send("GET", "/api/auth/me", &[("authorization", &second)]).await.status, 200);

    // Neither a forged token nor a forged address makes another bucket.
    for n in 0..3 {
        let (token, addr) = (format!("Bearer forged-{n}"), format!("203.0.113.{n}"));
        let headers = [("authorization", token.as_str()), ("x-forwarded-for", addr.as_str())];
        assert_eq!(world.send("GET", "/api/payments", &headers).await.status, 200);
    }
    world.get("/api/payments").await.is_problem(429, "RATE_LIMITED", "/api/payments");
    world.stop().await;
}

/// Sign-ins per address, together; renewals six times as many; both beside the API's own.
#[tokio::test]
async fn sign_ins_and_renewals_have_limits_of_their_own() {
    let world = World::start(Setup { limits: few(), ..Setup::default() }).await;
    assert_eq!(world.send("POST", "/api/auth/login", &[]).await.status, 200);
    assert_eq!(world.send("POST", "/api/auth/register", &[]).await.status, 200);
    let refused = world.send("POST", "/api/auth/login", &[]).await;
    refused.is_problem(429, "RATE_LIMITED", "/api/auth/login");
    assert_eq!(refused.header("ratelimit-policy"), "\"sign-in\";q=2;w=60");

    let mut last = None;
    for _ in 0..12 {
        let answer = world.send("POST", "/api/auth/refresh", &[]).await;
        assert_eq!(answer.status, 200);
        last = Some(answer);
    }
    // What the service tells of its own limit, per session, stands beside ours.
    let told: Vec<_> = last.unwrap().headers.get_all("ratelimit").iter().cloned().collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], "\"session\";r=9;t=6");
    // One more every five seconds, on a machine on which twelve take as long.
    let mut refused = world.send("POST", "/api/auth/refresh", &[]).await;
    for _ in 0..20 {
        if refused.status == 200 {
            refused = world.send("POST", "/api/auth/refresh", &[]).await;
        }
    }
    refused.is_problem(429, "RATE_LIMITED", "/api/auth/refresh");
    assert_eq!(refused.header("ratelimit-policy"), "\"refresh\";q=12;w=60");
    world.stop().await;
}

#[tokio::test]
async fn pages_have_a_limit_and_webhooks_and_health_have_none() {
    let world = World::start(Setup { limits: few(), ..Setup::default() }).await;
    for _ in 0..10 {
        let answer = world.send("POST", "/api/payments/webhooks/psp", &[]).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.headers.contains_key("ratelimit"));
        assert_eq!(world.get("/health").await.status, 200);
    }
    for _ in 0..4 {
        assert_eq!(world.get("/").await.status, 200);
    }
    world.get("/").await.is_problem(429, "RATE_LIMITED", "/");
    world.stop().await;
}

/// Behind a trusted proxy the clients are told apart.
#[tokio::test]
async fn a_trusted_proxys_clients_have_buckets_of_their_own() {
    let world = World::start(Setup { limits: few(), trusted: "127.0.0.1", ..Setup::default() }).await;
    for client in 0..6 {
        let addr = format!("203.0.113.{client}");
        for _ in 0..2 {
            let answer = world.send("POST", "/api/auth/login", &[("x-forwarded-for", &addr)]).await;
            assert_eq!(answer.status, 200);
        }
    }
    let answer = world.send("POST", "/api/auth/login", &[("x-forwarded-for", "203.0.113.0")]).await;
    assert_eq!(answer.status, 429);
    world.stop().await;
}
