//! A world for one session: a clock that stands until it is moved, and a server that says what the test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use crate::auth::Credential;
use crate::client::connection::{Client, Refused};
use crate::client::dial::Dial;
use crate::client::{BoxError, Session, SessionConfig, State, TokenSource, Update, Why};
use crate::error::{Error, ErrorKind};

/// The server's end of one connection.
pub(super) struct Peer {
    pub(super) socket: WebSocketStream<DuplexStream>,
    /// What the client showed.
    pub(super) credential: Credential,
}

pub(super) struct World {
    pub(super) session: Session,
    /// Each connection in its turn.
    pub(super) peers: Arc<Mutex<VecDeque<Peer>>>,
    /// How the next attempts are refused; without an entry they succeed.
    pub(super) refusals: Arc<Mutex<VecDeque<Refused>>>,
}

struct Pipes {
    peers: Arc<Mutex<VecDeque<Peer>>>,
    refusals: Arc<Mutex<VecDeque<Refused>>>,
}

// === impl Pipes ===

impl Dial for Pipes {
    type Io = DuplexStream;

    async fn dial(&mut self, credential: &Credential) -> Result<Client<DuplexStream>, Error> {
        if let Some(refused) = self.refusals.lock().unwrap().pop_front() {
            return Err(Error::with(ErrorKind::Refused, refused));
        }
        let (near, far) = tokio::io::duplex(64 * 1024);
        let socket = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
        self.peers.lock().unwrap().push_back(Peer { socket, credential: credential.clone() });
        Ok(Client::over(near).await)
    }
}

// === impl World ===

impl World {
    /// With a token that is always good, and 0.5 for every number drawn.
    pub(super) fn new() -> Self {
        Self::with(SessionConfig::new("ws://test/ws"), good)
    }

    pub(super) fn with(config: SessionConfig, tokens: impl TokenSource) -> Self {
        let (peers, refusals) = (Arc::default(), Arc::default());
        let pipes = Pipes { peers: Arc::clone(&peers), refusals: Arc::clone(&refusals) };
        let session = Session::over(config, pipes, tokens, || 0.5);
        Self { session, peers, refusals }
    }

    /// The connection that was opened next.
    pub(super) async fn peer(&self) -> Peer {
        settle().await;
        self.peers.lock().unwrap().pop_front().expect("the client has opened no connection")
    }

    /// The next connection, welcomed with these rooms.
    pub(super) async fn welcomed(&self, rooms: Value) -> Peer {
        let mut peer = self.peer().await;
        peer.welcome(rooms).await;
        peer
    }

    pub(super) fn attempts(&self) -> usize {
        self.peers.lock().unwrap().len()
    }

    /// The wait that the session is in.
    pub(super) fn delay(&self) -> Duration {
        match self.session.state() {
            State::Waiting { delay, .. } => delay,
            state => panic!("not waiting: {state:?}"),
        }
    }

    /// Lets the wait pass; the connection that follows.
    pub(super) async fn back(&self) -> Peer {
        settle().await;
        advance(self.delay()).await;
        self.peer().await
    }
}

pub(super) async fn good(_: Why) -> Result<Option<Credential>, BoxError> {
    Ok(Some(Credential::Bearer("token".into())))
}

// === impl Peer ===

impl Peer {
    pub(super) async fn welcome(&mut self, rooms: Value) {
        self.send(json!({
            "type": "welcome", "connectionId": "c1", "userId": "ada", "rooms": rooms, "heartbeatSeconds": 25,
            "expiresAt": "2026-11-26T15:15:00Z",
            "limits": {"frameBytes": 65_536, "rooms": 100, "messagesPerSecond": 20, "queuedBytes": 262_144},
        }))
        .await;
    }

    pub(super) async fn send(&mut self, frame: Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
        settle().await;
    }

    /// What the client has sent next, if anything.
    pub(super) async fn inbox(&mut self) -> Option<Value> {
        settle().await;
        match self.socket.next().now_or_never()?? {
            Ok(Message::Text(text)) => Some(serde_json::from_str(&text).unwrap()),
            Ok(other) => Some(json!({"closes": format!("{other:?}")})),
            Err(error) => Some(json!({"broken": error.to_string()})),
        }
    }

    /// The same, which must be there.
    pub(super) async fn next(&mut self) -> Value {
        self.inbox().await.expect("the client has sent nothing")
    }

    /// Ends the connection with a code; 1006 without a word.
    pub(super) async fn end(mut self, code: u16) {
        if code != 1006 {
            let frame = CloseFrame { code: code.into(), reason: "".into() };
            self.socket.close(Some(frame)).await.unwrap();
        }
        drop(self);
        settle().await;
    }
}

/// Lets everything that can go on do so; nothing here waits for time.
pub(super) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Moves the clock.
pub(super) async fn advance(by: Duration) {
    settle().await;
    tokio::time::advance(by).await;
    settle().await;
}

pub(super) fn event(room: &str, offset: u64) -> Value {
    json!({"type": "event", "room": room, "offset": offset, "event": {"id": format!("{room}#{offset}"), "type": "t"}})
}

/// As the vectors write it.
pub(super) fn brief(update: &Update) -> Value {
    match update {
        Update::Event { room, offset, event } => {
            json!({"room": room, "event": event["id"], "offset": offset})
        }
        Update::Gap { room, cause } => json!({"room": room, "gap": cause.to_string()}),
        Update::Live { room, place } => json!({"room": room, "live": place.offset}),
        Update::Joined { room, user_id } => json!({"room": room, "joined": user_id}),
        Update::Left { room, user_id } => json!({"room": room, "left": user_id}),
        Update::Ended { room, code, .. } => json!({"room": room, "ended": code}),
        Update::Unreadable { .. } => panic!("every event is a value"),
    }
}

/// What has come by now.
pub(super) async fn heard(subscription: &mut crate::client::Subscription) -> Vec<Value> {
    settle().await;
    let mut heard = Vec::new();
    while let Some(Some(update)) = subscription.next().now_or_never() {
        heard.push(brief(&update));
    }
    heard
}
