//! An upstream's body on its way to the client, and the exchange that it ends.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::body::idle::Idle;
use crate::body::upload::Progress;
use crate::error::{ErrorKind, ProxyError, Sent, Stage};
use crate::journal::Journal;
use crate::metrics::{Outcome, RouteMetrics};
use crate::upstream::channel::Channel;
use crate::upstream::endpoint::Turn;

/// An upstream's body. Holds the exchange until its end.
pub(crate) struct Download {
    body: Incoming,
    exchange: Option<Exchange>,
    upstream: Arc<str>,
    idle: Option<Idle>,
    total: Option<Pin<Box<Sleep>>>,
}

/// Everything that one request holds at an upstream. However it ends, it is given back and counted once.
pub(crate) struct Exchange {
    pub(crate) turn: Turn,
    pub(crate) channel: Option<Channel>,
    pub(crate) upload: Option<Arc<Progress>>,
    pub(crate) accounts: Accounts,
}

/// Counts one request when it ends, or when it is dropped.
pub(crate) struct Accounts {
    metrics: Arc<RouteMetrics>,
    journal: Option<Journal>,
    started: Instant,
    /// What is counted when it ends now.
    outcome: Outcome,
    /// What is counted when it ends well.
    whole: Outcome,
}

// === impl Download ===

impl Download {
    pub(crate) fn new(
        body: Incoming,
        exchange: Exchange,
        upstream: Arc<str>,
        idle: Option<Duration>,
        total: Option<Instant>,
    ) -> Self {
        let mut download = Self {
            idle: idle.map(Idle::new),
            total: total.map(|deadline| Box::pin(tokio::time::sleep_until(deadline))),
            body,
            exchange: Some(exchange),
            upstream,
        };
        if download.body.is_end_stream() {
            download.finish();
        }
        download
    }

    fn finish(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.finish();
        }
    }

    fn fail(&mut self, kind: ErrorKind) -> ProxyError {
        let mut sent = Sent::Fully;
        if let Some(mut exchange) = self.exchange.take() {
            exchange.accounts.outcome = Outcome::Failed(kind);
            sent = exchange.upload.as_ref().map_or(sent, |upload| upload.sent());
        }
        ProxyError::new(kind).when(Stage::Body, sent).at(&self.upstream)
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = ProxyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        let this = &mut *self;
        if let Some(total) = &mut this.total
            && total.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err(this.fail(ErrorKind::TotalTimeout))));
        }
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(idle) = &mut this.idle {
                    idle.touch();
                }
                // Trailers are the end: who has them need not ask for more.
                if frame.is_trailers() || this.body.is_end_stream() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(cause))) => {
                Poll::Ready(Some(Err(this.fail(ErrorKind::Truncated).with(cause))))
            }
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                if this.idle.as_mut().is_some_and(|idle| idle.poll_over(cx).is_ready()) {
                    return Poll::Ready(Some(Err(this.fail(ErrorKind::ResponseTimeout))));
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

// === impl Exchange ===

impl Exchange {
    /// The answer is whole: the connection can serve another request, if this one's body is through too.
    ///
    /// An answer that came before the end of the upload ends the upload: its connection is closed.
    fn finish(mut self) {
        let sent = self.upload.as_ref().is_none_or(|upload| upload.is_done());
        if let Some(channel) = self.channel.take().filter(|_| sent) {
            channel.put_back(self.turn.endpoint().pool());
        }
        self.accounts.outcome = self.accounts.whole;
    }
}

// === impl Accounts ===

impl Accounts {
    pub(crate) fn new(metrics: &Arc<RouteMetrics>, journal: Option<Journal>) -> Self {
        Self {
            metrics: metrics.clone(),
            journal,
            started: Instant::now(),
            outcome: Outcome::ClientGone,
            whole: Outcome::Answered,
        }
    }

    /// The head of the answer is there.
    pub(crate) fn expect(&mut self, server_error: bool) {
        self.whole = if server_error { Outcome::AnsweredError } else { Outcome::Answered };
    }

    pub(crate) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Accounts {
    fn drop(&mut self) {
        self.metrics.seconds.record(self.started.elapsed().as_secs_f64());
        self.metrics.ended(self.outcome);
        if let Some(journal) = &self.journal {
            journal.ended(self.outcome.label());
        }
    }
}
