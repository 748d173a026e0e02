//! A topology, printed and compared.

use std::path::Path;

use anyhow::Context as _;
use tramline_event_hub::topology::{Destination, Imported, Item, Topology, Unknown};

use crate::args::{Common, Topology as Command, TopologyFile};
use crate::say::{say, tell};
use crate::{Done, connect};

pub(crate) async fn run(common: &Common, command: Command) -> anyhow::Result<Done> {
    match command {
        Command::Print(options) => print(common, &options),
        Command::Diff(options) => diff(common, &options).await,
    }
}

/// The topology of a `definitions.json`; what it has no words for is told.
pub(crate) fn read(file: &Path, vhost: &str) -> anyhow::Result<Topology> {
    Ok(import(file, vhost)?.topology)
}

/// And what it has no words for.
fn import(file: &Path, vhost: &str) -> anyhow::Result<Imported> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let imported =
        Topology::from_definitions_json(&text, vhost).with_context(|| file.display().to_string())?;
    for unknown in &imported.unknown {
        tell(&format!("left out: {}", words(unknown)));
    }
    Ok(imported)
}

fn words(unknown: &Unknown) -> String {
    unknown.item.as_ref().map_or_else(|| unknown.text.clone(), |item| format!("{item}: {}", unknown.text))
}

/// Whether the thing itself is there, and only a part of it was left out.
fn is_there(topology: &Topology, item: &Item) -> bool {
    match item {
        Item::Exchange { name, .. } => topology.exchanges.iter().any(|exchange| exchange.name == *name),
        Item::Queue { name, .. } => topology.find_queue(name).is_some(),
        Item::Policy { name, .. } => topology.policies.iter().any(|policy| policy.name == *name),
        _ => false,
    }
}

async fn diff(common: &Common, options: &TopologyFile) -> anyhow::Result<Done> {
    let Imported { topology: wanted, unknown, .. } = import(&options.file, &options.vhost)?;
    let left_out = |unknown: &&Unknown| unknown.item.as_ref().is_some_and(|item| !is_there(&wanted, item));
    let left_out: Vec<String> =
        unknown.iter().filter(left_out).map(|unknown| format!("wanted: {}", words(unknown))).collect();
    let hub = connect::hub(common, "events").await?;
    let mut difference = hub.compare(&wanted).await?;
    hub.shutdown().await;
    let compared = left_out.is_empty();
    difference.unseen.extend(left_out);
    if common.json {
        say(&serde_json::to_string(&difference)?)?;
    } else {
        for line in difference.to_string().lines() {
            say(line)?;
        }
    }
    // What is there beside it may be others'.
    Ok(if compared && difference.holds() { Done::All } else { Done::NotAll })
}

fn print(common: &Common, options: &TopologyFile) -> anyhow::Result<Done> {
    let topology = read(&options.file, &options.vhost)?;
    if common.json {
        say(topology.to_definitions_json(&options.vhost).trim_end())?;
        return Ok(Done::All);
    }
    for exchange in &topology.exchanges {
        say(&format!("exchange {} ({})", exchange.name, exchange.kind.as_str()))?;
        for binding in topology.bindings.iter().filter(|binding| binding.source == exchange.name) {
            let (kind, name) = match &binding.destination {
                Destination::Queue(name) => ("queue", name),
                Destination::Exchange(name) => ("exchange", name),
                _ => continue,
            };
            say(&format!("  {} → {kind} {name}", binding.key))?;
        }
    }
    for queue in &topology.queues {
        say(&format!("queue {} ({:?})", queue.name, queue.kind).to_lowercase())?;
    }
    Ok(Done::All)
}
