//! The one task of a connection.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::node::Node;
use crate::protocol::codec;
use crate::protocol::{BadFrame, Close, Id, Parsed, Request};
use crate::session::pace::Pace;
use crate::session::renewal::{self, Renewed};
use crate::session::wire::{Step, Wire};
use crate::session::{Conn, join, requests};

/// Requests that wait for the one in progress. A second's worth; more is answered «busy».
const BACKLOG: usize = 32;
/// Bytes of frames written at once: large enough that the system call is shared, small enough
/// that the queue's bound stays the bound.
const BATCH: usize = 32 * 1024;

type Work<T = ()> = Pin<Box<dyn Future<Output = T> + Send>>;

struct Session<S> {
    node: Arc<Node>,
    conn: Arc<Conn>,
    wire: Wire<S>,
    pace: Pace,
    /// The request in progress; the welcome is the first.
    work: Option<Work>,
    /// The renewal in progress: it may ask about a hundred rooms, and other requests go on meanwhile.
    renewal: Option<Work<Option<Renewed>>>,
    /// A renewal that has come to its last step, which is work like any other.
    renewed: Option<Renewed>,
    backlog: VecDeque<(Id, Request)>,
    bad_frames: u32,
}

/// Serves a registered connection until it ends; returns the close code.
pub(crate) fn run<S>(node: Arc<Node>, conn: Arc<Conn>, io: S) -> impl Future<Output = u16> + Send + use<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let work: Work = Box::pin(requests::open(Arc::clone(&node), Arc::clone(&conn)));
    let mut session = Session {
        wire: Wire::new(io, &node.config.limits, Arc::clone(&node.metrics)),
        pace: Pace::of_a_second(node.config.limits.messages_per_second),
        node,
        conn,
        work: Some(work),
        renewal: None,
        renewed: None,
        backlog: VecDeque::new(),
        bad_frames: 0,
    };
    // A future that takes a session as an argument, or by value, has it twice for as long as the connection lives.
    async move { session.run().await }
}

