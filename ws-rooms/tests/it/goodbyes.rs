//! The last word: it is heard, whatever the peer does meanwhile.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tramline_ws_rooms::{Credential, Rooms};

use crate::http::{open, serve};
use crate::support::{bulky, config, node, node_with, peer, settle};

/// A close frame with 1000, masked with zeros.
const NORMAL: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8];
/// A frame with a bit that means nothing.
const MALFORMED: [u8; 6] = [0xF1, 0x80, 0, 0, 0, 0];
/// An empty ping.
const PING: [u8; 6] = [0x89, 0x80, 0, 0, 0, 0];

/// The bytes of a client that has read its welcome, on a pipe that holds a kilobyte.
async fn client(rooms: &Rooms) -> (DuplexStream, JoinHandle<u16>) {
    let admission = rooms.admit(Credential::Bearer("ada/customer/s1/3600".into()), peer()).await.unwrap();
    let (near, far) = tokio::io::duplex(1024);
    let rooms = rooms.clone();
    let server = tokio::spawn(async move { rooms.serve(admission, far).await });
    let mut client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    client.next().await.unwrap().unwrap();
    (client.into_inner(), server)
}

/// A drain has begun.
async fn drain(rooms: &Rooms) {
    let rooms = rooms.clone();
    tokio::spawn(async move { rooms.drain(Duration::from_secs(120)).await });
    settle().await;
}

/// Writes these bytes, which must all be taken, and reads to the end.
async fn rest(client: DuplexStream, bytes: &[u8]) -> Vec<u8> {
    let (mut reads, mut writes) = tokio::io::split(client);
    let mut all = Vec::new();
    let (written, read) = tokio::join!(writes.write_all(bytes), reads.read_to_end(&mut all));
    written.expect("nobody hangs up on what is under way");
    read.unwrap();
    all
}

/// Whether the last frame closes with this code.
fn closes_with(all: &[u8], code: u16) -> bool {
    let at = all.iter().rposition(|byte| *byte == 0x88);
    at.is_some_and(|at| {
        all[at + 2..at + 4] == code.to_be_bytes() && all.len() == at + 2 + usize::from(all[at + 1])
    })
}

#[tokio::test(start_paused = true)]
async fn who_breaks_something_while_it_is_sent_away_still_hears_when_to_come_back() {
    for breach in [MALFORMED.to_vec(), PING.repeat(100)] {
        let rooms = node();
        let (mut client, server) = client(&rooms).await;
        // Stands in the way of the goodbye.
        rooms.publish(bulky(&["broadcast"], "b", 5_000)).await.unwrap();
        settle().await;
        drain(&rooms).await;
        client.write_all(&breach).await.unwrap();
        settle().await;
        let all = rest(client, &[0; 4096]).await;
        assert!(String::from_utf8_lossy(&all).contains("\"retryAfterMs\":"));
        assert!(closes_with(&all, 4200));
        assert_eq!(server.await.unwrap(), 4200);
    }
}

/// From the goodbye on the close timeout is the bound: neither a write that stood still before, nor a pong that
/// does not come, ends it earlier.
#[tokio::test(start_paused = true)]
async fn who_reads_within_the_close_timeout_hears_the_goodbye() {
    let mut config = config();
    config.close_timeout = Duration::from_secs(60);
    let rooms = node_with(config);
    let (client, server) = client(&rooms).await;
    rooms.publish(bulky(&["broadcast"], "b", 5_000)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(8)).await;
    drain(&rooms).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert!(closes_with(&rest(client, &[]).await, 4200));
    assert_eq!(server.await.unwrap(), 4200);
}

#[tokio::test(start_paused = true)]
async fn who_says_more_behind_its_close_frame_is_answered_and_let_finish() {
    let (client, server) = client(&node()).await;
    let mut bytes = NORMAL.to_vec();
    bytes.extend([0; 4096]);
    assert!(closes_with(&rest(client, &bytes).await, 1000));
    assert_eq!(server.await.unwrap(), 1000);
}

/// The same on a real socket, where to hang up on unread bytes is a reset.
#[tokio::test]
async fn the_answer_to_a_close_is_not_lost_to_a_reset() {
    let mut stream = open(serve(node()).await).await;
    let (mut reads, mut writes) = stream.split();
    let mut bytes = NORMAL.to_vec();
    bytes.extend([0; 256 * 1024]);
    let mut all = Vec::new();
    let (written, read) = tokio::join!(writes.write_all(&bytes), reads.read_to_end(&mut all));
    written.unwrap();
    read.unwrap();
    assert!(closes_with(&all, 1000));
}

/// Our close and the peer's cross, and the peer's has something behind it: neither the goodbye nor our close frame is lost.
#[tokio::test]
async fn a_goodbye_that_crosses_a_close_is_not_lost_to_a_reset() {
    let rooms = node();
    let mut stream = open(serve(rooms.clone()).await).await;
    until_peeked(&stream, |came| came.windows(7).any(|bytes| bytes == b"welcome")).await;
    drain(&rooms).await;
    // Sent, and not read.
    until_peeked(&stream, |came| closes_with(came, 4200)).await;
    let (mut reads, mut writes) = stream.split();
    let mut bytes = NORMAL.to_vec();
    bytes.extend([0; 256 * 1024]);
    writes.write_all(&bytes).await.expect("nobody hangs up on what is under way");
    writes.shutdown().await.unwrap();
    let mut all = Vec::new();
    reads.read_to_end(&mut all).await.expect("no reset");
    assert!(closes_with(&all, 4200));
}

/// Waits until what has come, and stays there to be read, is as wanted.
async fn until_peeked(stream: &TcpStream, is_there: impl Fn(&[u8]) -> bool) {
    let mut came = [0; 4096];
    let peeked = async {
        loop {
            let count = stream.peek(&mut came).await.unwrap();
            if is_there(&came[..count]) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), peeked).await.expect("it comes");
}
