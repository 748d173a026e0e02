//! One task per subscription: it opens, delivers, acknowledges, and opens again whatever happens.

mod feed;
mod opening;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    BasicRejectOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::amqp::acks::{Acks, Send, WAIT, enough};
use crate::amqp::connection::Link;
use crate::amqp::declare::short;
use crate::amqp::properties::Reader;
use crate::amqp::subscriber::opening::Opening;
use crate::amqp::{PATIENCE, Setup, declare, failure};
use crate::backoff::Backoff;
use crate::driver::{Settlement, Source, Subscribe, Subscription, SubscriptionState, Verdict};
use crate::error::Error;
use crate::feed::Place;
use crate::handover::{self, Inlet, Line, Refused, Settled};
use crate::message::Delivery;

pub(super) fn start(setup: Arc<Setup>, link: Link, subscribe: Subscribe) -> Subscription {
    let prefetch = usize::from(subscribe.prefetch);
    let deliveries = Line::new(prefetch);
    // As many as make an acknowledgement.
    let (settlements, settled) = handover::settlements(enough(subscribe.prefetch));
    let stop = CancellationToken::new();
    let state = Arc::new(SubscriptionState::default());
    let queue = subscribe.source.name().to_owned();
    let owner = Owner {
        setup,
        link,
        subscribe,
        deliveries: Inlet::of(&deliveries),
        settled,
        stop: stop.clone(),
        state: Arc::clone(&state),
        queue,
        refused: 0,
        made: None,
    };
    Subscription { deliveries, settlements, stop, state, owner: tokio::spawn(owner.run()) }
}

struct Owner {
    setup: Arc<Setup>,
    link: Link,
    subscribe: Subscribe,
    deliveries: Inlet<Delivery>,
    settled: Settled,
    stop: CancellationToken,
    state: Arc<SubscriptionState>,
    /// The queue's name; a feed's can get a suffix.
    queue: String,
    /// How often a feed's own name was refused since it was last ours.
    refused: u32,
    /// The feed's queue that was made by a try that did not get to its end: the next one finds it, and it is new.
    made: Option<String>,
}

/// An open consumer.
struct Seat {
    channel: Channel,
    consumer: lapin::Consumer,
    tag: String,
    generation: u64,
    /// Whether the broker was told to send no more.
    cancelled: bool,
}

/// Why a seat was left.
enum Left {
    /// The channel, the consumer or the connection went: sit down again.
    Lost,
    /// Nobody wants more.
    Done,
}

// === impl Owner ===

