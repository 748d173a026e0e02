//! What path an upstream sees.

use crate::route::matcher::{Fault, Pattern, Segment, check_normal};

/// What path an upstream sees. What of the client's path remains is passed on as it was matched, and never decoded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Rewrite {
    /// The client's.
    #[default]
    Keep,
    /// The client's, with `strip` taken from its front and then `add` put there.
    Replace {
        /// Segments that every path of the route starts with, or nothing.
        strip: String,
        /// Segments, or nothing.
        add: String,
    },
    /// This one, in which `{name}` is what that parameter of the route's pattern was. The rest of a path, `{*name}`,
    /// comes last: `/v2/{tenant}/{*path}`.
    Template(String),
}

/// A checked [`Rewrite`].
#[derive(Clone, Debug)]
pub(super) enum Compiled {
    Keep,
    Replace { strip: String, add: String },
    Template(Vec<Part>),
}

/// One segment of a template.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Literal(String),
    /// This segment of the client's path.
    Parameter(usize),
    /// What follows this many segments of it.
    Rest(usize),
}

// === impl Rewrite ===

impl Rewrite {
    /// Takes `prefix` from the front of the path.
    #[must_use]
    pub fn strip(prefix: impl Into<String>) -> Self {
        Self::Replace { strip: prefix.into(), add: String::new() }
    }

    /// Puts `prefix` in front of the path.
    #[must_use]
    pub fn add(prefix: impl Into<String>) -> Self {
        Self::Replace { strip: String::new(), add: prefix.into() }
    }

    /// Puts `add` in the place of `strip`.
    #[must_use]
    pub fn replace(strip: impl Into<String>, add: impl Into<String>) -> Self {
        Self::Replace { strip: strip.into(), add: add.into() }
    }

    /// Puts what the parameters of the pattern were into `template`.
    #[must_use]
    pub fn template(template: impl Into<String>) -> Self {
        Self::Template(template.into())
    }

    pub(super) fn compile(&self, pattern: &Pattern) -> Result<Compiled, Fault> {
        match self {
            Self::Keep => Ok(Compiled::Keep),
            Self::Replace { strip, add } => {
                let (strip, add) = (strip.trim_end_matches('/'), add.trim_end_matches('/'));
                if !add.is_empty() {
                    check_normal(add)?;
                }
                if !starts_with(pattern, strip) {
                    return Err("what is stripped must be at the front of every path of the route");
                }
                Ok(Compiled::Replace { strip: strip.to_owned(), add: add.to_owned() })
            }
            Self::Template(text) => {
                let template = Pattern::parse(text)?;
                let mut parts = Vec::with_capacity(template.segments.len() + 1);
                for segment in template.segments {
                    parts.push(match segment {
                        Segment::Literal(text) => Part::Literal(text),
                        Segment::Parameter(name) => {
                            let found = |segment: &Segment| segment.parameter() == Some(&name);
                            let index = pattern.segments.iter().position(found);
                            Part::Parameter(index.ok_or("a parameter that the pattern does not have")?)
                        }
                    });
                }
                if let Some(name) = template.rest {
                    if pattern.rest.as_ref() != Some(&name) {
                        return Err("a rest that the pattern does not have");
                    }
                    parts.push(Part::Rest(pattern.segments.len()));
                }
                Ok(Compiled::Template(parts))
            }
        }
    }
}

// === impl Compiled ===

impl Compiled {
    /// The path for the upstream, in its normal form as `path` is; `None` when it is `path`.
    pub(super) fn apply(&self, path: &str) -> Option<String> {
        match self {
            Self::Keep => None,
            Self::Replace { strip, add } => {
                // INVARIANT: what is stripped was matched, on a segment boundary.
                let rest = path.get(strip.len()..).unwrap_or_default();
                let mut target = String::with_capacity(add.len() + rest.len() + 1);
                target.push_str(add);
                target.push_str(rest);
                if target.is_empty() {
                    target.push('/');
                }
                Some(target)
            }
            Self::Template(parts) => {
                let mut target = String::with_capacity(path.len() + 16);
                for part in parts {
                    target.push('/');
                    target.push_str(match part {
                        Part::Literal(text) => text,
                        Part::Parameter(index) => path.split('/').nth(index + 1).unwrap_or_default(),
                        Part::Rest(index) => path.splitn(index + 2, '/').nth(index + 1).unwrap_or_default(),
                    });
                }
                Some(target)
            }
        }
    }

    /// The path of the client's that becomes `path` for the upstream; `None` if none does, or it is not known which.
    pub(super) fn invert(&self, path: &str) -> Option<String> {
        match self {
            Self::Keep => Some(path.to_owned()),
            Self::Replace { strip, add } => {
                let rest = below(path, add)?;
                let path = format!("{strip}{rest}");
                Some(if path.is_empty() { "/".to_owned() } else { path })
            }
            Self::Template(_) => None,
        }
    }

    /// The same for the path of a cookie, which is for all below it.
    pub(super) fn cookie_path(&self, path: &str) -> String {
        let Self::Replace { strip, add } = self else { return path.to_owned() };
        let bare = path.trim_end_matches('/');
        match below(path, add) {
            // For all that the upstream has here. `/api` is for what is below it too, and `/api/` not for `/api`.
            _ if below(add, bare).is_some() => {
                if strip.is_empty() {
                    "/".to_owned()
                } else {
                    strip.clone()
                }
            }
            Some(rest) => format!("{strip}{rest}"),
            // For nothing that this route reaches.
            None => path.to_owned(),
        }
    }
}

/// What follows `prefix`, which ends at the end of a segment.
fn below<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether the paths of `pattern` all start with the segments of `strip`.
fn starts_with(pattern: &Pattern, strip: &str) -> bool {
    let Some(strip) = strip.strip_prefix('/') else { return strip.is_empty() };
    let mut segments = pattern.segments.iter();
    strip.split('/').all(|wanted| segments.next().and_then(Segment::literal) == Some(wanted))
}
