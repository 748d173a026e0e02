//! Which upstream a request belongs to, and what path it sees.

#[cfg(feature = "config")]
pub mod config;
mod index;
mod matcher;
mod rewrite;
mod table;

use std::fmt;

use http::Method;

use crate::config::{Answers, Priority, Retries, Timeouts};
use crate::upstream::Upstream;

pub use crate::route::matcher::{HeaderMatch, PathMatch};
pub use crate::route::rewrite::Rewrite;
pub use crate::route::table::{Matched, Routes};

/// One entry of [`Routes`]: what it matches, and where that goes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Route {
    /// Its name in metrics and logs. `None` is its path as it is written: `/api`, `/users/{id}`.
    pub name: Option<String>,
    /// The host it is for: `shop.example`; or `*.shop.example`, which has every name below that one, and not that one.
    /// In lower case and without a port. `None` is any, and the only one for requests without a host.
    pub host: Option<String>,
    /// The paths it is for.
    pub path: PathMatch,
    /// The methods it is for; none is all. HEAD goes where GET goes (RFC 9110, 9.3.2).
    pub methods: Vec<Method>,
    /// Fields that a request must have, all of them, as the client sent them.
    pub headers: Vec<HeaderMatch>,
    /// Where its requests go.
    pub upstream: Upstream,
    /// What path the upstream sees. The query always stays as it is.
    pub rewrite: Rewrite,
    /// Its times.
    pub timeouts: Timeouts,
    /// When its requests go out again.
    pub retries: Retries,
    /// What of its answers is written anew.
    pub answers: Answers,
    /// Which of its upstream's requests are refused before them when it is busy.
    pub priority: Priority,
    /// Whether `%2F` in a path is data to the upstream, and passed on. Off by default: to many it is a slash, and a
    /// path that was matched as one would be served as another.
    pub encoded_slashes: bool,
}

// === impl Route ===

impl Route {
    /// A route for `prefix` and everything below it ([`PathMatch::Prefix`]) that keeps the path, with the default times.
    #[must_use]
    pub fn new(prefix: impl Into<String>, upstream: Upstream) -> Self {
        Self::with_path(PathMatch::Prefix(prefix.into()), upstream)
    }

    /// A route for one path ([`PathMatch::Exact`]).
    #[must_use]
    pub fn exact(path: impl Into<String>, upstream: Upstream) -> Self {
        Self::with_path(PathMatch::Exact(path.into()), upstream)
    }

    /// A route for the paths of a pattern ([`PathMatch::Pattern`]).
    #[must_use]
    pub fn pattern(pattern: impl Into<String>, upstream: Upstream) -> Self {
        Self::with_path(PathMatch::Pattern(pattern.into()), upstream)
    }

    /// A route for these paths.
    #[must_use]
    pub fn with_path(path: PathMatch, upstream: Upstream) -> Self {
        Self {
            name: None,
            host: None,
            path,
            methods: Vec::new(),
            headers: Vec::new(),
            upstream,
            rewrite: Rewrite::Keep,
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            answers: Answers::default(),
            priority: Priority::default(),
            encoded_slashes: false,
        }
    }

    /// The same route with this name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same route for this host only.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The same route for these methods only.
    #[must_use]
    pub fn with_methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = methods.into_iter().collect();
        self
    }

    /// The same route for requests that have this field too.
    #[must_use]
    pub fn with_header(mut self, header: HeaderMatch) -> Self {
        self.headers.push(header);
        self
    }

    /// The same route for an upstream that takes `%2F` for data.
    #[must_use]
    pub fn with_encoded_slashes(mut self) -> Self {
        self.encoded_slashes = true;
        self
    }

    /// The same route with this rewrite.
    #[must_use]
    pub fn with_rewrite(mut self, rewrite: Rewrite) -> Self {
        self.rewrite = rewrite;
        self
    }

    /// The same route with these times.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The same route with this priority.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// The same route with these retries.
    #[must_use]
    pub fn with_retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// The same route, whose answers are written anew so.
    #[must_use]
    pub fn with_answers(mut self, answers: Answers) -> Self {
        self.answers = answers;
        self
    }
}

impl Route {
    /// What it is called in metrics and logs.
    pub(crate) fn label(&self) -> &str {
        match (&self.name, &self.path) {
            (Some(name), _) => name,
            (None, PathMatch::Exact(path) | PathMatch::Prefix(path) | PathMatch::Pattern(path)) => path,
        }
    }
}

impl fmt::Display for Route {
    /// What it matches, in one line: `GET|HEAD *.shop.example /users/{id} x-beta x-tenant="a"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, method) in self.methods.iter().enumerate() {
            write!(f, "{}{method}", if index == 0 { "" } else { "|" })?;
        }
        if !self.methods.is_empty() {
            f.write_str(" ")?;
        }
        if let Some(host) = &self.host {
            write!(f, "{host} ")?;
        }
        self.path.fmt(f)?;
        self.headers.iter().try_for_each(|header| write!(f, " {header}"))
    }
}

#[cfg(test)]
mod tests;
