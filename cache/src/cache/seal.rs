//! Between values and what lies in the shared tier.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cache::{Inner, Reason};
use crate::codec;
use crate::entry::{Entry, Lives};
use crate::envelope::{self, Envelope, Token};
use crate::epochs::{Cell, Stamp, TagStamps};
use crate::key::CacheKey;
use crate::mark::{Mark, MarkName};

/// A value as it is sent.
pub(super) struct Packed {
    payload: Bytes,
    compressed: bool,
    negative: bool,
    pub(super) weight: usize,
}

/// What became of a value in the tier.
#[derive(Clone)]
pub(super) enum Verdict {
    /// Nothing that it carries ended; how its tags stand here.
    Alive(Option<Arc<TagStamps>>),
    Dead,
    /// The tier is away.
    Unknown,
}

/// The names that an entry carries, and what they stand at.
pub(super) type Marks = Vec<(MarkName, Mark)>;

impl<K, V> Inner<K, V>
where
    K: CacheKey,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// None when it cannot be kept: it cannot be written, or is too large.
    pub(super) fn pack(&self, value: Option<&V>) -> Option<Packed> {
        self.try_pack(value).map_err(|reason| self.unusable(reason)).ok()
    }

    fn try_pack(&self, value: Option<&V>) -> Result<Packed, Reason> {
        let nothing = Packed { payload: Bytes::new(), compressed: false, negative: true, weight: 0 };
        let Some(value) = value else { return Ok(nothing) };
        let fits =
            |weight: usize| if weight > self.config.max_value { Err(Reason::TooLarge) } else { Ok(weight) };
        if !self.store.tier.is_shared() {
            let weight = fits(self.config.codec.weigh(value).map_err(|_| Reason::Unwritable)?)?;
            return Ok(Packed { negative: false, weight, ..nothing });
        }
        let payload = self.config.codec.encode(value).map_err(|_| Reason::Unwritable)?;
        let weight = fits(payload.len())?;
        #[cfg(feature = "compression")]
        if self.config.compress_from.is_some_and(|from| weight >= from)
            && let Some(small) = codec::compress(&payload)
        {
            return Ok(Packed { payload: small.into(), compressed: true, negative: false, weight });
        }
        Ok(Packed { payload: payload.into(), compressed: false, negative: false, weight })
    }

    /// The bytes that are written, and how long they live.
    pub(super) fn seal(&self, packed: &Packed, lives: Lives, marks: &Marks) -> (Vec<u8>, Duration) {
        let mut written = Vec::new();
        let envelope = Envelope {
            id: Token::draw(),
            born: self.store.tier.now(),
            fresh: lives.fresh,
            stale: lives.stale,
            load: lives.load,
            codec: self.config.codec.id(),
            negative: packed.negative,
            own: lives.own,
            compressed: packed.compressed,
            marks: envelope::Marks::write(marks, &mut written),
            payload: &packed.payload,
        };
        self.metrics.written_bytes.add_many(envelope.payload.len());
        (envelope.encode(), Duration::from_millis(envelope.life()))
    }

    /// The entry that lies in an envelope; none when it cannot be read. `then`: what time it is in the tier.
    pub(super) fn open(&self, envelope: &Envelope<'_>, stamp: Stamp, then: u64) -> Option<Entry<V>> {
        let (value, weight) = if envelope.negative {
            (None, 0)
        } else {
            if envelope.codec != self.config.codec.id() {
                return None;
            }
            let plain = if envelope.compressed {
                Cow::Owned(codec::decompress(envelope.payload, self.config.max_value).ok()?)
            } else {
                Cow::Borrowed(envelope.payload)
            };
            // It is the value's own code, which may know nothing of what another version wrote.
            let decoded = catch_unwind(AssertUnwindSafe(|| self.config.codec.decode::<V>(&plain)));
            (Some(Arc::new(decoded.ok()?.ok()?)), plain.len())
        };
        self.metrics.read_bytes.add_many(envelope.payload.len());
        let lives = Lives {
            fresh: envelope.fresh,
            stale: envelope.stale,
            age: envelope.age(then),
            load: envelope.load,
            own: envelope.own,
        };
        Some(self.entry(value, lives, weight, stamp))
    }

    /// Whether anything that a value carries ended since it was written.
    pub(super) async fn verify(&self, carried: envelope::Marks<'_>) -> Verdict {
        // Most carry the cache's own alone, and that is known.
        let known = self.store.attachment().and_then(|at| self.epochs.cell.known(at, self.known_life()));
        if known.is_some_and(|mark| carried.iter().eq([(self.mark.as_str(), mark)])) {
            return Verdict::Alive(None);
        }
        Box::pin(self.compare(carried)).await
    }

    /// The same where it carries more, or that is not known.
    async fn compare(&self, carried: envelope::Marks<'_>) -> Verdict {
        let tags = carried.iter().map(|(name, _)| name).filter(|name| *name != self.mark.as_str());
        let tags = self.tags().stamps(tags.map(MarkName::from_wire));
        let Some(mut marks) = self.marks(tags.as_ref()).await else { return Verdict::Unknown };
        if self.doubt(&marks, carried, tags.as_deref()) {
            let Some(again) = self.marks(tags.as_ref()).await else { return Verdict::Unknown };
            marks = again;
        }
        // In the order of the names: the cache's own first.
        if carried.are(&marks) { Verdict::Alive(tags) } else { Verdict::Dead }
    }

    /// Whether whoever wrote it knew a newer mark than we do; those of ours are to be asked for again. The tier had lost
    /// one and made it anew, which nobody says, or the word of what was ended is still on its way. Else two processes
    /// would take each other's values for dead for as long as they know what they know.
    fn doubt(&self, marks: &Marks, carried: envelope::Marks<'_>, tags: Option<&TagStamps>) -> bool {
        let mut older = false;
        for (name, mark) in marks {
            let theirs = carried.iter().find(|(other, _)| *other == name.as_str());
            if theirs.is_none_or(|(_, theirs)| theirs == *mark || !mark.is_within(theirs)) {
                continue;
            }
            older = true;
            if *name == self.mark {
                self.epochs.cell.doubt(*mark);
            }
            for tag in tags.into_iter().flat_map(TagStamps::iter).filter(|tag| tag.name == *name) {
                tag.cell.doubt(*mark);
            }
        }
        older
    }

    /// What the cache and these tags stand at in the tier: as it was heard, else as it says now.
    pub(super) async fn marks(&self, tags: Option<&Arc<TagStamps>>) -> Option<Marks> {
        let attachment = self.store.attachment();
        let own = (&self.mark, &self.epochs.cell, self.epochs.cell.epoch());
        let tags = tags.into_iter().flat_map(|tags| tags.iter()).map(|tag| (&tag.name, &tag.cell, tag.at));
        let names: Vec<(&MarkName, &Arc<Cell>, u32)> = std::iter::once(own).chain(tags).collect();
        let known: Vec<Option<Mark>> = names
            .iter()
            .map(|(_, cell, _)| attachment.and_then(|at| cell.known(at, self.known_life())))
            .collect();
        let unknown: Vec<_> =
            names.iter().zip(&known).filter(|(_, mark)| mark.is_none()).map(|(name, _)| *name).collect();
        let mut asked = Vec::new();
        if !unknown.is_empty() {
            let question: Vec<MarkName> = unknown.iter().map(|(name, ..)| (*name).clone()).collect();
            let answer = self.store.tier.marks(&question, self.mark_life()).await?;
            for ((_, cell, epoch), mark) in unknown.iter().zip(&answer.marks) {
                if let Some(attachment) = attachment {
                    cell.learn(*mark, attachment, *epoch);
                }
            }
            asked = answer.marks;
        }
        let mut asked = asked.into_iter();
        names
            .iter()
            .zip(known)
            .map(|((name, ..), mark)| Some(((*name).clone(), mark.or_else(|| asked.next())?)))
            .collect()
    }

    /// How long a mark that is known is not read again: half of its life, and half of that of an ended one.
    fn known_life(&self) -> Duration {
        self.store.config.max_ttl.min(Duration::from_secs(12 * 60 * 60))
    }

    /// A mark lives longer than any entry that carries it; one that is lost takes its entries with it.
    pub(super) fn mark_life(&self) -> Duration {
        self.store.config.max_ttl.saturating_mul(2)
    }
}
