//! Which address serves the next request.

use std::sync::Arc;

use crate::upstream::endpoint::Endpoint;
use crate::upstream::health::Claim;

/// The less busy of two that are fine; one that is due for a try before them; the one due first when none is fine.
///
/// Only requests that `may_try` are sent to one that failed while others are fine.
pub(crate) fn pick<'a>(
    endpoints: &'a [Arc<Endpoint>],
    tried: &[Arc<Endpoint>],
    may_try: bool,
) -> Option<&'a Arc<Endpoint>> {
    // One address is the common case, and has no choice: it is tried whatever its past.
    if let [only] = endpoints {
        return tried.is_empty().then_some(only);
    }
    let mut up = Vec::with_capacity(endpoints.len());
    let mut due: Option<(&Arc<Endpoint>, tokio::time::Instant)> = None;
    for endpoint in endpoints {
        if tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint)) {
            continue;
        }
        match endpoint.health.claim(may_try) {
            Claim::Up => up.push(endpoint),
            Claim::Probe => return Some(endpoint),
            Claim::Down(until) => {
                if due.is_none_or(|(_, earliest)| until < earliest) {
                    due = Some((endpoint, until));
                }
            }
        }
    }
    match up.as_slice() {
        [] => due.map(|(endpoint, _)| endpoint),
        [only] => Some(only),
        several => {
            let first = rand::random_range(0..several.len());
            let second = (first + rand::random_range(1..several.len())) % several.len();
            let (first, second) = (*several.get(first)?, *several.get(second)?);
            Some(if second.load() < first.load() { second } else { first })
        }
    }
}

#[cfg(test)]
mod tests;
