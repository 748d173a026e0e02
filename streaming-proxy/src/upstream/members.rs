//! The addresses of an upstream at this moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use tokio::task::AbortHandle;

use crate::config::UpstreamConfig;
use crate::resilience::metrics::ResilienceMetrics;
use crate::upstream::endpoint::Endpoint;

/// What an upstream was given, and what that is now: a name is as many addresses as it was found to have.
pub(crate) struct Members {
    /// As they were given. A name stands for itself until it is found.
    given: Vec<Arc<Endpoint>>,
    now: ArcSwap<Vec<Arc<Endpoint>>>,
    /// Held by who makes others.
    renewing: Mutex<()>,
    /// The look-ups of names.
    look_ups: Mutex<Vec<AbortHandle>>,
    /// Whether its look-ups and checks were begun.
    started: AtomicBool,
}

// === impl Members ===

impl Members {
    pub(crate) fn new(given: Vec<Arc<Endpoint>>) -> Arc<Self> {
        let now = given.clone();
        Self::with(given, now)
    }

    fn with(given: Vec<Arc<Endpoint>>, now: Vec<Arc<Endpoint>>) -> Arc<Self> {
        Arc::new(Self {
            given,
            now: ArcSwap::from_pointee(now),
            renewing: Mutex::new(()),
            look_ups: Mutex::new(Vec::new()),
            started: AtomicBool::new(false),
        })
    }

    /// These, with what `before` knows of those that it has too.
    pub(crate) fn succeeding(&self, before: &Self) -> Arc<Self> {
        let known = |endpoint: &Arc<Endpoint>| {
            let known = before.given.iter().find(|known| known.is_same(endpoint));
            known.unwrap_or(endpoint).clone()
        };
        let given: Vec<_> = self.given.iter().map(known).collect();
        let now = assemble(&given, &before.now.load());
        Self::with(given, now)
    }

    /// As they were given.
    pub(crate) fn given(&self) -> &[Arc<Endpoint>] {
        &self.given
    }

    pub(crate) fn now(&self) -> Guard<Arc<Vec<Arc<Endpoint>>>> {
        self.now.load()
    }

    /// Begins with look-ups and checks, once. Needs a runtime.
    pub(crate) fn start(self: &Arc<Self>, config: &UpstreamConfig, metrics: &Arc<ResilienceMetrics>) {
        let _renewing = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.started.swap(true, Ordering::AcqRel) {
            return;
        }
        let look_ups = self.given.iter().filter_map(|endpoint| endpoint.name()).map(|name| {
            let (members, of) = (Arc::downgrade(self), metrics.clone());
            let changed = move || members.upgrade().map(|members: Arc<Self>| members.renew(&of)).is_some();
            tokio::spawn(name.clone().watch(config.resolve_every, metrics.look_ups.clone(), changed))
                .abort_handle()
        });
        self.look_ups.lock().unwrap_or_else(PoisonError::into_inner).extend(look_ups);
        self.now().iter().for_each(|endpoint| endpoint.join(metrics));
    }

    /// A name has other addresses. Those that stay are the same as before; what those that left are doing goes on to
    /// its end, and nothing new comes to them.
    fn renew(&self, metrics: &Arc<ResilienceMetrics>) {
        let _renewing = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Arc::new(assemble(&self.given, &self.now.load()));
        let before = self.now.swap(now.clone());
        let only = |these: &[Arc<Endpoint>], those: &[Arc<Endpoint>]| -> Vec<_> {
            let is_new = |one: &&Arc<Endpoint>| !those.iter().any(|other| Arc::ptr_eq(one, other));
            these.iter().filter(is_new).cloned().collect()
        };
        only(&now, &before).iter().for_each(|endpoint| endpoint.join(metrics));
        // Another table may have it still, or not know yet that it has left.
        only(&before, &now).iter().for_each(|endpoint| endpoint.leave());
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        let look_ups = self.look_ups.get_mut().unwrap_or_else(PoisonError::into_inner);
        look_ups.iter().for_each(AbortHandle::abort);
        if *self.started.get_mut() {
            self.now.load().iter().for_each(|endpoint| endpoint.leave());
        }
    }
}

/// What those `given` are by now, out of those that are `known`.
fn assemble(given: &[Arc<Endpoint>], known: &[Arc<Endpoint>]) -> Vec<Arc<Endpoint>> {
    let mut all = Vec::with_capacity(known.len());
    for endpoint in given {
        let Some(addresses) = endpoint.name().and_then(|name| name.addresses()) else {
            all.push(endpoint.clone());
            continue;
        };
        for address in addresses.iter() {
            let same =
                known.iter().find(|known| known.is_same(endpoint) && known.address() == Some(*address));
            all.push(same.cloned().unwrap_or_else(|| Arc::new(endpoint.found_at(*address))));
        }
    }
    all
}

#[cfg(test)]
mod tests;
