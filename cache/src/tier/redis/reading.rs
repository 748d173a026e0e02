//! What is read, and leased with that.

use std::time::Duration;

use ::redis::Value;
use futures_util::future::join_all;

use crate::envelope::Token;
use crate::tier::redis::link::{self, Failure};
use crate::tier::redis::{BATCH, Redis, lease, span};
use crate::tier::{Found, Slot};

impl Redis {
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
