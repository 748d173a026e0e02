//! One connection, typed frames.

use std::collections::VecDeque;
use std::fmt;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::transport::{Transport, Watched};
use crate::error::{Error, ErrorKind};
use crate::protocol::{Request, SUBPROTOCOL, ServerFrame};

/// How to connect.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// The access token, sent as `Authorization: Bearer`.
    pub token: Option<String>,
    /// Whether the token travels as a subprotocol instead, as browsers send it.
    pub token_as_subprotocol: bool,
    /// The `Origin` to send; programs need none.
    pub origin: Option<String>,
    /// How long connecting may take. 10 s.
    pub connect_timeout: Duration,
    /// Who may vouch for the server of a `wss://` URL: the public authorities.
    #[cfg(feature = "client-tls")]
    pub roots: super::Roots,
}

/// One connection. Frames wait in the socket until [`next`](Client::next) takes them.
pub struct Client<S = Transport> {
    socket: WebSocketStream<Watched<S>>,
    close: Option<(u16, String)>,
    /// Something was handed to the socket that it may not have sent.
    unflushed: bool,
    /// Nothing can be sent any more, for this reason; until then what the server has sent still counts.
    broken: Option<(Error, Instant)>,
}

/// The answer of a server that refused the upgrade; the source of an error of kind
/// [`ErrorKind::Refused`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("{status} {body}")]
#[non_exhaustive]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// The problem document, as text: as much of it as came along with the head.
    pub body: String,
    /// `Retry-After`, as it stands in the answer.
    pub retry_after: Option<String>,
}

/// A frame from the server. Room for the largest recovery that a server is set up to give, by default 192 KiB of
/// events; a server must not fill our memory either.
const MAX_FRAME: usize = 16 * 1024 * 1024;
/// How long a link that takes nothing any more is read: its close code may be on its way, and a peer that is alive closes.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Allocated for each connection, for as long as it lives. tungstenite's own default is 128 KiB.
const READ_BUFFER: usize = 4 * 1024;

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME))
}

// === impl Options ===

impl Options {
    /// With an access token.
    #[must_use]
    pub fn bearer(token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..Self::default() }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            token: None,
            token_as_subprotocol: false,
            origin: None,
            connect_timeout: Duration::from_secs(10),
            #[cfg(feature = "client-tls")]
            roots: super::Roots::public(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token stays out: debug output ends in logs.
        f.debug_struct("Options").field("origin", &self.origin).finish_non_exhaustive()
    }
}

// === impl Client ===

