//! Dead letters in a database.

use std::future::Future;
use std::pin::pin;

use serde_json::{Value, json};
use tramline_event_hub::dead_letters::{
    Content, DeadLetters, Deleted, DrainConfig, Drained, Filter, Letter, RedriveConfig, Redriven, Returned,
    Selection, Tables,
};

use crate::Done;
use crate::args::{self, Common, DeadLetters as Command, Drain, List, Redrive, Selected};
use crate::connect::{self, WrongCall};
use crate::say::{Progress, say, tell};

pub(crate) async fn run(
    common: &Common,
    command: Command,
    interrupted: impl Future<Output = ()> + Send,
) -> anyhow::Result<Done> {
    let tables = if matches!(command, Command::Drain(_)) { Tables::Make } else { Tables::Expect };
    let letters = connect::letters(common, tables).await?;
    match command {
        Command::Drain(options) => drain(common, &letters, options, interrupted).await,
        Command::List(options) => list(common, &letters, options).await,
        Command::Show { id } => show(common, &letters, id).await,
        Command::Redrive(options) => redrive(common, &letters, options, interrupted).await,
        Command::Delete(selected) => delete(common, &letters, &selection(selected)?).await,
    }
}

async fn drain(
    common: &Common,
    letters: &DeadLetters,
    options: Drain,
    interrupted: impl Future<Output = ()> + Send,
) -> anyhow::Result<Done> {
    let hub = connect::hub(common, "events").await?;
    let mut config = DrainConfig::default();
    config.until_empty = !options.follow;
    "tramline-events drain".clone_into(&mut config.name);
    let mut progress = Progress::new();
    let tell_progress = |drained: &Drained| {
        if let Some(error) = &drained.error {
            progress.tell(|| format!("{} letters cannot be stored: {error}", drained.held));
        } else {
            progress.tell(|| format!("{} stored so far", drained.stored));
        }
    };
    let drained = letters.drain(&hub, &options.queue, config, tell_progress, interrupted).await?;
    hub.shutdown().await;
    if common.json {
        say(&json!({ "stored": drained.stored, "repeated": drained.repeated, "held": drained.held })
            .to_string())?;
    } else {
        tell(&format!("{} stored, {} were there already", drained.stored, drained.repeated));
    }
    if let Some(error) = &drained.error {
        tell(&format!("{} could not be stored and are in their queue still: {error}", drained.held));
    }
    Ok(if drained.held == 0 { Done::All } else { Done::NotAll })
}

async fn list(common: &Common, letters: &DeadLetters, options: List) -> anyhow::Result<Done> {
    let cursor = options.cursor.map(|text| text.parse()).transpose();
    let cursor = cursor.map_err(|_| WrongCall("--cursor: not one that a list ended with".to_owned()))?;
    let page = letters.list(&filter(options.filter), cursor, options.limit).await?;
    for letter in &page.letters {
        say(&if common.json { serde_json::to_string(letter)? } else { row(letter) })?;
    }
    if let Some(next) = page.next {
        tell(&format!("there are more: --cursor {next}"));
    }
    Ok(Done::All)
}

async fn show(common: &Common, letters: &DeadLetters, id: i64) -> anyhow::Result<Done> {
    let Some((letter, content)) = letters.show(id).await? else {
        tell(&format!("there is no letter {id}"));
        return Ok(Done::NotAll);
    };
    let Content { body, headers, properties, .. } = content;
    if common.json {
        let mut line = json!({ "letter": letter, "properties": properties, "headers": headers });
        match std::str::from_utf8(&body) {
            Ok(text) => line["body"] = Value::from(text),
            Err(_) => line["bodyHex"] = Value::from(hex::encode(&body)),
        }
        say(&line.to_string())?;
        return Ok(Done::All);
    }
    let Value::Object(fields) = serde_json::to_value(&letter)? else { return Ok(Done::All) };
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        say(&format!("{name}: {}", plain(value)))?;
    }
    for (title, fields) in [("properties", properties), ("headers", headers)] {
        say(&format!("{title}:"))?;
        for (name, value) in &fields {
            say(&format!("  {name}: {}", plain(value)))?;
        }
    }
    match std::str::from_utf8(&body) {
        Ok(text) => say(&format!("body:\n{text}"))?,
        Err(_) => say(&format!("body, in hexadecimal digits:\n{}", hex::encode(&body)))?,
    }
    Ok(Done::All)
}

