//! What amqprs calls.

use std::collections::BTreeSet;
use std::sync::Arc;

use amqprs::callbacks::ChannelCallback;
use amqprs::channel::{BasicAckArguments, Channel};
use amqprs::consumer::AsyncConsumer;
use amqprs::error::Error;
use amqprs::{Ack, BasicProperties, Cancel, CloseChannel, Deliver, Nack, Return};
use async_trait::async_trait;
use measure::Args;
use tokio::sync::watch;

type Result<T> = std::result::Result<T, Error>;

/// Counts confirms.
pub struct Confirms {
    count: watch::Sender<u64>,
    prefix: u64,
    early: BTreeSet<u64>,
}

/// Takes deliveries, and acknowledges many at once.
pub struct Taker {
    events: u64,
    ack_every: u64,
    seen: u64,
    acked: u64,
    count: Arc<watch::Sender<u64>>,
}

impl Confirms {
    pub fn new(count: watch::Sender<u64>) -> Self {
        Self { count, prefix: 0, early: BTreeSet::new() }
    }
}

impl Taker {
    pub fn new(args: &Args, count: Arc<watch::Sender<u64>>) -> Self {
        Self { events: args.events, ack_every: args.ack_every, seen: 0, acked: 0, count }
    }
}

#[async_trait]
impl ChannelCallback for Confirms {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Result<()> {
        panic!("closed by the broker: {close}");
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<()> {
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        let tag = ack.delivery_tag();
        if ack.mutiple() {
            self.prefix = tag.max(self.prefix);
            self.early = self.early.split_off(&(tag + 1));
        } else if tag == self.prefix + 1 {
            self.prefix = tag;
        } else {
            self.early.insert(tag);
        }
        while self.early.remove(&(self.prefix + 1)) {
            self.prefix += 1;
        }
        let count = self.prefix + self.early.len() as u64;
        self.count.send_replace(count);
    }

    async fn publish_nack(&mut self, _: &Channel, _: Nack) {
        panic!("refused");
    }

    async fn publish_return(&mut self, _: &Channel, _: Return, _: BasicProperties, _: Vec<u8>) {
        panic!("returned");
    }
}

#[async_trait]
impl AsyncConsumer for Taker {
    async fn consume(&mut self, channel: &Channel, deliver: Deliver, _: BasicProperties, _: Vec<u8>) {
        self.seen += 1;
        if self.seen - self.acked >= self.ack_every || self.seen == self.events {
            self.acked = self.seen;
            let ack = channel.basic_ack(BasicAckArguments::new(deliver.delivery_tag(), true)).await;
            ack.expect("the channel is open");
        }
        if self.seen == self.events {
            self.count.send_replace(self.seen);
        }
    }
}
