//! tokio-tungstenite as its careful users have it: small buffers, one task for each connection, and tokio's broadcast for
//! each room, whose messages are shared and not copied.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Its own default is 128 KiB, which every idle connection pays.
const READ_BUFFER: usize = 1024;
const WRITE_BUFFER: usize = 4 * 1024;
/// It is unbounded by default.
const MOST_WRITTEN: usize = 256 * 1024;

/// Messages that a room's slowest member may be behind.
const BEHIND: usize = 256;

type Rooms = Arc<Mutex<HashMap<String, broadcast::Sender<Utf8Bytes>>>>;

fn main() -> anyhow::Result<()> {
    rooms::run(async |members, control| {
        let all = Rooms::default();
        tokio::spawn(accept(members, Arc::clone(&all)));
        rooms::publishers(control, async |room, event| {
            // Nobody may be there.
            let _ = sender(&all, room).send(event.into());
        })
        .await
    })
}

async fn accept(members: TcpListener, rooms: Rooms) -> anyhow::Result<()> {
    loop {
        let (stream, _) = members.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(member(stream, Arc::clone(&rooms)));
    }
}

async fn member(stream: TcpStream, rooms: Rooms) -> anyhow::Result<()> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MOST_WRITTEN);
    let mut room = String::new();
    #[expect(clippy::result_large_err, reason = "the type is tungstenite's")]
    let read_path = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        room = request.uri().path().trim_start_matches("/ws/").to_owned();
        Ok(response)
    };
    let mut socket = accept_hdr_async_with_config(stream, read_path, Some(config)).await?;
    let mut events = sender(&rooms, &room).subscribe();
    drop(room);
    socket.send(Message::text("joined")).await?;
    loop {
        tokio::select! {
            event = events.recv() => socket.send(Message::Text(event?)).await?,
            message = socket.next() => match message {
                // It answers pings by itself.
                Some(message) => _ = message?,
                None => return Ok(()),
            },
        }
    }
}

fn sender(rooms: &Rooms, room: &str) -> broadcast::Sender<Utf8Bytes> {
    let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = rooms.get(room) {
        return sender.clone();
    }
    let sender = broadcast::Sender::new(BEHIND);
    rooms.insert(room.to_owned(), sender.clone());
    sender
}
