//! One task per publishing channel, which keeps its own books.
//!
//! lapin 4.12 can credit a confirm to another publish when several tasks share a channel, and a return to
//! another confirm even when one task does. Hence: one task alone touches a channel, so that lapin's tags and
//! frames are in one order; each message carries our own number, and a return is matched by that; see
//! [`books`] for when a confirm is believed.

mod books;
mod flights;

use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::amqp::connection::Link;
use crate::amqp::properties::Outgoing;
use crate::amqp::publisher::books::{Answer, Books};
use crate::amqp::publisher::flights::Flights;
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
    pub(super) answer: Answer,
}

/// Frames of so many publishes share one write.
pub(super) const BATCH: usize = 100;

/// How often deadlines and the broker's block are looked at.
const TICK: Duration = Duration::from_millis(100);

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
    // Shared by the publishes: a channel of lapin's is a dozen counted references.
    let channel = Arc::new(channel.clone());
    let mut books = Books::default();
    let mut flights = Flights::new();
    let mut landed = Vec::new();
    let mut batch = Vec::with_capacity(BATCH);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut closing, mut ended) = (false, false);
    loop {
        // While the broker blocks us nothing can be written: leave it with the callers, who time out. What has
        // its confirm and waits for another's takes no room on the wire, but it must not pile up either.
        let blocked = connection.status().blocked();
        let room = window.saturating_sub(books.open()).min((2 * window).saturating_sub(books.unanswered()));
        tokio::select! {
            // ORDER: confirms first, they make room; the queue is bounded, so nothing starves.
            biased;
            () = flights.landed(&mut landed), if books.open() > 0 => {}
            count = requests.recv_many(&mut batch, room.min(BATCH)), if room > 0 && !blocked && !ended => {
                ended = count == 0;
                for Request { message, deadline, answer } in batch.drain(..) {
                    if answer.is_closed() || deadline <= Instant::now() {
                        continue; // Its caller has left: it was told that it may not have arrived.
                    }
                    let number = books.issue(deadline, answer);
                    // ORDER: the first poll takes lapin's tag and queues the frames. This task alone does it.
                    flights.start(number, publish(Arc::clone(&channel), message, number));
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
                    tracing::warn!(lost = books.unanswered(), "confirms do not come: channel given up");
                    books.lose();
                    return false;
                }
            }
        }
        if !landed.is_empty() {
            let mut lost = None;
            for (number, result) in landed.drain(..) {
                match result {
                    Ok(confirmation) => books.resolve(number, confirmation),
                    Err(error) => lost = Some(error),
                }
            }
            books.release();
            if let Some(error) = lost {
                tracing::warn!(%error, lost = books.unanswered(), "publishing channel lost");
                books.lose();
                return false;
            }
        }
        if ended && books.unanswered() == 0 {
            return true;
        }
    }
}

async fn publish(channel: Arc<Channel>, message: Message, number: u64) -> Result<Confirmation, lapin::Error> {
    let Outgoing { exchange, key, properties, body } = properties::outgoing(message, number);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel.basic_publish(exchange, key, options, &body, properties).await?.await
}
