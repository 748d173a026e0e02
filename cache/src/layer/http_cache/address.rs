//! The address of a request, and what ends with an unsafe request to it.

use http::HeaderValue;
use http::header::HOST;
use http::request::Parts;
use sha2::{Digest, Sha256};

use crate::key::Tag;
use crate::layer::http_cache::scope::{Audience, Scope};

/// How many tags addresses share. Each is a mark in Redis for as long as answers may live, and anybody can make
/// addresses up: so many marks it has, and no more. Of 100,000 addresses, a write to one takes some six with it.
const TAGS: u16 = 16 * 1024;

/// Whose answers a tag ends.
enum Whose<'a> {
    /// What is for all, or for a role.
    Shared,
    /// What is for users, whoever it is.
    Users,
    /// What is for this user.
    User(&'a str),
}

/// In small letters; none when it cannot be read, or the request names several: which one the service takes, nobody
/// knows here.
pub(super) fn host(request: &Parts, scope: &Scope) -> Option<Box<str>> {
    if scope.any_host {
        return Some("".into());
    }
    let mut named = hosts(request);
    let first = named.next().unwrap_or_else(|| Some(String::new()))?;
    named.all(|other| other.as_ref() == Some(&first)).then(|| first.into())
}

/// The tags of an answer for this audience: of what is kept of its address, whatever the query.
pub(super) fn carried(audience: &Audience, place: &str, host: &str, path: &str) -> Vec<Tag> {
    let of = |whose| tag(&whose, place, host, path);
    match audience {
        Audience::Public | Audience::Role(_) => vec![of(Whose::Shared)],
        Audience::User(id) => vec![of(Whose::User(id)), of(Whose::Users)],
    }
}

/// The tags that end with an unsafe request of this scope (RFC 9111, section 4.4), by each host that it names.
pub(super) fn ended(request: &Parts, scope: &Scope) -> Vec<Tag> {
    let mut hosts: Vec<String> = if scope.any_host { Vec::new() } else { hosts(request).flatten().collect() };
    if hosts.is_empty() {
        hosts.push(String::new());
    }
    let users = match &scope.audience {
        _ if !scope.only_its_own => Some(Whose::Users),
        Audience::User(id) => Some(Whose::User(id)),
        Audience::Public | Audience::Role(_) => None,
    };
    let whose: Vec<Whose<'_>> = users.into_iter().chain([Whose::Shared]).collect();
    let of = |host: &String| {
        let tags = whose.iter().map(|whose| tag(whose, scope.place(), host, request.uri.path()));
        tags.collect::<Vec<_>>()
    };
    let mut tags: Vec<Tag> = hosts.iter().flat_map(of).collect();
    tags.sort();
    tags.dedup();
    tags
}

/// By target and by fields, in small letters; none for a field that cannot be read.
fn hosts(request: &Parts) -> impl Iterator<Item = Option<String>> {
    let small = |host: &str| host.to_ascii_lowercase();
    let target = request.uri.authority().map(|authority| Some(small(authority.as_str())));
    let field = move |host: &HeaderValue| host.to_str().ok().map(small);
    target.into_iter().chain(request.headers.get_all(HOST).iter().map(field))
}

/// Of what may be the same address: one that is spelled in another way, too.
fn tag(whose: &Whose<'_>, place: &str, host: &str, path: &str) -> Tag {
    let (kind, who): (&[u8], _) = match whose {
        Whose::Shared => (b"shared", ""),
        Whose::Users => (b"users", ""),
        Whose::User(id) => (b"user", *id),
    };
    let host = host.rsplit('@').next().unwrap_or_default();
    let host = [":80", ":443"].iter().find_map(|port| host.strip_suffix(port)).unwrap_or(host);
    let mut hash = Sha256::new();
    for part in [kind, who.as_bytes(), place.as_bytes(), host.as_bytes(), &decoded(path)] {
        // Parts do not run into each other.
        hash.update(part.len().to_string());
        hash.update(b":");
        hash.update(part);
    }
    let [high, low, ..]: [u8; 32] = hash.finalize().into();
    Tag::new("http-address", &(u16::from_be_bytes([high, low]) % TAGS))
}

/// A path with its `%41` as `A`. More is alike then than to the service, and never less.
fn decoded(path: &str) -> Vec<u8> {
    let (mut bytes, mut decoded) = (path.as_bytes(), Vec::with_capacity(path.len()));
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let [first, rest @ ..] = bytes {
        let escaped = match rest {
            [high, low, after @ ..] if *first == b'%' => {
                digit(*high).zip(digit(*low)).map(|(high, low)| (high * 16 + low, after))
            }
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((*first, rest));
        decoded.push(byte);
        bytes = after;
    }
    decoded
}

#[cfg(test)]
mod tests;
