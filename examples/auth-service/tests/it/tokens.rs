//! Which tokens are believed, and from when on no longer.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::{Payload, Role, UserChanged, UserDeleted, UserStatus, UserUpdated};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;
use tramline_session_sync::{
    ClientInfo, Clock, Device, KeyRing, KeyRingConfig, Sessions, SessionsConfig, Store, User,
};
use uuid::Uuid;

use crate::support::{Bench, SignedIn, eventually, refusal};

fn part(token: &str, at: usize) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn a_token_says_what_the_contract_lists() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    assert_eq!(part(&ada.token, 0)["alg"], "EdDSA");
    let claims = part(&ada.token, 1);
    let mut names: Vec<_> = claims.as_object().unwrap().keys().cloned().collect();
    names.sort();
    assert_eq!(names, ["aud", "email", "exp", "iat", "iss", "jti", "name", "role", "sid", "sub"]);
    assert_eq!((&claims["sub"], &claims["sid"]), (&Value::from(ada.id), &Value::from(ada.session)));
    assert_eq!((&claims["role"], &claims["email"]), (&"CUSTOMER".into(), &"ada@example.com".into()));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
}

#[tokio::test]
async fn forged_foreign_and_expired_tokens_are_refused() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let foreign =
        chassis::testing::Issuer::new().await.token(ada.id.parse().unwrap(), Role::Admin, "ada").await;
    let (head, rest) = ada.token.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let promoted = part(&ada.token, 1).to_string().replace("CUSTOMER", "ADMIN");
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let forged = [
        format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(promoted)),
        format!("{none}.{body}."),
        format!("{none}.{body}.{signature}"),
        foreign,
        "nonsense".to_owned(),
        String::new(),
    ];
    for token in forged {
        assert_eq!(refusal(&bench.me(&token).await), (401, "UNAUTHENTICATED"), "{token}");
    }
    let bare = bench.call("GET", "/api/auth/me").header("authorization", &ada.token).send().await;
    assert_eq!(refusal(&bare), (401, "UNAUTHENTICATED"), "without its scheme");

    // Signed by our own key, twenty minutes ago.
    let store = Store::sqlite(bench.db.as_sqlite().unwrap().clone());
    let ring = KeyRing::open(&store, &bench.key_file, KeyRingConfig::default()).await.unwrap();
    let mut config = SessionsConfig::default();
    config.clock = Clock::from_fn(|| Timestamp::now() - Duration::from_secs(1_200));
    let user = User::new(&ada.id, &ada.email, "ada", "CUSTOMER");
    let earlier = Sessions::new(config, store, ring);
    let old = earlier.open(user, Device::new(None, None, None), ClientInfo::default()).await.unwrap();
    let answer = bench.me(&old.access_token).await;
    assert_eq!(refusal(&answer), (401, "TOKEN_EXPIRED"));
    assert!(answer.headers["www-authenticate"].to_str().unwrap().contains("invalid_token"));
}

fn changed(who: &SignedIn, role: Role, status: UserStatus) -> UserUpdated {
    let now = Timestamp::now();
    UserUpdated(UserChanged {
        user_id: who.id.parse().unwrap(),
        version: 2,
        email: who.email.clone(),
        name: "x".to_owned(),
        role,
        status,
        created_at: now,
        updated_at: now,
    })
}

/// Tells of it until the token is refused: the feed may not have been open yet.
async fn refused<P: Payload + Sync>(bench: &Bench, payload: &P, who: &SignedIn, code: &str) {
    let event = contracts::wrap("/another-replica", payload).unwrap();
    let told = || async {
        bench.events.publish(&event).await;
        (bench.me(&who.token).await.code() == code).then_some(())
    };
    eventually(code, told).await;
}

#[tokio::test]
async fn what_happens_to_a_user_ends_their_older_tokens() {
    let bench = Bench::new().await;
    let [role, suspended, deleted, renamed] = [
        bench.register("role").await,
        bench.register("suspended").await,
        bench.register("deleted").await,
        bench.register("renamed").await,
    ];
    let gone = UserDeleted { user_id: deleted.id.parse().unwrap(), version: 2, deleted_at: Timestamp::now() };
    let only_the_name = changed(&renamed, Role::Customer, UserStatus::Active);
    bench.events.publish(&contracts::wrap("/another-replica", &only_the_name).unwrap()).await;
    refused(&bench, &changed(&role, Role::Vendor, UserStatus::Active), &role, "TOKEN_EXPIRED").await;
    let status = changed(&suspended, Role::Customer, UserStatus::Suspended);
    refused(&bench, &status, &suspended, "TOKEN_REVOKED").await;
    refused(&bench, &gone, &deleted, "TOKEN_REVOKED").await;
    bench.events.publish(&contracts::wrap("/another-replica", &only_the_name).unwrap()).await;
    assert_eq!(bench.me(&renamed.token).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_session_that_ended_elsewhere_is_heard_of() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let revoked = contracts::SessionRevoked {
        user_id: ada.id.parse().unwrap(),
        session_id: ada.session.parse::<Uuid>().unwrap(),
        device_id: None,
        reason: contracts::RevokeReason::Revoked,
        at: Timestamp::now(),
    };
    refused(&bench, &revoked, &ada, "TOKEN_REVOKED").await;
}
