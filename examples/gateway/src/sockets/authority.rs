//! Who may connect, and who may join what.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, HOST};
use http::{Method, Request, StatusCode};
use tower::ServiceExt;
use tramline_cache::{Cache, Key, Policy};
use tramline_session_sync::tickets::Tickets;
use tramline_session_sync::{Claims, TokenError, Verifier};
use tramline_streaming_proxy::{Forwarder, ProxyBody};
use tramline_ws_rooms::{Access, Authority, Credential, Identity, PeerInfo, Refusal, RoomId};
use uuid::Uuid;

use crate::live;

/// Asks the verifier about tokens, and the payments service about payments.
#[derive(Clone)]
pub(super) struct Gatekeeper {
    verifier: Verifier,
    tickets: Option<Tickets>,
    cache: Cache,
    forwarder: Forwarder,
}

/// How long a payment's parties are believed; they do not change, the contract's bound is 60 s.
const KEPT: Duration = Duration::from_secs(30);

/// How long the payments service may take to answer, by the contract.
const ASKED: Duration = Duration::from_secs(2);

/// More than any payment with its metadata and states.
const ANSWER_BYTES: usize = 64 * 1024;

/// When the keys or the mark of a ticket are away, a moment later they may be back.
const AGAIN: Duration = Duration::from_secs(1);

impl Gatekeeper {
    pub(super) fn new(
        verifier: Verifier,
        tickets: Option<Tickets>,
        cache: Cache,
        forwarder: Forwarder,
    ) -> Self {
        Self { verifier, tickets, cache, forwarder }
    }

    async fn may_see(&self, identity: &Identity, payment: Uuid) -> Access {
        // A ticket carries no token to ask with; a connection opened by one joins these rooms after `auth`.
        if identity.token.is_empty() {
            return Access::Forbidden;
        }
        let Ok(key) =
            Key::new("payment-room", &[identity.user_id.clone(), identity.role.clone(), payment.to_string()])
        else {
            return Access::Forbidden;
        };
        let (forwarder, token) = (self.forwarder.clone(), identity.token.clone());
        let policy = Policy::new(KEPT);
        let asked = self.cache.get_or_load(&key, &policy, move || async move {
            // Only an answer is kept; a service that is away is asked again.
            tokio::time::timeout(ASKED, ask(forwarder, payment, &token)).await.ok().flatten().ok_or(Away)
        });
        match asked.await {
            Ok(true) => Access::Allowed,
            Ok(false) => Access::Forbidden,
            Err(Away) => Access::Unavailable,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Away;

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

impl Authority for Gatekeeper {
    async fn authenticate(&self, credential: Credential, _: &PeerInfo) -> Result<Identity, Refusal> {
        let (claims, token) = match credential {
            Credential::Bearer(token) => (self.verifier.verify(&token).await, token),
            Credential::Ticket(ticket) => match &self.tickets {
                Some(tickets) => (tickets.redeem(&ticket, &self.verifier).await, String::new()),
                None => return Err(Refusal::unavailable("there are no tickets without Redis", AGAIN)),
            },
            _ => return Err(Refusal::unauthenticated()),
        };
        identity(&*claims.map_err(refusal)?, token)
    }

    async fn may_join(&self, identity: &Identity, room: &RoomId) -> Access {
        match room.as_str().split_once(':') {
            Some(("payment", id)) => match id.parse() {
                Ok(payment) => self.may_see(identity, payment).await,
                Err(_) => Access::Forbidden,
            },
            _ if room.as_str() == live::ROOM && identity.role == contracts::Role::Admin.as_str() => {
                Access::Allowed
            }
            _ => Access::Forbidden,
        }
    }
}

fn identity(claims: &Claims, token: String) -> Result<Identity, Refusal> {
    let rooms = [
        format!("user:{}", claims.sub),
        format!("role:{}", claims.role.to_lowercase()),
        "broadcast".to_owned(),
    ];
    let rooms: Result<Vec<_>, _> = rooms.iter().map(|room| RoomId::parse(room)).collect();
    let mut identity = Identity::new(&claims.sub, &claims.sid, claims.expires_at());
    identity.role.clone_from(&claims.role);
    // Ids and roles of ours always make room names.
    identity.rooms = rooms.map_err(|_| Refusal::unauthenticated())?;
    identity.token = token;
    Ok(identity)
}

fn refusal(error: TokenError) -> Refusal {
    match error {
        TokenError::Expired => Refusal::token_expired(),
        TokenError::Revoked => Refusal::token_revoked(),
        TokenError::Unavailable => Refusal::unavailable("the keys are away", AGAIN),
        _ => Refusal::unauthenticated(),
    }
}

impl std::fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gatekeeper")
    }
}
