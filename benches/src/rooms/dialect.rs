//! What a member says until it is in its room, and what its events come in.

use std::net::SocketAddr;

use super::frames;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Dialect {
    /// The room in the path; the server says «joined», and events come as they are.
    Plain,
    /// `tramline.v1`: a token, a welcome, and a room that is asked for.
    Tramline,
    /// Socket.IO over a WebSocket alone: the room in the query, and «joined» as an event.
    SocketIo,
}

/// What comes after the handshake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Says this frame.
    Say(Vec<u8>),
    /// Waits for a text that has this in it.
    Hear(&'static str),
}

/// The key of RFC 6455's example: what is measured is no cryptography.
pub(super) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What it has to be answered with.
pub(super) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

// === impl Dialect ===

impl Dialect {
    /// The handshake of the member of this number.
    pub(super) fn handshake(self, server: SocketAddr, room: &str, member: usize) -> String {
        let (path, more) = match self {
            Self::Plain => (format!("/ws/{room}"), ""),
            Self::Tramline => ("/ws".to_owned(), "Sec-WebSocket-Protocol: tramline.v1\r\n"),
            Self::SocketIo => (format!("/socket.io/?EIO=4&transport=websocket&room={room}"), ""),
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nAuthorization: Bearer member-{member}\r\n\
             {more}\r\n"
        )
    }

    /// From the handshake to the room.
    pub(super) fn steps(self, room: &str) -> Vec<Step> {
        match self {
            Self::Plain => vec![Step::Hear("joined")],
            Self::Tramline => {
                let subscribe = format!(r#"{{"type":"subscribe","id":1,"room":"{room}"}}"#);
                vec![
                    Step::Hear(r#""type":"welcome""#),
                    Step::Say(frames::text(&subscribe)),
                    Step::Hear(r#""type":"subscribed""#),
                ]
            }
            Self::SocketIo => {
                vec![Step::Hear(r#"0{""#), Step::Say(frames::text("40")), Step::Hear("joined")]
            }
        }
    }

    /// Bytes of the envelope behind an event.
    pub(super) fn envelope(self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Tramline | Self::SocketIo => 1,
        }
    }

    /// What this text has to be answered with.
    pub(super) fn answer(self, text: &[u8]) -> Option<Vec<u8>> {
        // Engine.IO's own ping.
        (self == Self::SocketIo && text == b"2").then(|| frames::text("3"))
    }
}
