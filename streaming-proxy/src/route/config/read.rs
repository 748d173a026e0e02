//! A table out of TOML, with the lines that its entries stand in.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::route::Routes;
use crate::route::config::build::build;
use crate::route::config::{Fault, TableConfig, TableError};

/// A table, as far as it could be read.
#[derive(Default)]
pub(super) struct Text {
    /// What could not be read is `None`.
    pub(super) upstreams: BTreeMap<String, Entry<super::UpstreamEntry>>,
    pub(super) routes: Vec<Entry<super::RouteEntry>>,
    pub(super) faults: Vec<Fault>,
}

pub(super) struct Entry<T> {
    pub(super) line: Option<usize>,
    pub(super) value: Option<T>,
}

// === impl TableConfig ===

impl TableConfig {
    /// Reads a table. Whether its entries fit together is seen when it is [built](Self::build).
    ///
    /// # Errors
    ///
    /// All that is no TOML, is unknown, or has another type.
    pub fn from_toml(text: &str) -> Result<Self, TableError> {
        let Text { upstreams, routes, faults } = read(text);
        if !faults.is_empty() {
            return Err(TableError { faults });
        }
        let upstreams =
            upstreams.into_iter().filter_map(|(name, entry)| Some((name, entry.value?))).collect();
        Ok(Self { upstreams, routes: routes.into_iter().filter_map(|entry| entry.value).collect() })
    }

    /// Writes the table, so that [`from_toml`](Self::from_toml) reads the same.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // INVARIANT: only a map whose keys are no texts, or a number that TOML has not, could fail; there is neither.
        toml::to_string(self).unwrap_or_default()
    }
}

// === impl Routes ===

impl Routes {
    /// Reads and builds a table in TOML; see [`config`](crate::route::config) for what is in it, and
    /// [`TableConfig::build`] for `resolve`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, with its line.
    pub fn from_toml(text: &str, resolve: impl FnMut(&str) -> Option<String>) -> Result<Self, TableError> {
        build(read(text), resolve)
    }
}

fn read(text: &str) -> Text {
    let line = |span: &Range<usize>| {
        let before = text.as_bytes().get(..span.start).unwrap_or(text.as_bytes());
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    };
    let mut read = Text::default();
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = error.span().as_ref().map(line);
        read.faults.push(Fault { line, entry: String::new(), what: error.message().to_owned() });
    }
    if !read.faults.is_empty() {
        // What was not understood could be anything: to say more would be to guess.
        return read;
    }
    for (key, value) in table.into_inner() {
        let start = line(&key.span());
        let mut note = |span: Option<Range<usize>>, entry: String, what: String| {
            read.faults.push(Fault { line: Some(span.as_ref().map_or(start, line)), entry, what });
        };
        match (&**key.as_ref(), value.into_inner()) {
            ("upstreams", DeValue::Table(upstreams)) => {
                for (name, value) in upstreams {
                    let start = Some(line(&name.span()));
                    let name = name.into_inner().into_owned();
                    let value = entry(value, |span, what| note(span, format!("upstream {name}"), what));
                    read.upstreams.insert(name, Entry { line: start, value });
                }
            }
            ("routes", DeValue::Array(routes)) => {
                for (index, value) in routes.into_iter().enumerate() {
                    let start = Some(line(&value.span()));
                    let value = entry(value, |span, what| note(span, format!("route {}", index + 1), what));
                    read.routes.push(Entry { line: start, value });
                }
            }
            ("upstreams", _) => note(None, String::new(), "`upstreams` is a table for each name".to_owned()),
            ("routes", _) => note(None, String::new(), "`routes` is a list of tables".to_owned()),
            (other, _) => note(None, String::new(), format!("unknown: `{other}`")),
        }
    }
    read.faults.sort();
    read
}

/// One entry; `None` after at least one `note`. serde stops at the first fault, so it is asked again without that.
fn entry<T: DeserializeOwned>(
    mut value: Spanned<DeValue<'_>>,
    mut note: impl FnMut(Option<Range<usize>>, String),
) -> Option<T> {
    let mut faults = 0;
    loop {
        let error = match T::deserialize(ValueDeserializer::from(value.clone())) {
            Ok(entry) => return (faults == 0).then_some(entry),
            Err(error) => error,
        };
        faults += 1;
        let span = error.span();
        note(span.clone(), error.message().to_owned());
        let (Some(span), DeValue::Table(table)) = (span, value.get_mut()) else { return None };
        let before = table.len();
        *table = std::mem::take(table)
            .into_iter()
            .filter(|(key, value)| !key.span().contains(&span.start) && !value.span().contains(&span.start))
            .collect();
        if table.len() == before {
            return None;
        }
    }
}
