//! What carries a connection's bytes: TCP, within TLS for `wss`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::connection::Options;

/// The bytes of a connection that [`Client::connect`](super::Client::connect) has opened.
#[derive(Debug)]
pub struct Transport(Io);

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    // Boxed: the state of TLS is a kilobyte that plain connections do not need.
    #[cfg(feature = "client-tls")]
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// Knows when bytes last came. Frames are no measure: a large one takes its time on a slow link.
///
/// What is written after a write has failed goes nowhere, and is no error: what the other side said before is still
/// to be read, and a pong that cannot be sent must not stand in the way. [`broken`](Self::broken) tells.
#[derive(Debug)]
pub(super) struct Watched<S> {
    io: S,
    last_read: Instant,
    broken: Option<io::ErrorKind>,
}

// === impl Transport ===

impl Transport {
    /// Whether a URL is `wss`, its host and its port.
    pub(super) fn target(uri: &Uri) -> io::Result<(bool, &str, u16)> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        let secure = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(invalid("the URL begins with neither ws:// nor wss://")),
        };
        if secure && cfg!(not(feature = "client-tls")) {
            return Err(invalid("wss:// needs the feature `client-tls`"));
        }
        let host = uri.host().ok_or_else(|| invalid("the URL names no host"))?;
        // An IPv6 address stands in brackets in a URL (RFC 3986, 3.2.2), and nowhere else.
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok((secure, host, uri.port_u16().unwrap_or(if secure { 443 } else { 80 })))
    }

    /// Connects to the host of a `ws` or `wss` URL.
    pub(super) async fn open(uri: &Uri, options: &Options) -> io::Result<Self> {
        let (secure, host, port) = Self::target(uri)?;
        let stream = TcpStream::connect((host, port)).await?;
        // Requests are small and wait for answers: nothing is gained by collecting them.
        stream.set_nodelay(true)?;
        #[cfg(feature = "client-tls")]
        if secure {
            return Ok(Self(Io::Tls(Box::new(super::tls::connect(host, &options.roots, stream).await?))));
        }
        #[cfg(not(feature = "client-tls"))]
        let _ = (options, secure);
        Ok(Self(Io::Plain(stream)))
    }
}

macro_rules! on_io {
    ($self:ident, $io:ident => $call:expr) => {
        match &mut $self.get_mut().0 {
            Io::Plain($io) => {
                let $io = Pin::new($io);
                $call
            }
            #[cfg(feature = "client-tls")]
            Io::Tls($io) => {
                let $io = Pin::new($io);
                $call
            }
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_io!(self, io => io.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_io!(self, io => io.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_io!(self, io => io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_io!(self, io => io.poll_shutdown(cx))
    }
}

// === impl Watched ===

impl<S> Watched<S> {
    pub(super) fn new(io: S) -> Self {
        Self { io, last_read: Instant::now(), broken: None }
    }

    /// Why nothing can be written any more.
    pub(super) fn broken(&self) -> Option<io::Error> {
        self.broken.map(io::Error::from)
    }

    fn note<T>(&mut self, written: Poll<io::Result<T>>, instead: T) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(Err(error)) => {
                self.broken = Some(error.kind());
                Poll::Ready(Ok(instead))
            }
            other => other,
        }
    }

    pub(super) fn last_read(&self) -> Instant {
        self.last_read
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.last_read = Instant::now();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.note(written, bytes.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.broken.is_some() {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.note(flushed, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
