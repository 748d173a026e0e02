//! The handle: rooms that are kept, whatever happens to connections.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::dial::{Dial, Network};
use super::mailbox::Mailbox;
use super::owner::Owner;
use super::questions::Present;
use super::shared::{CLOSED, Shared, closed};
use super::state::{State, States};
use super::subscription::Subscription;
use super::token::TokenSource;
use super::update::Update;
use crate::error::{Error, ErrorKind};
use crate::protocol::{Position, RoomId};

/// How a [`Session`] connects, and how much it keeps.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionConfig {
    /// `ws://` or `wss://` (feature `client-tls`), usually with the path `/ws`. `http` and `https` are read as these.
    pub url: String,
    /// The `Origin` to send; programs need none.
    pub origin: Option<String>,
    /// Updates that wait for a subscription. 512: a whole recovery, which is 256 events where nobody has set up more,
    /// and as much again; with events of 64 KiB that is 32 MiB of text. A subscription to all rooms has no more than
    /// that for all of them.
    pub queued_updates: NonZeroUsize,
    /// How long a question may take, the wait for a connection included. 30 s: longer than a reconnect usually takes,
    /// shorter than a person waits.
    pub request_timeout: Duration,
    /// Who may vouch for the server of a `wss://` URL: the public authorities.
    #[cfg(feature = "client-tls")]
    pub roots: super::Roots,
}

/// A connection to the rooms that never loses its place: it comes back, recovers each room, renews its token, and says
/// when something has to be loaded anew. Clones are the same session.
///
/// It lives until [`close`](Self::close), until the server or the source of credentials ends it for good, or until
/// the last clone and the last [`Subscription`] are dropped.
#[derive(Clone)]
pub struct Session {
    handle: Arc<Handle>,
}

/// The last one stops the session.
#[derive(Debug)]
pub(super) struct Handle {
    shared: Arc<Shared>,
    config: SessionConfig,
}

/// Gives a question up when its asker goes.
struct Waiting<'a> {
    shared: &'a Shared,
    key: u64,
}

// === impl Session ===

impl Session {
    /// Connects, and stays connected. Returns at once; [`states`](Self::states) tells how it goes.
    ///
    /// Called inside a Tokio runtime, on which a task owns the connection.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] for a URL that can never be connected to.
    pub fn open(config: SessionConfig, tokens: impl TokenSource) -> Result<Self, Error> {
        let network = Network::new(&config)?;
        Ok(Self::over(config, network, tokens, rand::random::<f64>))
    }

