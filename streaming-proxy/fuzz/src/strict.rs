//! HTTP/1 as RFC 9112 writes it, without what recipients may forgive: no lone line feeds, no folded lines, no space
//! before a colon, one plain length or one `chunked`, no extensions of chunks.

/// One message.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Message {
    /// Of a request: method, target and version. Of an answer: version and status.
    pub start: Vec<String>,
    /// Names in lower case, with their values.
    pub fields: Vec<(String, Vec<u8>)>,
    /// What was framed.
    pub body: Vec<u8>,
    /// What came after it.
    pub trailers: Vec<(String, Vec<u8>)>,
}

/// What the first bytes are.
#[derive(Debug)]
pub enum Read<'a> {
    /// A message, and what follows it.
    Whole(Message, &'a [u8]),
    /// The beginning of one.
    Part,
    /// Nothing that could become one.
    Wrong(&'static str),
}

/// Which message is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A request.
    Request,
    /// The answer to HEAD (`true`), or to something else.
    Answer(bool),
}

type Outcome<T> = Result<Option<T>, &'static str>;
type Fields = Vec<(String, Vec<u8>)>;

// === impl Message ===

impl Message {
    /// All values of one field.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_slice())
    }

    /// One word of the first line.
    #[must_use]
    pub fn word(&self, place: usize) -> &str {
        self.start.get(place).map_or("", String::as_str)
    }
}

/// Reads one message. The answer without a length, which ends with its connection, is [`Read::Part`] until then: see
/// [`closed`].
#[must_use]
pub fn read(kind: Kind, bytes: &[u8]) -> Read<'_> {
    match message(kind, bytes, false) {
        Ok(Some((message, rest))) => Read::Whole(message, rest),
        Ok(None) => Read::Part,
        Err(why) => Read::Wrong(why),
    }
}

/// Reads the last answer of a connection that has ended after `bytes`.
#[must_use]
pub fn closed(kind: Kind, bytes: &[u8]) -> Read<'_> {
    match message(kind, bytes, true) {
        Ok(Some((message, rest))) => Read::Whole(message, rest),
        Ok(None) => Read::Part,
        Err(why) => Read::Wrong(why),
    }
}

fn message(kind: Kind, bytes: &[u8], ended: bool) -> Outcome<(Message, &[u8])> {
    let Some((first, rest)) = line(bytes)? else { return Ok(None) };
    let start = if kind == Kind::Request { request_line(first)? } else { status_line(first)? };
    let Some((fields, rest)) = fields(rest)? else { return Ok(None) };
    let mut message = Message { start, fields, ..Message::default() };
    let lengths: Vec<&[u8]> = message.all("content-length").collect();
    let codings: Vec<&[u8]> = message.all("transfer-encoding").collect();
    let bodiless = matches!(kind, Kind::Answer(head)
        if head || matches!(message.word(1), "204" | "304") || message.word(1).starts_with('1'));
    let length = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => None,
        ([length], []) => Some(decimal(length)?),
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => {
            if message.start.iter().any(|word| word == "HTTP/1.0") {
                return Err("chunks in HTTP/1.0");
            }
            if !bodiless {
                return chunks(message, rest);
            }
            None
        }
        _ => return Err("two framings, or an unknown one"),
    };
    let length = match (kind, length) {
        _ if bodiless => 0,
        (_, Some(length)) => length,
        (Kind::Request, None) => 0,
        (Kind::Answer(_), None) if ended => rest.len(),
        (Kind::Answer(_), None) => return Ok(None),
    };
    let Some((body, rest)) = rest.split_at_checked(length) else { return Ok(None) };
    message.body = body.to_vec();
    Ok(Some((message, rest)))
}

fn request_line(line: &[u8]) -> Result<Vec<String>, &'static str> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else { return Err("not three words") };
    if !is_token(method) {
        return Err("the method is no token");
    }
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err("the target has other characters");
    }
    if !matches!(version, b"HTTP/1.1" | b"HTTP/1.0") {
        return Err("no version");
    }
    Ok(words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

fn status_line(line: &[u8]) -> Result<Vec<String>, &'static str> {
    let (version, rest) = line.split_at_checked(9).ok_or("a short status line")?;
    let (status, reason) = rest.split_at_checked(3).ok_or("a short status line")?;
    if !matches!(version, b"HTTP/1.1 " | b"HTTP/1.0 ") || !status.iter().all(u8::is_ascii_digit) {
        return Err("no status line");
    }
    if reason.first() != Some(&b' ') || !is_text(reason) {
        return Err("no reason after the status");
    }
    let version = version.trim_ascii_end();
    Ok([version, status].map(|word| String::from_utf8_lossy(word).into_owned()).to_vec())
}

/// Up to the empty line.
fn fields(mut rest: &[u8]) -> Outcome<(Fields, &[u8])> {
    let mut fields = Vec::new();
    loop {
        let Some((first, tail)) = line(rest)? else { return Ok(None) };
        rest = tail;
        if first.is_empty() {
            return Ok(Some((fields, rest)));
        }
        let colon = first.iter().position(|byte| *byte == b':').ok_or("a field without a colon")?;
        let (name, value) = (&first[..colon], first[colon + 1..].trim_ascii());
        if !is_token(name) {
            return Err("the name of a field is no token");
        }
        if !is_text(value) {
            return Err("control characters in a field");
        }
        fields.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()));
    }
}

fn chunks(mut message: Message, mut rest: &[u8]) -> Outcome<(Message, &[u8])> {
    loop {
        let Some((size, tail)) = line(rest)? else { return Ok(None) };
        if size.is_empty() || size.len() > 8 || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err("no plain size of a chunk");
        }
        let size = std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or("no size of a chunk")?;
        if size == 0 {
            let Some((trailers, rest)) = fields(tail)? else { return Ok(None) };
            message.trailers = trailers;
            return Ok(Some((message, rest)));
        }
        let Some((piece, tail)) = tail.split_at_checked(size) else { return Ok(None) };
        message.body.extend_from_slice(piece);
        match tail {
            [b'\r', b'\n', tail @ ..] => rest = tail,
            [] | [b'\r'] => return Ok(None),
            _ => return Err("a chunk that does not end where it should"),
        }
    }
}

/// Up to CR and LF, neither of which may stand alone.
fn line(bytes: &[u8]) -> Outcome<(&[u8], &[u8])> {
    let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else { return Ok(None) };
    match &bytes[end..] {
        [b'\r', b'\n', rest @ ..] => Ok(Some((&bytes[..end], rest))),
        [b'\r'] => Ok(None),
        _ => Err("a line that does not end with CR and LF"),
    }
}

fn decimal(text: &[u8]) -> Result<usize, &'static str> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| digits).ok_or("a length that is no number")?;
    text.parse().map_err(|_| "a length beyond all")
}

fn is_token(text: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_token)
}

fn is_text(text: &[u8]) -> bool {
    text.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}
