//! What a request is told apart by, where the same should go to the same address.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::COOKIE;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::config::Balance;

/// The number of a request, or `None` where it goes anywhere. The same in every process, so that several proxies agree.
pub(crate) fn key(
    balance: &Balance,
    headers: &HeaderMap,
    client: impl FnOnce() -> Option<IpAddr>,
) -> Option<u64> {
    match balance {
        Balance::Fastest | Balance::RoundRobin => None,
        Balance::Client => match client()?.to_canonical() {
            IpAddr::V4(ip) => Some(xxh3_64(&ip.octets())),
            IpAddr::V6(ip) => Some(xxh3_64(&ip.octets())),
        },
        Balance::Header(name) => headers.get(name).map(|value| xxh3_64(value.as_bytes())),
        Balance::Cookie(name) => cookie(headers, name).map(xxh3_64),
    }
}

/// The number of an address.
pub(crate) fn place(address: &str) -> u64 {
    xxh3_64(address.as_bytes())
}

/// How much an address is the one for a key: the highest has it (rendezvous hashing, Thaler and Ravishankar 1998).
/// When an address leaves, only what it had moves; when one comes, only what it gets.
pub(crate) fn score(key: u64, place: u64) -> u64 {
    xxh3_64_with_seed(&key.to_le_bytes(), place)
}

fn cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(wanted.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests;
