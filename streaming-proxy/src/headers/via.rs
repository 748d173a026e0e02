//! `Via` (RFC 9110, 7.6.3): which proxies a message came through, and whether it was here before.

use http::header::VIA;
use http::{HeaderMap, HeaderValue, Version};

use crate::error::{ErrorKind, ProxyError};
use crate::headers::hop;

/// This proxy's item of `Via`.
#[derive(Clone, Debug)]
pub(crate) struct Via {
    name: String,
    /// For what came as HTTP/1.0, HTTP/1.1 and HTTP/2.
    items: [HeaderValue; 3],
}

// === impl Via ===

impl Via {
    /// `None` if nothing of `name` can be said in the field.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let plain = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
        let name: String = name.chars().filter(plain).collect();
        let item = |version| HeaderValue::try_from(format!("{version} {name}")).ok();
        let items = [item("1.0")?, item("1.1")?, item("2")?];
        (!name.is_empty()).then_some(Self { name, items })
    }

    /// Refuses what this proxy has passed on before.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), ProxyError> {
        if hop::tokens(headers, &VIA).any(|item| self.is_own(item)) {
            return Err(ProxyError::new(ErrorKind::Loop));
        }
        Ok(())
    }

    /// Adds this hop to what came as `version`; `has` says whether there are others.
    pub(crate) fn add(&self, headers: &mut HeaderMap, version: Version, has: bool) {
        let [ten, eleven, two] = &self.items;
        let item = match version {
            Version::HTTP_09 | Version::HTTP_10 => ten,
            Version::HTTP_2 => two,
            _ => eleven,
        };
        if has {
            // A field of its own: the same list (RFC 9110, 5.3), and nothing to copy.
            headers.append(VIA, item.clone());
        } else {
            headers.insert(VIA, item.clone());
        }
    }

    /// `protocol received-by [comment]`, where white space parts them.
    fn is_own(&self, item: &[u8]) -> bool {
        let mut words = item.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(self.name.as_bytes()))
    }
}

#[cfg(test)]
mod tests;
