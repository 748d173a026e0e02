//! `Set-Cookie` (RFC 6265): cookies of an upstream, as a client sends them back to it.

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::config::CookieDomain;

/// Writes `Path` anew with `path`, if there is one, and `Domain` as `domain` says. What is no text stays as it is.
pub(crate) fn rewrite(
    headers: &mut HeaderMap,
    path: Option<&impl Fn(&str) -> String>,
    domain: &CookieDomain,
) {
    let http::header::Entry::Occupied(mut entry) = headers.entry(SET_COOKIE) else { return };
    for value in entry.iter_mut() {
        let new = value.to_str().ok().and_then(|text| cookie(text, path, domain));
        if let Some(new) = new.and_then(|new| HeaderValue::try_from(new).ok()) {
            *value = new;
        }
    }
}

/// `None` if it stays as it is.
fn cookie(text: &str, path: Option<&impl Fn(&str) -> String>, domain: &CookieDomain) -> Option<String> {
    // The value cannot have a semicolon (RFC 6265, 4.1.1).
    let mut parts = text.split(';');
    let mut new = parts.next()?.to_owned();
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let (name, value) = (name.trim(), value.trim());
        if let Some(path) = path
            && name.eq_ignore_ascii_case("path")
            && value.starts_with('/')
        {
            new.push_str("; Path=");
            new.push_str(&path(value));
        } else if name.eq_ignore_ascii_case("domain") && *domain != CookieDomain::Keep {
            if let CookieDomain::Set(domain) = domain {
                new.push_str("; Domain=");
                new.push_str(domain);
            }
        } else {
            new.push(';');
            new.push_str(part);
        }
    }
    (new != text).then_some(new)
}

#[cfg(test)]
mod tests;
