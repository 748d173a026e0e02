//! The crate's error.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

/// What went wrong with one request, a body, or a piece of configuration.
///
/// It says what happened ([`kind`](Self::kind)), while doing what ([`stage`](Self::stage)), whose fault it is
/// ([`side`](Self::side)) and how much of the request may have reached an upstream ([`sent`](Self::sent)). The cause,
/// if any, is [`source`](StdError::source). How a kind becomes a status is said in [`respond`](crate::respond).
#[derive(Debug)]
pub struct ProxyError {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    stage: Stage,
    sent: Sent,
    detail: Option<&'static str>,
    upstream: Option<Arc<str>>,
    allow: Option<HeaderValue>,
    retry_after: Option<Duration>,
    source: Option<BoxError>,
}

/// The kinds of [`ProxyError`], for callers that act on them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The upstream's answer is not HTTP, or claims something that it must not.
    BadResponse,
    /// The client's request is ambiguous or malformed; nothing was sent upstream.
    BadRequest,
    /// The request says that it has a body, and a layer in front of this one has read it.
    BodyTaken,
    /// The client's body is longer than a layer in front of this one allows.
    BodyTooLarge,
    /// The client's body was malformed, or a layer in front of this one failed with it.
    ClientBody,
    /// The client left in the middle of its body.
    ClientGone,
    /// The client stopped sending its body.
    ClientTimeout,
    /// All addresses of the upstream have failed lately, and it is one that is not tried then
    /// ([`UpstreamConfig::fail_fast`](crate::UpstreamConfig::fail_fast)).
    CircuitOpen,
    /// The upstream closed the connection before it answered.
    Closed,
    /// A value given to this crate does not parse.
    Config,
    /// No connection to the upstream; nothing was sent.
    ConnectFailed,
    /// No connection to the upstream in time; nothing was sent.
    ConnectTimeout,
    /// The fields of the request are longer than [`ProxyConfig::max_head`](crate::ProxyConfig::max_head).
    HeadTooLarge,
    /// `Via` says that this proxy has passed the request on before.
    Loop,
    /// CONNECT, TRACE and `OPTIONS *` are not passed on; or all routes for the path are for other methods.
    MethodRefused,
    /// The request came on a TLS connection that was opened for another host.
    Misdirected,
    /// No route matches the request.
    NoRoute,
    /// A bound is reached: requests in flight and waiting, or tunnels.
    Overloaded,
    /// The upstream took the request and did not answer, or stopped in the middle of its body.
    ResponseTimeout,
    /// The upstream could be connected to, but not within TLS: it has no certificate for its name that is believed, or
    /// the two share no version or protocol. Nothing was sent.
    TlsFailed,
    /// The upstream has as many requests as it bears, and those that are more important go first
    /// ([`UpstreamConfig::adaptive_limit`](crate::UpstreamConfig::adaptive_limit)).
    Shed,
    /// The route's total time is over.
    TotalTimeout,
    /// The upstream's body broke off.
    Truncated,
    /// The request's target is longer than the server reads.
    UriTooLong,
}

/// What was being done when a request failed.
///
/// In this order, but for answers that come early.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Stage {
    /// It was checked and made ready.
    Receive,
    /// A route was looked for.
    Route,
    /// It waited for its turn at an address, or for a stream to get free there.
    Queue,
    /// A connection was opened.
    Connect,
    /// The connection was encrypted.
    Tls,
    /// It was written.
    Send,
    /// The head of the answer was waited for, or read.
    Head,
    /// The body of the answer was passed on.
    Body,
}

/// How much of a request may have reached an upstream, whatever became of it there.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing beside none, some and all")]
pub enum Sent {
    /// Nothing: it can be sent again whatever it asks.
    Not,
    /// A part, at least of its head.
    Partly,
    /// All of it was given to the connection. A request without a body is never sent in part.
    Fully,
}

/// Whose fault a [`ProxyError`] is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Side {
    /// The one that sent the request.
    Client,
    /// This proxy: its configuration or its bounds.
    Proxy,
    /// The server behind.
    Upstream,
}

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

// === impl ProxyError ===

