//! Redis: the tier that processes share.
//!
//! Values lie under `PREFIX:v:…`, each on its own. What counts and what ends many at once shares one hash tag,
//! `{PREFIX}:…`, and is touched by scripts that touch no value: a cluster can spread the values.
//!
//! [`RedisConfig`](crate::RedisConfig) says which rights it takes; a test holds that to be true.

mod call;
mod connection;
mod feed;
mod gate;
mod link;
mod names;
mod reading;
mod scripts;
mod time;
mod writing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::Value;
use bytes::Bytes;

use crate::clock::millis;
use crate::config::RedisConfig;
use crate::envelope::Token;
use crate::error::Error;
use crate::mark::{Mark, MarkName};
use crate::metrics::StoreMetrics;
use crate::tier::redis::call::Calls;
use crate::tier::redis::gate::Remembering;
use crate::tier::redis::link::{Failure, Link, WORDS};
use crate::tier::{Ending, Marks, Slot, Taken, Untold};

/// The shared tier.
pub(crate) struct Redis {
    link: Arc<Link>,
}

/// How many keys one call may touch: a script that takes longer than a millisecond holds up everybody.
const BATCH: usize = 500;

// === impl Redis ===

impl Redis {
    /// Connects when it is first asked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) only.
    pub(crate) fn new(config: RedisConfig, metrics: Arc<StoreMetrics>) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self { link: Arc::new(Link::new(config, metrics)?) }))
    }

    pub(crate) fn is_spread(&self) -> bool {
        self.link.server.is_spread()
    }

    pub(crate) fn now(&self) -> u64 {
        self.link.clock().now()
    }

    pub(crate) async fn take(
        &self,
        slot: &Slot,
        id: Token,
        token: Token,
        life: Duration,
        keep: bool,
    ) -> Taken {
        match self.link.run(&self.calls().take(slot, id, token, span(life), keep)).await {
            Ok(Value::Int(1)) => Taken::Leased,
            Ok(Value::Int(2)) => Taken::Busy,
            Ok(_) | Err(Failure::Refused(_)) => Taken::Changed,
            Err(Failure::Away) => Taken::Away,
        }
    }

    /// True as well when nobody knows.
    pub(crate) async fn renew(&self, slot: &Slot, token: Token, life: Duration) -> bool {
        !matches!(self.link.run(&self.calls().renew(slot, token, span(life))).await, Ok(Value::Int(0)))
    }

    pub(crate) async fn release(&self, slot: &Slot, token: Token) {
        // One that is not given back ends by itself.
        let _ = self.link.run(&self.calls().release(slot, token)).await;
    }

    pub(crate) async fn drop_bad(&self, slot: &Slot, bad: &Bytes) {
        let _ = self.link.run(&self.calls().drop_bad(slot, bad)).await;
    }

    pub(crate) async fn end(&self, ending: &Ending) {
        self.tell(ending, Remembering::new(&self.link, ending.clone())).await;
    }

    /// So many as are told at once in one trip, in a cluster to all masters at once.
    pub(crate) async fn end_many(&self, endings: &[Ending]) {
        // All of them from the beginning: whoever wanted them ended may go away at any time.
        let remembering = |ending: &Ending| Remembering::new(&self.link, ending.clone());
        let mut remembered = endings.iter().map(remembering).collect::<Vec<_>>().into_iter();
        for words in endings.chunks(WORDS) {
            let calls: Vec<_> = words.iter().map(|ending| self.calls().end(ending)).collect();
            let many: Vec<_> = calls.iter().map(Vec::len).collect();
            let calls: Vec<_> = calls.into_iter().flatten().collect();
            let mut answers = self.link.tell_all(&calls).await.unwrap_or_default().into_iter();
            // ORDER: a word that is taken out of its place and has no answer is not told.
            for (many, word) in many.into_iter().zip(remembered.by_ref()) {
                if answers.by_ref().take(many).filter(Result::is_ok).count() == many {
                    word.told();
                }
            }
        }
    }

    pub(crate) async fn tell_rest(&self) {
        self.link.tell_rest().await;
    }

    pub(crate) fn untold(&self) -> Untold {
        self.link.gate.untold()
    }

    pub(crate) async fn marks(&self, names: &[MarkName], life: Duration) -> Option<Marks> {
        let answer = self.link.run(&self.calls().marks(names, span(life))).await.ok()?;
        marks(answer).filter(|marks| marks.marks.len() == names.len())
    }

    pub(crate) async fn wait_for(&self, slot: &Slot) {
        let _ = self.link.run(&self.calls().wait(slot)).await;
    }

    async fn tell(&self, ending: &Ending, remembering: Remembering<'_>) {
        let answers = self.link.tell_all(&self.calls().end(ending)).await;
        if answers.is_ok_and(|answers| answers.iter().all(Result::is_ok)) {
            remembering.told();
        }
    }

    fn calls(&self) -> &Calls {
        self.link.calls()
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("link", &self.link).finish()
    }
}

/// The newest of all, then each mark.
fn marks(answer: Value) -> Option<Marks> {
    let texts: Vec<String> = ::redis::from_redis_value(answer).ok()?;
    let (newest, marks) = texts.split_first()?;
    let marks = marks.iter().map(|text| Mark::parse(text)).collect::<Option<_>>()?;
    Some(Marks { marks, newest: Mark::parse(newest)? })
}

fn lease(token: Token) -> [u8; 17] {
    let mut lease = [b'L'; 17];
    lease[1..].copy_from_slice(&token.0);
    lease
}

fn span(life: Duration) -> u64 {
    millis(life).max(1)
}

#[cfg(test)]
pub(super) mod tests;
