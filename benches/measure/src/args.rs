//! The command line of a load program.

/// What every load program takes after the name of its row.
#[derive(Clone, Debug, clap::Args)]
#[non_exhaustive]
pub struct Args {
    /// The broker: `amqp://HOST:PORT/VHOST`, as guest
    #[arg(long, default_value = "amqp://127.0.0.1:5672/%2f")]
    pub url: String,
    /// The queue, which exists and is bound
    #[arg(long, default_value = "bench.work")]
    pub queue: String,
    /// How many events
    #[arg(long, default_value_t = 20_000)]
    pub events: u64,
    /// How many publishes may wait for their confirm
    #[arg(long, default_value_t = 1000)]
    pub window: usize,
    /// How many deliveries may be out and not acknowledged
    #[arg(long, default_value_t = 250)]
    pub prefetch: u16,
    /// How many deliveries one acknowledgement is for
    #[arg(long, default_value_t = 25)]
    pub ack_every: u64,
    /// How many events a second, in the rows that measure latency
    #[arg(long, default_value_t = 1000)]
    pub rate: u32,
    /// How the client is used
    #[arg(long, value_enum, default_value_t = Style::Batched)]
    pub style: Style,
    /// The broker's process, to read its CPU time from
    #[arg(long)]
    pub broker: Option<u32>,
}

/// How a client is used, where there is more than one way.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
#[non_exhaustive]
pub enum Style {
    /// Many publishes at once, one acknowledgement for many deliveries: the fast way.
    Batched,
    /// Each call awaited before the next: the way of the tutorials.
    Each,
    /// As `batched`, with the message that our hub sends: mandatory, with its properties and header.
    Event,
}
