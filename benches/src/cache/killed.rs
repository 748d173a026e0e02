//! Redis is killed.

use std::time::Duration;

use anyhow::bail;
use measure::cache::{Ask, FRESH, Figures, STALE, Sides, key, killed, value};
use tramline_cache::Policy;

use crate::cache::{fill, profiles, shared};

/// A key that is there all the time.
const WARM: usize = 1;

pub(super) async fn run(ask: &Ask) -> anyhow::Result<Figures> {
    let profiles = profiles(&shared(ask).await?)?;
    let mut policy = Policy::new(FRESH);
    policy.stale_for = Some(Duration::from_hours(1));
    let old = profiles.with_policy(policy)?;
    let stale = |number| key(10 + number);
    for number in 0..STALE {
        fill(&old, stale(number)).await?;
    }
    fill(&profiles, key(WARM)).await?;
    let warm = key(WARM);
    let sides = Sides {
        hits: async |times| {
            for _ in 0..times {
                profiles.get_or_load(&warm, failed).await?;
            }
            Ok(())
        },
        miss: async |number| {
            profiles.get_or_load(&key(1000 + number), || async { anyhow::Ok(value()) }).await?;
            Ok(())
        },
        stale: async |number| {
            old.get_or_load(&stale(number), failed).await?;
            Ok(())
        },
    };
    killed(ask, sides).await
}

async fn failed() -> anyhow::Result<String> {
    bail!("the database is away too")
}