impl Client {
    /// Opens a connection to a `ws://` URL, or a `wss://` URL with the feature `client-tls`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Refused`] with [`Refused`] as its source, [`ErrorKind::Connect`] otherwise.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the connection is dropped.
    pub async fn connect(url: &str, options: Options) -> Result<Self, Error> {
        let connect = |error: WsError| Error::with(ErrorKind::Connect, error);
        let mut request = url.into_client_request().map_err(connect)?;
        let headers = request.headers_mut();
        let mut protocols = SUBPROTOCOL.to_owned();
        let value =
            |text: &str| HeaderValue::from_str(text).map_err(|error| Error::with(ErrorKind::Connect, error));
        if let Some(token) = &options.token {
            if options.token_as_subprotocol {
                protocols.push_str(", bearer.");
                protocols.push_str(token);
            } else {
                headers.insert(header::AUTHORIZATION, value(&format!("Bearer {token}"))?);
            }
        }
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value(&protocols)?);
        if let Some(origin) = &options.origin {
            headers.insert(header::ORIGIN, value(origin)?);
        }
        let uri = request.uri().clone();
        let connecting = Box::pin(async {
            let transport = Transport::open(&uri, &options).await?;
            tokio_tungstenite::client_async_with_config(request, Watched::new(transport), Some(config()))
                .await
        });
        match tokio::time::timeout(options.connect_timeout, connecting).await {
            Ok(Ok((socket, _))) => Ok(Self { socket, close: None, unflushed: false, broken: None }),
            Ok(Err(WsError::Http(response))) => {
                let status = response.status().as_u16();
                let retry_after = response.headers().get(header::RETRY_AFTER);
                let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
                let body = response.into_body().unwrap_or_default();
                let body = String::from_utf8_lossy(&body).into_owned();
                Err(Error::with(ErrorKind::Refused, Refused { status, body, retry_after }))
            }
            Ok(Err(error)) => Err(connect(error)),
            Err(elapsed) => Err(Error::with(ErrorKind::Connect, elapsed)),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Takes over a connection whose handshake is done, for instance one end of a pipe in memory.
    pub async fn over(io: S) -> Self {
        let socket = WebSocketStream::from_raw_socket(Watched::new(io), Role::Client, Some(config())).await;
        Self { socket, close: None, unflushed: false, broken: None }
    }

    /// The next frame, or `None` when the connection has ended; then
    /// [`close_code`](Self::close_code) says how. Protocol pings are answered on the way.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`] when a frame cannot be read or the link broke.
    ///
    /// # Cancel safety
    ///
    /// No frame is lost when dropped.
    pub async fn next(&mut self) -> Result<Option<ServerFrame>, Error> {
        match self.next_text().await? {
            Some(text) => ServerFrame::parse(&text).map(Some),
            None => Ok(None),
        }
    }

    /// The same, as the text it came in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`] when the link broke.
    ///
    /// # Cancel safety
    ///
    /// No frame is lost when dropped.
    pub async fn next_text(&mut self) -> Result<Option<String>, Error> {
        std::future::poll_fn(|cx| self.poll_text(cx)).await
    }

    /// The same, while what waits in `out` is sent as far as the socket takes it. Nothing is lost when dropped.
    pub(super) async fn exchange(&mut self, out: &mut VecDeque<String>) -> Result<Option<String>, Error> {
        let until = match &self.broken {
            Some((_, until)) => *until,
            None => {
                let exchanged = std::future::poll_fn(|cx| {
                    let written = self.poll_write(cx, out);
                    let text = self.poll_text(cx);
                    match (text, written, self.socket.get_ref().broken()) {
                        (Poll::Ready(text), ..) => Poll::Ready(Ok(text)),
                        (Poll::Pending, _, Some(error)) => Poll::Ready(Err(error.into())),
                        (Poll::Pending, Poll::Ready(Err(error)), None) => Poll::Ready(Err(error)),
                        (Poll::Pending, _, None) => Poll::Pending,
                    }
                });
                match exchanged.await {
                    Ok(text) => return text,
                    Err(error) => {
                        let until = Instant::now() + LAST_WORDS;
                        self.broken = Some((Error::with(ErrorKind::Protocol, error), until));
                        until
                    }
                }
            }
        };
        // What the server said before the link broke still counts: its close code, for one.
        match tokio::time::timeout_at(until, self.next_text()).await {
            Ok(Ok(Some(text))) => Ok(Some(text)),
            // Whether or not the link ends with it.
            _ if self.close.is_some() => Ok(None),
            _ => Err(self.broken.take().map_or_else(|| Error::new(ErrorKind::Protocol), |(error, _)| error)),
        }
    }

    /// When bytes last came.
    pub(super) fn last_read(&self) -> Instant {
        self.socket.get_ref().last_read()
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut VecDeque<String>) -> Poll<Result<(), WsError>> {
        while !out.is_empty() {
            ready!(self.socket.poll_ready_unpin(cx))?;
            if let Some(text) = out.pop_front() {
                self.unflushed = true;
                self.socket.start_send_unpin(Message::text(text))?;
            }
        }
        if self.unflushed {
            ready!(self.socket.poll_flush_unpin(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_text(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<String>, Error>> {
        loop {
            return Poll::Ready(match ready!(self.socket.poll_next_unpin(cx)) {
                Some(Ok(Message::Text(text))) => Ok(Some(text.as_str().to_owned())),
                Some(Ok(Message::Close(frame))) => {
                    self.close = Some(frame.map_or((1005, String::new()), |frame| {
                        (frame.code.into(), frame.reason.as_str().to_owned())
                    }));
                    continue;
                }
                Some(Ok(_)) => continue,
                // After the close frame the server may end the link in any way.
                Some(Err(_)) if self.close.is_some() => Ok(None),
                None => Ok(None),
                Some(Err(error)) => Err(Error::with(ErrorKind::Protocol, error)),
            });
        }
    }

    /// Sends a request; its answer repeats the id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`] when the connection has ended.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the request may have been sent, whole, or not; nothing else is lost.
    pub async fn send(&mut self, request: &Request, id: Option<&str>) -> Result<(), Error> {
        self.send_text(request.to_json(id)).await
    }

    /// Sends a text frame as it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`] when the connection has ended.
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<(), Error> {
        self.say(Message::text(text.into())).await
    }

    /// Says goodbye with 1000. Keep calling [`next`](Self::next) until it returns `None`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`] when the connection has ended.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the close frame may have been sent or not.
    pub async fn close(&mut self) -> Result<(), Error> {
        use tokio_tungstenite::tungstenite::protocol::CloseFrame;
        use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.say(Message::Close(Some(frame))).await
    }

    async fn say(&mut self, message: Message) -> Result<(), Error> {
        self.socket.send(message).await.map_err(|error| Error::with(ErrorKind::Protocol, error))?;
        match self.socket.get_ref().broken() {
            Some(error) => Err(Error::with(ErrorKind::Protocol, error)),
            None => Ok(()),
        }
    }

    /// The code of the server's close frame, once it came.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        self.close.as_ref().map(|(code, _)| *code)
    }

    /// The reason of the server's close frame, once it came.
    #[must_use]
    pub fn close_reason(&self) -> Option<&str> {
        self.close.as_ref().map(|(_, reason)| reason.as_str())
    }
}

impl<S> fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("close", &self.close).finish_non_exhaustive()
    }
}
