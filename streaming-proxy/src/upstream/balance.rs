//! Which address serves the next request.

pub(crate) mod key;
pub(crate) mod latency;

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use crate::config::{Balance, UpstreamConfig};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::health::Claim;

/// Chooses among the addresses of an upstream.
#[derive(Debug)]
pub(crate) struct Balancer {
    how: Balance,
    fail_fast: bool,
    /// Whose turn it is, in turns.
    turn: AtomicUsize,
}

/// What of a request matters for where it goes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ask {
    /// It may be the one that finds out whether a failing address is back: it is not lost if it is lost.
    pub(crate) may_try: bool,
    /// It has an answer that is better than what an address that is out would say.
    pub(crate) only_up: bool,
    /// What it is told apart by; see [`key`](key::key).
    pub(crate) key: Option<u64>,
}

/// Where a request goes.
pub(crate) enum Picked<'a> {
    At(&'a Arc<Endpoint>),
    /// It has been everywhere.
    Nowhere,
    /// All addresses are out until then, and it shall not try one.
    Out(Instant),
}

// === impl Balancer ===

impl Balancer {
    pub(crate) fn new(config: &UpstreamConfig) -> Self {
        Self { how: config.balance.clone(), fail_fast: config.fail_fast, turn: AtomicUsize::new(0) }
    }

    /// An address that was not `tried`: one that is due for a try, else one that is fine, else the one that is due first.
    ///
    /// Only requests that `may_try` are sent to one that failed while others are fine.
    pub(crate) fn pick<'a>(
        &self,
        endpoints: &'a [Arc<Endpoint>],
        tried: &[Arc<Endpoint>],
        ask: Ask,
    ) -> Picked<'a> {
        match endpoints {
            // One address is the common case, and has no choice: it is tried whatever its past.
            [only] if tried.is_empty() && !self.fail_fast => return Picked::At(only),
            [_, _, ..] if tried.is_empty() && self.is_drawn(ask) => {
                if let Some(endpoint) = draw(endpoints) {
                    return Picked::At(endpoint);
                }
            }
            _ => {}
        }
        let mut left: Vec<_> = endpoints
            .iter()
            .filter(|endpoint| !tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint)))
            .collect();
        if let Some(key) = ask.key {
            left.sort_by_cached_key(|endpoint| Reverse(key::score(key, endpoint.place())));
        }
        let mut up = Vec::with_capacity(left.len());
        let mut due: Option<(&Arc<Endpoint>, Instant)> = None;
        let (mut unhealthy, mut checked) = (Vec::new(), None);
        for endpoint in left {
            match endpoint.health.claim(ask.may_try) {
                // The first of those in order.
                Claim::Up if ask.key.is_some() => return Picked::At(endpoint),
                Claim::Up => up.push(endpoint),
                Claim::Probe => return Picked::At(endpoint),
                Claim::Unhealthy(until) => {
                    unhealthy.push(endpoint);
                    checked = Some(until);
                }
                Claim::Down(until) => {
                    if due.is_none_or(|(_, earliest)| until < earliest) {
                        due = Some((endpoint, until));
                    }
                }
            }
        }
        match (self.among(&up), due) {
            (Some(endpoint), _) => Picked::At(endpoint),
            (None, _) if ask.only_up => Picked::Nowhere,
            // What checks are against may be the checks' fault: all of them share what comes.
            (None, None) => match (self.among(&unhealthy), checked) {
                (Some(_), Some(until)) if self.fail_fast => Picked::Out(until),
                (Some(endpoint), _) => Picked::At(endpoint),
                (None, _) => Picked::Nowhere,
            },
            (None, Some((endpoint, _))) if !self.fail_fast => Picked::At(endpoint),
            // Its time may be over, and this request the first one since, which may then be any.
            (None, Some((endpoint, until))) => match endpoint.health.claim(true) {
                Claim::Up | Claim::Probe => Picked::At(endpoint),
                Claim::Down(_) | Claim::Unhealthy(_) => Picked::Out(until),
            },
        }
    }

    /// Whether two are drawn.
    fn is_drawn(&self, ask: Ask) -> bool {
        self.how != Balance::RoundRobin && ask.key.is_none()
    }

    /// One of those that are fine.
    fn among<'a>(&self, up: &[&'a Arc<Endpoint>]) -> Option<&'a Arc<Endpoint>> {
        if let [] | [_] = up {
            return up.first().copied();
        }
        let now = Instant::now();
        if self.how == Balance::RoundRobin {
            let first = self.turn.fetch_add(1, Ordering::Relaxed);
            let mut turns =
                (0..up.len()).filter_map(|step| up.get(first.wrapping_add(step) % up.len()).copied());
            // One that starts slowly leaves most of its turns to the next.
            let taken = turns.find(|endpoint| rand::random::<f64>() < endpoint.health.share(now));
            return taken.or_else(|| up.get(first % up.len()).copied());
        }
        let (first, second) = two(up.len());
        cheaper(up.get(first)?, up.get(second)?, now)
    }
}

/// One of two that are drawn, when nothing is known against either: the common case, without going through all. One
/// that is not fine is found out by being drawn.
fn draw(endpoints: &[Arc<Endpoint>]) -> Option<&Arc<Endpoint>> {
    let (first, second) = two(endpoints.len());
    let (first, second) = (endpoints.get(first)?, endpoints.get(second)?);
    if !first.health.is_quiet() || !second.health.is_quiet() {
        return None;
    }
    cheaper(first, second, Instant::now())
}

fn two(count: usize) -> (usize, usize) {
    let first = rand::random_range(0..count);
    (first, (first + rand::random_range(1..count)) % count)
}

fn cheaper<'a>(
    first: &'a Arc<Endpoint>,
    second: &'a Arc<Endpoint>,
    now: Instant,
) -> Option<&'a Arc<Endpoint>> {
    let cost = |endpoint: &Endpoint| endpoint.latency.cost(now, endpoint.load()) / endpoint.health.share(now);
    Some(if cost(second) < cost(first) { second } else { first })
}

#[cfg(test)]
mod tests;
