//! Listens to rooms for as long as it is let, whatever happens to connections: one line of JSON for each update and
//! each change of state.
//!
//! ```sh
//! cargo run -p tramline-ws-rooms --example listen --features client-tls -- \
//!     --url ws://127.0.0.1:3000/ws --token-file token --room payment:42
//! ```
//!
//! Without `--room` it listens to every room that the server puts one into. The file is read again for each
//! connection and before the token ends, so that whoever writes a new token there keeps it going. Ctrl-C closes;
//! `--count N` ends after N events. Exits with 0 when it was told to end, 2 when the server or the file ended it or when
//! none of the named rooms is open to one, 64 when called wrongly.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the command line")]

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use serde_json::{Value, json};
use tramline_ws_rooms::client::{Session, SessionConfig, State, StopReason, Update, Why};
use tramline_ws_rooms::{Credential, Error};

const USAGE: &str =
    "usage: listen --url ws://HOST:PORT/ws (--token TOKEN | --token-file FILE) [--room ROOM]… [--count N]";

#[derive(Default)]
pub(crate) struct Args {
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    token_file: Option<PathBuf>,
    pub(crate) rooms: Vec<String>,
    count: Option<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(args) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    match listen(args).await {
        Ok(StopReason::Closed) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(2),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(64)
        }
    }
}

pub(crate) async fn listen(args: Args) -> Result<StopReason, Error> {
    let Args { url, token, token_file, rooms, count } = args;
    let tokens = move |_: Why| {
        let (token, file) = (token.clone(), token_file.clone());
        async move {
            let token = match file {
                None => token,
                // No file: nobody is signed in.
                Some(file) => match tokio::fs::read_to_string(file).await {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    read => Some(read?.trim().to_owned()),
                },
            };
            Ok(token.map(Credential::Bearer))
        }
    };
    let session = Session::open(SessionConfig::new(url), tokens)?;
    let mut updates = SelectAll::new();
    for room in &rooms {
        updates.push(session.subscribe(room)?);
    }
    if rooms.is_empty() {
        updates.push(session.subscribe_all());
    }
    let mut states = session.states();
    let mut left = count.unwrap_or(u64::MAX);
    let mut closed = 0;
    while left > 0 {
        tokio::select! {
            // What was heard before the end is printed before it.
            biased;
            Some(update) = updates.next() => {
                left -= u64::from(matches!(update, Update::Event { .. }));
                println!("{}", line(&update));
                // A stopped session says so itself.
                closed += usize::from(matches!(&update, Update::Ended { code, .. } if code != "CLOSED"));
                if !rooms.is_empty() && closed == rooms.len() {
                    session.close().await;
                    return Ok(StopReason::Forbidden);
                }
            }
            state = states.next() => match state {
                Some(State::Stopped { reason, code }) => {
                    println!("{}", json!({"state": "stopped", "reason": format!("{reason:?}"), "code": code}));
                    return Ok(reason);
                }
                Some(state) => println!("{}", told(&state)),
                None => break,
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    session.close().await;
    Ok(StopReason::Closed)
}

fn line(update: &Update) -> Value {
    match update {
        Update::Event { room, offset, event } => json!({"room": room, "offset": offset, "event": event}),
        Update::Gap { room, cause } => json!({"room": room, "gap": cause.to_string()}),
        Update::Live { room, place } => json!({"room": room, "live": place}),
        Update::Joined { room, user_id } => json!({"room": room, "joined": user_id}),
        Update::Left { room, user_id } => json!({"room": room, "left": user_id}),
        Update::Ended { room, code, message } => json!({"room": room, "ended": code, "message": message}),
        other => json!({"unknown": format!("{other:?}")}),
    }
}

fn told(state: &State) -> Value {
    match state {
        State::Opening { attempt } => json!({"state": "opening", "attempt": attempt}),
        State::Recovering { user_id, .. } => json!({"state": "recovering", "userId": &**user_id}),
        State::Open { user_id, .. } => json!({"state": "open", "userId": &**user_id}),
        State::Waiting { attempt, delay, code, cause } => {
            let cause = cause.as_ref().map(|cause| {
                use std::error::Error as _;
                cause.source().map_or_else(|| cause.to_string(), |source| format!("{cause}: {source}"))
            });
            let ms = delay.as_secs_f64() * 1_000.0;
            json!({"state": "waiting", "attempt": attempt, "delayMs": ms.round(), "code": code, "cause": cause})
        }
        other => json!({"state": format!("{other:?}")}),
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Option<Args> {
    let mut parsed = Args::default();
    while let Some(name) = args.next() {
        let value = args.next()?;
        match name.as_str() {
            "--url" => parsed.url = value,
            "--token" => parsed.token = Some(value),
            "--token-file" => parsed.token_file = Some(value.into()),
            "--room" => parsed.rooms.push(value),
            "--count" => parsed.count = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    (!parsed.url.is_empty() && parsed.token.is_some() != parsed.token_file.is_some()).then_some(parsed)
}
