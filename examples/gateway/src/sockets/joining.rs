//! Who may join which room.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, HOST};
use http::{Method, Request, StatusCode};
use tower::ServiceExt;
use tramline_cache::{Cache, CacheConfig, Loaded, Policy, Store};
use tramline_streaming_proxy::{Forwarder, ProxyBody};
use tramline_ws_rooms::{Access, Authoriser, Identity, RoomId};
use uuid::Uuid;

/// `payment:<id>`: the payment's parties and the admins, by the word of the payments service.
pub(super) struct Parties {
    answers: Answers,
    forwarder: Forwarder,
}

/// What the payments service has said, for a while.
struct Answers {
    /// By user, role and payment: whoever asks with another role is asked for anew.
    kept: Cache<Question, bool>,
}

type Question = (String, String, Uuid);

/// Rooms of the admins.
pub(super) struct Admins;

/// How long a payment's parties are believed; they do not change, the contract's bound is 60 s.
const KEPT: Duration = Duration::from_secs(30);

/// How long a «no» is: what was asked for too early is there soon.
const REFUSED: Duration = Duration::from_secs(3);

/// How long an answer may take, by the contract.
const ASKED: Duration = Duration::from_secs(2);

/// More than any payment with its metadata and states.
const ANSWER_BYTES: usize = 64 * 1024;

impl Parties {
    /// # Errors
    ///
    /// A cache that has its answers already.
    pub(super) fn new(cache: &Store, forwarder: Forwarder) -> Result<Self, tramline_cache::Error> {
        Ok(Self { answers: Answers::new(cache)?, forwarder })
    }

    async fn may_see(&self, identity: &Identity, payment: Uuid) -> Access {
        // A ticket carries no token to ask with; a connection opened by one joins these rooms after `auth`.
        if identity.token.is_empty() {
            return Access::Forbidden;
        }
        let question = (identity.user_id.clone(), identity.role.clone(), payment);
        let (forwarder, token) = (self.forwarder.clone(), identity.token.clone());
        match self.answers.get(&question, move || async move { ask(forwarder, payment, &token).await }).await
        {
            Some(true) => Access::Allowed,
            Some(false) => Access::Forbidden,
            None => Access::Unavailable,
        }
    }
}

impl Answers {
    fn new(cache: &Store) -> Result<Self, tramline_cache::Error> {
        let mut config = CacheConfig::new("payment-room");
        config.policy = Policy::new(KEPT);
        Ok(Self { kept: cache.cache(config)? })
    }

    /// Only an answer is kept; a service that is away is asked again.
    async fn get<F>(&self, question: &Question, ask: impl FnOnce() -> F + Send + 'static) -> Option<bool>
    where
        F: Future<Output = Option<bool>> + Send + 'static,
    {
        let load = move || async move {
            let said = tokio::time::timeout(ASKED, ask()).await.ok().flatten();
            let shown = said.ok_or("the payments service does not say")?;
            let answer = Loaded::new(shown);
            Ok::<_, &str>(if shown { answer } else { answer.with_ttl(REFUSED) })
        };
        // Whoever waits for another gateway, and has to ask then, waits no longer.
        let shown = tokio::time::timeout(ASKED, self.kept.get_or_load(question, load)).await.ok()?;
        shown.ok().map(|shown| *shown)
    }
}

impl Authoriser for Parties {
    async fn may_join(&self, identity: &Identity, _: &RoomId, id: &str) -> Access {
        match id.parse() {
            Ok(payment) => self.may_see(identity, payment).await,
            Err(_) => Access::Forbidden,
        }
    }
}

impl Authoriser for Admins {
    async fn may_join(&self, identity: &Identity, _: &RoomId, _: &str) -> Access {
        if identity.role == contracts::Role::Admin.as_str() { Access::Allowed } else { Access::Forbidden }
    }
}

/// Whether the payments service shows the payment to the token's user; `None` when it does not say.
async fn ask(forwarder: Forwarder, payment: Uuid, token: &str) -> Option<bool> {
    let request = Request::builder()
        .method(Method::GET)
        .uri(format!("/api/payments/{payment}"))
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .header(ACCEPT, "application/json")
        .header(HOST, "gateway")
        .body(ProxyBody::empty())
        .ok()?;
    let response = match forwarder.oneshot(request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(%error, "the payments service cannot be asked about a room");
            return None;
        }
    };
    let status = response.status();
    // Read to its end, so that the connection is kept for the next question.
    axum::body::to_bytes(axum::body::Body::new(response.into_body()), ANSWER_BYTES).await.ok()?;
    match status {
        StatusCode::OK => Some(true),
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{Instant, sleep};
    use tramline_cache::twin::Twin;
    use tramline_cache::{Clock, StoreConfig};

    use super::*;

    fn question() -> Question {
        ("alice".to_owned(), "USER".to_owned(), Uuid::nil())
    }

    fn config() -> StoreConfig {
        let mut config = StoreConfig::default();
        config.clock = Clock::tokio();
        config
    }

    #[tokio::test(start_paused = true)]
    async fn a_no_is_asked_again_before_a_yes() {
        for (said, kept) in [(true, KEPT), (false, REFUSED)] {
            let answers = Answers::new(&Store::memory(config())).unwrap();
            assert_eq!(answers.get(&question(), move || async move { Some(said) }).await, Some(said));
            // No life is longer than this; a little of it is drawn off each.
            sleep(kept * 4 / 5).await;
            assert_eq!(answers.get(&question(), || async { None }).await, Some(said));
            sleep(kept / 5).await;
            assert_eq!(answers.get(&question(), || async { None }).await, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_another_gateway_waits_no_longer_than_the_contract_says() {
        let twin = Twin::new();
        let [one, other] = [(); 2].map(|()| Answers::new(&Store::twin(&twin, config())).unwrap());
        let asking = question();
        let first = one.get(&asking, pending);
        let second = async {
            sleep(ASKED / 2).await;
            let begun = Instant::now();
            (other.get(&question(), pending).await, begun.elapsed())
        };
        assert_eq!(tokio::join!(first, second), (None, (None, ASKED)));
    }
}