async fn redrive(
    common: &Common,
    letters: &DeadLetters,
    options: Redrive,
    interrupted: impl Future<Output = ()>,
) -> anyhow::Result<Done> {
    let selection = selection(options.selected)?;
    let hub = connect::hub(common, "events").await?;
    let mut config = RedriveConfig::default();
    config.per_second = options.rate;
    if options.however_old {
        config.max_age = None;
    }
    let mut progress = Progress::new();
    let (mut sent, mut broken) = (0_u64, None);
    let each = |one: &Returned| {
        if common.json && broken.is_none() {
            let line =
                json!({ "id": one.id, "queue": one.queue, "sent": one.error.is_none(), "error": one.error });
            broken = say(&line.to_string()).err();
        }
        match &one.error {
            Some(error) => tell(&format!("letter {}: {error}", one.id)),
            None => sent += 1,
        }
        progress.tell(|| format!("{sent} sent back so far"));
    };
    let redriven = {
        let mut interrupted = pin!(interrupted);
        let work = letters.redrive(&hub, &selection, config, each);
        tokio::select! {
            biased;
            redriven = work => Some(redriven?),
            () = &mut interrupted => None,
        }
    };
    hub.shutdown().await;
    if let Some(error) = broken {
        return Err(error);
    }
    let Some(redriven) = redriven else {
        tell(&format!("interrupted: {sent} sent back; the last few may go again after a minute"));
        return Ok(Done::NotAll);
    };
    let Redriven { sent, left, busy, ref unknown, ref stopped, .. } = redriven;
    tell(&format!("{sent} sent back, {left} left"));
    if busy > 0 {
        tell(&format!(
            "{busy} are in the hands of another redrive, or of one that was cut off: again in a minute"
        ));
    }
    for id in unknown {
        tell(&format!("letter {id}: not in the database"));
    }
    if let Some(why) = stopped {
        tell(&format!("stopped: {why}"));
    }
    Ok(if left == 0 && busy == 0 && unknown.is_empty() && stopped.is_none() {
        Done::All
    } else {
        Done::NotAll
    })
}

async fn delete(common: &Common, letters: &DeadLetters, selection: &Selection) -> anyhow::Result<Done> {
    let mut progress = Progress::new();
    let so_far = |count| progress.tell(|| format!("{count} deleted so far"));
    let Deleted { deleted, busy, unknown, .. } = letters.delete(selection, so_far).await?;
    if common.json {
        say(&json!({ "deleted": deleted, "busy": busy, "unknown": unknown }).to_string())?;
    } else {
        tell(&format!("{deleted} deleted"));
    }
    if busy > 0 {
        tell(&format!("{busy} are in the hands of a redrive, or of one that was cut off: again in a minute"));
    }
    for id in &unknown {
        tell(&format!("letter {id}: not in the database"));
    }
    Ok(if busy == 0 && unknown.is_empty() { Done::All } else { Done::NotAll })
}

fn selection(selected: Selected) -> anyhow::Result<Selection> {
    if selected.all {
        return Ok(Selection::All);
    }
    let filter = filter(selected.filter);
    if filter == Filter::new() {
        return Err(WrongCall("which letters? --all, --id, or what they have in common".to_owned()).into());
    }
    Ok(Selection::Matching(filter))
}

fn filter(given: args::Filter) -> Filter {
    let mut filter = Filter::new();
    filter.ids = (!given.id.is_empty()).then_some(given.id);
    filter.queue = given.from_queue;
    filter.event_type = given.event_type;
    filter.routing_key = given.key;
    filter.reason = given.reason;
    filter.handler = given.handler;
    filter.event_id = given.event;
    (filter.from, filter.to) = (given.from, given.to);
    filter
}

/// One line: number, time, reason, tries, queue, type, event, error.
fn row(letter: &Letter) -> String {
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let error = letter.redrive_error.as_ref().or(letter.error.as_ref()).map_or("", |error| first_line(error));
    format!(
        "{:>6}  {:.0}  {:<12} {:>3}  {}  {}  {}  {error}",
        letter.id,
        letter.died_at,
        letter.reason,
        letter.attempts,
        or(&letter.queue),
        or(&letter.event_type),
        or(&letter.event_id),
    )
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
