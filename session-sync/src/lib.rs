//! Sessions that agree across tabs, devices and services.
//!
//! Short access tokens that any service verifies by itself, refresh tokens that rotate and betray
//! their thief, and revocations that make a good token bad everywhere.
//!
//! ```
//! use tramline_session_sync::{
//!     ClientInfo, Device, KeyFile, KeyRing, KeyRingConfig, KeySource, Reason, Revocations,
//!     Sessions, SessionsConfig, Store, TokenError, User, Verifier, VerifierConfig,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The issuer: one service owns users and sessions.
//! let store = Store::memory();
//! store.migrate().await?;
//! let keys = KeyRing::open(&store, &KeyFile::generate(), KeyRingConfig::default()).await?;
//! let sessions = Sessions::new(SessionsConfig::default(), store, keys.clone());
//!
//! // A verifier: every service has one. Elsewhere the source is a fetch of the JWKS.
//! let source = KeySource::ring(keys);
//! let verifier = Verifier::new(VerifierConfig::default(), source, Revocations::default());
//!
//! let user = User::new("u1", "ada@example.com", "Ada", "CUSTOMER");
//! let device = Device::new(Some("laptop-1"), Some("Laptop"), Some("browser"));
//! let grant = sessions.open(user.clone(), device, ClientInfo::default()).await?;
//! let claims = verifier.verify(&grant.access_token).await?;
//! assert_eq!((&*claims.sub, &*claims.role), ("u1", "CUSTOMER"));
//!
//! // Two tabs refresh with the same token: both get the same successor.
//! let lookup = |_id| std::future::ready(Ok(Some(user.clone())));
//! let client = ClientInfo::default;
//! let one = sessions.refresh(&grant.refresh_token, None, client(), lookup).await?;
//! let two = sessions.refresh(&grant.refresh_token, None, client(), lookup).await?;
//! assert_eq!(one.refresh_token, two.refresh_token);
//!
//! // The session ends; verifiers hear of it by events, or load the snapshot at start.
//! sessions.revoke("u1", &claims.sid, Reason::Logout).await?;
//! verifier.revocations().apply_snapshot(sessions.revoked_snapshot().await?);
//! assert_eq!(verifier.verify(&grant.access_token).await, Err(TokenError::Revoked));
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `postgres` | [`Store::postgres`](Store) |
//! | `sqlite` | [`Store::sqlite`](Store) |
//! | `redis` | revocations, attempts and tickets shared through Redis |
//! | `test-support` | the conformance suite of stores, and a clock to move by hand |
//!
//! None is on by default; everything works in memory.
//!
//! # How it works
//!
//! - A refresh token is 256 random bits; the store has its SHA-256 and its generation. The current
//!   generation rotates. Its direct parent gets the same successor again, for
//!   [a moment](SessionsConfig::reuse_grace) and from the same device: the successor is kept sealed
//!   under a key that only the parent in clear gives. Anything older is theft, and the session ends.
//! - Each change is one transaction under the session's lock, in which a [`Journal`] writes the
//!   application's events. A renewal that races an ending cannot bring the session back.
//! - An access token is dated before its user is looked up, to the millisecond, so that a change of
//!   the user is about every token that does not know of it.
//! - A [`Verifier`] remembers verified tokens by their hash and asks time and [`Revocations`] each
//!   time. When it has to forget revocations it distrusts every token of that time instead.
//!
//! # Limits
//!
//! A device id is a label that the client chooses, not a proof. Whoever holds the current refresh
//! token first is believed; the other one's next try ends the session.

pub mod attempts;
mod clock;
mod config;
#[cfg(feature = "test-support")]
pub mod conformance;
pub mod cookie;
mod device;
mod error;
mod journal;
pub mod layer;
mod metrics;
pub mod password;
pub mod revocation;
mod session;
mod sessions;
mod store;
pub mod tickets;
mod token;
mod verifier;

pub use crate::clock::Clock;
pub use crate::config::{SessionsConfig, VerifierConfig};
pub use crate::device::{ClientInfo, Device};
pub use crate::error::{BoxError, Error, ErrorKind};
pub use crate::journal::{Conn, Journal, NoJournal, SessionChange};
pub use crate::revocation::Revocations;
pub use crate::session::{Grant, Reason, RefreshError, SessionView, User};
pub use crate::sessions::{Sessions, Swept, UserChange};
pub use crate::store::Store;
pub use crate::token::{Claims, Jwk, Jwks, KeyFile, KeyRing, KeyRingConfig, TokenError};
pub use crate::verifier::{KeySource, Verifier};
