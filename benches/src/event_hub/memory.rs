//! The memory hub.

use measure::Report;
use tramline_event_hub::{Hub, MemoryConfig};

use crate::event_hub::{Allocations, Load, Section, bed, consume, publish};

/// Publishers on one side, one handler on the other, until every event is handled.
pub(super) async fn run(load: &Load, counter: Option<Allocations>) -> anyhow::Result<Report> {
    let mut config = MemoryConfig::default();
    config.hub = bed::hub(load);
    let hub = Hub::memory(config);
    hub.declare(&bed::topology(load)).await?;
    let section = Section::start(load, counter)?;
    let publishing = tokio::spawn({
        let (hub, load) = (hub.clone(), load.clone());
        async move { publish::flood(&hub, &load, load.args.events).await }
    });
    consume::all(&hub, load).await?;
    publishing.await??;
    let report = section.finish(load.args.events)?;
    hub.shutdown().await;
    Ok(report)
}