// === impl Session ===

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    async fn run(&mut self) -> u16 {
        loop {
            if self.conn.heart.is_dead() {
                // Nobody is reading: a close frame would wait for ever.
                return 1006;
            }
            if let Some(close) = self.conn.outbox(|outbox| outbox.closing().cloned()) {
                // Boxed: the end's timers are no part of the life before it.
                return Box::pin(self.finish(close)).await;
            }
            self.leave_rooms();
            self.write();
            self.next_work();
            tokio::select! {
                // ORDER: the wake first, so that a close is seen before more is read; then the
                // request in progress, so that answers come before new requests are taken.
                biased;
                () = self.conn.wake.notified() => {}
                () = progress(&mut self.work) => self.work = None,
                renewed = progress(&mut self.renewal) => {
                    self.renewal = None;
                    self.renewed = renewed;
                }
                step = self.wire.step() => {
                    let answered = matches!(step, Step::Ended(Some(_)));
                    if let Some(code) = self.took(step) {
                        if answered {
                            // Nothing may follow a peer's close frame, but something may have.
                            Box::pin(self.linger()).await;
                        }
                        return code;
                    }
                }
            }
        }
    }

    /// Hands waiting frames to the socket once it has taken the last ones.
    fn write(&mut self) {
        if self.conn.heart.take_ping() {
            self.wire.ping();
        }
        if self.wire.is_clear() && self.take() {
            self.conn.heart.wrote();
        }
        if !self.wire.is_clear() {
            // Whatever it is: a pong, or the answer to a close, may stand still as well as an event.
            self.conn.heart.writing();
        }
    }

    /// Moves the next frames from the queue to the wire; says if there were any.
    fn take(&mut self) -> bool {
        let wire = &mut self.wire;
        self.conn.outbox(|outbox| outbox.take(BATCH, |queued| wire.push(queued)))
    }

    /// Leaves the rooms that it is to leave, whatever request is in progress.
    fn leave_rooms(&self) {
        for room in self.conn.take_leaves() {
            join::expel(&self.node, &self.conn, &room);
        }
    }

    fn next_work(&mut self) {
        // Answers are not bounded by the queue's size: take a request up when there is room.
        if self.work.is_some() || !self.conn.outbox(|outbox| outbox.has_room()) {
            return;
        }
        let (node, conn) = (Arc::clone(&self.node), Arc::clone(&self.conn));
        if let Some(renewed) = self.renewed.take() {
            self.work = Some(Box::pin(requests::renewed(node, conn, renewed)));
            return;
        }
        if let Some(room) = self.conn.take_join() {
            self.work = Some(Box::pin(requests::given(node, conn, room)));
            return;
        }
        match self.backlog.pop_front() {
            // One renewal at a time: the token that came last is the one that stays.
            Some(next @ (_, Request::Auth { .. })) if self.renewal.is_some() => self.backlog.push_front(next),
            Some((id, Request::Auth { token })) => {
                self.renewal = Some(Box::pin(renewal::renew(node, conn, id, token)));
                self.next_work();
            }
            Some((id, request)) => self.work = Some(Box::pin(requests::answer(node, conn, id, request))),
            None => {}
        }
    }

    /// Deals with what the socket brought; a code ends the session.
    fn took(&mut self, step: Step) -> Option<u16> {
        match step {
            Step::Flushed => {
                self.conn.heart.flushed();
                return None;
            }
            Step::Progress => {
                self.conn.heart.progress();
                return None;
            }
            Step::Ended(code) => return Some(code.unwrap_or(1006)),
            Step::Broken(close) => {
                self.conn.close(close);
                return None;
            }
            Step::Part => {
                self.conn.heart.part();
                return None;
            }
            Step::Alive => {
                self.conn.heart.read(self.wire.is_within_message());
                return None;
            }
            Step::Text(_) | Step::Binary(_) => self.conn.heart.read(false),
        }
        if !self.pace.allows(1.0) {
            self.conn.close(Close::TOO_MANY_MESSAGES);
            return None;
        }
        match step {
            Step::Text(text) => match Request::parse(&text) {
                Ok(Parsed::Request(id, request)) => self.accept(id, request),
                Ok(Parsed::Incomplete(id, message)) => {
                    self.conn.push(codec::error(&id, "BAD_REQUEST", message, false));
                }
                Err(bad) => self.bad(&bad),
            },
            Step::Binary(_) => self.bad(&BadFrame { id: None, message: "frames are text" }),
            _ => {}
        }
        None
    }

    fn accept(&mut self, id: Id, request: Request) {
        if self.backlog.len() < BACKLOG {
            self.backlog.push_back((id, request));
        } else {
            let message = "earlier requests are not answered yet";
            self.conn.push(codec::error(&id, "BUSY", message, true));
        }
    }

    fn bad(&mut self, bad: &BadFrame) {
        self.conn.push(codec::error(&bad.id, "BAD_FRAME", bad.message, false));
        self.bad_frames += 1;
        if self.bad_frames >= self.node.config.limits.bad_frames {
            self.conn.close(Close::PROTOCOL_ERROR);
        }
    }

    /// Says goodbye, closes, and waits for the echo, all within the close timeout.
    async fn finish(&mut self, close: Close) -> u16 {
        let patience = self.node.config.close_timeout;
        self.conn.heart.closes();
        // A request in progress has nobody to answer any more.
        self.work = None;
        self.renewal = None;
        let conn = Arc::clone(&self.conn);
        let said = tokio::select! {
            said = tokio::time::timeout(patience, self.say_goodbye(&close)) => said.is_ok(),
            // A drain's deadline is shorter than our patience.
            () = killed(&conn) => false,
        };
        if said && self.wire.may_miss(&close) {
            self.linger().await;
        }
        tracing::debug!(code = close.code, said, "connection closed");
        close.code
    }

    /// Lets what the peer has under way come, unless there is no time left.
    async fn linger(&mut self) {
        let conn = Arc::clone(&self.conn);
        tokio::select! {
            () = self.wire.linger() => {}
            () = killed(&conn) => {}
        }
    }

    async fn say_goodbye(&mut self, close: &Close) {
        loop {
            if self.wire.flush().await {
                return;
            }
            if !self.take() {
                break;
            }
        }
        // A peer that broke RFC 6455 may not find the next frame's start; it gets only the close.
        if !matches!(close.code, 1002 | 1007) {
            self.wire.push_frame(codec::goodbye(close).into_bytes());
        }
        self.wire.say_closed(close).await;
    }
}

async fn killed(conn: &Conn) {
    while !conn.heart.is_dead() {
        conn.wake.notified().await;
    }
}

async fn progress<T>(work: &mut Option<Work<T>>) -> T {
    match work {
        Some(work) => work.as_mut().await,
        None => std::future::pending().await,
    }
}
