//! The words of `Cache-Control` (RFC 9111, section 5.2; RFC 5861).

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};

/// What a message says of its being cached. Times are in seconds.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Directives {
    pub(super) no_cache: bool,
    pub(super) no_store: bool,
    pub(super) only_if_cached: bool,
    pub(super) private: bool,
    /// `must-revalidate` or `proxy-revalidate`.
    pub(super) revalidate: bool,
    pub(super) max_age: Option<u64>,
    pub(super) s_maxage: Option<u64>,
    pub(super) while_revalidate: Option<u64>,
    pub(super) if_error: Option<u64>,
}

/// A time that is larger than can be written is this one (RFC 9111, section 1.2.2).
const FOREVER: u64 = 1 << 31;

// === impl Directives ===

impl Directives {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            match value.to_str() {
                Ok(value) => said.read(value),
                // Nobody knows what it forbids.
                Err(_) => said.no_store = true,
            }
        }
        said
    }

    /// As of a request: `Pragma` counts where there is nothing else (RFC 9111, section 5.4).
    pub(super) fn of_request(headers: &HeaderMap) -> Self {
        let mut said = Self::of(headers);
        if !headers.contains_key(CACHE_CONTROL) {
            let no_cache = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"no-cache");
            said.no_cache = headers.get_all(PRAGMA).iter().any(no_cache);
        }
        said
    }

    fn read(&mut self, value: &str) {
        for directive in split(value) {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                // With names of fields, they would forbid those only: here they forbid all.
                "no-cache" => self.no_cache = true,
                "private" => self.private = true,
                "no-store" => self.no_store = true,
                "only-if-cached" => self.only_if_cached = true,
                "must-revalidate" | "proxy-revalidate" => self.revalidate = true,
                "max-age" => least(&mut self.max_age, argument),
                "s-maxage" => least(&mut self.s_maxage, argument),
                "stale-while-revalidate" => least(&mut self.while_revalidate, argument),
                "stale-if-error" => least(&mut self.if_error, argument),
                _ => {}
            }
        }
    }
}

/// The shorter of two; what is no number is no time at all (RFC 9111, section 4.2.1).
fn least(kept: &mut Option<u64>, argument: &str) {
    let argument = argument.trim().trim_matches('"');
    let digits = !argument.is_empty() && argument.bytes().all(|byte| byte.is_ascii_digit());
    let seconds =
        if digits { argument.parse().map_or(FOREVER, |seconds: u64| seconds.min(FOREVER)) } else { 0 };
    *kept = Some(kept.map_or(seconds, |kept| kept.min(seconds)));
}

/// The members of a list, those in quotes as a whole.
fn split(value: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    value
        .split(move |c| {
            let ends = c == ',' && !quoted;
            if c == '"' && !escaped {
                quoted = !quoted;
            }
            escaped = quoted && c == '\\' && !escaped;
            ends
        })
        .map(str::trim)
        .filter(|directive| !directive.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Directives {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CACHE_CONTROL, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Directives::of(&headers)
    }

    #[test]
    fn words_are_read_as_the_standard_says() {
        let nothing = Directives::default;
        let table = [
            (&[""][..], nothing()),
            (&["public, immutable, foo=bar"], nothing()),
            (&["No-Store"], Directives { no_store: true, ..nothing() }),
            (&["max-age=60"], Directives { max_age: Some(60), ..nothing() }),
            (&["max-age=\"60\""], Directives { max_age: Some(60), ..nothing() }),
            (&["max-age=60, max-age=5"], Directives { max_age: Some(5), ..nothing() }),
            (&["max-age=60", "max-age=5"], Directives { max_age: Some(5), ..nothing() }),
            (&["max-age=abc"], Directives { max_age: Some(0), ..nothing() }),
            (&["max-age=-1"], Directives { max_age: Some(0), ..nothing() }),
            (&["max-age=+1"], Directives { max_age: Some(0), ..nothing() }),
            (&["max-age"], Directives { max_age: Some(0), ..nothing() }),
            (&["max-age=99999999999999999999999"], Directives { max_age: Some(FOREVER), ..nothing() }),
            (&["private=\"set-cookie, max-age=1\""], Directives { private: true, ..nothing() }),
            (&["foo=\"no-store, \\\"no-cache\", private"], Directives { private: true, ..nothing() }),
            (&["s-maxage=1,max-age=2"], Directives { s_maxage: Some(1), max_age: Some(2), ..nothing() }),
            (&["proxy-revalidate"], Directives { revalidate: true, ..nothing() }),
            (&["must-revalidate"], Directives { revalidate: true, ..nothing() }),
            (
                &["stale-while-revalidate=3, stale-if-error=4"],
                Directives { while_revalidate: Some(3), if_error: Some(4), ..nothing() },
            ),
            (&["ok=\u{fc}"], Directives { no_store: true, ..nothing() }),
        ];
        for (values, said) in table {
            assert_eq!(of(values), said, "{values:?}");
        }
    }

    #[test]
    fn pragma_counts_in_requests_that_say_nothing_else() {
        let mut headers = HeaderMap::new();
        headers.insert(PRAGMA, http::HeaderValue::from_static("no-cache"));
        assert!(Directives::of_request(&headers).no_cache);
        assert!(!Directives::of(&headers).no_cache);
        headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("max-age=5"));
        assert!(!Directives::of_request(&headers).no_cache);
    }
}
