//! The event hub under load: typed events, tracing and metrics on, as in a service.

mod bed;
mod consume;
mod latency;
mod memory;
mod order;
mod publish;
mod truth;

use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use measure::{Args, Meter, Report};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tramline_observability::metrics::{Recorder, RecorderConfig};
use tramline_observability::{Telemetry, TelemetryConfig};

/// How often memory was allocated since the start of the process, and how many bytes.
pub type Allocations = fn() -> (u64, u64);

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    row: Row,
}

#[derive(Debug, Subcommand)]
enum Row {
    /// Declares the queue, for every program
    Prepare(Load),
    /// Publishes so many, unmeasured
    Fill(Load),
    /// Publishes with confirms, window after window
    Publish(Load),
    /// Takes what is there, through a handler
    Consume(Load),
    /// One publish at a time, each confirmed before the next
    Awaited(Load),
    /// From the publish to the handler at a steady rate
    Latency(Load),
    /// Through a memory hub and one handler
    Memory(Load),
    /// Declares the two queues of the rows below, for every program
    PrepareTruth(Load),
    /// Whether answers are true: several tasks share the hub
    Concurrent(Load),
    /// Whether answers are true: one task, and every other publish leads nowhere
    Mandatory(Load),
    /// Whether «all are answered» is true
    Waiting(Load),
}

/// What our rows take beside what all do.
#[derive(Clone, Debug, clap::Args)]
struct Load {
    #[command(flatten)]
    args: Args,
    /// The queue's kind
    #[arg(long, value_enum, default_value_t = Kind::Quorum)]
    kind: Kind,
    /// What watches
    #[arg(long, value_enum, default_value_t = Watch::Spans)]
    telemetry: Watch,
    /// How many handlers may run at once; the consumer's own default without it
    #[arg(long)]
    concurrency: Option<usize>,
}

/// The kinds of queues.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Kind {
    Classic,
    Quorum,
}

/// What watches the hub while it works.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Watch {
    /// Nothing: no subscriber and no recorder
    Off,
    /// A subscriber that formats every span, and the recorder of metrics
    Spans,
    /// What our services run with: spans with OpenTelemetry's ids, log lines, and the recorder
    Full,
}

/// One measured section.
struct Section {
    meter: Meter,
    counter: Option<Allocations>,
    before: (u64, u64),
}

/// Runs the row that the command line names.
///
/// # Errors
///
/// If it cannot be run; an answer that is not what it must be counts as that too.
pub fn main(counter: Option<Allocations>) -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(cli.row, counter))
}

async fn run(row: Row, counter: Option<Allocations>) -> anyhow::Result<()> {
    let (Row::Prepare(load)
    | Row::Fill(load)
    | Row::Publish(load)
    | Row::Consume(load)
    | Row::Awaited(load)
    | Row::Latency(load)
    | Row::Memory(load)
    | Row::PrepareTruth(load)
    | Row::Concurrent(load)
    | Row::Mandatory(load)
    | Row::Waiting(load)) = &row;
    let guard = watch(load.telemetry)?;
    match &row {
        Row::Prepare(load) => bed::open(load).await?.shutdown().await,
        Row::Fill(load) => {
            publish::windowed(load, None).await?;
        }
        Row::Publish(load) => publish::windowed(load, counter).await?.print()?,
        Row::Consume(load) => consume::run(load, counter).await?.print()?,
        Row::Awaited(load) => publish::awaited(load, counter).await?.print()?,
        Row::Latency(load) => latency::run(load, counter).await?.print()?,
        Row::Memory(load) => memory::run(load, counter).await?.print()?,
        Row::PrepareTruth(load) => truth::open(load).await?.shutdown().await,
        Row::Concurrent(load) => truth::concurrent(load).await?.print()?,
        Row::Mandatory(load) => truth::mandatory(load).await?.print()?,
        Row::Waiting(load) => truth::waiting(load).await?.print()?,
    }
    if let Some(guard) = guard {
        guard.shutdown(Duration::from_secs(1)).await;
    }
    Ok(())
}

fn watch(telemetry: Watch) -> anyhow::Result<Option<tramline_observability::telemetry::Guard>> {
    if telemetry == Watch::Off {
        return Ok(None);
    }
    let _recorder = Recorder::global(&RecorderConfig::default()).context("the recorder")?;
    if telemetry == Watch::Full {
        return Ok(Some(Telemetry::init(&TelemetryConfig::new("bench")).context("telemetry")?));
    }
    // Spans are made, stored and formatted as for a log; their lines go nowhere.
    let spans = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(std::io::sink);
    let filter = tracing_subscriber::EnvFilter::new("info");
    tracing_subscriber::registry().with(filter).with(spans).try_init().context("the subscriber")?;
    Ok(None)
}

// === impl Section ===

impl Section {
    fn start(load: &Load, counter: Option<Allocations>) -> anyhow::Result<Self> {
        let before = counter.map_or((0, 0), |count| count());
        Ok(Self { meter: Meter::start(load.args.broker)?, counter, before })
    }

    fn finish(self, events: u64) -> anyhow::Result<Report> {
        let mut report = self.meter.finish(events)?;
        report.allocations = self.counter.map(|count| {
            let after = count();
            (after.0 - self.before.0, after.1 - self.before.1)
        });
        Ok(report)
    }
}
