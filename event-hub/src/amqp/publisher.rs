//! One task that publishes and keeps its own books.
//!
//! lapin 4.12 can credit a confirm to another publish when several tasks share a channel, and a return to
//! another confirm even when one task does. Hence: this task alone touches the channel, so that lapin's tags
//! and frames are in one order; each message carries our own sequence number, and a return is matched by
//! that; and a confirm is believed only when every publish that was issued before it came has been resolved,
//! since until then its return may still be hidden in another's confirm.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::amqp::connection::Link;
use crate::amqp::declare::short;
use crate::amqp::{PATIENCE, properties};
use crate::message::Message;
use crate::publish::PublishErrorKind;

/// One publish.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) message: Message,
    /// Its caller waits no longer than this.
    pub(super) deadline: Instant,
    /// Answered once; dropped unanswered it means «unknown».
    pub(super) answer: oneshot::Sender<Result<(), PublishErrorKind>>,
}

/// The publishes that are out on one channel.
#[derive(Debug, Default)]
struct Books {
    next: u64,
    out: HashMap<u64, Entry>,
    /// Not resolved by lapin yet.
    open: BTreeSet<u64>,
    /// Resolved, with the last publish issued by then, in order of resolution.
    resolved: VecDeque<(u64, u64, Verdict)>,
    /// By our own number.
    returned: HashMap<u64, PublishErrorKind>,
    /// To see whether one waits for too long.
    deadlines: BTreeMap<u64, Instant>,
}

#[derive(Debug)]
struct Entry {
    key: String,
    answer: oneshot::Sender<Result<(), PublishErrorKind>>,
}

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Acked,
    Nacked,
}

/// Frames of so many publishes share one write.
const BATCH: usize = 100;

/// How often deadlines and the broker's block are looked at.
const TICK: Duration = Duration::from_millis(100);

/// How long a confirm may still come after its caller has left, before the channel is given up.
const GRACE: Duration = Duration::from_secs(5);

/// Runs until every handle is gone, or `draining` and nothing is left.
pub(super) async fn run(
    mut requests: mpsc::Receiver<Request>,
    link: Link,
    window: usize,
    draining: CancellationToken,
) {
    loop {
        // Requests wait in their queue meanwhile; their callers watch the time.
        let opened = async {
            let connection = link.connection().await.ok()?;
            let channel = timeout(PATIENCE, open(&connection)).await;
            Some((connection, channel))
        };
        let opened = tokio::select! {
            // ORDER: what is queued is still sent at a shutdown, if it can be sent at once.
            biased;
            opened = opened => opened,
            () = draining.cancelled() => None,
        };
        match opened {
            None => break,
            Some((connection, Ok(Ok(channel)))) => {
                let ended = serve(&mut requests, &connection, &channel, window, &draining).await;
                let _ = timeout(PATIENCE, channel.close(200, "done".into())).await;
                if ended {
                    break;
                }
                link.lost(&connection).await;
            }
            Some((connection, failed)) => {
                tracing::warn!(?failed, "no channel to publish on");
                link.lost(&connection).await;
            }
        }
    }
    requests.close();
    while let Some(request) = requests.recv().await {
        let _ = request.answer.send(Err(PublishErrorKind::Closed));
    }
}

