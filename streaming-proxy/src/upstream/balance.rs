//! Which address serves the next request.

use std::sync::Arc;

use crate::upstream::endpoint::Endpoint;
use crate::upstream::health::Claim;

/// The less busy of two that are fine; one that is due for a try before them; the one due first when none is fine.
///
/// Only requests that `may_try` are sent to one that failed while others are fine.
pub(crate) fn pick(endpoints: &[Arc<Endpoint>], tried: &[usize], may_try: bool) -> Option<usize> {
    // One address is the common case, and has no choice: it is tried whatever its past.
    if let [_] = endpoints {
        return tried.is_empty().then_some(0);
    }
    let mut up = Vec::with_capacity(endpoints.len());
    let mut due: Option<(usize, tokio::time::Instant)> = None;
    for (index, endpoint) in endpoints.iter().enumerate() {
        if tried.contains(&index) {
            continue;
        }
        match endpoint.health.claim(may_try) {
            Claim::Up => up.push(index),
            Claim::Probe => return Some(index),
            Claim::Down(until) => {
                if due.is_none_or(|(_, earliest)| until < earliest) {
                    due = Some((index, until));
                }
            }
        }
    }
    let load = |index: usize| endpoints.get(index).map_or(usize::MAX, |endpoint| endpoint.load());
    match up.as_slice() {
        [] => due.map(|(index, _)| index),
        [only] => Some(*only),
        several => {
            let first = rand::random_range(0..several.len());
            let second = (first + rand::random_range(1..several.len())) % several.len();
            let (first, second) = (*several.get(first)?, *several.get(second)?);
            Some(if load(second) < load(first) { second } else { first })
        }
    }
}

#[cfg(test)]
mod tests;
