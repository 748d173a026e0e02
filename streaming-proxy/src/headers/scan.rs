//! Which of the fields that a proxy acts on a message has, found in one pass over its names.

use http::HeaderMap;

use crate::headers::{claims, hop};

/// What is there. Most messages have few of these, and each look-up of one that is not there costs as much as one
/// that is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Scan {
    bits: u16,
    /// The bytes of all names and values.
    pub(crate) bytes: usize,
}

/// What a [`Scan`] tells apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub(crate) enum Seen {
    /// `Connection`.
    Connection = 1,
    /// Any other field that ends at this hop.
    Hop = 1 << 1,
    /// `TE`, which ends here too, but is read.
    Te = 1 << 2,
    /// What [`claims::is_unwanted`] says.
    Unwanted = 1 << 3,
    /// `Via`.
    Via = 1 << 4,
    /// `Expect`.
    Expect = 1 << 5,
    /// `Location` or `Content-Location` of an answer.
    Location = 1 << 6,
    /// `Set-Cookie` of an answer.
    SetCookie = 1 << 7,
    /// `Access-Control-*` of an answer.
    Cors = 1 << 8,
    /// `Transfer-Encoding`, which ends here too, but is read.
    Coding = 1 << 9,
    /// `Content-Length`.
    Length = 1 << 10,
    /// `Cookie`, once or more.
    Cookie = 1 << 11,
}

// === impl Scan ===

impl Scan {
    /// Of a request, or of trailers.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self::with(headers, |name| claims::is_unwanted(name).then_some(Seen::Unwanted))
    }

    /// Of an answer, which claims nothing of its client.
    pub(crate) fn of_answer(headers: &HeaderMap) -> Self {
        Self::with(headers, |name| match name {
            "location" | "content-location" => Some(Seen::Location),
            "set-cookie" => Some(Seen::SetCookie),
            _ => name.starts_with("access-control-").then_some(Seen::Cors),
        })
    }

    fn with(headers: &HeaderMap, more: impl Fn(&str) -> Option<Seen>) -> Self {
        let mut scan = Self::default();
        for (name, value) in headers {
            let name = name.as_str();
            scan.bytes += name.len() + value.len();
            let seen = match name {
                "content-length" => Seen::Length,
                "cookie" => Seen::Cookie,
                "te" => Seen::Te,
                "transfer-encoding" => Seen::Coding,
                "via" => Seen::Via,
                "expect" => Seen::Expect,
                "connection" => Seen::Connection,
                _ if hop::ends_here(name) => Seen::Hop,
                _ => match more(name) {
                    Some(seen) => seen,
                    None => continue,
                },
            };
            scan.bits |= seen as u16;
        }
        scan
    }

    pub(crate) fn has(self, seen: Seen) -> bool {
        self.bits & seen as u16 != 0
    }
}

#[cfg(test)]
mod tests;
