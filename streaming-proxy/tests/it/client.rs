//! A client that speaks raw bytes, and reads answers well enough for tests.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::origin::soon;

/// One connection: plain, or what TLS makes of it.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The lines after the last chunk.
    pub(crate) trailers: String,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("send", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Reads no more than a head.
    pub(crate) async fn head(&mut self) -> Option<String> {
        read_head(&mut self.stream, &mut self.buffer).await
    }

    /// Reads one answer. `None` when the connection ends before the head does.
    pub(crate) async fn try_answer(&mut self) -> Option<Answer> {
        let head = self.head().await?;
        let status = head.get(9..12)?.parse().ok()?;
        let mut answer = Answer { status, head, body: Vec::new(), trailers: String::new() };
        if answer.header("transfer-encoding").is_some() {
            loop {
                let size = self.line().await?;
                let size = usize::from_str_radix(size.trim(), 16).ok()?;
                if size == 0 {
                    break;
                }
                let chunk = self.exactly(size + 2).await?;
                answer.body.extend_from_slice(&chunk[..size]);
            }
            loop {
                let line = self.line().await?;
                if line == "\r\n" {
                    break;
                }
                answer.trailers.push_str(&line);
            }
        } else if let Some(length) = answer.header("content-length") {
            answer.body = self.exactly(length.parse().ok()?).await?;
        }
        Some(answer)
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        soon("answer", self.try_answer()).await.expect("the connection ended")
    }

    /// Whether the peer ends the connection, with nothing more to read.
    pub(crate) async fn is_ended(&mut self) -> bool {
        let mut rest = Vec::new();
        let read = soon("end", self.stream.read_to_end(&mut rest)).await;
        rest.is_empty() && self.buffer.is_empty() && read.is_ok() || read.is_err()
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return String::from_utf8(line).ok();
            }
            more(&mut self.stream, &mut self.buffer).await?;
        }
    }

    pub(crate) async fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            more(&mut self.stream, &mut self.buffer).await?;
        }
        Some(self.buffer.drain(..count).collect())
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn code(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        problem["code"].as_str().unwrap().to_owned()
    }
}

async fn more(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<()> {
    match soon("more", stream.read_buf(buffer)).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}

/// One head, to its empty line.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        more(stream, buffer).await?;
    }
}

/// A request on a connection of its own.
pub(crate) async fn once(addr: SocketAddr, request: &str) -> Answer {
    let mut client = Client::connect(addr).await;
    client.send(request).await;
    client.answer().await
}

pub(crate) async fn get(addr: SocketAddr, path: &str) -> Answer {
    once(addr, &format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")).await
}
