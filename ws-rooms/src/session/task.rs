//! The one task of a connection.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

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
    /// There may be rooms that others want it in or out of.
    ordered: bool,
    bad_frames: u32,
}

/// Why nothing more is read of a connection.
enum Ends {
    /// We close it.
    Closed(Close),
    /// The peer has closed it.
    Answered(u16),
    /// It is gone.
    Gone(u16),
}

/// What a turn finds in the outbox.
struct Found {
    close: Option<Close>,
    rung: bool,
    /// Frames were taken.
    took: bool,
    /// And there are more of them.
    more: bool,
    has_room: bool,
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
        ordered: false,
        bad_frames: 0,
    };
    // A future that takes a session as an argument, or by value, has it twice for as long as the connection lives.
    async move { session.run().await }
}

// === impl Session ===

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    async fn run(&mut self) -> u16 {
        match poll_fn(|cx| self.poll(cx)).await {
            // Boxed: the end's timers are no part of the life before it.
            Ends::Closed(close) => Box::pin(self.finish(close)).await,
            Ends::Answered(code) => {
                // Nothing may follow a peer's close frame, but something may have.
                Box::pin(self.linger()).await;
                code
            }
            Ends::Gone(code) => code,
        }
    }

    /// Takes turns until nothing is left to do. One turn is what a delivery costs: the outbox's lock once, one write, and
    /// one look at the socket for what the peer says.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ends> {
        loop {
            // ORDER: the outbox first, so that a close is seen before more is read; then the request in progress, so that
            // answers come before new requests are taken.
            let found = self.look(cx);
            if found.rung && self.conn.heart.is_dead() {
                // Nobody is reading: a close frame would wait for ever.
                return Poll::Ready(Ends::Gone(1006));
            }
            if let Some(close) = found.close {
                return Poll::Ready(Ends::Closed(close));
            }
            self.ordered |= found.rung;
            self.leave_rooms();
            let wrote = self.write(cx, found.took);
            if let Poll::Ready(Some(ends)) = wrote {
                return Poll::Ready(ends);
            }
            self.next_work(found.has_room);
            if progress(&mut self.work, cx).is_some() {
                // What others want may have waited for it.
                (self.work, self.ordered) = (None, true);
                continue;
            }
            if let Some(renewed) = progress(&mut self.renewal, cx) {
                self.renewal = None;
                self.renewed = renewed;
                continue;
            }
            if let Poll::Ready(step) = self.wire.poll_heard(cx) {
                if let Some(ends) = self.took(step) {
                    return Poll::Ready(ends);
                }
                continue;
            }
            // What came into the outbox since has woken the task again, unless something was there already.
            if wrote.is_pending() || !found.more {
                return Poll::Pending;
            }
        }
    }

    /// Looks into the outbox, and moves the next frames from there to the wire if that is clear.
    fn look(&mut self, cx: &Context<'_>) -> Found {
        let (conn, wire) = (&self.conn, &mut self.wire);
        conn.turn(cx.waker(), |outbox, rung| {
            let close = outbox.closing().cloned();
            let mut took = false;
            if close.is_none() {
                if rung && conn.heart.take_ping() {
                    wire.ping();
                }
                took = wire.is_clear() && outbox.take(BATCH, |queued| wire.push(queued));
            }
            Found { close, rung, took, more: !outbox.is_idle(), has_room: outbox.has_room() }
        })
    }

    /// Writes what the wire has; pending while the socket is full. `took` says that there are new frames.
    fn write(&mut self, cx: &mut Context<'_>, took: bool) -> Poll<Option<Ends>> {
        let mut wrote = Poll::Ready(None);
        while !self.wire.is_clear() && wrote.is_ready() {
            match self.wire.poll_written(cx) {
                Poll::Ready(Step::Progress) => self.conn.heart.progress(),
                Poll::Ready(Step::Ended(code)) => return Poll::Ready(Some(ended(code))),
                Poll::Ready(_) => self.conn.heart.flushed(),
                Poll::Pending => wrote = Poll::Pending,
            }
        }
        if took {
            let left_at = self.wire.left_at().filter(|_| wrote.is_ready());
            self.conn.heart.wrote(left_at.unwrap_or_else(Instant::now));
        }
        if wrote.is_pending() {
            // Whatever it is: a pong, or the answer to a close, may stand still as well as an event.
            self.conn.heart.writing();
        }
        wrote
    }

    /// Moves the next frames from the queue to the wire; says if there were any.
    fn take(&mut self) -> bool {
        let wire = &mut self.wire;
        self.conn.outbox(|outbox| outbox.take(BATCH, |queued| wire.push(queued)))
    }

    /// Leaves the rooms that it is to leave, whatever request is in progress.
    fn leave_rooms(&mut self) {
        if !self.ordered {
            return;
        }
        for room in self.conn.take_leaves() {
            join::expel(&self.node, &self.conn, &room);
        }
        self.ordered = self.conn.has_orders();
    }

    fn next_work(&mut self, has_room: bool) {
        // Answers are not bounded by the queue's size: take a request up when there is room.
        if self.work.is_some() || !has_room {
            return;
        }
        if !self.ordered && self.renewed.is_none() && self.backlog.is_empty() {
            return;
        }
        let (node, conn) = (Arc::clone(&self.node), Arc::clone(&self.conn));
        if let Some(renewed) = self.renewed.take() {
            self.work = Some(Box::pin(requests::renewed(node, conn, renewed)));
            return;
        }
        if self.ordered
            && let Some(room) = self.conn.take_join()
        {
            self.work = Some(Box::pin(requests::given(node, conn, room)));
            return;
        }
        match self.backlog.pop_front() {
            // One renewal at a time: the token that came last is the one that stays.
            Some(next @ (_, Request::Auth { .. })) if self.renewal.is_some() => self.backlog.push_front(next),
            Some((id, Request::Auth { token })) => {
                self.renewal = Some(Box::pin(renewal::renew(node, conn, id, token)));
                self.next_work(has_room);
            }
            Some((id, request)) => self.work = Some(Box::pin(requests::answer(node, conn, id, request))),
            None => {}
        }
    }

    /// Deals with what the socket brought; says whether that was the last.
    fn took(&mut self, step: Step) -> Option<Ends> {
        match step {
            Step::Ended(code) => return Some(ended(code)),
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
            // Of what is written, `write` hears.
            Step::Progress | Step::Flushed => return None,
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

fn ended(code: Option<u16>) -> Ends {
    code.map_or(Ends::Gone(1006), Ends::Answered)
}

async fn killed(conn: &Conn) {
    poll_fn(|cx| {
        // ORDER: the waker first, or a kill between the two would wake nobody.
        conn.turn(cx.waker(), |_, _| ());
        if conn.heart.is_dead() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn progress<T>(work: &mut Option<Work<T>>, cx: &mut Context<'_>) -> Option<T> {
    match work.as_mut()?.as_mut().poll(cx) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests;
