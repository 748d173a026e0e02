//! Numbers as people ask for things: a few of them most of the time.

use crate::cache::Ask;
use crate::cache::figures::{Figures, number};

/// Draws numbers from 0 on by Zipf's law with the exponent 0.99, the same each time.
#[derive(Debug)]
pub struct Zipf {
    /// The chance of a number up to this one.
    up_to: Vec<f64>,
    state: u64,
}

const EXPONENT: f64 = 0.99;

// === impl Zipf ===

impl Zipf {
    /// Of so many numbers.
    #[must_use]
    pub fn new(numbers: usize, seed: u64) -> Self {
        let mut sum = 0.0;
        let mut up_to: Vec<f64> = Vec::with_capacity(numbers);
        for rank in 1..=numbers {
            sum += number(rank).powf(-EXPONENT);
            up_to.push(sum);
        }
        up_to.iter_mut().for_each(|chance| *chance /= sum);
        Self { up_to, state: seed }
    }

    /// The next one.
    pub fn draw(&mut self) -> usize {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.state;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^= drawn >> 31;
        let chance = number(drawn >> 11) / number(1_u64 << 53);
        self.up_to.partition_point(|up_to| *up_to <= chance).min(self.up_to.len() - 1)
    }
}

/// The share of hits among questions after a million keys with memory for a tenth of them, once memory is full.
/// `ask` tells whether it was a hit.
#[allow(clippy::missing_errors_doc, reason = "those of `ask`")]
pub async fn zipf(ask: &Ask, hit: impl AsyncFn(u64) -> anyhow::Result<bool>) -> anyhow::Result<Figures> {
    let mut zipf = Zipf::new(KEYS, 7);
    let questions = ask.times(4_000_000);
    for _ in 0..questions / 2 {
        hit(zipf.draw() as u64).await?;
    }
    let mut hits = 0_usize;
    for _ in 0..questions {
        hits += usize::from(hit(zipf.draw() as u64).await?);
    }
    let mut figures = Figures::default();
    figures.set("hit_rate", number(hits) / number(questions) * 100.0);
    Ok(figures)
}

const KEYS: usize = 1_000_000;

/// What memory may hold in that row.
pub const KEPT: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tenth_has_most_of_it() {
        let mut zipf = Zipf::new(1000, 1);
        let drawn: Vec<usize> = (0..20_000).map(|_| zipf.draw()).collect();
        let share = |below| drawn.iter().filter(|number| **number < below).count() * 100 / drawn.len();
        assert!((67..73).contains(&share(100)), "{}", share(100));
        assert!((12..15).contains(&share(1)), "{}", share(1));
        assert_eq!(share(1000), 100);
    }
}
