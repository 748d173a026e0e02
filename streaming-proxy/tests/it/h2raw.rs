//! HTTP/2 as bytes: frames that no library would send, and those that come back.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::origin::soon;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Error codes (RFC 9113, 7).
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// One frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// One side of a connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

impl Raw {
    /// A client that has said hello, and has agreed to the server's settings.
    pub(crate) async fn client(addr: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut raw = Self { stream };
        raw.bytes(PREFACE).await;
        raw.settings(settings).await;
        let hello = raw.next().await.unwrap();
        assert_eq!((hello.kind, hello.flags), (SETTINGS, 0));
        raw.send(SETTINGS, ACK, 0, &[]).await;
        raw
    }

    /// A server that has seen a client's hello and said its own.
    pub(crate) async fn server(mut stream: TcpStream, settings: &[(u16, u32)]) -> Self {
        let mut preface = [0; PREFACE.len()];
        soon("preface", stream.read_exact(&mut preface)).await.unwrap();
        assert_eq!(preface, PREFACE);
        let mut raw = Self { stream };
        raw.settings(settings).await;
        raw.until(SETTINGS).await.unwrap();
        raw.send(SETTINGS, ACK, 0, &[]).await;
        raw
    }

    async fn settings(&mut self, settings: &[(u16, u32)]) {
        let pairs =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
        let pairs: Vec<u8> = pairs.collect();
        self.send(SETTINGS, 0, 0, &pairs).await;
    }

    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        soon("send", self.stream.write_all(bytes)).await.unwrap();
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.bytes(&frame(kind, flags, stream, payload)).await;
    }

    /// A request or an answer without a body.
    pub(crate) async fn headers(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) {
        self.send(HEADERS, END_HEADERS | flags, stream, &block(fields)).await;
    }

    /// The next frame; `None` when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        soon("a frame", self.stream.read_exact(&mut head)).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        soon("the rest of a frame", self.stream.read_exact(&mut payload)).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// The next frame of this kind; acknowledgements do not count. Pings are answered meanwhile.
    pub(crate) async fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind && (kind == DATA || kind == HEADERS || frame.flags & ACK == 0) {
                return Some(frame);
            }
            if frame.kind == PING && frame.flags & ACK == 0 {
                self.send(PING, ACK, 0, &frame.payload).await;
            }
        }
    }

    /// The next frame of this stream.
    pub(crate) async fn of(&mut self, stream: u32) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.stream == stream {
                return Some(frame);
            }
            if frame.kind == PING && frame.flags & ACK == 0 {
                self.send(PING, ACK, 0, &frame.payload).await;
            }
        }
    }
}

impl Frame {
    /// The last four bytes of RST_STREAM and of GOAWAY without debug data.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as literals that are not indexed (RFC 7541, 6.2.2), without Huffman.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [integer(text.len(), 7, 0), text.as_bytes().to_vec()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// RFC 7541, 5.1.
pub(crate) fn integer(value: usize, prefix: u32, flags: u8) -> Vec<u8> {
    let most = (1 << prefix) - 1;
    if value < most {
        return vec![flags | u8::try_from(value).unwrap()];
    }
    let mut bytes = vec![flags | u8::try_from(most).unwrap()];
    let mut rest = value - most;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

/// The pseudo fields of a GET.
pub(crate) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "a.example"), (":path", "/")];
