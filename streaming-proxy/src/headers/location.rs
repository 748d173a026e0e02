//! `Location` and `Content-Location`: places of the upstream's, as the client finds them.

use http::header::{CONTENT_LOCATION, LOCATION};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};

/// Whose places are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    /// Where the request was sent, and so what the upstream may take for its own name.
    pub(crate) upstream: &'a str,
    /// What the client asked for.
    pub(crate) client: Option<&'a Authority>,
}

/// Writes both fields anew where they name a place that a client reaches otherwise. `invert` knows what path of the
/// client's becomes a path of the upstream's, if any does.
pub(crate) fn rewrite(headers: &mut HeaderMap, places: Places<'_>, invert: impl Fn(&str) -> Option<String>) {
    for name in [LOCATION, CONTENT_LOCATION] {
        // More than one has no meaning (RFC 9110, 10.2.2), and stays as it is.
        let mut values = headers.get_all(&name).iter();
        let Some(value) = values.next().filter(|_| values.next().is_none()) else { continue };
        let new = value.to_str().ok().and_then(|text| place(text, places, &invert));
        if let Some(new) = new.and_then(|new| HeaderValue::try_from(new).ok()) {
            headers.insert(name, new);
        }
    }
}

/// What `text` is to the client; `None` if that is the same.
fn place(text: &str, places: Places<'_>, invert: impl Fn(&str) -> Option<String>) -> Option<String> {
    // What stands before the path, as the client sees it.
    let (before, rest) = match split(text) {
        // A path as it is. Two slashes are a host.
        None if text.starts_with('/') && !text.starts_with("//") => ("", text),
        None => return None,
        // A path alone leads to where the client is, by whatever scheme it came and whatever name it used.
        Some((scheme, authority, rest)) if scheme == "http" && same(authority, places.upstream, scheme) => {
            ("", if rest.is_empty() { "/" } else { rest })
        }
        // The scheme stays: it may be what the answer is about.
        Some((scheme, authority, rest)) => {
            let client = places.client.filter(|client| same(authority, client.as_str(), scheme));
            client.filter(|_| rest.starts_with('/'))?;
            (text.get(..text.len() - rest.len())?, rest)
        }
    };
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (path, tail) = rest.split_at(end);
    // `http://upstream?query`
    let path = if path.is_empty() { "/" } else { path };
    let new = path.starts_with('/').then(|| invert(path))??;
    if before.is_empty() && new.as_bytes().get(1).is_some_and(|byte| matches!(byte, b'/' | b'\\')) {
        // It would be a host to the client.
        return None;
    }
    let new = format!("{before}{new}{tail}");
    (new != text).then_some(new)
}

/// Scheme in lower case, authority and the rest, if it is a place of the web.
fn split(text: &str) -> Option<(&'static str, &str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = ["http", "https"].into_iter().find(|known| known.eq_ignore_ascii_case(scheme))?;
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    (!authority.is_empty()).then_some((scheme, authority, rest))
}

/// Whether both are one authority, which need not say the scheme's own port.
fn same(one: &str, other: &str, scheme: &str) -> bool {
    let port = if scheme == "https" { ":443" } else { ":80" };
    let bare = |text: &str| text.strip_suffix(port).unwrap_or(text).len();
    let cut = |text: &str| text.get(..bare(text)).unwrap_or_default().to_ascii_lowercase();
    cut(one) == cut(other)
}

#[cfg(test)]
mod tests;
