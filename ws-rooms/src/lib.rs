#![doc = include_str!("../README.md")]

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

pub use crate::auth::{Access, Authority, Credential, Identity, PeerInfo};
pub use crate::backplane::Backplane;
#[cfg(feature = "event-hub")]
pub use crate::bridge::Bridge;
pub use crate::config::{HeartbeatConfig, HistoryConfig, Limits, RoomRule, RoomsConfig, SlowPolicy};
pub use crate::drain::DrainReport;
pub use crate::error::{Error, ErrorKind};
pub use crate::protocol::{Close, GapReason, RoomId};
pub use crate::publication::{Delivery, Publication};
pub use crate::refusal::Refusal;
pub use crate::rooms::{Admission, Rooms, RoomsStats};

#[cfg(doctest)]
#[doc = include_str!("../../docs/guides/websocket.md")]
mod guide {}
