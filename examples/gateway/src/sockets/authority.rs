//! Who may connect.

use std::time::Duration;

use tramline_session_sync::tickets::Tickets;
use tramline_session_sync::{Claims, TokenError, Verifier};
use tramline_ws_rooms::{Authority, Credential, Identity, PeerInfo, Refusal, RoomId};

/// Asks the verifier about tokens.
#[derive(Clone)]
pub(super) struct Gatekeeper {
    verifier: Verifier,
    tickets: Option<Tickets>,
}

/// When the keys or the mark of a ticket are away, a moment later they may be back.
const AGAIN: Duration = Duration::from_secs(1);

impl Gatekeeper {
    pub(super) fn new(verifier: Verifier, tickets: Option<Tickets>) -> Self {
        Self { verifier, tickets }
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
    identity.issued_at = Some(claims.issued_at());
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
