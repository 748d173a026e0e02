//! Clients for programs and tests (feature `client`): a [`Session`] that keeps its rooms whatever happens to
//! connections, and a [`Client`], which is one connection with typed frames.
//!
//! ```no_run
//! # async fn run(token: String) -> Result<(), tramline_ws_rooms::Error> {
//! use tramline_ws_rooms::Credential;
//! use tramline_ws_rooms::client::{Client, Options, Session, SessionConfig, Update, Why};
//! use tramline_ws_rooms::protocol::{Request, ServerFrame};
//!
//! let tokens = move |_: Why| {
//!     let token = token.clone();
//!     async move { Ok(Some(Credential::Bearer(token))) }
//! };
//! let session = Session::open(SessionConfig::new("ws://127.0.0.1:3000/ws"), tokens)?;
//! let mut payment = session.subscribe("payment:42")?;
//! while let Some(update) = payment.next().await {
//!     match update {
//!         Update::Event { offset, event, .. } => println!("#{offset}: {event}"),
//!         Update::Gap { cause, .. } => println!("load it anew: {cause}"),
//!         _ => {}
//!     }
//! }
//!
//! let mut client = Client::connect("ws://127.0.0.1:3000/ws", Options::bearer("…")).await?;
//! client.send(&Request::subscribe("payment:42"), Some("1")).await?;
//! while let Some(frame) = client.next().await? {
//!     if let ServerFrame::Event(event) = frame {
//!         println!("{} #{}: {}", event.room, event.offset, event.event);
//!     }
//! }
//! println!("closed with {:?}", client.close_code());
//! # Ok(())
//! # }
//! ```

mod connection;
#[cfg(feature = "client-tls")]
mod tls;
mod transport;

mod dial;
mod owner;
mod session;
mod shared;
mod state;
mod subscription;
mod token;

mod backoff;
mod book;
mod mailbox;
mod opening;
mod pace;
mod questions;
mod recent;
mod update;

#[cfg(test)]
mod tests;

pub use self::connection::{Client, Options, Refused};
pub use self::questions::Present;
pub use self::session::{Session, SessionConfig};
pub use self::state::{State, States, StopReason};
pub use self::subscription::Subscription;
#[cfg(feature = "client-tls")]
pub use self::tls::Roots;
pub use self::token::{BoxError, TokenSource, Why};
pub use self::transport::Transport;
pub use self::update::{GapCause, Update};

use crate::error::{Error, ErrorKind};
use crate::protocol::ErrorFrame;

/// A server's error; the source of an error of kind [`ErrorKind::Rejected`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {message}")]
#[non_exhaustive]
pub struct Rejected {
    /// The code, which stays the same.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// Whether the same may succeed later.
    pub retry: bool,
}

fn failure(ErrorFrame { code, message, retry, .. }: ErrorFrame) -> Error {
    Error::with(ErrorKind::Rejected, Rejected { code, message, retry })
}
