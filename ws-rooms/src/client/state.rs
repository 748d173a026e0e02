//! Where a session is, for people and for programs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::error::Error;

/// Where a session is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum State {
    /// A credential is fetched and a connection opened.
    Opening {
        /// Failures in a row so far.
        attempt: u32,
    },
    /// Connected; not every room has been asked what was missed.
    Recovering {
        /// Who one is, in the server's eyes.
        user_id: Arc<str>,
        /// This connection, in the server's words.
        connection_id: Arc<str>,
    },
    /// Connected, and every room has been answered. Questions are sent now.
    Open {
        /// Who one is, in the server's eyes.
        user_id: Arc<str>,
        /// This connection, in the server's words.
        connection_id: Arc<str>,
    },
    /// Until the next attempt.
    Waiting {
        /// Failures in a row before this one.
        attempt: u32,
        /// For how long, from the beginning of the wait.
        delay: Duration,
        /// What ended the last connection, or kept it from opening; 1006 for a link that broke.
        code: u16,
        /// The error, if there was one: of kind [`Refused`](crate::ErrorKind::Refused) with the server's answer,
        /// [`Connect`](crate::ErrorKind::Connect), [`Protocol`](crate::ErrorKind::Protocol) or
        /// [`Credential`](crate::ErrorKind::Credential).
        cause: Option<Arc<Error>>,
    },
    /// For good.
    Stopped {
        /// Why.
        reason: StopReason,
        /// The close code, if one ended it.
        code: Option<u16>,
    },
}

/// Why a session stopped. It does not come back; another one starts anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StopReason {
    /// [`Session::close`](super::Session::close), or nobody holds the session any more.
    Closed,
    /// The source of credentials answered `None`.
    SignedOut,
    /// The token is not good, and neither was a new one.
    Unauthenticated,
    /// This user, or this origin, may not be here.
    Forbidden,
    /// The session was ended.
    Revoked,
    /// The server says that we do not speak its protocol, or the credential cannot be sent.
    Protocol,
    /// The server ended it for good for another reason; the code tells.
    Refused,
}

/// Follows a session's states. Who looks late sees the newest only.
#[derive(Debug)]
pub struct States {
    receiver: watch::Receiver<State>,
    over: bool,
}

// === impl State ===

impl State {
    /// Whether it is over.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped { .. })
    }
}

// === impl StopReason ===

impl StopReason {
    /// What a code that says «stay away» means.
    pub(super) fn of(code: u16) -> Self {
        match code {
            4001 => Self::Unauthenticated,
            4003 => Self::Forbidden,
            4009 => Self::Revoked,
            1002 | 1003 | 1007 | 1009 | 4004 => Self::Protocol,
            _ => Self::Refused,
        }
    }

    /// The word for it, which the browser's client has too.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::SignedOut => "signed_out",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Revoked => "revoked",
            Self::Protocol => "protocol",
            Self::Refused => "refused",
        }
    }
}

// === impl States ===

impl States {
    pub(super) fn new(mut receiver: watch::Receiver<State>) -> Self {
        receiver.mark_changed();
        Self { receiver, over: false }
    }

    /// The present state first, then each that follows; `None` after [`State::Stopped`].
    ///
    /// # Cancel safety
    ///
    /// No change is lost when dropped.
    pub async fn next(&mut self) -> Option<State> {
        if self.over {
            return None;
        }
        self.receiver.changed().await.ok()?;
        let state = self.receiver.borrow_and_update().clone();
        self.over = state.is_stopped();
        Some(state)
    }
}
