//! One spelling for each path: what is matched is what is sent.

use std::borrow::Cow;

use crate::error::ProxyError;

/// A path in its normal form, as [`normal`] makes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NormalPath<'a> {
    /// INVARIANT: [`normal`] gives it back as it is.
    text: Cow<'a, str>,
    encoded_slash: bool,
}

/// What a byte of a path is to its normal form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    /// Stands for itself, and is decoded where it is encoded (RFC 3986, 2.3).
    Unreserved,
    /// Stands for itself, and means something else where it is encoded.
    Reserved,
    /// Is encoded.
    Other,
}

/// As much of a path segment as tells whether it is `.` or `..`, parameters (`;…`) aside.
#[derive(Default)]
struct Segment {
    dots: usize,
    other: bool,
    parameters: bool,
}

/// Brings the path of a request's target into its normal form.
///
/// Two spellings that upstreams take for the same path have one normal form, so that none of them goes another way than
/// the rest (RFC 3986, 6.2.2): `%41` is `A`, hexadecimal digits are upper case, several slashes are one, and what must
/// be encoded is. What has a meaning of its own stays encoded (`%3F`, `%25`): nothing is decoded twice.
///
/// A path that is normal already, as nearly all are, is borrowed. [`NormalPathLayer`](crate::layer::normal_path::NormalPathLayer)
/// does this for the layers behind it.
///
/// ```
/// use tramline_streaming_proxy::path::normal;
///
/// assert_eq!(normal("//%61pi/caf%c3%a9")?.as_str(), "/api/caf%C3%A9");
/// assert!(normal("/api/%2e%2e/admin").is_err());
/// # Ok::<(), tramline_streaming_proxy::ProxyError>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::BadRequest`](crate::ErrorKind::BadRequest) for what upstreams read in different ways: dot segments in
/// every spelling, backslashes, NUL, and `%` without two digits. Also if it does not start with `/`.
pub fn normal(path: &str) -> Result<NormalPath<'_>, ProxyError> {
    if !path.starts_with('/') {
        return Err(ProxyError::bad_request("the target is not a path"));
    }
    if is_plainly_normal(path.as_bytes()) {
        return Ok(NormalPath { text: Cow::Borrowed(path), encoded_slash: false });
    }
    let mut text = String::with_capacity(path.len() + 8);
    let mut encoded_slash = false;
    let mut segment = Segment::default();
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let mut byte = *first;
        let encoded = byte == b'%';
        if encoded {
            let [high, low, tail @ ..] = tail else { return Err(broken_escape()) };
            byte = (digit(*high)? << 4) | digit(*low)?;
            rest = tail;
        }
        match byte {
            b'/' => {
                segment.end()?;
                if encoded {
                    encoded_slash = true;
                    text.push_str("%2F");
                } else if !text.ends_with('/') {
                    text.push('/');
                }
                continue;
            }
            b'\\' => return Err(ProxyError::bad_request("a backslash in the path")),
            0 => return Err(ProxyError::bad_request("a NUL in the path")),
            _ => segment.push(byte),
        }
        match class(byte) {
            Class::Unreserved => text.push(char::from(byte)),
            Class::Reserved if !encoded => text.push(char::from(byte)),
            Class::Reserved | Class::Other => encode(&mut text, byte),
        }
    }
    segment.end()?;
    let text = if text == path { Cow::Borrowed(path) } else { Cow::Owned(text) };
    Ok(NormalPath { text, encoded_slash })
}

// === impl NormalPath ===

impl NormalPath<'_> {
    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is what the client wrote.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        matches!(self.text, Cow::Borrowed(_))
    }

    /// Whether there is a `%2F` in it, which to some upstreams is a slash.
    #[must_use]
    pub fn has_encoded_slash(&self) -> bool {
        self.encoded_slash
    }
}

// === impl Segment ===

impl Segment {
    /// `byte` is what some upstream may decode: the strictest reading counts.
    fn push(&mut self, byte: u8) {
        match byte {
            _ if self.parameters => {}
            b';' => self.parameters = true,
            b'.' => self.dots += 1,
            _ => self.other = true,
        }
    }

    fn end(&mut self) -> Result<(), ProxyError> {
        let dots = !self.other && (self.dots == 1 || self.dots == 2);
        *self = Self::default();
        if dots { Err(ProxyError::bad_request("a dot segment in the path")) } else { Ok(()) }
    }
}

/// Whether there is nothing to do, said at once for nearly all paths.
fn is_plainly_normal(path: &[u8]) -> bool {
    let mut before = 0;
    path.iter().all(|byte| {
        let plain = match *byte {
            b'/' | b'.' => before != b'/',
            byte => class(byte) != Class::Other,
        };
        before = *byte;
        plain
    })
}

const fn class(byte: u8) -> Class {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => Class::Unreserved,
        b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => {
            Class::Reserved
        }
        _ => Class::Other,
    }
}

fn encode(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    for half in [byte >> 4, byte & 0xF] {
        text.push(char::from(DIGITS[usize::from(half)]));
    }
}

fn digit(digit: u8) -> Result<u8, ProxyError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(broken_escape()),
    }
}

fn broken_escape() -> ProxyError {
    ProxyError::bad_request("a broken escape in the path")
}

#[cfg(test)]
mod tests;
