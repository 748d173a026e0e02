//! The index of a table: from host and path to the routes that may be meant, the most exact first.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::route::matcher::{Pattern, Segment};

/// Trees of segments by host.
///
/// A look-up goes down one tree for each host that fits: the name itself, each suffix of it, any. In a tree it takes a
/// step for each segment, however many routes there are; only where a literal and a parameter both fit, and what is
/// below the literal does not, are there two ways to go.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    exact: HashMap<Box<str>, Node>,
    /// By what follows `*.`.
    suffixes: HashMap<Box<str>, Node>,
    any: Node,
}

#[derive(Clone, Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Self>,
    parameter: Option<Box<Self>>,
    /// The routes of the path that ends here.
    ends: Vec<usize>,
    /// The routes of whatever follows.
    rest: Vec<usize>,
}

// === impl Index ===

impl Index {
    /// Adds `route`. Those of one place are tried in the order in which they are added.
    pub(super) fn insert(&mut self, host: Option<&str>, pattern: &Pattern, route: usize) {
        let tree = match host {
            None => &mut self.any,
            Some(host) => match host.strip_prefix("*.") {
                Some(suffix) => self.suffixes.entry(suffix.into()).or_default(),
                None => self.exact.entry(host.into()).or_default(),
            },
        };
        let place = tree.at(&pattern.segments);
        if pattern.rest.is_some() { &mut place.rest } else { &mut place.ends }.push(route);
    }

    /// The first that `choose` takes of the lists of routes that fit, the most exact list first.
    pub(super) fn search<T>(
        &self,
        host: Option<&str>,
        path: &str,
        choose: &mut impl FnMut(&[usize]) -> Option<T>,
    ) -> Option<T> {
        let path = path.strip_prefix('/');
        if let Some(host) = host
            && !(self.exact.is_empty() && self.suffixes.is_empty())
        {
            let host = plain(host);
            if let Some(found) = self.exact.get(&*host).and_then(|tree| tree.search(path, choose)) {
                return Some(found);
            }
            let mut name = &*host;
            while let Some((_, suffix)) = name.split_once('.') {
                // Nothing before the dot is no name of which this is the end.
                if host.len() > suffix.len() + 1
                    && let Some(found) = self.suffixes.get(suffix).and_then(|tree| tree.search(path, choose))
                {
                    return Some(found);
                }
                name = suffix;
            }
        }
        self.any.search(path, choose)
    }

    /// Shows `look` the routes of each place.
    pub(super) fn each_place(&self, look: &mut impl FnMut(&[usize])) {
        let trees = self.exact.values().chain(self.suffixes.values()).chain([&self.any]);
        trees.for_each(|tree| tree.each_place(look));
    }
}

// === impl Node ===

impl Node {
    fn at(&mut self, segments: &[Segment]) -> &mut Self {
        let Some((first, tail)) = segments.split_first() else { return self };
        let child = match first {
            Segment::Literal(text) => self.literals.entry(text.as_str().into()).or_default(),
            Segment::Parameter(_) => self.parameter.get_or_insert_default(),
        };
        child.at(tail)
    }

    fn each_place(&self, look: &mut impl FnMut(&[usize])) {
        look(&self.ends);
        look(&self.rest);
        self.literals.values().chain(self.parameter.as_deref()).for_each(|child| child.each_place(look));
    }

    /// As deep as the table, not as the path.
    fn search<T>(&self, path: Option<&str>, choose: &mut impl FnMut(&[usize]) -> Option<T>) -> Option<T> {
        let below = match path {
            None => choose(&self.ends),
            Some(path) => {
                let (segment, tail) =
                    path.split_once('/').map_or((path, None), |(segment, tail)| (segment, Some(tail)));
                let literal = self.literals.get(segment).and_then(|child| child.search(tail, choose));
                literal.or_else(|| {
                    let child = self.parameter.as_ref().filter(|_| !segment.is_empty())?;
                    child.search(tail, choose)
                })
            }
        };
        below.or_else(|| choose(&self.rest))
    }
}

/// The one spelling of a host: names have no case, and a dot at their end says that they are whole.
fn plain(host: &str) -> Cow<'_, str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}
