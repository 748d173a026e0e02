//! What loads bring, and what is written over whatever is there.

use std::time::Duration;

use ::redis::Value;

use crate::envelope::Token;
use crate::tier::redis::gate::Remembering;
use crate::tier::redis::link::Failure;
use crate::tier::redis::{BATCH, Redis, lease, span};
use crate::tier::{Ending, Filled, Slot};

/// So much is written in one trip, beside one value: each trip has the time of one answer.
const BATCH_BYTES: usize = 1024 * 1024;

impl Redis {
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

fn filled(answer: &Value) -> Filled {
    match answer {
        Value::Int(1) => Filled::Stored,
        _ => Filled::Refused,
    }
}