impl ProxyError {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        let (stage, sent) = (Stage::Receive, Sent::Not);
        Self {
            inner: Box::new(Inner {
                kind,
                stage,
                sent,
                detail: None,
                upstream: None,
                allow: None,
                retry_after: None,
                source: None,
            }),
        }
    }

    pub(crate) fn bad_request(detail: &'static str) -> Self {
        Self::new(ErrorKind::BadRequest).because(detail)
    }

    pub(crate) fn config(detail: &'static str) -> Self {
        Self::new(ErrorKind::Config).because(detail)
    }

    pub(crate) fn because(mut self, detail: &'static str) -> Self {
        self.inner.detail = Some(detail);
        self
    }

    pub(crate) fn with(mut self, source: impl Into<BoxError>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    pub(crate) fn when(mut self, stage: Stage, sent: Sent) -> Self {
        (self.inner.stage, self.inner.sent) = (stage, sent);
        self
    }

    pub(crate) fn at(mut self, upstream: &Arc<str>) -> Self {
        self.inner.upstream = Some(upstream.clone());
        self
    }

    pub(crate) fn allowing(mut self, methods: HeaderValue) -> Self {
        self.inner.allow = Some(methods);
        self
    }

    pub(crate) fn again_in(mut self, time: Duration) -> Self {
        self.inner.retry_after = Some(time);
        self
    }

    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// What was being done when it happened.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.inner.stage
    }

    /// How much of the request may have reached an upstream.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.inner.sent
    }

    /// The upstream that the request was meant for, once a route was found.
    #[must_use]
    pub fn upstream(&self) -> Option<&str> {
        self.inner.upstream.as_deref()
    }

    /// A fixed sentence that says more than the kind, for requests and values that were refused.
    #[must_use]
    pub fn detail(&self) -> Option<&'static str> {
        self.inner.detail
    }

    /// For [`ErrorKind::MethodRefused`]: what `Allow` says, where there are routes for other methods.
    #[must_use]
    pub fn allow(&self) -> Option<&HeaderValue> {
        self.inner.allow.as_ref()
    }

    /// When another try may end better, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Whose fault it is.
    #[must_use]
    pub fn side(&self) -> Side {
        match self.inner.kind {
            ErrorKind::BadRequest
            | ErrorKind::BodyTooLarge
            | ErrorKind::ClientBody
            | ErrorKind::ClientGone
            | ErrorKind::ClientTimeout
            | ErrorKind::HeadTooLarge
            | ErrorKind::MethodRefused
            | ErrorKind::Misdirected
            | ErrorKind::NoRoute
            | ErrorKind::UriTooLong => Side::Client,
            ErrorKind::BodyTaken
            | ErrorKind::Config
            | ErrorKind::Loop
            | ErrorKind::Overloaded
            | ErrorKind::Shed
            | ErrorKind::TotalTimeout => Side::Proxy,
            ErrorKind::BadResponse
            | ErrorKind::CircuitOpen
            | ErrorKind::Closed
            | ErrorKind::ConnectFailed
            | ErrorKind::ConnectTimeout
            | ErrorKind::ResponseTimeout
            | ErrorKind::TlsFailed
            | ErrorKind::Truncated => Side::Upstream,
        }
    }

    /// Whether some time was over.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(
            self.inner.kind,
            ErrorKind::ClientTimeout
                | ErrorKind::ConnectTimeout
                | ErrorKind::ResponseTimeout
                | ErrorKind::TotalTimeout
        )
    }

    /// Whether nothing of the request reached an upstream and another try may end better, whatever it asks.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        let fixed = matches!(self.inner.kind, ErrorKind::BodyTaken | ErrorKind::Config | ErrorKind::Loop);
        self.inner.sent == Sent::Not && self.side() != Side::Client && !fixed
    }
}

impl fmt::Display for ProxyError {
    // This level only: reporters walk `source` themselves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.kind.fmt(f)?;
        if let Some(detail) = self.inner.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(upstream) = &self.inner.upstream {
            write!(f, " (upstream {upstream})")?;
        }
        Ok(())
    }
}

impl StdError for ProxyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

// === impl ErrorKind ===

impl ErrorKind {
    /// The name in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::BadResponse => "bad_response",
            Self::BadRequest => "bad_request",
            Self::BodyTaken => "body_taken",
            Self::BodyTooLarge => "body_too_large",
            Self::ClientBody => "client_body",
            Self::ClientGone => "client_gone",
            Self::ClientTimeout => "client_timeout",
            Self::CircuitOpen => "circuit_open",
            Self::Closed => "closed",
            Self::Config => "config",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::HeadTooLarge => "head_too_large",
            Self::Loop => "loop",
            Self::MethodRefused => "method_refused",
            Self::Misdirected => "misdirected",
            Self::NoRoute => "no_route",
            Self::Overloaded => "overloaded",
            Self::ResponseTimeout => "response_timeout",
            Self::TlsFailed => "tls_failed",
            Self::Shed => "shed",
            Self::TotalTimeout => "total_timeout",
            Self::Truncated => "truncated",
            Self::UriTooLong => "uri_too_long",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadResponse => "the upstream's answer cannot be used",
            Self::BadRequest => "the request cannot be passed on",
            Self::BodyTaken => "the request's body was read before",
            Self::BodyTooLarge => "the request's body is too large",
            Self::ClientBody => "the request's body cannot be read",
            Self::ClientGone => "the client left before its body's end",
            Self::ClientTimeout => "the client stopped sending",
            Self::CircuitOpen => "the upstream has failed lately",
            Self::Closed => "the upstream closed the connection without an answer",
            Self::Config => "invalid configuration",
            Self::ConnectFailed => "no connection to the upstream",
            Self::ConnectTimeout => "no connection to the upstream in time",
            Self::HeadTooLarge => "the request's fields are too large",
            Self::Loop => "the request was here before",
            Self::MethodRefused => "this method is not passed on",
            Self::Misdirected => "the connection was opened for another host",
            Self::NoRoute => "no route for this path",
            Self::Overloaded => "too many requests are waiting",
            Self::ResponseTimeout => "the upstream did not answer in time",
            Self::TlsFailed => "no TLS with the upstream",
            Self::Shed => "the upstream is busy",
            Self::TotalTimeout => "the request took too long",
            Self::Truncated => "the upstream's body broke off",
            Self::UriTooLong => "the target is too long",
        })
    }
}