impl Owner {
    async fn run(mut self) {
        let setup = Arc::clone(&self.setup);
        let config = &setup.config;
        let mut backoff = Backoff::new(config.backoff_first, config.backoff_max);
        loop {
            let stop = self.stop.clone();
            let opened = tokio::select! {
                opened = self.open() => opened,
                () = stop.cancelled() => return,
            };
            match opened {
                Ok((seat, place)) => {
                    let since = Instant::now();
                    self.refused = 0;
                    self.state.trouble(None);
                    self.tell(place);
                    self.state.active.store(true, Ordering::Release);
                    let left = self.serve(seat).await;
                    // ORDER: before anyone sees the loss. What waits for a handler is the broker's again, and must
                    // not begin, however long the next seat takes.
                    self.state.generation.fetch_add(1, Ordering::AcqRel);
                    self.state.active.store(false, Ordering::Release);
                    if since.elapsed() >= config.backoff_max {
                        // What opens and is lost at once must not be opened at once, again and again.
                        backoff.reset();
                    }
                    match left {
                        Left::Done => return,
                        Left::Lost => tracing::warn!(queue = self.queue, "consumer lost: opened again"),
                    }
                }
                Err(error) if error.kind() == crate::ErrorKind::Closed => return,
                Err(error) => {
                    let error = crate::handler::chain(&error);
                    tracing::warn!(queue = self.queue, error, "consumer not opened");
                    self.state.trouble(Some(error));
                }
            }
            let pause = backoff.next();
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    async fn open(&mut self) -> Result<(Seat, Option<Place>), Error> {
        let connection = self.link.connection().await?;
        match self.subscribe.source.clone() {
            Source::Queue(queue) => Ok((self.open_queue(&connection, &queue).await?, None)),
            Source::Feed { feed, exchange, .. } => {
                let (seat, place) = in_time(self.open_feed(&connection, &feed, &exchange)).await?;
                Ok((seat, Some(place)))
            }
        }
    }

    async fn open_queue(&self, connection: &Connection, queue: &str) -> Result<Seat, Error> {
        let sit = || in_time(self.sit(connection, queue, BasicConsumeOptions::default()));
        match sit().await {
            Err(error) if error.kind() == crate::ErrorKind::UnknownQueue => {
                // Someone deleted it: made again, with all that leads into it.
                declare::declare_again(&self.setup, connection).await?;
                sit().await
            }
            result => result,
        }
    }

    /// Opens a channel with its prefetch, and consumes.
    async fn sit(
        &self,
        connection: &Connection,
        queue: &str,
        options: BasicConsumeOptions,
    ) -> Result<Seat, Error> {
        let generation = self.state.generation.fetch_add(1, Ordering::AcqRel) + 1;
        let tag = consumer_tag(&self.subscribe.name);
        let sit = async {
            let channel = connection.create_channel().await?;
            let opening = Opening::of(&channel);
            channel.basic_qos(self.subscribe.prefetch, BasicQosOptions::default()).await?;
            let consumer =
                channel.basic_consume(short(queue), short(&tag), options, FieldTable::default()).await?;
            opening.done();
            Ok(Seat { channel, consumer, tag: tag.clone(), generation, cancelled: false })
        };
        sit.await.map_err(|error: lapin::Error| failure::error(error, queue))
    }

    fn tell(&self, place: Option<Place>) {
        if let (Some(at), Source::Feed { place, .. }) = (place, &self.subscribe.source) {
            place(at);
        }
    }

    async fn serve(&self, mut seat: Seat) -> Left {
        let mut acks = Acks::new(self.subscribe.prefetch);
        let mut reader = Reader::new(&self.queue, seat.generation);
        let mut next: Option<Delivery> = None;
        let mut settled = Vec::new();
        let (mut stopped, mut over) = (false, false);
        // Set anew when it is over and not with each look: a timer that moves costs more than one that comes early.
        let mut look = pin!(sleep(WAIT));
        loop {
            let now = Instant::now();
            if acks.is_due(now) && !self.send(&seat.channel, acks.flush(now, false)) {
                return Left::Lost;
            }
            tokio::select! {
                // ORDER: settling first, or a busy queue would fill the window with what is long done.
                biased;
                open = self.settled.take(&mut settled) => {
                    if !open {
                        self.leave(seat, acks).await;
                        return Left::Done;
                    }
                    let now = Instant::now();
                    for settlement in settled.drain(..) {
                        if settlement.verdict != Verdict::Ack && self.stop.is_cancelled() {
                            if self.subscribe.single_active {
                                // It would come straight back, behind what is out. The close returns it in its place.
                                continue;
                            }
                            // ORDER: no more deliveries, or what goes back would come straight to us again.
                            self.cancel(&mut seat).await;
                        }
                        if !settle(&seat, &mut acks, settlement, now) {
                            return Left::Lost;
                        }
                    }
                }
                () = self.stop.cancelled(), if !stopped => {
                    stopped = true;
                    next = None;
                    self.cancel(&mut seat).await;
                }
                // The worker takes one as soon as there is room; meanwhile we still settle.
                () = self.deliveries.room(), if next.is_some() => {
                    match next.take().map(|delivery| self.deliveries.try_push(delivery)) {
                        Some(Err(Refused::Full(delivery))) => next = Some(delivery),
                        Some(Err(Refused::Closed(_))) => stopped = true,
                        Some(Ok(())) | None => {}
                    }
                }
                first = seat.consumer.next(), if next.is_none() && !over => {
                    let (mut delivered, now) = (Some(first), Instant::now());
                    while let Some(one) = delivered.take() {
                        match one {
                            Some(Ok(one)) => {
                                acks.deliver(one.delivery_tag);
                                if !stopped {
                                    match self.deliveries.try_push(reader.read(one, now)) {
                                        Ok(()) => {}
                                        Err(Refused::Full(one)) => next = Some(one),
                                        Err(Refused::Closed(_)) => stopped = true,
                                    }
                                }
                            }
                            // A cancel by the broker ends the stream without an error; ours does so too.
                            _ if stopped && seat.channel.status().connected() => over = true,
                            _ => return Left::Lost,
                        }
                        // What came with it is taken with it; prefetch bounds how much that is.
                        if next.is_none() && !over {
                            delivered = seat.consumer.next().now_or_never();
                        }
                    }
                }
                () = &mut look, if acks.next_look().is_some() => {
                    // What is due by now is sent at the head of the loop.
                    let now = Instant::now();
                    look.as_mut().reset(acks.next_look().filter(|at| *at > now).unwrap_or(now + WAIT));
                }
            }
        }
    }

    /// Ends the deliveries.
    async fn cancel(&self, seat: &mut Seat) {
        // ORDER: a queue with one active consumer would go over to the next before we are through.
        if self.subscribe.single_active || std::mem::replace(&mut seat.cancelled, true) {
            return;
        }
        let cancel = seat.channel.basic_cancel(short(&seat.tag), BasicCancelOptions::default());
        let _ = timeout(PATIENCE, cancel).await;
    }

    /// Sends what is settled, gives back the rest, and waits until the broker has it all.
    async fn leave(&self, mut seat: Seat, mut acks: Acks) {
        let farewell = async {
            self.send(&seat.channel, acks.flush(Instant::now(), true));
            // What is out now was never begun, or is nobody's failure: what was is settled. A queue with one active
            // consumer takes it back with the close, all at once, before it goes over to the next.
            if !self.subscribe.single_active {
                // ORDER: no more deliveries, or what goes back would come straight to us again.
                self.cancel(&mut seat).await;
                // What is on its way from the channel to us is out as well.
                while let Some(Some(Ok(delivered))) = seat.consumer.next().now_or_never() {
                    acks.deliver(delivered.delivery_tag);
                }
                // Nack, which newer brokers do not count.
                for tag in acks.rest(RETURNED) {
                    let options = BasicNackOptions { multiple: true, requeue: true };
                    let _ = seat.channel.basic_nack(tag, options).await;
                }
            }
            let _ = seat.channel.close(200, "done".into()).await;
        };
        let _ = timeout(PATIENCE, farewell).await;
    }

    /// Queues acknowledgements. A connection that cannot write them is lost, and found out as that.
    fn send(&self, channel: &Channel, sends: impl Iterator<Item = Send>) -> bool {
        for send in sends {
            let (tag, multiple) = match send {
                Send::One(tag) => (tag, false),
                Send::UpTo(tag) => (tag, true),
            };
            if let Some(Err(error)) = queued(channel.basic_ack(tag, BasicAckOptions { multiple })) {
                tracing::warn!(queue = self.queue, %error, "acknowledgement not sent: the events come again");
                return false;
            }
        }
        true
    }
}

async fn in_time<T>(open: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| Err(Error::new(crate::ErrorKind::Timeout, "opening a consumer"));
    timeout(PATIENCE * 2, open).await.unwrap_or_else(late)
}

fn settle(seat: &Seat, acks: &mut Acks, settlement: Settlement, now: Instant) -> bool {
    let tag = settlement.token.tag;
    if settlement.token.generation != seat.generation {
        // Of an older channel: the broker has it back already, and would close this one over its tag.
        return true;
    }
    let sent = match settlement.verdict {
        Verdict::Ack => {
            acks.finish(tag, now);
            return true;
        }
        // Brokers from 4.3 on count a reject as a failed delivery, and a nack not.
        Verdict::Fail if acks.take(tag) => {
            queued(seat.channel.basic_reject(tag, BasicRejectOptions { requeue: true }))
        }
        Verdict::Return if acks.take(tag) => {
            queued(seat.channel.basic_nack(tag, BasicNackOptions { multiple: false, requeue: true }))
        }
        Verdict::Fail | Verdict::Return => return true,
    };
    !matches!(sent, Some(Err(_)))
}

/// The first poll puts the frame in lapin's line, in order; that it was written is not waited for, since each
/// wait costs a change of threads.
fn queued(send: impl Future<Output = lapin::Result<()>>) -> Option<lapin::Result<()>> {
    send.now_or_never()
}

fn consumer_tag(name: &str) -> String {
    let mut end = name.len().min(200);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}.{}", &name[..end], &Uuid::new_v4().simple().to_string()[..12])
}

/// How many go back with one command. A quorum queue takes up to 32 back in their order, and more in none: its
/// state machine walks a map, which Erlang keeps sorted up to that size.
const RETURNED: usize = 32;
