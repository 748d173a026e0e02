//! Makes the faults happen.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use devkit::{Postgres, RabbitMq};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep, sleep_until};

use crate::plan::{Fault, Planned};
use crate::report::say;
use crate::workers::Workers;

/// What faults happen to.
pub(crate) struct Victims<'a> {
    pub(crate) broker: &'a RabbitMq,
    pub(crate) network: &'a devkit::Fault,
    pub(crate) database: &'a Postgres,
    pub(crate) workers: &'a Workers,
    pub(crate) done: Mutex<BTreeMap<Fault, u32>>,
}

// === impl Victims ===

impl Victims<'_> {
    /// Makes the plan happen. A fault that has begun is lived through, so that this may take longer than `length`.
    pub(crate) async fn torment(
        &self,
        plan: &[Vec<Planned>],
        start: Instant,
        length: Duration,
    ) -> anyhow::Result<()> {
        try_join_all(plan.iter().map(|lane| self.lane(lane, start, start + length))).await?;
        Ok(())
    }

    async fn lane(&self, lane: &[Planned], start: Instant, end: Instant) -> anyhow::Result<()> {
        // A broker takes its time to come up: what follows moves with it, so that every pause is as long as planned.
        let mut late = Duration::ZERO;
        for planned in lane {
            let begins = start + planned.at + late;
            if begins >= end {
                return Ok(());
            }
            sleep_until(begins).await;
            let (name, lasts) = (planned.fault.name(), planned.lasts.as_secs_f64());
            say(&format!("{:>6.1} s  {name}, {lasts:.1} s", start.elapsed().as_secs_f64()));
            *self.done.lock().unwrap_or_else(PoisonError::into_inner).entry(planned.fault).or_default() += 1;
            self.inflict(planned).await?;
            if [Fault::BrokerKilled, Fault::BrokerStopped].contains(&planned.fault) {
                say(&format!("{:>6.1} s  broker up again", start.elapsed().as_secs_f64()));
            }
            late = Instant::now().saturating_duration_since(start + planned.at + planned.lasts);
        }
        Ok(())
    }

    async fn inflict(&self, planned: &Planned) -> anyhow::Result<()> {
        if let Some(role) = planned.fault.victim() {
            return self.workers.kill(role, planned.which, planned.lasts).await;
        }
        match planned.fault {
            Fault::BrokerKilled => {
                self.broker.kill().await;
                sleep(planned.lasts).await;
                self.broker.restart().await?;
            }
            Fault::BrokerStopped => {
                self.broker.stop().await;
                sleep(planned.lasts).await;
                self.broker.restart().await?;
            }
            Fault::Cut => self.network.cut_once(),
            Fault::CutOff => {
                self.network.cut();
                sleep(planned.lasts).await;
                self.network.heal();
            }
            Fault::HalfOpen => {
                self.network.half_open();
                sleep(planned.lasts).await;
                self.network.heal();
            }
            Fault::Throttled => {
                // From a few events a second to some dozens.
                self.network.throttle(2_000 + planned.which % 30_000);
                sleep(planned.lasts).await;
                self.network.heal();
            }
            Fault::DatabasePaused => {
                self.database.pause();
                sleep(planned.lasts).await;
                self.database.resume();
            }
            Fault::ConsumerKilled | Fault::OutboxKilled | Fault::LettersKilled | Fault::PublisherKilled => {}
        }
        Ok(())
    }
}
