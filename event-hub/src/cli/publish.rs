//! Events from lines of JSON.

use std::future::Future;
use std::pin::pin;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc;
use tramline_event_hub::topology::{Exchange, Topology};
use tramline_event_hub::{Event, EventId, PublishErrorKind};

use crate::args::{Common, Publish};
use crate::say::{Progress, say, tell};
use crate::{Done, connect};

/// The longest line: as much as a broker takes of one message by default.
const LINE: usize = 16 * 1024 * 1024;

/// So many events have their confirms awaited together, and as many lines wait behind them.
const BATCH: usize = 500;

/// A line of the input.
enum Line {
    Text(Vec<u8>),
    TooLong,
}

/// An event in short, with what most senders leave to us.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Short {
    #[serde(rename = "type")]
    event_type: String,
    source: String,
    data: Box<RawValue>,
    id: Option<String>,
    subject: Option<String>,
    time: Option<jiff::Timestamp>,
    correlationid: Option<String>,
    causationid: Option<String>,
    partitionkey: Option<String>,
    traceparent: Option<String>,
    tracestate: Option<String>,
    dataversion: Option<u32>,
}

#[derive(Deserialize)]
struct Kind {
    specversion: Option<serde::de::IgnoredAny>,
}

struct Tally {
    json: bool,
    confirmed: u64,
    failed: u64,
    progress: Progress,
}

pub(crate) async fn run(
    common: &Common,
    options: Publish,
    interrupted: impl Future<Output = ()>,
) -> anyhow::Result<Done> {
    let hub = connect::hub(common, &options.exchange).await?;
    // Publishing to one that is not there closes the channel, with no word about any event.
    anyhow::ensure!(hub.has_exchange(&options.exchange).await?, "there is no exchange {}", options.exchange);
    hub.assume(&Topology::new().exchange(Exchange::topic(&options.exchange)));
    let (sender, mut lines) = mpsc::channel(BATCH);
    tokio::spawn(read(BufReader::new(tokio::io::stdin()), sender));
    let mut tally = Tally { json: common.json, confirmed: 0, failed: 0, progress: Progress::new() };
    let mut interrupted = pin!(interrupted);
    let (mut number, mut batch) = (0, Vec::with_capacity(BATCH));
    let whole = loop {
        tokio::select! {
            biased;
            () = &mut interrupted => break false,
            count = lines.recv_many(&mut batch, BATCH) => if count == 0 { break true },
        }
        let (mut numbers, mut events) = (Vec::new(), Vec::new());
        for line in batch.drain(..) {
            number += 1;
            match line {
                Ok(Line::Text(text)) if text.trim_ascii().is_empty() => {}
                Ok(Line::Text(text)) => match event(&text) {
                    Ok(event) => {
                        numbers.push(number);
                        events.push(event);
                    }
                    Err(why) => tally.failed(number, None, &why)?,
                },
                Ok(Line::TooLong) => tally.failed(number, None, "the line is too long")?,
                Err(error) => return Err(anyhow::Error::from(error).context("standard input")),
            }
        }
        // ORDER: what was taken is answered for, also at Ctrl-C.
        for (number, answer) in numbers.into_iter().zip(hub.publish_all(events).await) {
            match answer {
                Ok(_) => tally.confirmed(number)?,
                Err(error) => {
                    let id = error.event().id.as_str();
                    tally.failed(number, Some(id), &why(error.kind(), id))?;
                }
            }
        }
        tally.tell();
    };
    hub.shutdown().await;
    tell(&format!(
        "{} confirmed, {} not{}",
        tally.confirmed,
        tally.failed,
        if whole { "" } else { "; interrupted" }
    ));
    Ok(if whole && tally.failed == 0 { Done::All } else { Done::NotAll })
}

async fn read(mut input: impl AsyncBufRead + Unpin, lines: mpsc::Sender<std::io::Result<Line>>) {
    loop {
        let line = match next(&mut input).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let last = line.is_err();
        if lines.send(line).await.is_err() || last {
            return;
        }
    }
}

/// The next line, however long it is; of one that is too long nothing is kept.
async fn next(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Line>> {
    let (mut line, mut long, mut any) = (Vec::new(), false, false);
    loop {
        let chunk = input.fill_buf().await?;
        if chunk.is_empty() {
            break;
        }
        any = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        long |= line.len() + part.len() > LINE;
        if long {
            line = Vec::new();
        } else {
            line.extend_from_slice(part);
        }
        let used = end.map_or(chunk.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            break;
        }
    }
    Ok(any.then_some(if long { Line::TooLong } else { Line::Text(line) }))
}

fn event(line: &[u8]) -> Result<Event, String> {
    let kind: Kind = serde_json::from_slice(line).map_err(|error| format!("no JSON object: {error}"))?;
    let words = |error: tramline_event_hub::Error| format!("{:#}", anyhow::Error::from(error));
    if kind.specversion.is_some() {
        return Event::from_json(line).map_err(words);
    }
    let short: Short = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let mut event = Event::new(short.event_type, short.source, &short.data).map_err(words)?;
    if let Some(id) = short.id {
        event.id = EventId::parse(id).map_err(words)?;
    }
    if let Some(time) = short.time {
        event.time = time;
    }
    if let Some(version) = short.dataversion {
        event.data_version = version;
    }
    event.subject = short.subject;
    event.correlation_id = short.correlationid;
    event.causation_id = short.causationid;
    event.partition_key = short.partitionkey;
    Ok(event.with_trace(short.traceparent, short.tracestate))
}

fn why(kind: &PublishErrorKind, id: &str) -> String {
    match kind {
        PublishErrorKind::Returned { code, text, key } => format!("returned: {code} {text} (key {key})"),
        PublishErrorKind::Nacked => "refused by the broker".to_owned(),
        PublishErrorKind::Blocked => {
            format!(
                "the broker reads nothing, short of memory or disk: it may have arrived; send it again with the id {id}"
            )
        }
        PublishErrorKind::Timeout | PublishErrorKind::Unknown => {
            format!("no answer: it may have arrived; send it again with the id {id}")
        }
        PublishErrorKind::Refused { alone: false, .. } => {
            format!("{kind}: it may have arrived; send it again with the same id")
        }
        other => other.to_string(),
    }
}

// === impl Tally ===

impl Tally {
    fn confirmed(&mut self, line: u64) -> anyhow::Result<()> {
        self.confirmed += 1;
        if self.json { say(&json!({ "line": line, "confirmed": true }).to_string()) } else { Ok(()) }
    }

    fn failed(&mut self, line: u64, id: Option<&str>, why: &str) -> anyhow::Result<()> {
        self.failed += 1;
        tell(&format!("line {line}: {why}"));
        if self.json {
            say(&json!({ "line": line, "confirmed": false, "id": id, "error": why }).to_string())
        } else {
            Ok(())
        }
    }

    fn tell(&mut self) {
        let (confirmed, failed) = (self.confirmed, self.failed);
        self.progress.tell(|| format!("{confirmed} confirmed, {failed} not, so far"));
    }
}
