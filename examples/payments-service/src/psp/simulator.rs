//! What the provider does with its jobs: take a payment up, then report how it ended.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chassis::config::Secret;
use contracts::Amount;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Notify;
use url::Url;
use uuid::Uuid;

use super::caller::{Called, Caller};
use crate::domain::{self, Change, InvalidTransition, SCALED_DIGITS};
use crate::store::{ChangeError, Job, Shown, Step, Store};

/// The provider. A few tasks run it, each on a clone; payments that are made wake one of them.
#[derive(Clone, Debug)]
pub(crate) struct Simulator {
    store: Store,
    caller: Caller,
    /// The other half is notified when a payment is made.
    work: Arc<Notify>,
}

/// Jobs of other replicas, and those whose time comes, are found within this.
const POLL: Duration = Duration::from_secs(1);

/// A call that did not get through is tried again after this, doubled each time …
const FIRST_DELAY: Duration = Duration::from_millis(250);
/// … up to this.
const LAST_DELAY: Duration = Duration::from_secs(30);

/// How a payment ends here, told by its amount: the contract's rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Completes,
    Fails,
    Stays,
}

impl Simulator {
    pub(crate) fn new(store: Store, webhook: Url, secret: Secret, work: Arc<Notify>) -> Self {
        Self { store, caller: Caller::new(webhook, secret), work }
    }

    /// Works until `shutdown`. A job that was begun is finished or left to its lease; nothing is lost, since
    /// jobs are rows.
    pub(crate) async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = std::pin::pin!(shutdown);
        self.store.db().migrated().await;
        loop {
            let claimed = tokio::select! {
                // ORDER: shutdown first, or a full queue of jobs could keep us from seeing it.
                biased;
                () = &mut shutdown => return,
                claimed = Job::claim(self.store.db(), Timestamp::now()) => claimed,
            };
            match claimed {
                Ok(Some(job)) => self.work_on(&job).await,
                Ok(None) => tokio::select! {
                    biased;
                    () = &mut shutdown => return,
                    () = self.work.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                },
                Err(error) => {
                    tracing::warn!(%error, "the provider's jobs cannot be read");
                    tokio::select! {
                        biased;
                        () = &mut shutdown => return,
                        () = tokio::time::sleep(POLL) => {}
                    }
                }
            }
        }
    }

    async fn work_on(&self, job: &Job) {
        let done = match job.step {
            Step::TakeUp => self.take_up(job).await,
            Step::Report => self.report(job).await,
        };
        if let Err(error) = done {
            tracing::warn!(payment = %job.payment_id, ?error, "a job of the provider waits for its lease to end");
        }
    }

    /// `pending → processing`, and what comes next, in one transaction.
    async fn take_up(&self, job: &Job) -> Result<(), ChangeError> {
        let now = Timestamp::now();
        let mut tx = self.store.db().begin().await?;
        let payment = match Store::change_in(&mut tx, job.payment_id, &Change::TakenUp, &job.origin).await {
            Ok((payment, _)) => Some(payment),
            // One that was cancelled needs nobody.
            Err(ChangeError::NotFound | ChangeError::Refused(InvalidTransition { .. })) => None,
            Err(error) => return Err(error),
        };
        // One that stays is ended by whoever calls the webhook.
        let goes_on = payment.as_ref().is_some_and(|payment| fate(payment.amount) != Fate::Stays);
        if goes_on {
            job.advance(&mut tx, Step::Report, now).await?;
        } else {
            job.finish(&mut tx).await?;
        }
        tx.commit().await?;
        if let Some(payment) = payment {
            self.store.forget_payment(payment.id, payment.parties()).await;
        }
        if goes_on {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Calls the webhook, until it is taken or refused for good.
    async fn report(&self, job: &Job) -> Result<(), ChangeError> {
        let now = Timestamp::now();
        let Some(Shown { payment, .. }) = self.store.find(job.payment_id).await? else {
            return self.finish(job).await;
        };
        let reference = reference(job.payment_id);
        let body = match fate(payment.amount) {
            Fate::Completes => {
                json!({ "paymentId": payment.id, "status": "completed", "pspReference": reference })
            }
            Fate::Fails => json!({
                "paymentId": payment.id,
                "status": "failed",
                "pspReference": reference,
                "failureReason": "insufficient funds",
            }),
            Fate::Stays => return self.finish(job).await,
        };
        match self.caller.call(body.to_string(), &job.origin, now).await {
            Called::Taken => self.finish(job).await,
            Called::Refused(status) => {
                tracing::warn!(payment = %payment.id, %status, "the webhook refused the report for good");
                self.finish(job).await
            }
            Called::Failed => {
                let delay = delay(job.attempts);
                tracing::info!(payment = %payment.id, attempt = job.attempts, ?delay, "the webhook did not answer");
                Ok(job.postpone(self.store.db(), now + delay).await?)
            }
        }
    }

    async fn finish(&self, job: &Job) -> Result<(), ChangeError> {
        let mut tx = self.store.db().begin().await?;
        job.finish(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// An amount ending in `.13` fails, one ending in `.99` stays, whatever the currency's digits: one without
/// digits has no such ending.
fn fate(amount: Amount) -> Fate {
    const WHOLE: i64 = 10_i64.pow(SCALED_DIGITS);
    match domain::scaled(amount) % WHOLE {
        1_300 => Fate::Fails,
        9_900 => Fate::Stays,
        _ => Fate::Completes,
    }
}

/// The same for each report of a payment, so that a repeated one is seen to be a repeat.
fn reference(payment: Uuid) -> String {
    format!("psp-{}", payment.simple())
}

/// Doubled with each attempt, with jitter so that many payments do not come back at once.
fn delay(attempts: u32) -> Duration {
    let doubled =
        FIRST_DELAY.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LAST_DELAY).mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests;
