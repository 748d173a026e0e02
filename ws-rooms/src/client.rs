//! A client for programs and tests (feature `client`): one connection, typed frames.
//!
//! ```no_run
//! # async fn run() -> Result<(), tramline_ws_rooms::Error> {
//! use tramline_ws_rooms::client::{Client, Options};
//! use tramline_ws_rooms::protocol::{Request, ServerFrame};
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

pub use self::connection::{Client, Options, Refused};
#[cfg(feature = "client-tls")]
pub use self::tls::Roots;
pub use self::transport::Transport;
