//! `tramline-routes`: a table of routes from a shell.
//!
//! Exit codes: 0 when the table is good; 1 when it has faults, each on a line, or cannot be read; 64 when the call was
//! wrong.

mod args;
mod explain;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use tramline_streaming_proxy::Routes;

use crate::args::Args;

/// `EX_USAGE` of sysexits.
const WRONG_CALL: u8 = 64;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(WRONG_CALL) } else { ExitCode::SUCCESS };
        }
    };
    match answer(&args) {
        Ok(lines) => {
            // A closed pipe says that nobody wants more.
            let _ = io::stdout().lock().write_all(lines.as_bytes());
            ExitCode::SUCCESS
        }
        Err(faults) => {
            // When standard error is closed there is nobody to tell.
            let _ = writeln!(io::stderr().lock(), "{faults}");
            ExitCode::FAILURE
        }
    }
}

fn answer(args: &Args) -> Result<String, String> {
    let text =
        std::fs::read_to_string(&args.check).map_err(|error| format!("{}: {error}", args.check.display()))?;
    let addresses = |name: &str| {
        let given = args.addresses.iter().find(|(known, _)| known == name);
        given.map(|(_, list)| list.clone()).or_else(|| std::env::var(name).ok())
    };
    let routes = Routes::from_toml(&text, addresses).map_err(|faults| faults.to_string())?;
    if args.paths.is_empty() {
        return Ok(explain::table(&routes));
    }
    Ok(args.paths.iter().map(|path| explain::request(&routes, args, path)).collect())
}
