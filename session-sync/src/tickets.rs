//! Tickets: one-use stand-ins for an access token, for places where a token must not appear.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, after, from_micros};
use crate::error::{Error, ErrorKind};
use crate::token::access::token_id;
use crate::token::{Claims, KeyRing, TokenError};
use crate::verifier::Verifier;

mod memory;
#[cfg(feature = "redis")]
mod redis;

/// Issues and redeems tickets. Clones share the marks of those used.
///
/// A ticket is signed with the issuer's key for an audience of its own, so it is no access token,
/// and it holds none: only what the token said.
#[derive(Clone, Debug)]
pub struct Tickets {
    config: TicketsConfig,
    marks: Marks,
}

/// How [`Tickets`] behave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TicketsConfig {
    /// How long a ticket lives.
    ///
    /// The default, 30 seconds, is ample to open a socket with it.
    pub life: Duration,
    /// What is appended to the tokens' audience.
    pub audience_suffix: String,
    /// How many marks are kept in memory; when all are alive, no ticket is redeemed.
    ///
    /// The default, 100,000, is 3,000 sockets opened a second.
    pub capacity: usize,
    /// What names begin with in Redis.
    pub prefix: String,
    /// How long Redis may take for a mark.
    pub redis_timeout: Duration,
    /// The wall clock.
    pub clock: Clock,
}

/// A ticket, as it is handed out.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Ticket {
    /// The ticket.
    pub ticket: String,
    /// Seconds until it ends.
    pub expires_in: u64,
}

#[derive(Clone, Debug)]
enum Marks {
    Memory(Arc<memory::Memory>),
    #[cfg(feature = "redis")]
    Redis(Arc<redis::Shared>),
}

/// What a ticket says: the token's claims, under names of its own where JWT's are its own.
#[derive(Deserialize, Serialize)]
struct TicketClaims {
    iss: String,
    aud: String,
    sub: String,
    jti: String,
    iat: i64,
    exp: i64,
    token: Claims,
}

// === impl Tickets ===

impl Tickets {
    /// Tickets whose use is remembered in this process: right where it is the only one.
    #[must_use]
    pub fn memory(config: TicketsConfig) -> Self {
        let marks = Marks::Memory(Arc::new(memory::Memory::new(config.capacity)));
        Self { config, marks }
    }

    /// Tickets whose use is remembered in Redis. For TLS see [`Revocations::redis`](crate::Revocations::redis).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] when `url` does not parse.
    #[cfg(feature = "redis")]
    pub fn redis(url: &str, config: TicketsConfig) -> Result<Self, Error> {
        let marks = Marks::Redis(Arc::new(redis::Shared::connect(url, &config)?));
        Ok(Self { config, marks })
    }

    /// Issues a ticket for who holds these claims.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Crypto`] when signing fails.
    pub async fn issue(&self, claims: &Claims, keys: &KeyRing) -> Result<Ticket, Error> {
        keys.freshen().await;
        let now = self.config.clock.now();
        let exp = after(now, self.config.life).min(claims.expires_at());
        if exp <= now {
            return Err(Error::with(ErrorKind::Crypto, TokenError::Expired));
        }
        let ticket = TicketClaims {
            iss: claims.iss.clone(),
            aud: self.audience(&claims.aud),
            sub: claims.sub.clone(),
            jti: token_id(now),
            iat: now.as_second(),
            exp: exp.as_second(),
            token: claims.clone(),
        };
        Ok(Ticket {
            ticket: keys.sign(&ticket)?,
            expires_in: u64::try_from(exp.as_second() - now.as_second()).unwrap_or_default(),
        })
    }

    /// Redeems a ticket, once: gives the claims of the token it was issued for.
    ///
    /// # Errors
    ///
    /// [`TokenError::Invalid`] for what is no ticket or was used, [`TokenError::Expired`],
    /// [`TokenError::Revoked`]; [`TokenError::Unavailable`] when its use cannot be marked.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the ticket may be spent.
    pub async fn redeem(&self, ticket: &str, verifier: &Verifier) -> Result<Arc<Claims>, TokenError> {
        if ticket.is_empty() {
            return Err(TokenError::Missing);
        }
        let audience = self.audience(&verifier.config().audience);
        let ticket: TicketClaims = verifier.open(ticket, &audience).await?;
        let now = self.config.clock.now();
        let ends_at = from_micros(ticket.exp.saturating_mul(1_000_000));
        if ends_at <= now {
            return Err(TokenError::Expired);
        }
        let foreign = ticket.token.sub != ticket.sub || ticket.token.iss != ticket.iss;
        if foreign || ticket.jti.len() > MAX_ID {
            return Err(TokenError::Invalid);
        }
        verifier.current(&ticket.token)?;
        let first = match &self.marks {
            Marks::Memory(memory) => memory.mark(&ticket.jti, ends_at, now),
            #[cfg(feature = "redis")]
            Marks::Redis(redis) => redis.mark(&ticket.jti, ends_at, now).await,
        };
        match first {
            Ok(true) => Ok(Arc::new(ticket.token)),
            Ok(false) => Err(TokenError::Invalid),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "ticket not marked");
                Err(TokenError::Unavailable)
            }
        }
    }

    fn audience(&self, tokens: &str) -> String {
        format!("{tokens}{}", self.config.audience_suffix)
    }
}

// === impl TicketsConfig ===

impl Default for TicketsConfig {
    fn default() -> Self {
        Self {
            life: Duration::from_secs(30),
            audience_suffix: "/ws-ticket".to_owned(),
            capacity: 100_000,
            prefix: "tramline:".to_owned(),
            redis_timeout: Duration::from_millis(500),
            clock: Clock::system(),
        }
    }
}

// === impl Ticket ===

impl std::fmt::Debug for Ticket {
    // A ticket is a credential.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// A UUID has 36.
const MAX_ID: usize = 64;
