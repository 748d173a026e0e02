//! Verifiers: what they accept, what they refuse, and what they ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, Response};
use tower::{Layer as _, Service as _, ServiceExt as _};
use tramline_session_sync::conformance::ManualClock;
use tramline_session_sync::layer::VerifierLayer;
use tramline_session_sync::revocation::{RevocationEntry, RevocationKind, RevocationsConfig};
use tramline_session_sync::{
    Claims, ClientInfo, Device, Jwks, KeyFile, KeyRing, KeyRingConfig, KeySource, Revocations, Sessions,
    SessionsConfig, Store, TokenError, User, Verifier, VerifierConfig,
};

pub(crate) struct Issuer {
    pub(crate) hand: ManualClock,
    pub(crate) sessions: Sessions,
}

impl Issuer {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(configure: impl FnOnce(&mut SessionsConfig)) -> Self {
        let hand = ManualClock::new();
        let store = Store::memory();
        let mut config = KeyRingConfig::default();
        config.clock = hand.clock();
        let keys = KeyRing::open(&store, &KeyFile::generate(), config).await.unwrap();
        let mut config = SessionsConfig::default();
        config.clock = hand.clock();
        configure(&mut config);
        Self { hand, sessions: Sessions::new(config, store, keys) }
    }

    pub(crate) async fn token(&self) -> String {
        let user = User::new("u1", "u1@example.com", "U", "CUSTOMER");
        let device = Device::new(None, None, None);
        let grant = self.sessions.open(user, device, ClientInfo::default()).await;
        grant.unwrap().access_token
    }

    pub(crate) fn verifier(&self, source: KeySource) -> Verifier {
        let mut config = VerifierConfig::default();
        config.clock = self.hand.clock();
        Verifier::new(config, source, self.revocations(100))
    }

    fn revocations(&self, capacity: usize) -> Revocations {
        let mut config = RevocationsConfig::default();
        config.clock = self.hand.clock();
        config.capacity = capacity;
        Revocations::memory(config)
    }

    pub(crate) fn ring(&self) -> KeySource {
        KeySource::ring(self.sessions.keys().clone())
    }

    async fn jwks(&self) -> Jwks {
        self.sessions.keys().jwks().await
    }
}

#[tokio::test]
async fn a_token_is_good_until_its_end_and_no_longer() {
    let issuer = Issuer::new().await;
    let verifier = issuer.verifier(issuer.ring());
    let token = issuer.token().await;
    issuer.hand.advance(Duration::from_secs(900));
    verifier.verify(&token).await.expect("leeway");
    issuer.hand.advance(Duration::from_secs(10));
    // It was remembered, and its time is asked all the same.
    assert_eq!(verifier.verify(&token).await, Err(TokenError::Expired));
    assert_eq!(verifier.verify("").await, Err(TokenError::Missing));
}

