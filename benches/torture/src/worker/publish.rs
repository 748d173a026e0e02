//! Direct publishers: what the hub does not confirm is sent again, the same event with its id.
//!
//! Its parent hears of each event before it is sent, so that it knows after a kill what may have arrived.

use std::collections::HashMap;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tramline_event_hub::{Event, Hub};

use crate::bed::KEYS;
use crate::lines::{Answered, Line};
use crate::plan::sub_seed;
use crate::task::{DIRECT, Does, HOPELESS, MENDED, Task};
use crate::worker::phase::Phase;

/// At once in each process.
const PUBLISHERS: u64 = 2;

/// Some two hundred events a second in all: consumers and database keep up with it on two busy cores.
const PACE_MS: std::ops::Range<u64> = 40..120;
const BATCH: std::ops::RangeInclusive<usize> = 1..=8;

/// Between two tries of what was not confirmed.
const AGAIN: Duration = Duration::from_millis(100);

pub(super) async fn run(hub: &Hub, phase: &Phase, seed: u64) -> anyhow::Result<()> {
    let mut publishers = JoinSet::new();
    for number in 0..PUBLISHERS {
        let seed = sub_seed(seed, number);
        let rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let name = format!("p{:x}", seed >> 32);
        publishers.spawn(Publisher { hub: hub.clone(), rng, name, seqs: HashMap::new() }.run(phase.clone()));
    }
    let finish = async {
        while let Some(ended) = publishers.join_next().await {
            ended??;
        }
        Line::Finished.tell();
        std::future::pending::<anyhow::Result<()>>().await
    };
    tokio::select! {
        ended = finish => ended,
        () = phase.stopped() => Ok(()),
    }
}

struct Publisher {
    hub: Hub,
    rng: Xoshiro256PlusPlus,
    name: String,
    seqs: HashMap<String, i64>,
}

// === impl Publisher ===

impl Publisher {
    async fn run(mut self, phase: Phase) -> anyhow::Result<()> {
        while !phase.is_quiet() {
            let batch =
                (0..self.rng.random_range(BATCH)).map(|_| self.draw()).collect::<Result<Vec<_>, _>>()?;
            // ORDER: told before it is sent.
            let offered = batch.iter().map(|(event, does)| (event.id.to_string(), does.is_poison()));
            Line::Offered(offered.collect()).tell();
            let mut pending = self.publish(batch.into_iter().map(|(event, _)| event).collect()).await;
            while !pending.is_empty() {
                sleep(AGAIN).await;
                pending = self.publish(pending).await;
            }
            sleep(Duration::from_millis(self.rng.random_range(PACE_MS))).await;
            phase.unbraked().await;
        }
        Ok(())
    }

    fn draw(&mut self) -> anyhow::Result<(Event, Does)> {
        let key = format!("{}-{}", self.name, self.rng.random_range(0..KEYS));
        let seq = self.seqs.entry(key.clone()).or_default();
        *seq += 1;
        let (kind, does) = match self.rng.random_range(0..200) {
            0 => (HOPELESS, Does::Poison),
            1..5 => (MENDED, Does::Mended),
            _ => (DIRECT, Does::draw(&mut self.rng)),
        };
        Ok((Task { key, seq: *seq, does }.event(kind)?, does))
    }

    /// Answers with what is not confirmed.
    async fn publish(&self, events: Vec<Event>) -> Vec<Event> {
        let ids: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
        let answers = self.hub.publish_all(events).await;
        let (mut answered, mut pending) = (Answered::default(), Vec::new());
        for (id, answer) in ids.into_iter().zip(answers) {
            match answer {
                Ok(_) => answered.confirmed.push(id),
                Err(error) => {
                    *answered.others.entry(error.kind().name().to_owned()).or_default() += 1;
                    answered.unknown += u64::from(error.may_have_arrived());
                    pending.push(error.into_event());
                }
            }
        }
        Line::Answered(answered).tell();
        pending
    }
}
