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

use bytes::{Buf, BufMut};

use crate::mark::{Mark, MarkName};

/// The right to write one value, and the name of a written one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Token(pub(crate) [u8; 16]);

/// A value as it lies in the tier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Envelope<'a> {
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
    pub(crate) marks: Marks<'a>,
    pub(crate) payload: &'a [u8],
}

/// The marks that a value carries, as they are written.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Marks<'a>(&'a [u8]);

/// What a slot holds.
#[derive(Debug)]
pub(crate) enum Held<'a> {
    Lease,
    Value(Envelope<'a>),
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

impl Envelope<'_> {
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
            marks: Marks(&[0]),
            payload: &[],
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + 30 + self.marks.0.len() + self.payload.len());
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
        out.put_slice(self.marks.0);
        out.put_slice(self.payload);
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

// === impl Marks ===

impl<'a> Marks<'a> {
    /// Writes them into an empty buffer.
    pub(crate) fn write(marks: &[(MarkName, Mark)], out: &'a mut Vec<u8>) -> Self {
        // At most `MAX_TAGS` and the cache's own.
        out.put_u8(u8::try_from(marks.len()).unwrap_or(u8::MAX));
        for (name, mark) in marks {
            out.put_u16(u16::try_from(name.as_str().len()).unwrap_or(u16::MAX));
            out.put_slice(name.as_str().as_bytes());
            out.put_u64(mark.incarnation);
            out.put_u64(mark.number);
        }
        Self(out)
    }

    /// In the order in which they were written.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, Mark)> {
        let mut rest = self.0.get(1..).unwrap_or_default();
        std::iter::from_fn(move || mark(&mut rest))
    }

    /// Whether they are these, in this order.
    pub(crate) fn are<'b>(self, marks: impl IntoIterator<Item = &'b (MarkName, Mark)>) -> bool {
        self.iter().eq(marks.into_iter().map(|(name, mark)| (name.as_str(), *mark)))
    }
}

// === impl Held ===

impl<'a> Held<'a> {
    pub(crate) fn decode(slot: &'a [u8]) -> Self {
        match slot.first() {
            Some(b'L' | b'W') if slot.len() == 17 => Self::Lease,
            Some(b'V') => value(slot).map_or(Self::Unreadable, Self::Value),
            _ => Self::Unreadable,
        }
    }
}

fn value(mut slot: &[u8]) -> Option<Envelope<'_>> {
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
    let marks = slot;
    for _ in 0..slot.try_get_u8().ok()? {
        mark(&mut slot)?;
    }
    let marks = Marks(&marks[..marks.len() - slot.len()]);
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

fn mark<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, Mark)> {
    let len = usize::from(rest.try_get_u16().ok()?);
    let (name, after) = rest.split_at_checked(len)?;
    *rest = after;
    let mark = Mark { incarnation: rest.try_get_u64().ok()?, number: rest.try_get_u64().ok()? };
    Some((std::str::from_utf8(name).ok()?, mark))
}

#[cfg(test)]
mod tests;
