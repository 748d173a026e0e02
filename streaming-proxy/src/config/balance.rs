//! How requests are shared among addresses.

use std::fmt;
use std::str::FromStr;

use http::HeaderName;

/// Which of an upstream's addresses serves a request.
///
/// As a text: `fastest`, `round_robin`, `client`, `header:NAME`, `cookie:NAME`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Balance {
    /// Of two that are drawn, the one that is less busy for how fast it answers: the peaks of its latest answers'
    /// times, forgotten with time, times the requests that it has (power of two choices over peak EWMA, Finagle's).
    ///
    /// The default: addresses that slow down get less within a few requests, and no list is gone through.
    #[default]
    Fastest,
    /// One after the other.
    RoundRobin,
    /// The same for a client, by its address.
    Client,
    /// The same for all requests with the same value in this field; those without are as with
    /// [`Fastest`](Self::Fastest).
    Header(HeaderName),
    /// The same for all requests with the same value in this cookie; those without are as with
    /// [`Fastest`](Self::Fastest).
    Cookie(String),
}

// === impl Balance ===

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fastest => f.write_str("fastest"),
            Self::RoundRobin => f.write_str("round_robin"),
            Self::Client => f.write_str("client"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

impl FromStr for Balance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let other = || format!("`{text}` is none of fastest, round_robin, client, header:NAME, cookie:NAME");
        match text.split_once(':') {
            None => match text {
                "fastest" => Ok(Self::Fastest),
                "round_robin" => Ok(Self::RoundRobin),
                "client" => Ok(Self::Client),
                _ => Err(other()),
            },
            Some(("header", name)) => name.parse().map(Self::Header).map_err(|_| other()),
            // A cookie's name is a token (RFC 6265, 4.1.1), as a field's is, but with case.
            Some(("cookie", name)) if name.parse::<HeaderName>().is_ok() => Ok(Self::Cookie(name.to_owned())),
            Some(_) => Err(other()),
        }
    }
}
