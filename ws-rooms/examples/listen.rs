//! Prints each frame of a socket as one line of JSON, and at the end the close code.
//!
//! ```sh
//! cargo run -p tramline-ws-rooms --example listen --features client -- \
//!     --url ws://127.0.0.1:3000/ws --token "$TOKEN" --subscribe payment:42
//! ```
//!
//! Exits with 0 after a close frame, 1 when the link broke, 2 when the server refused, 64 when
//! called wrongly. `--count N` ends after N frames.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the command line")]

use std::process::ExitCode;

use tramline_ws_rooms::client::{Client, Options, Refused};
use tramline_ws_rooms::protocol::Request;
use tramline_ws_rooms::{Error, ErrorKind};

const USAGE: &str = "usage: listen --url ws://HOST:PORT/ws --token TOKEN [--subscribe ROOM]… [--count N]";

#[derive(Default)]
struct Args {
    url: String,
    token: Option<String>,
    rooms: Vec<String>,
    count: Option<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(args) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    match listen(args).await {
        Ok(Some(code)) => {
            println!(r#"{{"closed":{code}}}"#);
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            use std::error::Error as _;
            let refused = error.source().and_then(|source| source.downcast_ref::<Refused>());
            match refused {
                Some(Refused { status, body, .. }) => eprintln!("refused: {status} {body}"),
                None => match error.source() {
                    Some(source) => eprintln!("{error}: {source}"),
                    None => eprintln!("{error}"),
                },
            }
            ExitCode::from(if error.kind() == ErrorKind::Refused { 2 } else { 1 })
        }
    }
}

async fn listen(args: Args) -> Result<Option<u16>, Error> {
    let mut options = Options::default();
    options.token = args.token;
    let mut client = Client::connect(&args.url, options).await?;
    for (index, room) in args.rooms.iter().enumerate() {
        let id = (index + 1).to_string();
        client.send(&Request::subscribe(room), Some(&id)).await?;
    }
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        tokio::select! {
            frame = client.next_text() => match frame? {
                Some(text) => println!("{text}"),
                None => return Ok(Some(client.close_code().unwrap_or(1006))),
            },
            _ = tokio::signal::ctrl_c() => break,
        }
        left -= 1;
    }
    client.close().await?;
    while client.next_text().await?.is_some() {}
    Ok(None)
}

fn parse(mut args: impl Iterator<Item = String>) -> Option<Args> {
    let mut parsed = Args::default();
    while let Some(name) = args.next() {
        let value = args.next()?;
        match name.as_str() {
            "--url" => parsed.url = value,
            "--token" => parsed.token = Some(value),
            "--subscribe" => parsed.rooms.push(value),
            "--count" => parsed.count = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    (!parsed.url.is_empty()).then_some(parsed)
}
