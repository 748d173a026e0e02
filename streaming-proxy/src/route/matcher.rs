//! What a route matches.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::path;
use crate::route::Route;

/// The paths that a [`Route`] is for, in their [normal form](crate::path::normal).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PathMatch {
    /// This one: `/health` has neither `/health/` nor `/health/x`.
    Exact(String),
    /// This one and everything below it: `/api` has `/api`, `/api/` and `/api/x`, never `/apiary`. `/` has all.
    Prefix(String),
    /// Segments, of which `{name}` is any that is not empty. A last segment `{*name}` is whatever follows, slashes
    /// included and also nothing: `/files/{*path}` has what the prefix `/files` has.
    Pattern(String),
}

/// A field that a request must have for a [`Route`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum HeaderMatch {
    /// There, whatever it says.
    Present(HeaderName),
    /// There once, and exactly this: of several lines, nobody knows which one the upstream reads.
    Equal(HeaderName, HeaderValue),
}

/// A [`PathMatch`] taken apart.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) segments: Vec<Segment>,
    /// Whether more may follow, and its name, which a prefix has not.
    pub(super) rest: Option<String>,
}

/// One segment of a [`Pattern`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Segment {
    Literal(String),
    Parameter(String),
}

/// What makes a table useless, said in a fixed sentence.
pub(super) type Fault = &'static str;

const NOT_NORMAL: Fault = "a path must be in its normal form";

// === impl PathMatch ===

impl PathMatch {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Pattern(text) => text,
        }
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) | Self::Pattern(text) => f.write_str(text),
            Self::Prefix(text) => write!(f, "{}/…", text.trim_end_matches('/')),
        }
    }
}

// === impl HeaderMatch ===

impl HeaderMatch {
    fn admits(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Present(name) => headers.contains_key(name),
            Self::Equal(name, wanted) => {
                let mut lines = headers.get_all(name).iter();
                lines.next() == Some(wanted) && lines.next().is_none()
            }
        }
    }
}

impl fmt::Display for HeaderMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present(name) => write!(f, "{name}"),
            Self::Equal(name, value) => write!(f, "{name}={value:?}"),
        }
    }
}

// === impl Route ===

impl Route {
    pub(super) fn admits_method(&self, method: &Method) -> bool {
        let has = |wanted: &Method| self.methods.iter().any(|method| method == wanted);
        self.methods.is_empty() || has(method) || (*method == Method::HEAD && has(&Method::GET))
    }

    pub(super) fn admits_headers(&self, headers: &HeaderMap) -> bool {
        self.headers.iter().all(|header| header.admits(headers))
    }
}

// === impl Pattern ===

impl Pattern {
    pub(super) fn new(path: &PathMatch) -> Result<Self, Fault> {
        match path {
            PathMatch::Exact(text) => {
                let segments = literals(text)?;
                Ok(Self { segments, rest: None })
            }
            PathMatch::Prefix(text) => {
                let text = text.trim_end_matches('/');
                let segments = if text.is_empty() { Vec::new() } else { literals(text)? };
                Ok(Self { segments, rest: Some(String::new()) })
            }
            PathMatch::Pattern(text) => Self::parse(text),
        }
    }

    /// Also used for templates, which are written in the same way.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let inner = text.strip_prefix('/').ok_or("a path must start with a slash")?;
        let mut pattern = Self { segments: Vec::new(), rest: None };
        for segment in inner.split('/') {
            if pattern.rest.is_some() {
                return Err("nothing can follow the rest of a path");
            }
            match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => match name.strip_prefix('*') {
                    Some(name) => pattern.rest = Some(checked_name(name)?),
                    None => pattern.segments.push(Segment::Parameter(checked_name(name)?)),
                },
                None if segment.contains(['{', '}']) => return Err("a parameter is a whole segment"),
                None => pattern.segments.push(Segment::Literal(segment.to_owned())),
            }
        }
        // What a parameter stands for is normal: the literals must be so around it.
        let plain: Vec<&str> =
            pattern.segments.iter().map(|segment| segment.literal().unwrap_or("x")).collect();
        check_normal(&format!("/{}", plain.join("/")))?;
        if pattern.rest.is_some() && plain.contains(&"") {
            return Err(NOT_NORMAL);
        }
        Ok(pattern)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let rest = self.rest.as_deref().filter(|name| !name.is_empty());
        self.segments.iter().filter_map(Segment::parameter).chain(rest)
    }
}

// === impl Segment ===

impl Segment {
    pub(super) fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(text) => Some(text),
            Self::Parameter(_) => None,
        }
    }

    pub(super) fn parameter(&self) -> Option<&str> {
        match self {
            Self::Parameter(name) => Some(name),
            Self::Literal(_) => None,
        }
    }
}

/// Nothing could match another form, or what is sent would be one.
pub(super) fn check_normal(path: &str) -> Result<(), Fault> {
    let normal = path::normal(path).is_ok_and(|normal| normal.is_unchanged());
    if normal { Ok(()) } else { Err(NOT_NORMAL) }
}

/// A host as it is looked up: no port, no trailing dot.
pub(super) fn check_host(host: &str) -> Result<(), Fault> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    let address = |name: &str| {
        let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok()) && name == host
    };
    let named = !name.is_empty() && name.bytes().all(plain) && name.split('.').all(|label| !label.is_empty());
    if named || address(name) {
        Ok(())
    } else {
        Err("a host is a name in lower case, perhaps after `*.`, without a port")
    }
}

fn literals(text: &str) -> Result<Vec<Segment>, Fault> {
    check_normal(text)?;
    // INVARIANT: a normal path starts with a slash.
    let inner = text.strip_prefix('/').unwrap_or_default();
    Ok(inner.split('/').map(|segment| Segment::Literal(segment.to_owned())).collect())
}

fn checked_name(name: &str) -> Result<String, Fault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !name.is_empty() && name.bytes().all(plain) {
        Ok(name.to_owned())
    } else {
        Err("a parameter's name has letters, digits and `_`")
    }
}
