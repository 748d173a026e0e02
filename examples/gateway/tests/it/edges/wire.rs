//! A client that speaks raw bytes within TLS, and reads answers well enough for tests.

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::support::{Answer, PATIENCE};

/// One connection.
pub(crate) struct Wire<S = TlsStream<TcpStream>> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next answer, whole; its body is what `Content-Length` or chunks say.
    pub(crate) async fn answer(&mut self) -> Answer {
        timeout(PATIENCE, self.try_answer()).await.expect("an answer in time").expect("an answer")
    }

    pub(crate) async fn try_answer(&mut self) -> Option<Answer> {
        let (status, headers) = self.head().await?;
        let field = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut body = Vec::new();
        if field("transfer-encoding").is_some() {
            loop {
                let chunk = self.chunk().await?;
                if chunk.is_empty() {
                    break;
                }
                body.extend(chunk);
            }
        } else if let Some(length) = field("content-length") {
            body = self.exactly(length.parse().ok()?).await?;
        }
        Some(Answer { status, headers, json: serde_json::from_slice(&body).unwrap_or_default() })
    }

    /// The next head, and nothing after it.
    pub(crate) async fn head(&mut self) -> Option<(u16, HeaderMap)> {
        let mut lines = Vec::new();
        loop {
            match self.line().await? {
                line if line.is_empty() => break,
                line => lines.push(line),
            }
        }
        let status = lines.first()?.get(9..12)?.parse().ok()?;
        let fields = lines.iter().skip(1).filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.parse::<HeaderName>().ok()?, value.trim().parse::<HeaderValue>().ok()?))
        });
        let mut headers = HeaderMap::new();
        fields.for_each(|(name, value)| _ = headers.append(name, value));
        Some((status, headers))
    }

    /// The next chunk of a body; an empty one is its end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line().await?, 16).ok()?;
        let chunk = self.exactly(size).await?;
        self.line().await?;
        Some(chunk)
    }

    /// Whether the other side ends the connection, with nothing more to read.
    pub(crate) async fn is_ended(&mut self) -> bool {
        let mut rest = Vec::new();
        // A reset, or an end without a word of TLS, is an end.
        let _ = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("an end in time");
        rest.is_empty() && self.buffer.is_empty()
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).ok();
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            self.more().await?;
        }
        Some(self.buffer.drain(..count).collect())
    }

    async fn more(&mut self) -> Option<()> {
        match timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await.expect("more in time") {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }
}
