//! One task per publishing channel, which keeps its own books.
//!
//! lapin 4.12 can credit a confirm to another publish when several tasks share a channel, and a return to
//! another confirm even when one task does. Hence: one task alone touches a channel, so that lapin's tags and
//! frames are in one order; each message carries our own number, and a return is matched by that; see
//! [`books`] for when a confirm is believed.

mod books;
mod flights;
mod suspects;

use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::amqp::connection::Link;
use crate::amqp::failure::Refusal;
use crate::amqp::properties::Outgoing;
use crate::amqp::publisher::books::{Answer, Books};
use crate::amqp::publisher::flights::Flights;
use crate::amqp::publisher::suspects::Line;
use crate::amqp::{PATIENCE, Setup, declare, properties};
use crate::backoff::Backoff;
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

/// What a frame has around its content: kind, channel, size and end.
const FRAME: usize = 8;

/// Why a channel was left.
enum Left {
    /// There is nothing more to do.
    Done,
    /// It went, with its connection or by our own will.
    Lost,
    /// The broker closed it over one of the publishes.
    Refused(Refusal),
}

/// What outlives a channel.
struct Course {
    line: Line,
    /// Between channels that the broker closes without an event confirmed.
    pauses: Backoff,
}

/// Runs until every handle is gone, or `draining` and nothing is left.
pub(super) async fn run(
    mut requests: mpsc::Receiver<Request>,
    link: Link,
    setup: Arc<Setup>,
    window: usize,
    draining: CancellationToken,
) {
    let pauses = Backoff::new(setup.config.backoff_first, setup.config.backoff_max);
    let mut course = Course { line: Line::default(), pauses };
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
                let left = serve(&mut requests, &connection, &channel, window, &draining, &mut course).await;
                let _ = timeout(PATIENCE, channel.close(200, "done".into())).await;
                match left {
                    Left::Done => break,
                    Left::Lost => link.lost(&connection).await,
                    Left::Refused(refusal) => {
                        if refusal.code == 404 {
                            declare_again(&setup, &connection, &refusal).await;
                        }
                        let _ = draining.run_until_cancelled(sleep(course.pauses.next())).await;
                    }
                }
            }
            Some((connection, failed)) => {
                tracing::warn!(?failed, "no channel to publish on");
                link.lost(&connection).await;
            }
        }
    }
    requests.close();
    for request in course.line.into_rest() {
        let _ = request.answer.send(Err(PublishErrorKind::Closed));
    }
    while let Some(request) = requests.recv().await {
        let _ = request.answer.send(Err(PublishErrorKind::Closed));
    }
}

async fn open(connection: &Connection) -> Result<Channel, lapin::Error> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// An exchange that we have declared is gone: someone deleted it under the connection.
async fn declare_again(setup: &Setup, connection: &Connection, refusal: &Refusal) {
    let is_ours = |name: &str| refusal.text.contains(&format!("'{name}'"));
    if !setup.topology().exchanges.iter().any(|exchange| is_ours(&exchange.name)) {
        return;
    }
    match declare::declare_again(setup, connection).await {
        Ok(_) => tracing::warn!(text = refusal.text, "an exchange was gone: made again"),
        Err(error) => tracing::warn!(%error, "an exchange is gone, and could not be made again"),
    }
}

