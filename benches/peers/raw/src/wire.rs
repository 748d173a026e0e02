//! Frames.

use measure::{BODY, EXCHANGE, KEY, Style};

/// A method by its class and number.
pub type Method = (u16, u16);

/// A frame that came in.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// A method and its arguments.
    Method(Method, &'a [u8]),
    /// A body, or a part of one.
    Body(&'a [u8]),
    /// A header of a body, or a heartbeat.
    Other,
}

/// Arguments of a method, as bytes.
#[derive(Default)]
pub struct Arguments(Vec<u8>);

impl Arguments {
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// A text of at most 255 bytes.
    pub fn short(self, text: &str) -> Self {
        let length = u8::try_from(text.len()).expect("a short string has at most 255 bytes");
        self.bytes(&[length]).bytes(text.as_bytes())
    }

    /// Bytes with their length, a table among them.
    pub fn long(self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).expect("fits a frame");
        self.u32(length).bytes(bytes)
    }
}

/// Appends a method frame.
pub fn method(out: &mut Vec<u8>, channel: u16, (class, number): Method, arguments: &Arguments) {
    let payload = Arguments::default().u16(class).u16(number).bytes(&arguments.0);
    frame(out, 1, channel, &payload.0);
}

/// Appends an acknowledgement of all deliveries up to `tag`.
pub fn ack(out: &mut Vec<u8>, tag: u64) {
    let mut payload = [0; 13];
    payload[..4].copy_from_slice(&[0, 60, 0, 80]);
    payload[4..12].copy_from_slice(&tag.to_be_bytes());
    payload[12] = 1;
    frame(out, 1, 1, &payload);
}

/// One publish: its method, its header and its body.
pub fn publish(style: Style, body: &[u8]) -> Vec<u8> {
    let own = style == Style::Event;
    let mut out = Vec::new();
    let arguments = Arguments::default().u16(0).short(EXCHANGE).short(KEY).bytes(&[u8::from(own)]);
    method(&mut out, 1, (60, 40), &arguments);
    let header = Arguments::default().u16(60).u16(0).u64(body.len() as u64);
    let header = if own {
        // What our hub sets, in the order of the flags: content type, headers, delivery mode, message id,
        // timestamp, type, app id.
        let sequence = Arguments::default().short("x-tramline-sequence").bytes(b"l").u64(1);
        header
            .u16(1 << 15 | 1 << 13 | 1 << 12 | 1 << 7 | 1 << 6 | 1 << 5 | 1 << 3)
            .short("application/cloudevents+json")
            .long(&sequence.0)
            .bytes(&[2])
            .short("0193f3c2-7d5e-7000-8000-000000000000")
            .u64(1_790_000_000)
            .short(KEY)
            .short("bench")
    } else {
        header.u16(1 << 12).bytes(&[2])
    };
    frame(&mut out, 2, 1, &header.0);
    frame(&mut out, 3, 1, body);
    out
}

/// A body of the agreed size.
pub fn body(style: Style) -> Vec<u8> {
    let mut body = if style == Style::Event {
        format!(
            r#"{{"specversion":"1.0","id":"0193f3c2-7d5e-7000-8000-000000000000","source":"bench","type":"{KEY}","time":"2026-11-26T00:00:00.123456Z","dataversion":1,"data":"""#
        )
    } else {
        String::new()
    };
    let tail = if style == Style::Event { "\"}" } else { "" };
    if style == Style::Event {
        // The data's opening quote stands already; its closing one is in the tail.
        body.pop();
    }
    while body.len() + tail.len() < BODY {
        body.push('x');
    }
    body.push_str(tail);
    body.into_bytes()
}

/// The first whole frame of `bytes`, with its length.
pub fn first(bytes: &[u8]) -> anyhow::Result<Option<(Incoming<'_>, usize)>> {
    let Some(head) = bytes.get(..7) else { return Ok(None) };
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    let Some(whole) = bytes.get(..size + 8) else { return Ok(None) };
    anyhow::ensure!(whole[size + 7] == 0xce, "a frame without its end");
    let payload = &whole[7..size + 7];
    let incoming = match (head[0], payload) {
        (1, [a, b, c, d, arguments @ ..]) => {
            Incoming::Method((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])), arguments)
        }
        (3, body) => Incoming::Body(body),
        _ => Incoming::Other,
    };
    Ok(Some((incoming, size + 8)))
}

/// A 64-bit number at this place.
pub fn u64_at(bytes: &[u8], at: usize) -> anyhow::Result<u64> {
    let bytes = bytes.get(at..at + 8).ok_or_else(|| anyhow::anyhow!("short arguments"))?;
    Ok(u64::from_be_bytes(bytes.try_into()?))
}

fn frame(out: &mut Vec<u8>, kind: u8, channel: u16, payload: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&u32::try_from(payload.len()).expect("fits a frame").to_be_bytes());
    out.extend_from_slice(payload);
    out.push(0xce);
}