    /// `draw` gives numbers from 0 up to 1.
    pub(super) fn over(
        config: SessionConfig,
        dial: impl Dial,
        tokens: impl TokenSource,
        draw: impl FnMut() -> f64 + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::new());
        let owner = Owner::new(shared.clone(), dial, tokens, Box::new(draw));
        // Ends by itself when the last handle is gone: see `Handle`.
        tokio::spawn(owner.run());
        Self { handle: Arc::new(Handle { shared, config }) }
    }

    /// The updates of a room, from now on. A room that the server has not put you into is asked for, once for all its
    /// subscriptions. Of a room that is live already, [`Update::Live`] comes at once.
    ///
    /// After the session has stopped the subscription ends at once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRoom`] for what is no room's name.
    pub fn subscribe(&self, room: &str) -> Result<Subscription, Error> {
        let name = named(room)?;
        let mailbox = Mailbox::new(self.handle.config.queued_updates.get());
        let mut key = 0;
        let shared = &self.handle.shared;
        let mut core = shared.lock();
        match core.stopped {
            None => key = core.book.want(&name, mailbox.clone(), Instant::now()),
            Some(reason) => {
                let (code, message) = (CLOSED.to_owned(), closed(reason));
                mailbox.put(Update::Ended { room: Some(name.clone()), code, message });
                mailbox.end();
            }
        }
        drop(core);
        shared.wake.notify_one();
        Ok(Subscription::new(self.handle.clone(), mailbox, Some(name), key))
    }

    /// The updates of every room that one is in, those that the server chose included. Each event comes once, however
    /// many of these rooms it is in.
    #[must_use]
    pub fn subscribe_all(&self) -> Subscription {
        let mailbox = Mailbox::new(self.handle.config.queued_updates.get());
        let mut key = 0;
        let mut core = self.handle.shared.lock();
        match core.stopped {
            None => key = core.book.want_all(mailbox.clone()),
            Some(reason) => {
                mailbox.put(Update::Ended { room: None, code: CLOSED.to_owned(), message: closed(reason) });
                mailbox.end();
            }
        }
        drop(core);
        Subscription::new(self.handle.clone(), mailbox, None, key)
    }

    /// Where one stands in a room, if one is or was in it.
    #[must_use]
    pub fn place(&self, room: &str) -> Option<Position> {
        self.handle.shared.lock().book.place(room)
    }

    /// Asks who is in a room, of which one must be a member. While there is no connection the question waits, for
    /// [`SessionConfig::request_timeout`] at the most.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`]; [`ErrorKind::QueueFull`] when 100 questions wait already;
    /// [`ErrorKind::Rejected`] with [`Rejected`](super::Rejected) as its source; [`ErrorKind::Closed`];
    /// [`ErrorKind::InvalidRoom`].
    ///
    /// # Cancel safety
    ///
    /// When dropped, the question is given up, and not sent if it waits still.
    pub async fn presence(&self, room: &str) -> Result<Present, Error> {
        self.presence_within(room, self.handle.config.request_timeout).await
    }

    /// The same, with a deadline of its own.
    ///
    /// # Errors
    ///
    /// As [`presence`](Self::presence).
    ///
    /// # Cancel safety
    ///
    /// As [`presence`](Self::presence).
    pub async fn presence_within(&self, room: &str, timeout: Duration) -> Result<Present, Error> {
        let name = named(room)?;
        let shared = &*self.handle.shared;
        let asker = {
            let mut core = shared.lock();
            if core.stopped.is_some() {
                return Err(Error::new(ErrorKind::Closed));
            }
            core.questions.ask(&name)?
        };
        let _given_up = Waiting { shared, key: asker.key };
        shared.wake.notify_one();
        match tokio::time::timeout(timeout, asker.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::new(ErrorKind::Closed)),
            Err(elapsed) => Err(Error::with(ErrorKind::Timeout, elapsed)),
        }
    }

    /// Where the session is.
    #[must_use]
    pub fn state(&self) -> State {
        self.handle.shared.state.borrow().clone()
    }

    /// Follows the session's states, the present one first.
    #[must_use]
    pub fn states(&self) -> States {
        States::new(self.handle.shared.state.subscribe())
    }

    /// Ends the session: says goodbye to the server and waits for its answer, 5 s at the most. Subscriptions end,
    /// questions fail, places are forgotten. For signing out, and before the process ends.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the session still ends.
    pub async fn close(&self) {
        self.handle.shared.stop.cancel();
        let mut states = self.states();
        while states.next().await.is_some() {}
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("url", &self.handle.config.url)
            .field("state", &*self.handle.shared.state.borrow())
            .finish_non_exhaustive()
    }
}

fn named(room: &str) -> Result<RoomId, Error> {
    RoomId::parse(room).map_err(|invalid| Error::with(ErrorKind::InvalidRoom, invalid))
}

// === impl SessionConfig ===

impl SessionConfig {
    /// For this URL, with what is usual.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            origin: None,
            queued_updates: const { NonZeroUsize::new(512).unwrap() },
            request_timeout: Duration::from_secs(30),
            #[cfg(feature = "client-tls")]
            roots: super::Roots::public(),
        }
    }
}

// === impl Handle ===

impl Handle {
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.lock().questions.forget(self.key);
    }
}