/// Publishes on one channel until it is left.
async fn serve(
    requests: &mut mpsc::Receiver<Request>,
    connection: &Connection,
    channel: &Channel,
    window: usize,
    draining: &CancellationToken,
    course: &mut Course,
) -> Left {
    course.line.lost();
    let header_max = usize::try_from(connection.configuration().frame_max()).unwrap_or(usize::MAX);
    let header_max = header_max.saturating_sub(FRAME);
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
        let blocked = blocked || !channel.status().connected();
        let mut room =
            window.saturating_sub(books.open()).min((2 * window).saturating_sub(books.unanswered()));
        while room > 0
            && !blocked
            && let Some(Request { message, deadline, answer }) = course.line.next(books.unanswered())
        {
            if answer.is_closed() || deadline <= Instant::now() {
                continue; // Its caller has left: it was told that it may not have arrived.
            }
            let size = properties::header_size(&message);
            if size > header_max {
                let too_large = PublishErrorKind::TooLarge { what: "headers", size, max: header_max };
                let _ = answer.send(Err(too_large));
                continue;
            }
            room -= 1;
            let number = books.issue(suspects::id(&message), deadline, answer);
            // ORDER: the first poll takes lapin's tag and queues the frames. This task alone does it.
            flights.start(number, publish(Arc::clone(&channel), message, number));
        }
        // What waits in the line goes first.
        let ready = room > 0 && !blocked && !ended && course.line.is_empty();
        tokio::select! {
            // ORDER: confirms first, they make room; the queue is bounded, so nothing starves.
            biased;
            () = flights.landed(&mut landed), if books.open() > 0 => {}
            count = requests.recv_many(&mut batch, room.min(BATCH)), if ready => {
                ended = count == 0;
                batch.drain(..).for_each(|request| course.line.push(request));
            }
            () = draining.cancelled(), if !closing => {
                closing = true;
                // What is still in the queue comes out of `recv_many` before its end does.
                requests.close();
            }
            _ = tick.tick() => {
                if !connection.status().connected()
                    || (!channel.status().connected() && books.open() == 0)
                {
                    books.lose(None);
                    return Left::Lost;
                }
                if books.is_late() && !connection.status().blocked() {
                    tracing::warn!(lost = books.unanswered(), "confirms do not come: channel given up");
                    books.lose(None);
                    return Left::Lost;
                }
            }
        }
        if !landed.is_empty() {
            let mut lost = None;
            for (number, result) in landed.drain(..) {
                match result {
                    Ok(confirmation) => {
                        course.pauses.reset();
                        books.resolve(number, confirmation);
                    }
                    Err(error) => {
                        if lost.is_none() || Refusal::of(&error).is_some() {
                            lost = Some(error);
                        }
                    }
                }
            }
            books.release();
            if let Some(error) = lost {
                let refusal = refusal(&error, &mut books, &mut flights, connection).await;
                let lost = books.unanswered();
                if refusal.is_some() {
                    course.line.suspect(books.ids());
                }
                books.lose(refusal.as_ref());
                let Some(refusal) = refusal else {
                    tracing::warn!(%error, lost, "publishing channel lost");
                    return Left::Lost;
                };
                tracing::error!(
                    code = refusal.code,
                    text = refusal.text,
                    lost,
                    "the broker closed the channel over what was published on it"
                );
                return Left::Refused(refusal);
            }
        }
        if ended && course.line.is_empty() && books.unanswered() == 0 {
            return Left::Done;
        }
    }
}

/// What the broker closed the channel for, if it did.
async fn refusal(
    error: &lapin::Error,
    books: &mut Books,
    flights: &mut Flights<Result<Confirmation, lapin::Error>>,
    connection: &Connection,
) -> Option<Refusal> {
    let found = Refusal::of(error);
    if found.is_some() || !connection.status().connected() {
        return found;
    }
    // What lapin itself did not take any more may land before what the broker refused.
    let mut landed = Vec::new();
    let others = async {
        loop {
            flights.landed(&mut landed).await;
            for (number, result) in landed.drain(..) {
                match result {
                    Ok(confirmation) => books.resolve(number, confirmation),
                    Err(error) => {
                        if let Some(refusal) = Refusal::of(&error) {
                            return refusal;
                        }
                    }
                }
            }
        }
    };
    let found = timeout(TICK, others).await.ok();
    books.release();
    found
}

async fn publish(channel: Arc<Channel>, message: Message, number: u64) -> Result<Confirmation, lapin::Error> {
    let Outgoing { exchange, key, properties, body } = properties::outgoing(message, number);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel.basic_publish(exchange, key, options, &body, properties).await?.await
}
