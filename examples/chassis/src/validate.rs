//! Rules over a decoded body: all faults at once, each with its pointer.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use crate::problem::{FieldError, Problem};

/// Collects what is wrong, so that a client hears everything at once.
#[derive(Debug, Default)]
pub struct Faults(Vec<FieldError>);

/// More faults than this are not told: a body of 64 KiB could hold thousands.
const MAX_FAULTS: usize = 32;

// === impl Faults ===

impl Faults {
    /// No fault yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a fault.
    pub fn add(&mut self, pointer: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) {
        if self.0.len() < MAX_FAULTS {
            self.0.push(FieldError::new(pointer, detail));
        }
    }

    /// Notes a fault unless `good`; gives `good` back.
    pub fn check(
        &mut self,
        good: bool,
        pointer: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> bool {
        if !good {
            self.add(pointer, detail);
        }
        good
    }

    /// The value of `parsed`, or its error noted as the fault.
    pub fn take<T, E: std::fmt::Display>(
        &mut self,
        pointer: impl Into<Cow<'static, str>>,
        parsed: Result<T, E>,
    ) -> Option<T> {
        parsed.map_err(|fault| self.add(pointer, fault.to_string())).ok()
    }

    /// The text trimmed, checked for its length in characters and for control characters.
    pub fn text<'t>(
        &mut self,
        pointer: impl Into<Cow<'static, str>>,
        text: &'t str,
        length: RangeInclusive<usize>,
    ) -> &'t str {
        let trimmed = text.trim();
        // A text of many bytes has at most that many characters: counting stops early.
        let count = trimmed.chars().take(length.end().saturating_add(1)).count();
        if !length.contains(&count) {
            let (min, max) = length.into_inner();
            self.add(pointer, format!("must have {min} to {max} characters"));
        } else if trimmed.chars().any(|c| c.is_control() && c != '\n' && c != '\t' && c != '\r') {
            self.add(pointer, "must not contain control characters");
        }
        trimmed
    }

    /// Like [`text`](Self::text), when there is one.
    pub fn optional_text<'t>(
        &mut self,
        pointer: impl Into<Cow<'static, str>>,
        text: Option<&'t str>,
        length: RangeInclusive<usize>,
    ) -> Option<&'t str> {
        text.map(|text| self.text(pointer, text, length))
    }

    /// An e-mail address, trimmed: 3 to 254 characters, one `@`, a dot in the domain, no blanks. Whether it
    /// reaches someone only a message can tell.
    pub fn email<'t>(&mut self, pointer: impl Into<Cow<'static, str>>, text: &'t str) -> &'t str {
        let email = text.trim();
        if !is_email(email) {
            self.add(pointer, "is no e-mail address");
        }
        email
    }

    /// Whether nothing was noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ends the checks.
    ///
    /// # Errors
    ///
    /// 422 `VALIDATION` with all faults.
    pub fn finish(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::validation(self.0)) }
    }
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '@' | '<' | '>' | ',' | '"');
    let label = |l: &str| !l.is_empty() && !l.starts_with('-') && !l.ends_with('-');
    text.len() <= 254
        && (1..=64).contains(&local.len())
        && local.chars().all(plain)
        && domain.contains('.')
        && domain.split('.').all(label)
        && domain.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '.')
}

#[cfg(test)]
mod tests;