#[tokio::test]
async fn bent_and_foreign_tokens_are_refused() {
    let issuer = Issuer::new().await;
    let verifier = issuer.verifier(issuer.ring());
    let token = issuer.token().await;
    let parts: Vec<_> = token.split('.').collect();
    let jwk = issuer.jwks().await.keys.remove(0);
    let head = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let kid = &jwk.kid;
    let mut claims: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    claims["role"] = "ADMIN".into();
    let admin = URL_SAFE_NO_PAD.encode(claims.to_string());
    // The public key as a secret: the oldest trick.
    let hs256 = jsonwebtoken::encode(
        &{
            let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
            header.kid = Some(kid.clone());
            header
        },
        &claims,
        &jsonwebtoken::EncodingKey::from_secret(&URL_SAFE_NO_PAD.decode(&jwk.x).unwrap()),
    )
    .unwrap();
    let tokens = [
        format!("{}.{admin}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{admin}.", head(&format!(r#"{{"alg":"none","kid":"{kid}"}}"#))),
        format!("{}.{}.{}", head(r#"{"alg":"EdDSA"}"#), parts[1], parts[2]),
        format!("{}.{}.{}", head(r#"{"alg":"EdDSA","kid":"../../key"}"#), parts[1], parts[2]),
        hs256,
        "a.b.c".to_owned(),
        "…".repeat(100),
        "x".repeat(100_000),
    ];
    for token in tokens {
        let refused = verifier.verify(&token).await;
        assert_eq!(refused, Err(TokenError::Invalid), "{token:.60}");
    }
    verifier.verify(&token).await.expect("the real one");
}

#[tokio::test]
async fn issuer_and_audience_are_strict() {
    for other in [
        Issuer::with(|config| config.issuer = "else".to_owned()).await,
        Issuer::with(|config| config.audience = "else".to_owned()).await,
    ] {
        let verifier = other.verifier(other.ring());
        let refused = verifier.verify(&other.token().await).await;
        assert_eq!(refused, Err(TokenError::Invalid));
    }
    // Another issuer with the same name has other keys.
    let (one, two) = (Issuer::new().await, Issuer::new().await);
    let verifier = one.verifier(one.ring());
    let refused = verifier.verify(&two.token().await).await;
    assert_eq!(refused, Err(TokenError::Invalid));
}

#[tokio::test]
async fn forged_key_ids_make_no_storm() {
    let issuer = Issuer::new().await;
    let jwks = issuer.jwks().await;
    let fetches = Arc::new(AtomicUsize::new(0));
    let source = KeySource::fetch({
        let fetches = Arc::clone(&fetches);
        move || {
            fetches.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok(jwks.clone()))
        }
    });
    let verifier = issuer.verifier(source);
    verifier.warm().await.unwrap();
    let token = issuer.token().await;
    let (_, rest) = token.split_once('.').unwrap();
    for n in 0..50 {
        let head = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","kid":"k{n}"}}"#));
        let refused = verifier.verify(&format!("{head}.{rest}")).await;
        assert_eq!(refused, Err(TokenError::Invalid));
        verifier.verify(&token).await.unwrap();
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
    issuer.hand.advance(Duration::from_secs(6));
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"k"}"#);
    let _ = verifier.verify(&format!("{head}.{rest}")).await;
    assert_eq!(fetches.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn known_keys_serve_while_the_issuer_is_away_and_withdrawn_ones_do_not() {
    let issuer = Issuer::new().await;
    let token = issuer.token().await;
    let away = Arc::new(AtomicBool::new(true));
    let empty = Arc::new(AtomicBool::new(false));
    let jwks = issuer.jwks().await;
    let other = Issuer::new().await.jwks().await;
    let source = KeySource::fetch({
        let (away, empty) = (Arc::clone(&away), Arc::clone(&empty));
        move || {
            std::future::ready(if away.load(Ordering::SeqCst) {
                Err("away".into())
            } else if empty.load(Ordering::SeqCst) {
                Ok(other.clone())
            } else {
                Ok(jwks.clone())
            })
        }
    });
    let verifier = issuer.verifier(source);
    assert!(!verifier.is_ready());
    assert_eq!(verifier.verify(&token).await, Err(TokenError::Unavailable));
    away.store(false, Ordering::SeqCst);
    issuer.hand.advance(Duration::from_secs(6));
    verifier.verify(&token).await.unwrap();
    assert!(verifier.is_ready());

    away.store(true, Ordering::SeqCst);
    issuer.hand.advance(Duration::from_secs(6 * 60));
    let second = issuer.token().await;
    verifier.verify(&second).await.expect("the old keys serve");

    away.store(false, Ordering::SeqCst);
    empty.store(true, Ordering::SeqCst);
    issuer.hand.advance(Duration::from_secs(6));
    let third = issuer.token().await;
    assert_eq!(verifier.verify(&third).await, Err(TokenError::Invalid));
}

#[tokio::test]
async fn revocations_reach_remembered_tokens() {
    let issuer = Issuer::new().await;
    let verifier = issuer.verifier(issuer.ring());
    let token = issuer.token().await;
    let claims = verifier.verify(&token).await.unwrap();
    let other = issuer.token().await;
    let entry = RevocationEntry::session(
        &claims.sub,
        &claims.sid,
        issuer.hand.now(),
        issuer.sessions.tokens_end(issuer.hand.now()),
    );
    verifier.revocations().apply(entry).await.unwrap();
    assert_eq!(verifier.verify(&token).await, Err(TokenError::Revoked));
    verifier.verify(&other).await.expect("another session");
}

#[tokio::test]
async fn user_wide_revocations_are_about_older_tokens() {
    let issuer = Issuer::new().await;
    let verifier = issuer.verifier(issuer.ring());
    let old = issuer.token().await;
    let now = issuer.hand.now();
    let until = issuer.sessions.tokens_end(now);
    let same = RevocationEntry::role("u1", "CUSTOMER", now, until);
    verifier.revocations().apply(same).await.unwrap();
    verifier.verify(&old).await.expect("has that role already");
    let changed = RevocationEntry::role("u1", "VENDOR", now, until);
    verifier.revocations().apply(changed).await.unwrap();
    assert_eq!(verifier.verify(&old).await, Err(TokenError::Expired));
    issuer.hand.advance(Duration::from_millis(2));
    let new = issuer.token().await;
    verifier.verify(&new).await.expect("issued since");
    // An account's entry and a role's entry do not replace each other.
    let suspended = RevocationEntry::user("u1", RevocationKind::Suspended, issuer.hand.now(), until);
    verifier.revocations().apply(suspended).await.unwrap();
    assert_eq!(verifier.verify(&new).await, Err(TokenError::Revoked));
    issuer.hand.advance(Duration::from_millis(2));
    let reinstated = issuer.token().await;
    verifier.verify(&reinstated).await.unwrap();
    let deleted = RevocationEntry::user("u1", RevocationKind::Deleted, now, until);
    verifier.revocations().apply(deleted).await.unwrap();
    let refused = verifier.verify(&reinstated).await;
    assert_eq!(refused, Err(TokenError::Revoked), "for good");
}

/// More revocations than fit: none may be forgotten while its token lives, so every token issued
/// until then has to be renewed, which an ended session cannot.
#[tokio::test]
async fn a_full_map_fails_closed() {
    let issuer = Issuer::new().await;
    let mut config = VerifierConfig::default();
    config.clock = issuer.hand.clock();
    let verifier = Verifier::new(config, issuer.ring(), issuer.revocations(3));
    let token = issuer.token().await;
    let now = issuer.hand.now();
    let until = issuer.sessions.tokens_end(now);
    let claims = verifier.verify(&token).await.unwrap();
    let entry = |sid: &str| RevocationEntry::session("u", sid, now, until);
    let revocations = verifier.revocations();
    revocations.apply(entry(&claims.sid)).await.unwrap();
    for n in 0..3 {
        revocations.apply(entry(&n.to_string())).await.unwrap();
    }
    assert!(revocations.len() <= 3);
    let refused = verifier.verify(&token).await;
    assert_eq!(refused, Err(TokenError::Expired), "not good again");
    issuer.hand.advance(Duration::from_millis(2));
    verifier.verify(&issuer.token().await).await.unwrap();
    // Entries go with their tokens.
    issuer.hand.advance(Duration::from_secs(18 * 60));
    let now = issuer.hand.now();
    let fresh = RevocationEntry::session("u", "s", now, issuer.sessions.tokens_end(now));
    revocations.apply(fresh).await.unwrap();
    assert_eq!(revocations.len(), 1);
}

#[tokio::test]
async fn the_layer_says_what_the_token_is_worth() {
    let issuer = Issuer::new().await;
    let layer = VerifierLayer::new(issuer.verifier(issuer.ring()));
    let mut service = layer.layer(tower::service_fn(|request: Request<()>| async move {
        let found = match request.extensions().get::<Arc<Claims>>() {
            Some(claims) => Ok(claims.sub.clone()),
            None => Err(*request.extensions().get::<TokenError>().unwrap()),
        };
        Ok::<_, std::convert::Infallible>(Response::new(found))
    }));
    let good = format!("Bearer {}", issuer.token().await);
    let cases = [
        (Some(good.as_str()), Ok("u1".to_owned())),
        (Some("bearer x"), Err(TokenError::Invalid)),
        (Some("Basic dTpw"), Err(TokenError::Invalid)),
        (Some("Bearer "), Err(TokenError::Invalid)),
        (None, Err(TokenError::Missing)),
    ];
    for (header, expected) in cases {
        let mut request = Request::new(());
        if let Some(value) = header {
            let value = http::HeaderValue::from_str(value).unwrap();
            request.headers_mut().insert("authorization", value);
        }
        let service = service.ready().await.unwrap();
        let answer = service.call(request).await.unwrap();
        assert_eq!(answer.into_body(), expected, "{header:?}");
    }
}
