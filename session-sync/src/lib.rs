//! Sessions that agree across tabs, devices and services.

pub mod attempts;
mod clock;
mod config;
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
