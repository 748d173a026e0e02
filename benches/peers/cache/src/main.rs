//! The caches and the clients of Redis that stand beside ours: each row for each of them that can do it.

mod amalgam;
mod by_hand;
mod clients;
mod memory;

use anyhow::bail;
use clap::{Parser, ValueEnum};
use measure::cache::{Ask, Row};

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    ask: Ask,
    /// Who
    #[arg(long, value_enum)]
    client: Client,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Client {
    Amalgam,
    ByHand,
    Cached,
    Fred,
    Moka,
    MokaFuture,
    QuickCache,
    Redis,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Cli { ask, client } = Cli::parse();
    let figures = match (client, ask.row) {
        (Client::Amalgam, _) => match amalgam::run(&ask).await? {
            Some(figures) => figures,
            None => return Ok(()),
        },
        (Client::ByHand, Row::HitOne | Row::HitTwo) => by_hand::hits(&ask).await?,
        (Client::ByHand, Row::SharedOne) => by_hand::get(&ask, 1).await?,
        (Client::ByHand, Row::SharedCrowd) => by_hand::get(&ask, 64).await?,
        (Client::ByHand, Row::Many) => by_hand::many(&ask, 1000).await?,
        (_, Row::HitOne | Row::HitTwo) => memory::hits(client, &ask).await?,
        (_, Row::Zipf) => memory::zipfed(client, &ask).await?,
        (Client::Fred, Row::SharedOne) => clients::fred(&ask, 1).await?,
        (Client::Fred, Row::SharedCrowd) => clients::fred(&ask, 64).await?,
        (Client::Redis, Row::SharedOne) => clients::get(&ask, 1).await?,
        (Client::Redis, Row::SharedCrowd) => clients::get(&ask, 64).await?,
        (Client::Redis, Row::Many) => clients::mget(&ask, 1000).await?,
        (Client::Redis, Row::Nobody) => clients::mget(&ask, 50).await?,
        (Client::Redis, Row::Invalidate) if ask.child => return clients::subscriber(&ask).await,
        (Client::Redis, Row::Invalidate) => clients::publisher(&ask).await?,
        _ => bail!("{client:?} cannot do this"),
    };
    figures.print()
}
