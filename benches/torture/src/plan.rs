//! Which faults happen when: drawn from the seed alone, before anything starts.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::args::Role;

/// What happens.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Fault {
    BrokerKilled,
    BrokerStopped,
    /// Connections reset, and each new one too.
    CutOff,
    /// Connections reset, new ones welcome.
    Cut,
    HalfOpen,
    Throttled,
    ConsumerKilled,
    OutboxKilled,
    LettersKilled,
    PublisherKilled,
    DatabasePaused,
}

/// One fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Planned {
    /// From the start of the traffic; later by what those before in its lane took longer than planned.
    pub(crate) at: Duration,
    pub(crate) fault: Fault,
    pub(crate) lasts: Duration,
    /// Chooses among processes of a role, and how slow slow is.
    pub(crate) which: u32,
}

/// Faults that exclude each other; those of different lanes overlap.
struct Lane {
    faults: &'static [Fault],
    /// Between the end of one and the start of the next, in ms.
    gap: (u64, u64),
    /// In ms.
    lasts: (u64, u64),
}

const LANES: [Lane; 4] = [
    // Its gaps begin when it is up again, five seconds later on an idle machine: time for some work in between.
    Lane { faults: &[Fault::BrokerKilled, Fault::BrokerStopped], gap: (7_000, 12_000), lasts: (200, 3_000) },
    // Longer than two heartbeats of two seconds now and then, so that some silences are noticed and some are not.
    Lane {
        faults: &[Fault::CutOff, Fault::Cut, Fault::HalfOpen, Fault::Throttled],
        gap: (1_500, 4_000),
        lasts: (300, 6_000),
    },
    // Consumers twice: they have the most to lose.
    Lane {
        faults: &[
            Fault::ConsumerKilled,
            Fault::OutboxKilled,
            Fault::PublisherKilled,
            Fault::ConsumerKilled,
            Fault::LettersKilled,
        ],
        gap: (800, 2_500),
        lasts: (0, 1_500),
    },
    Lane { faults: &[Fault::DatabasePaused], gap: (5_000, 10_000), lasts: (300, 4_000) },
];

/// From here on gaps are whole; a shorter run has shorter ones, so that it has its faults too.
const WHOLE: Duration = Duration::from_secs(30);

/// The faults of a run, lane by lane.
pub(crate) fn plan(seed: u64, length: Duration) -> Vec<Vec<Planned>> {
    let hurry = (length.as_secs_f64() / WHOLE.as_secs_f64()).min(1.0);
    (0..).zip(&LANES).map(|(number, lane)| lane.plan(sub_seed(seed, number), length, hurry)).collect()
}

/// A seed of its own for each who draws.
pub(crate) fn sub_seed(seed: u64, number: u64) -> u64 {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    rng.random()
}

// === impl Lane ===

impl Lane {
    fn plan(&self, seed: u64, length: Duration, hurry: f64) -> Vec<Planned> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut planned = Vec::new();
        let mut deck: Vec<Fault> = Vec::new();
        let mut at = Duration::ZERO;
        loop {
            at += Duration::from_millis(rng.random_range(self.gap.0..=self.gap.1)).mul_f64(hurry);
            if at >= length {
                return planned;
            }
            if deck.is_empty() {
                // Each has its turn before one has two.
                deck = self.faults.to_vec();
                deck.shuffle(&mut rng);
            }
            let Some(fault) = deck.pop() else { return planned };
            let lasts = Duration::from_millis(rng.random_range(self.lasts.0..=self.lasts.1)).mul_f64(hurry);
            planned.push(Planned { at, fault, lasts, which: rng.random() });
            at += lasts;
        }
    }
}

// === impl Fault ===

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BrokerKilled => "broker killed",
            Self::BrokerStopped => "broker stopped",
            Self::CutOff => "cut off",
            Self::Cut => "connections cut",
            Self::HalfOpen => "half open",
            Self::Throttled => "throttled",
            Self::ConsumerKilled => "consumer killed",
            Self::OutboxKilled => "outbox killed",
            Self::LettersKilled => "letters killed",
            Self::PublisherKilled => "publisher killed",
            Self::DatabasePaused => "database paused",
        }
    }

    /// Whose process is killed.
    pub(crate) fn victim(self) -> Option<Role> {
        match self {
            Self::ConsumerKilled => Some(Role::Consumer),
            Self::OutboxKilled => Some(Role::Outbox),
            Self::LettersKilled => Some(Role::Letters),
            Self::PublisherKilled => Some(Role::Publisher),
            Self::BrokerKilled
            | Self::BrokerStopped
            | Self::CutOff
            | Self::Cut
            | Self::HalfOpen
            | Self::Throttled
            | Self::DatabasePaused => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn one_seed_is_one_plan_and_another_is_another() {
        assert_eq!(plan(7, MINUTE), plan(7, MINUTE));
        assert_ne!(plan(7, MINUTE), plan(8, MINUTE));
    }

    #[test]
    fn a_minute_has_every_fault() {
        let all: BTreeSet<Fault> = LANES.iter().flat_map(|lane| lane.faults).copied().collect();
        for seed in 0..200 {
            let had: BTreeSet<Fault> = plan(seed, MINUTE).iter().flatten().map(|one| one.fault).collect();
            assert_eq!(had, all, "seed {seed}");
        }
    }

    #[test]
    fn five_seconds_have_trouble_in_every_lane() {
        for seed in 0..200 {
            assert!(plan(seed, Duration::from_secs(5)).iter().all(|lane| !lane.is_empty()), "seed {seed}");
        }
    }

    #[test]
    fn faults_of_a_lane_follow_each_other_within_the_run() {
        for seed in 0..200 {
            for lane in plan(seed, MINUTE) {
                assert!(lane.windows(2).all(|two| two[0].at + two[0].lasts < two[1].at), "seed {seed}");
                assert!(lane.iter().all(|one| one.at < MINUTE), "seed {seed}");
            }
        }
    }
}
