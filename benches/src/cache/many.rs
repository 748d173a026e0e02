//! What only Redis has, and what nobody has, a hundred keys at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::bail;
use measure::cache::{Ask, Figures, MANY, crowd, key, value};

use crate::cache::{profiles, shared, shared::filled};

/// Each key is asked for once by a store that has just begun.
pub(super) async fn run(ask: &Ask) -> anyhow::Result<Figures> {
    let calls = ask.times(1000);
    let profiles = filled(ask, calls * MANY).await?;
    crowd(1, calls, MANY, move |number| {
        let profiles = profiles.clone();
        async move {
            let values = profiles.get_many_or_load(&keys(number), absent).await?;
            anyhow::ensure!(values.len() == MANY, "not all of them");
            Ok(())
        }
    })
    .await
}

/// The same over a way that takes its time, with a load that takes none: `p50` tells how often it is gone.
pub(super) async fn nobody(ask: &Ask) -> anyhow::Result<Figures> {
    let profiles = profiles(&shared(ask).await?)?;
    let calls = ask.times(50);
    let loads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&loads);
    // Who asks for the first time connects, and sets the clocks.
    profiles.get_many_or_load(&keys(calls), load(&Arc::default())).await?;
    let mut figures = crowd(1, calls, MANY, move |number| {
        let (profiles, load) = (profiles.clone(), load(&counted));
        async move {
            let values = profiles.get_many_or_load(&keys(number), load).await?;
            anyhow::ensure!(values.len() == MANY, "not all of them");
            Ok(())
        }
    })
    .await?;
    let loads = u32::try_from(loads.load(Ordering::Acquire))?;
    figures.set("loads", f64::from(loads) / f64::from(u32::try_from(calls)?));
    Ok(figures)
}

fn keys(call: usize) -> Vec<String> {
    (call * MANY..(call + 1) * MANY).map(key).collect()
}

/// Redis has all.
async fn absent(_: Vec<String>) -> anyhow::Result<HashMap<String, String>> {
    bail!("Redis did not have it")
}

/// A load that is counted.
fn load(
    loads: &Arc<AtomicU64>,
) -> impl FnOnce(Vec<String>) -> std::future::Ready<anyhow::Result<HashMap<String, String>>> + Send + use<> {
    let loads = Arc::clone(loads);
    move |keys| {
        loads.fetch_add(1, Ordering::AcqRel);
        std::future::ready(Ok(keys.into_iter().map(|key| (key, value())).collect()))
    }
}
