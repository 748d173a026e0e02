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
mod scripts;
mod time;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::Value;
use bytes::Bytes;
use futures_util::future::join_all;

use crate::clock::millis;
use crate::config::RedisConfig;
use crate::envelope::Token;
use crate::error::Error;
use crate::mark::{Mark, MarkName};
use crate::metrics::StoreMetrics;
use crate::tier::redis::call::Calls;
use crate::tier::redis::gate::Remembering;
use crate::tier::redis::link::{Failure, Link, WORDS};
use crate::tier::{Ending, Filled, Found, Marks, Slot, Taken, Untold};

/// The shared tier.
pub(crate) struct Redis {
    link: Arc<Link>,
}

/// How many keys one call may touch: a script that takes longer than a millisecond holds up everybody.
const BATCH: usize = 500;

/// So much is written in one trip, beside one value: each trip has the time of one answer.
const BATCH_BYTES: usize = 1024 * 1024;

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

    pub(crate) async fn read(&self, slot: &Slot) -> Found {
        match self.link.query(&self.calls().read(slot)).await {
            Ok(value) => found(value, None),
            // Not even a string.
            Err(Failure::Refused(_)) => Found::Nothing,
            Err(Failure::Away) => Found::Away,
        }
    }

    pub(crate) async fn read_many(&self, slots: &[Slot]) -> Option<Vec<Found>> {
        let mut all = Vec::with_capacity(slots.len());
        for batch in slots.chunks(BATCH) {
            if self.link.server.is_spread() {
                all.extend(join_all(batch.iter().map(|slot| self.read(slot))).await);
                continue;
            }
            match self.link.query(&self.calls().read_many(batch)).await {
                Ok(Value::Array(values)) => all.extend(values.into_iter().map(|value| found(value, None))),
                _ => return None,
            }
        }
        Some(all)
    }

    pub(crate) async fn read_or_lease(&self, slot: &Slot, token: Token, life: Duration) -> Found {
        let lease = lease(token);
        match self.link.query(&self.calls().read_or_lease(slot, &lease, span(life)).command).await {
            Ok(Value::Nil) => Found::Leased,
            Ok(value) => found(value, Some(&lease)),
            // It takes no writes for now, and may be read.
            Err(Failure::Refused(error)) if link::refuses_writes(&error) => self.read(slot).await,
            Err(Failure::Refused(_)) => Found::Nothing,
            Err(Failure::Away) => Found::Away,
        }
    }

    pub(crate) async fn read_or_lease_many(
        &self,
        slots: &[Slot],
        token: Token,
        life: Duration,
    ) -> Option<Vec<Found>> {
        if self.link.server.is_spread() {
            return self.read_or_lease_each(slots, token, life).await;
        }
        let lease = lease(token);
        let mut all = Vec::with_capacity(slots.len());
        let mut late = Vec::new();
        for batch in slots.chunks(BATCH) {
            let calls = self.calls().read_or_lease_many(batch, &lease, span(life));
            let Ok(answers) = self.link.run_all(&calls).await else {
                if all.is_empty() {
                    return None;
                }
                // What was leased is ours all the same.
                all.resize_with(slots.len(), || Found::Away);
                break;
            };
            let mut answers = answers.into_iter();
            let (values, leased) = (answers.next(), answers.next());
            let Some(Ok(Value::Array(values))) = values else {
                all.extend(batch.iter().map(|_| Found::Nothing));
                continue;
            };
            let leased = match leased {
                Some(Ok(Value::Array(leased))) => leased,
                // All are there.
                _ => Vec::new(),
            };
            for (n, value) in values.into_iter().enumerate() {
                let missing = value == Value::Nil;
                all.push(match leased.get(n) {
                    Some(Value::Int(1)) => Found::Leased,
                    Some(Value::Int(0)) if missing => {
                        late.push(all.len());
                        Found::Nothing
                    }
                    _ => found(value, Some(&lease)),
                });
            }
        }
        // What came between the question and the lease, or is no value at all.
        let again = late.iter().map(|n| self.read_or_lease(&slots[*n], token, life));
        for (n, found) in late.iter().zip(join_all(again).await) {
            all[*n] = found;
        }
        Some(all)
    }

    /// Where no command reaches them all.
    async fn read_or_lease_each(&self, slots: &[Slot], token: Token, life: Duration) -> Option<Vec<Found>> {
        let mut all = Vec::with_capacity(slots.len());
        for batch in slots.chunks(BATCH) {
            all.extend(join_all(batch.iter().map(|slot| self.read_or_lease(slot, token, life))).await);
            if all.iter().any(|found| matches!(found, Found::Away)) {
                return None;
            }
        }
        Some(all)
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

    pub(crate) async fn fill(&self, slot: &Slot, token: Token, value: Vec<u8>, life: Duration) -> Filled {
        match self.link.run(&self.calls().fill(slot, token, &value, span(life))).await {
            Ok(answer) => filled(&answer),
            Err(Failure::Refused(_)) => {
                // It is full, perhaps. Nobody is to wait for what does not come.
                self.release(slot, token).await;
                Filled::Away
            }
            Err(Failure::Away) => Filled::Away,
        }
    }

    pub(crate) async fn fill_many(
        &self,
        values: Vec<(Slot, Vec<u8>, Duration)>,
        token: Token,
    ) -> Vec<Filled> {
        let mut all = Vec::with_capacity(values.len());
        let mut unwritten = Vec::new();
        for batch in batches(&values) {
            let calls: Vec<_> = batch
                .iter()
                .map(|(slot, value, life)| self.calls().fill(slot, token, value, span(*life)))
                .collect();
            let Ok(answers) = self.link.run_all(&calls).await else {
                all.resize(values.len(), Filled::Away);
                break;
            };
            for ((slot, ..), answer) in batch.iter().zip(answers) {
                all.push(answer.map_or(Filled::Away, |answer| filled(&answer)));
                if all.last() == Some(&Filled::Away) {
                    unwritten.push(self.calls().release(slot, token));
                }
            }
        }
        if !unwritten.is_empty() {
            let _ = self.link.run_all(&unwritten).await;
        }
        all
    }

    pub(crate) async fn put(&self, slot: &Slot, value: Vec<u8>, life: Duration) -> bool {
        let ending = Ending::Key(slot.clone());
        // A put that did not happen, or whose caller went away in between, leaves nothing old behind.
        let remembering = Remembering::new(&self.link, ending.clone());
        if self.link.server.is_spread() {
            return self.put_in_two(slot, &value, life, &ending, remembering).await;
        }
        let Some(until) = self.link.patience().await else {
            self.tell(&ending, remembering).await;
            return false;
        };
        let calls = self.calls().put(slot, &value, span(life), until);
        match self.link.run_all(&calls).await {
            Ok(answers) if matches!(answers[..], [Ok(Value::Int(1)), Ok(_)]) => {
                remembering.told();
                true
            }
            Ok(_) => {
                // It is full, perhaps, or it came too late; it can still forget.
                self.tell(&ending, remembering).await;
                false
            }
            Err(_) => false,
        }
    }

    /// Where each value is by a clock of its own: the slot is taken first, and then filled by who took it. A late half of it
    /// takes away what is newer, or does nothing.
    async fn put_in_two(
        &self,
        slot: &Slot,
        value: &[u8],
        life: Duration,
        ending: &Ending,
        remembering: Remembering<'_>,
    ) -> bool {
        let token = Token::draw();
        let seizing = self.calls().seize(slot, &lease(token), span(self.link.between()));
        if self.link.run(&seizing).await.is_ok() {
            let calls = [self.calls().fill(slot, token, value, span(life)), self.calls().tell(ending)];
            match self.link.run_all(&calls).await.as_deref() {
                Ok([Ok(filled), Ok(_)]) => {
                    // Refused: by who came later, and what was there before is gone all the same.
                    remembering.told();
                    return *filled == Value::Int(1);
                }
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        // It is full, perhaps; it can still forget.
        self.tell(ending, remembering).await;
        false
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

/// In pieces for one trip each.
fn batches<T>(values: &[(Slot, Vec<u8>, T)]) -> impl Iterator<Item = &[(Slot, Vec<u8>, T)]> {
    let (mut many, mut bytes) = (0, 0);
    values.chunk_by(move |(_, value, _), (_, next, _)| {
        (many, bytes) = (many + 1, bytes + value.len());
        let fits = many < BATCH && bytes + next.len() <= BATCH_BYTES;
        if !fits {
            (many, bytes) = (0, 0);
        }
        fits
    })
}

fn found(value: Value, lease: Option<&[u8; 17]>) -> Found {
    match value {
        Value::BulkString(bytes) => match lease {
            // A question that was asked twice.
            Some(lease) if bytes.len() == lease.len() && bytes[1..] == lease[1..] => Found::Leased,
            _ => Found::Slot(bytes.into()),
        },
        _ => Found::Nothing,
    }
}

fn filled(answer: &Value) -> Filled {
    match answer {
        Value::Int(1) => Filled::Stored,
        _ => Filled::Refused,
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
