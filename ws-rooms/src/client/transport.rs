//! What carries a connection's bytes: TCP, within TLS for `wss`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

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

// === impl Transport ===

impl Transport {
    /// Connects to the host of a `ws` or `wss` URL.
    pub(super) async fn open(uri: &Uri, options: &Options) -> io::Result<Self> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        let secure = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(invalid("the URL begins with neither ws:// nor wss://")),
        };
        let host = uri.host().ok_or_else(|| invalid("the URL names no host"))?;
        // An IPv6 address stands in brackets in a URL (RFC 3986, 3.2.2), and nowhere else.
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        if secure && cfg!(not(feature = "client-tls")) {
            return Err(invalid("wss:// needs the feature `client-tls`"));
        }
        let stream = TcpStream::connect((host, port)).await?;
        // Requests are small and wait for answers: nothing is gained by collecting them.
        stream.set_nodelay(true)?;
        #[cfg(feature = "client-tls")]
        if secure {
            return Ok(Self(Io::Tls(Box::new(super::tls::connect(host, &options.roots, stream).await?))));
        }
        #[cfg(not(feature = "client-tls"))]
        let _ = options;
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