async fn open(connection: &Connection) -> Result<Channel, lapin::Error> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// Publishes on one channel until it is lost (false) or there is nothing more to do (true).
async fn serve(
    requests: &mut mpsc::Receiver<Request>,
    connection: &Connection,
    channel: &Channel,
    window: usize,
    draining: &CancellationToken,
) -> bool {
    let mut books = Books::default();
    let mut publishes = FuturesUnordered::new();
    let mut batch = Vec::with_capacity(BATCH);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut closing, mut ended) = (false, false);
    loop {
        // While the broker blocks us nothing can be written: leave it with the callers, who time out.
        let room = if connection.status().blocked() { 0 } else { window.saturating_sub(books.out.len()) };
        tokio::select! {
            // ORDER: confirms first, they make room; the queue is bounded, so nothing starves.
            biased;
            Some((sequence, result)) = publishes.next(), if !books.open.is_empty() => {
                match result {
                    Ok(confirmation) => books.resolve(sequence, confirmation),
                    Err(error) => {
                        tracing::warn!(%error, lost = books.out.len(), "publishing channel lost");
                        books.lose();
                        return false;
                    }
                }
            }
            count = requests.recv_many(&mut batch, room.min(BATCH)), if room > 0 && !ended => {
                ended = count == 0;
                for request in batch.drain(..) {
                    if request.answer.is_closed() || request.deadline <= Instant::now() {
                        continue; // Its caller has left: it was told that it may not have arrived.
                    }
                    let Request { message, deadline, answer } = request;
                    let sequence = books.issue(message.key.clone(), deadline, answer);
                    // The first poll takes lapin's tag and queues the frames. They are polled in this order,
                    // and by this task alone.
                    publishes.push(publish(channel.clone(), message, sequence));
                }
            }
            () = draining.cancelled(), if !closing => {
                closing = true;
                // What is still in the queue comes out of `recv_many` before its end does.
                requests.close();
            }
            _ = tick.tick() => {
                if !connection.status().connected() || !channel.status().connected() {
                    books.lose();
                    return false;
                }
                if books.is_late() && !connection.status().blocked() {
                    tracing::warn!(lost = books.out.len(), "confirms do not come: channel given up");
                    books.lose();
                    return false;
                }
            }
        }
        if ended && books.out.is_empty() {
            return true;
        }
    }
}

async fn publish(
    channel: Channel,
    message: Message,
    sequence: u64,
) -> (u64, Result<Confirmation, lapin::Error>) {
    let properties = properties::outgoing(&message, sequence);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (exchange, key) = (short(&message.exchange), short(&message.key));
    let result = match channel.basic_publish(exchange, key, options, &message.body, properties).await {
        Ok(confirm) => confirm.await,
        Err(error) => Err(error),
    };
    (sequence, result)
}

// === impl Books ===

impl Books {
    fn issue(
        &mut self,
        key: String,
        deadline: Instant,
        answer: oneshot::Sender<Result<(), PublishErrorKind>>,
    ) -> u64 {
        let sequence = self.next;
        self.next += 1;
        self.out.insert(sequence, Entry { key, answer });
        self.open.insert(sequence);
        self.deadlines.insert(sequence, deadline);
        sequence
    }

    fn resolve(&mut self, sequence: u64, confirmation: Confirmation) {
        let (verdict, returned) = match confirmation {
            Confirmation::Ack(returned) => (Verdict::Acked, returned),
            Confirmation::Nack(returned) => (Verdict::Nacked, returned),
            // INVARIANT: the channel is in confirm mode; unconfirmed is not confirmed.
            Confirmation::NotRequested => (Verdict::Nacked, None),
        };
        if let Some(message) = returned {
            match properties::sequence(&message.delivery.properties) {
                Some(of) => {
                    let kind = PublishErrorKind::Returned {
                        code: message.reply_code,
                        text: message.reply_text.as_str().to_owned(),
                        key: message.delivery.routing_key.as_str().to_owned(),
                    };
                    self.returned.insert(of, kind);
                }
                None => tracing::error!("a returned message carries no sequence number of ours"),
            }
        }
        self.open.remove(&sequence);
        self.resolved.push_back((sequence, self.next, verdict));
        self.release();
    }

    /// Answers those of which no return can be hidden any more.
    fn release(&mut self) {
        let oldest_open = self.open.first().copied().unwrap_or(self.next);
        while let Some(&(sequence, issued, verdict)) = self.resolved.front() {
            if oldest_open < issued {
                return;
            }
            self.resolved.pop_front();
            self.deadlines.remove(&sequence);
            let returned = self.returned.remove(&sequence);
            let Some(entry) = self.out.remove(&sequence) else { continue };
            let answer = match (returned, verdict) {
                (Some(returned), _) => Err(returned),
                (None, Verdict::Acked) => Ok(()),
                (None, Verdict::Nacked) => Err(PublishErrorKind::Nacked),
            };
            if answer.is_err() {
                tracing::debug!(key = entry.key, ?answer, "publish not confirmed");
            }
            // The caller may have left.
            let _ = entry.answer.send(answer);
        }
    }

    fn is_late(&self) -> bool {
        self.deadlines.first_key_value().is_some_and(|(_, deadline)| *deadline + GRACE <= Instant::now())
    }

    /// The channel is gone: nobody will ever know.
    fn lose(&mut self) {
        for (_, entry) in self.out.drain() {
            let _ = entry.answer.send(Err(PublishErrorKind::Unknown));
        }
    }
}

#[cfg(test)]
mod tests;
