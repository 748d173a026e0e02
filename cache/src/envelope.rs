//! How a value lies in the shared tier.
//!
//! ```text
//! 'L' token(16)                                a lease: whoever has the token may write here
//! 'W' token(16)                                the same, and someone waits to hear of it
//! 'V' id(16) token(16) until(16 digits)        a value, and the lease for the next one with its end in ms
//!     born(8) fresh(8) stale(8) load(4)        ms by the tier's clock; lives; how long the load took
//!     codec(1) flags(1) marks(1) { name(2+n) incarnation(8) number(8) } payload
//! ```
//!
//! Scripts look at the first 49 bytes, processes at the rest. Numbers are big endian.

use bytes::{Buf, BufMut, Bytes};

use crate::mark::{Mark, MarkName};

/// The right to write one value, and the name of a written one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Token(pub(crate) [u8; 16]);

/// A value as it lies in the tier.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Envelope {
    pub(crate) id: Token,
    /// When it was written, in ms of the tier's clock.
    pub(crate) born: u64,
    /// How long it is fresh, in ms.
    pub(crate) fresh: u64,
    /// How long after that it may be served stale, in ms.
    pub(crate) stale: u64,
    /// How long its load took, in ms.
    pub(crate) load: u32,
    /// Which codec wrote the payload.
    pub(crate) codec: u8,
    /// There is nothing, and that is known.
    pub(crate) negative: bool,
    /// The load said how long it lives, and not a policy.
    pub(crate) own: bool,
    pub(crate) compressed: bool,
    pub(crate) marks: Vec<(MarkName, Mark)>,
    pub(crate) payload: Bytes,
}

/// What a slot holds.
#[derive(Debug)]
pub(crate) enum Held {
    Lease,
    Value(Box<Envelope>),
    /// Not ours, or of a layout that we do not know.
    Unreadable,
}

/// What scripts see of a value.
pub(crate) const HEAD: usize = 49;

const NEGATIVE: u8 = 1;
const COMPRESSED: u8 = 2;
const OWN: u8 = 4;

// === impl Token ===

impl Token {
    pub(crate) fn draw() -> Self {
        Self(rand::random())
    }
}

// === impl Envelope ===

impl Envelope {
    /// A value that is over, and carries no marks, so that it is dead to everybody.
    pub(crate) fn dead(born: u64) -> Self {
        Self {
            id: Token::draw(),
            born,
            fresh: 0,
            stale: 0,
            load: 0,
            codec: 0,
            negative: true,
            own: false,
            compressed: false,
            marks: Vec::new(),
            payload: Bytes::new(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + 31 + self.marks.len() * 40 + self.payload.len());
        out.put_u8(b'V');
        out.put_slice(&self.id.0);
        out.put_slice(&[0; 16]);
        out.put_slice(&[b'0'; 16]);
        out.put_u64(self.born);
        out.put_u64(self.fresh);
        out.put_u64(self.stale);
        out.put_u32(self.load);
        out.put_u8(self.codec);
        let flag = |set, flag| if set { flag } else { 0 };
        out.put_u8(flag(self.negative, NEGATIVE) | flag(self.compressed, COMPRESSED) | flag(self.own, OWN));
        // At most `MAX_TAGS` and the cache's own.
        out.put_u8(u8::try_from(self.marks.len()).unwrap_or(u8::MAX));
        for (name, mark) in &self.marks {
            out.put_u16(u16::try_from(name.as_str().len()).unwrap_or(u16::MAX));
            out.put_slice(name.as_str().as_bytes());
            out.put_u64(mark.incarnation);
            out.put_u64(mark.number);
        }
        out.put_slice(&self.payload);
        out
    }

    /// How much of the value's life is over, in ms.
    pub(crate) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.born)
    }

    /// How long the tier keeps it, in ms.
    pub(crate) fn life(&self) -> u64 {
        self.fresh.saturating_add(self.stale).max(1)
    }
}

// === impl Held ===

impl Held {
    pub(crate) fn decode(slot: Bytes) -> Self {
        match slot.first() {
            Some(b'L' | b'W') if slot.len() == 17 => Self::Lease,
            Some(b'V') => value(slot).map_or(Self::Unreadable, |value| Self::Value(Box::new(value))),
            _ => Self::Unreadable,
        }
    }
}

fn value(mut slot: Bytes) -> Option<Envelope> {
    let id = Token(slot.get(1..17)?.try_into().ok()?);
    if slot.len() < HEAD {
        return None;
    }
    slot.advance(HEAD);
    let born = slot.try_get_u64().ok()?;
    let fresh = slot.try_get_u64().ok()?;
    let stale = slot.try_get_u64().ok()?;
    let load = slot.try_get_u32().ok()?;
    let codec = slot.try_get_u8().ok()?;
    let flags = slot.try_get_u8().ok()?;
    let count = slot.try_get_u8().ok()?;
    let mut marks = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let len = usize::from(slot.try_get_u16().ok()?);
        if slot.len() < len {
            return None;
        }
        let name = slot.split_to(len);
        let name = MarkName::from_wire(std::str::from_utf8(&name).ok()?);
        let mark = Mark { incarnation: slot.try_get_u64().ok()?, number: slot.try_get_u64().ok()? };
        marks.push((name, mark));
    }
    Some(Envelope {
        id,
        born,
        fresh,
        stale,
        load,
        codec,
        negative: flags & NEGATIVE != 0,
        own: flags & OWN != 0,
        compressed: flags & COMPRESSED != 0,
        marks,
        payload: slot,
    })
}

#[cfg(test)]
mod tests;
