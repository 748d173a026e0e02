//! RabbitMQ through lapin.

use tokio::time::Instant;

use crate::config::AmqpConfig;
use crate::driver::{Subscribe, Subscription};
use crate::error::{Error, ErrorKind};
use crate::health::QueueStats;
use crate::message::Message;
use crate::publish::{PublishErrorKind, Receipt};
use crate::topology::{Declared, Topology};

#[derive(Clone, Debug)]
pub(crate) struct Client {}

impl Client {
    pub(crate) fn new(_url: &str, _config: AmqpConfig) -> Result<Self, Error> {
        Err(Error::new(ErrorKind::Config, "not yet"))
    }
    pub(crate) async fn declare(&self, _topology: &Topology) -> Result<Declared, Error> {
        Err(Error::new(ErrorKind::Config, "not yet"))
    }
    pub(crate) async fn publish(&self, _m: Vec<Message>, _d: Instant) -> Vec<Result<Receipt, PublishErrorKind>> {
        Vec::new()
    }
    pub(crate) fn subscribe(&self, _s: Subscribe) -> Subscription {
        unreachable!()
    }
    pub(crate) async fn stats(&self, _q: &str) -> Result<Option<QueueStats>, Error> {
        Ok(None)
    }
    pub(crate) fn connection(&self) -> (bool, bool) {
        (false, false)
    }
    pub(crate) async fn shutdown(&self) {}
}
