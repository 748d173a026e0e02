//! What one request is sent on.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::TryFutureExt;
use futures_util::future::Either;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use crate::body::upload::Upload;
use crate::clock::Clock;
#[cfg(feature = "http2")]
use crate::upstream::h2::{self, Lease};
use crate::upstream::pool::{Connection, Pool};

/// What one request is sent on. Dropping it ends the exchange, whatever it is doing.
pub(crate) enum Channel {
    /// A connection of HTTP/1.1, which serves one at a time.
    Connection(Connection),
    /// A stream of HTTP/2.
    #[cfg(feature = "http2")]
    Stream(Lease),
}

/// A request that was not answered on its channel.
pub(crate) struct Failed {
    /// The request, when none of it was written.
    pub(crate) unsent: Option<Box<Request<Upload>>>,
    pub(crate) cause: hyper::Error,
}

// === impl Channel ===

impl Channel {
    /// Whether it has served a request before this one, and so may be closed by now.
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Self::Connection(connection) => connection.reused,
            #[cfg(feature = "http2")]
            Self::Stream(lease) => lease.reused,
        }
    }

    /// Whether an upstream may say after all that it has not looked at a request.
    pub(crate) fn may_be_refused(&self) -> bool {
        match self {
            Self::Connection(_) => false,
            #[cfg(feature = "http2")]
            Self::Stream(_) => true,
        }
    }

    /// Obeys the upstream's `Keep-Alive: timeout`, which HTTP/2 has not.
    pub(crate) fn keep_at_most(&mut self, seconds: u64) {
        match self {
            Self::Connection(connection) => connection.keep_at_most(seconds),
            #[cfg(feature = "http2")]
            Self::Stream(_) => {}
        }
    }

    /// The timer of who waits for its answer.
    pub(crate) fn clock(&mut self) -> &mut Clock {
        match self {
            Self::Connection(connection) => &mut connection.clock,
            #[cfg(feature = "http2")]
            Self::Stream(lease) => &mut lease.clock,
        }
    }

    /// Sends a request, and waits for the head of its answer.
    pub(crate) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, Failed>> + Send + use<> {
        match self {
            Self::Connection(connection) => {
                Either::Left(connection.sender.try_send_request(request).map_err(Failed::of))
            }
            // On the heap, so that the other kind does not pay for its size.
            #[cfg(feature = "http2")]
            Self::Stream(lease) => Either::Right(Box::pin(lease.send(request))),
            #[cfg(not(feature = "http2"))]
            #[expect(unreachable_patterns, reason = "names the other half of the type")]
            _ => Either::Right(std::future::pending()),
        }
    }

    /// After a whole exchange: a connection goes back to the others, a stream has ended.
    pub(crate) fn put_back(self, pool: &Arc<Pool>) {
        match self {
            Self::Connection(connection) => pool.put(connection),
            #[cfg(feature = "http2")]
            Self::Stream(lease) => drop(lease),
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("is_reused", &self.is_reused()).finish_non_exhaustive()
    }
}

// === impl Failed ===

impl Failed {
    fn of(mut failure: TrySendError<Request<Upload>>) -> Self {
        Self { unsent: failure.take_message().map(Box::new), cause: failure.into_error() }
    }

    /// Whether what came back is not HTTP.
    pub(crate) fn is_bad_answer(&self) -> bool {
        #[cfg(feature = "http2")]
        if h2::is_malformed(&self.cause) {
            return true;
        }
        self.cause.is_parse() || self.cause.is_parse_too_large()
    }

    /// Whether the upstream has certainly not looked at the request, though some of it was sent.
    pub(crate) fn is_unprocessed(&self) -> bool {
        #[cfg(feature = "http2")]
        if h2::is_unprocessed(&self.cause) {
            return true;
        }
        false
    }
}
