#![doc = include_str!("../README.md")]

mod admin;
mod rooms;

mod config;
mod error;
mod metrics;

pub mod protocol;

mod auth;
mod refusal;
mod upgrade;

mod directory;
mod node;
mod presence;
mod publication;
mod registry;
mod revocation;
mod session;

pub mod backplane;
mod drain;

#[cfg(feature = "event-hub")]
mod bridge;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "test-support")]
pub mod conformance;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;

pub use crate::admin::{ConnectionInfo, RoomInfo, Target};
pub use crate::auth::{Access, Authoriser, Authority, Credential, Identity, PeerInfo};
pub use crate::backplane::Backplane;
#[cfg(feature = "event-hub")]
pub use crate::bridge::{Bridge, BridgeRule};
pub use crate::config::{HeartbeatConfig, HistoryConfig, Limits, RoomRule, RoomsConfig, SlowPolicy};
pub use crate::drain::DrainReport;
pub use crate::error::{Error, ErrorKind};
pub use crate::protocol::{Close, GapReason, RoomId};
pub use crate::publication::{Delivery, Publication};
pub use crate::refusal::Refusal;
pub use crate::revocation::Revocation;
pub use crate::rooms::{Admission, Rooms, RoomsStats};

#[cfg(doctest)]
#[doc = include_str!("../../docs/guides/websocket.md")]
mod guide {}
