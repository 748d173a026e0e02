//! What is shared through Redis, and what happens without it.

use std::net::IpAddr;
use std::time::Duration;

use tramline_session_sync::attempts::{Attempts, AttemptsConfig};
use tramline_session_sync::revocation::{RevocationEntry, RevocationsConfig};
use tramline_session_sync::tickets::Tickets;
use tramline_session_sync::{ErrorKind, Revocations, TokenError};

use crate::tickets::config;
use crate::verifier::Issuer;

/// Nobody listens on the discard port.
const NOWHERE: &str = "redis://127.0.0.1:9/";
/// A busy machine is no reason to do without Redis.
const LONG: Duration = Duration::from_secs(5);
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn prefix() -> String {
    format!("test:{}:", uuid::Uuid::new_v4())
}

fn revocations(prefix: &str) -> RevocationsConfig {
    let mut config = RevocationsConfig::default();
    prefix.clone_into(&mut config.prefix);
    config.redis_timeout = LONG;
    config
}

#[tokio::test]
async fn a_starting_process_loads_what_others_revoked() {
    let Some(url) = devkit::engines::redis().await else {
        return;
    };
    let prefix = prefix();
    let first = Revocations::redis(url, revocations(&prefix)).unwrap();
    assert_eq!(first.load().await.unwrap(), None, "nothing there");
    let now = jiff::Timestamp::now();
    let until = now + Duration::from_secs(900);
    let session = RevocationEntry::session("u1", "s1", now, until);
    let role = RevocationEntry::role("u2", "ADMIN", now, until);
    let ended = RevocationEntry::session("u1", "s0", now, now - Duration::from_secs(1));
    for entry in [session, role, ended] {
        first.apply(entry).await.unwrap();
    }
    let second = Revocations::redis(url, revocations(&prefix)).unwrap();
    assert_eq!(second.load().await.unwrap(), Some(2));
    assert_eq!(second.len(), 2);
    let stranger = Revocations::redis(url, revocations("test:else:")).unwrap();
    assert_eq!(stranger.load().await.unwrap(), None);
}

#[tokio::test]
async fn attempts_are_counted_together() {
    let Some(url) = devkit::engines::redis().await else {
        return;
    };
    let prefix = prefix();
    let attempts = || {
        let mut config = AttemptsConfig::default();
        prefix.clone_into(&mut config.prefix);
        config.redis_timeout = LONG;
        Attempts::redis(url, config).unwrap()
    };
    let (one, two) = (attempts(), attempts());
    // Twenty guesses at once: exactly five get through.
    let guesses: Vec<_> = (0..20)
        .map(|n| {
            let attempts = if n % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move { attempts.begin("a@x", HERE).await.is_ok() })
        })
        .collect();
    let mut passed = 0;
    for guess in guesses {
        passed += u32::from(guess.await.unwrap());
    }
    assert_eq!(passed, 5);
    let refused = one.begin("A@x", HERE).await.unwrap_err();
    assert!(refused.retry_after > Duration::from_secs(800), "{refused:?}");
    assert!(refused.retry_after <= Duration::from_secs(900), "{refused:?}");
    two.withdraw("a@x", HERE).await;
    one.begin("a@x", HERE).await.unwrap();
    two.begin("a@x", HERE).await.unwrap_err();
    two.succeeded("a@x", HERE).await;
    one.begin("a@x", HERE).await.unwrap();
    // The address counts on: 4 of 5 are left of the failures, and one since.
    for n in 0..45 {
        one.begin(&format!("u{n}@x"), HERE).await.unwrap();
    }
    two.begin("new@x", HERE).await.unwrap_err();
}

#[tokio::test]
async fn a_ticket_is_good_at_one_node_only() {
    let Some(url) = devkit::engines::redis().await else {
        return;
    };
    let issuer = Issuer::new().await;
    let verifier = issuer.verifier(issuer.ring());
    let tickets = || {
        let mut config = config(&issuer);
        config.redis_timeout = LONG;
        Tickets::redis(url, config).unwrap()
    };
    let (one, two) = (tickets(), tickets());
    let claims = verifier.verify(&issuer.token().await).await.unwrap();
    let ticket = one.issue(&claims, issuer.sessions.keys()).await.unwrap();
    let (first, second) =
        tokio::join!(one.redeem(&ticket.ticket, &verifier), two.redeem(&ticket.ticket, &verifier));
    assert_eq!(u8::from(first.is_ok()) + u8::from(second.is_ok()), 1);
}

#[tokio::test]
async fn without_redis_each_does_what_it_can() {
    let mut config = AttemptsConfig::default();
    config.redis_timeout = Duration::from_millis(50);
    let attempts = Attempts::redis(NOWHERE, config).unwrap();
    for _ in 0..5 {
        attempts.begin("a@x", HERE).await.unwrap();
    }
    attempts.begin("a@x", HERE).await.unwrap_err();
    attempts.succeeded("a@x", HERE).await;
    attempts.begin("a@x", HERE).await.unwrap();

    let mut config = revocations("test:");
    config.redis_timeout = Duration::from_millis(50);
    let revocations = Revocations::redis(NOWHERE, config).unwrap();
    let now = jiff::Timestamp::now();
    let entry = RevocationEntry::session("u", "s", now, now + Duration::from_secs(60));
    let error = revocations.apply(entry).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(revocations.len(), 1, "in force here all the same");
    assert!(revocations.load().await.is_err());

    let issuer = Issuer::new().await;
    let verifier = issuer.verifier(issuer.ring());
    let mut config = crate::tickets::config(&issuer);
    config.redis_timeout = Duration::from_millis(50);
    let tickets = Tickets::redis(NOWHERE, config).unwrap();
    let claims = verifier.verify(&issuer.token().await).await.unwrap();
    let ticket = tickets.issue(&claims, issuer.sessions.keys()).await.unwrap();
    let refused = tickets.redeem(&ticket.ticket, &verifier).await;
    assert_eq!(refused, Err(TokenError::Unavailable), "one use cannot be kept");
}

#[tokio::test]
async fn an_address_that_does_not_parse_is_said_at_once() {
    for url in ["", "http://x", "redis://"] {
        let attempts = Attempts::redis(url, AttemptsConfig::default());
        let error = attempts.map(drop).err();
        if let Some(error) = error {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{url}");
        } else {
            assert_eq!(url, "redis://", "only the default address is fine");
        }
    }
}

/// An application with two providers of TLS in its build has chosen none by that, and rustls would panic.
#[tokio::test]
async fn whoever_asks_for_tls_has_a_provider() {
    Revocations::redis("rediss://127.0.0.1:1", RevocationsConfig::default()).unwrap();
    assert!(rustls::crypto::CryptoProvider::get_default().is_some());
}
