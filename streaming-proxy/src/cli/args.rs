//! What can be asked for.

use std::path::PathBuf;

use clap::Parser;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Uri};

/// Checks a table of routes, and shows what it would do with requests.
#[derive(Debug, Parser)]
#[command(name = "tramline-routes", version, about, max_term_width = 100)]
pub(crate) struct Args {
    /// The table, in TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) check: PathBuf,
    /// The addresses for a `from` in the table (else the variable of that name)
    #[arg(long, value_name = "NAME=LIST", value_parser = addresses)]
    pub(crate) addresses: Vec<(String, String)>,
    /// The method of the requests
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: Method,
    /// The host of the requests whose path has none
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<Authority>,
    /// A field of the requests
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) header: Vec<(HeaderName, HeaderValue)>,
    /// The paths to ask for: /a?b or http://host/a?b; without any, the table is shown
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<Uri>,
}

fn addresses(text: &str) -> Result<(String, String), &'static str> {
    let (name, list) = text.split_once('=').ok_or("a name, `=`, and addresses")?;
    Ok((name.to_owned(), list.to_owned()))
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a name, `:`, and a value")?;
    let name = name.trim().parse().map_err(|error| format!("{error}"))?;
    Ok((name, value.trim().parse().map_err(|error| format!("{error}"))?))
}
