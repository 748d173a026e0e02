//! From an address to a channel.

#[cfg(feature = "http2")]
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[cfg(feature = "http2")]
use crate::config::HttpVersion;
use crate::error::{BoxError, ErrorKind, ProxyError};
#[cfg(feature = "tls")]
use crate::error::{Sent, Stage};
use crate::upstream::channel::Channel;
use crate::upstream::endpoint::{At, Endpoint};
use crate::upstream::pool::Connection;
#[cfg(feature = "tls")]
use crate::upstream::tls::Tls;

/// What a request needs of its channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    /// How fresh a kept connection must be; `None` is a new one.
    pub(crate) fresh_within: Option<Duration>,
    /// Whether it may become a tunnel, which HTTP/2 has not: it gets HTTP/1.1 where the upstream speaks both.
    pub(crate) upgrade: bool,
}

impl Endpoint {
    /// A channel for a request: a stream or a kept connection if there is one that will do, else a new one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectFailed`], [`ErrorKind::ConnectTimeout`] (also for TLS, which its stage tells),
    /// [`ErrorKind::TlsFailed`]; [`ErrorKind::Overloaded`] if no stream gets free.
    pub(crate) async fn channel(&self, needs: Needs) -> Result<Channel, ProxyError> {
        #[cfg(feature = "http2")]
        if self.may_share(needs) {
            return Box::pin(self.shared(needs)).await;
        }
        if let Some(within) = needs.fresh_within
            && let Some(connection) = self.kept(within).await
        {
            return Ok(Channel::Connection(connection));
        }
        Box::pin(self.open(needs.upgrade)).await
    }

    /// A channel for a check: a new connection, but where one is shared by all.
    ///
    /// # Errors
    ///
    /// As [`channel`](Self::channel).
    pub(crate) async fn probe(&self) -> Result<Channel, ProxyError> {
        #[cfg(feature = "http2")]
        {
            let needs = Needs { fresh_within: Some(Duration::MAX), upgrade: false };
            if self.may_share(needs) {
                return Box::pin(self.shared(needs)).await;
            }
        }
        self.open(false).await
    }

    /// Whether HTTP/2 is what the upstream is spoken to in, whatever it would rather.
    #[cfg(feature = "http2")]
    fn is_http2(&self) -> bool {
        self.config.version == HttpVersion::Http2
    }

    /// Whether a request may get a stream of a connection that others use.
    #[cfg(feature = "http2")]
    fn may_share(&self, needs: Needs) -> bool {
        match self.config.version {
            HttpVersion::Http2 => true,
            HttpVersion::Http1 => false,
            // Connections of HTTP/1.1 need not wait for each other to be opened.
            HttpVersion::Negotiated => self.is_tls && !needs.upgrade && self.agreed.load(Ordering::Relaxed),
        }
    }

    /// A stream of a shared connection, if that is what the upstream speaks.
    #[cfg(feature = "http2")]
    async fn shared(&self, needs: Needs) -> Result<Channel, ProxyError> {
        if let Some(within) = needs.fresh_within {
            if let Some(lease) = self.http2.take() {
                return Ok(Channel::Stream(lease));
            }
            if let Some(connection) = self.kept(within).await {
                return Ok(Channel::Connection(connection));
            }
        }
        match self.http2.stream(needs.fresh_within.is_none(), || self.open(false)).await? {
            Ok(lease) => Ok(Channel::Stream(lease)),
            Err(opened) => Ok(opened),
        }
    }

    /// A new connection. `http1`: of HTTP/1.1, whatever the upstream would rather speak.
    async fn open(&self, http1: bool) -> Result<Channel, ProxyError> {
        let opened = self.connect(http1).await;
        match &opened {
            Ok(_) => self.metrics.connected.increment(1),
            Err(_) => self.metrics.connect_failed.increment(1),
        }
        opened
    }

    async fn connect(&self, http1: bool) -> Result<Channel, ProxyError> {
        let stream = match timeout(self.config.connect_timeout, self.tcp()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(cause)) => return Err(ProxyError::new(ErrorKind::ConnectFailed).with(cause)),
            Err(elapsed) => return Err(ProxyError::new(ErrorKind::ConnectTimeout).with(elapsed)),
        };
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            // On the heap, so that plain connections do not pay for its size.
            return Box::pin(self.encrypted(tls, stream, http1)).await;
        }
        #[cfg(feature = "http2")]
        if !http1 && self.is_http2() {
            return self.begin_http2(stream).await;
        }
        let _ = http1;
        self.begin_http1(stream).await
    }

    #[cfg(feature = "tls")]
    async fn encrypted(&self, tls: &Tls, stream: TcpStream, http1: bool) -> Result<Channel, ProxyError> {
        let kind = |kind: ErrorKind| ProxyError::new(kind).when(Stage::Tls, Sent::Not);
        let stream = match timeout(self.config.tls_timeout, tls.connect(stream, http1)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(cause)) => return Err(kind(ErrorKind::TlsFailed).with(cause)),
            Err(elapsed) => return Err(kind(ErrorKind::ConnectTimeout).with(elapsed)),
        };
        #[cfg(feature = "http2")]
        {
            let is_http2 = Tls::is_http2(&stream);
            if !http1 {
                self.agreed.store(is_http2, Ordering::Relaxed);
            }
            if is_http2 {
                return self.begin_http2(stream).await;
            }
            if !http1 && self.is_http2() {
                return Err(kind(ErrorKind::TlsFailed).because("the upstream does not speak HTTP/2"));
            }
        }
        self.begin_http1(stream).await
    }

    async fn begin_http1<S>(&self, stream: S) -> Result<Channel, ProxyError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = http1::Builder::new().handshake(TokioIo::new(stream));
        let (sender, connection) =
            handshake.await.map_err(|cause| ProxyError::new(ErrorKind::ConnectFailed).with(cause))?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(error = &error as &dyn std::error::Error, "upstream connection ended");
            }
        });
        Ok(Channel::Connection(Connection::new(sender, driver.abort_handle(), self.config.idle_timeout)))
    }

    #[cfg(feature = "http2")]
    async fn begin_http2<S>(&self, stream: S) -> Result<Channel, ProxyError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let begun = self.http2.begin(stream, self.is_tls).await;
        begun.map(Channel::Stream).map_err(|cause| ProxyError::new(ErrorKind::ConnectFailed).with(cause))
    }

    async fn tcp(&self) -> Result<TcpStream, BoxError> {
        let stream = match &self.at {
            At::Address(address) => TcpStream::connect(address).await?,
            At::Name(name) => TcpStream::connect(&*name.first().await?).await?,
        };
        // Small heads and bodies must not wait for an acknowledgement.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
