//! How values are written.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// How values are written for the shared tier. What another codec wrote is a miss.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Codec {
    /// JSON: readable in Redis, and forgiving when fields come and go.
    #[default]
    Json,
    /// MessagePack with the fields' names: as forgiving, and smaller.
    #[cfg(feature = "msgpack")]
    MessagePack,
    /// postcard: the smallest and fastest, and without names; every change of the type needs another
    /// [`version`](crate::CacheConfig::version).
    #[cfg(feature = "postcard")]
    Postcard,
}

/// A value that cannot be written or read.
#[derive(Debug)]
pub(crate) struct Unusable;

/// Counts what is written to it.
#[derive(Default)]
struct Counter(usize);

// === impl Codec ===

impl Codec {
    /// Its name in the envelope.
    pub(crate) fn id(self) -> u8 {
        match self {
            Self::Json => 1,
            #[cfg(feature = "msgpack")]
            Self::MessagePack => 2,
            #[cfg(feature = "postcard")]
            Self::Postcard => 3,
        }
    }

    pub(crate) fn encode<V: Serialize>(self, value: &V) -> Result<Vec<u8>, Unusable> {
        match self {
            Self::Json => serde_json::to_vec(value).map_err(|_| Unusable),
            #[cfg(feature = "msgpack")]
            Self::MessagePack => rmp_serde::to_vec_named(value).map_err(|_| Unusable),
            #[cfg(feature = "postcard")]
            Self::Postcard => postcard::to_stdvec(value).map_err(|_| Unusable),
        }
    }

    /// How long a value would be, when nobody needs it written.
    pub(crate) fn weigh<V: Serialize>(self, value: &V) -> Result<usize, Unusable> {
        let mut counter = Counter::default();
        match self {
            Self::Json => serde_json::to_writer(&mut counter, value).map_err(|_| Unusable)?,
            #[cfg(feature = "msgpack")]
            Self::MessagePack => rmp_serde::encode::write_named(&mut counter, value).map_err(|_| Unusable)?,
            #[cfg(feature = "postcard")]
            Self::Postcard => drop(postcard::to_io(value, &mut counter).map_err(|_| Unusable)?),
        }
        Ok(counter.0)
    }

    pub(crate) fn decode<V: DeserializeOwned>(self, bytes: &[u8]) -> Result<V, Unusable> {
        match self {
            Self::Json => serde_json::from_slice(bytes).map_err(|_| Unusable),
            #[cfg(feature = "msgpack")]
            Self::MessagePack => {
                let mut rest = bytes;
                let value = rmp_serde::from_read(&mut rest).map_err(|_| Unusable)?;
                if rest.is_empty() { Ok(value) } else { Err(Unusable) }
            }
            #[cfg(feature = "postcard")]
            Self::Postcard => match postcard::take_from_bytes(bytes) {
                // What is left over shows another type.
                Ok((value, [])) => Ok(value),
                _ => Err(Unusable),
            },
        }
    }
}

/// Smaller, when that is so.
#[cfg(feature = "compression")]
pub(crate) fn compress(payload: &[u8]) -> Option<Vec<u8>> {
    let packed = lz4_flex::block::compress_prepend_size(payload);
    (packed.len() < payload.len()).then_some(packed)
}

/// The payload as it was; not when it says that it is larger than `max`.
#[cfg(feature = "compression")]
pub(crate) fn decompress(packed: &[u8], max: usize) -> Result<Vec<u8>, Unusable> {
    let (size, rest) = lz4_flex::block::uncompressed_size(packed).map_err(|_| Unusable)?;
    if size > max {
        return Err(Unusable);
    }
    lz4_flex::block::decompress(rest, size).map_err(|_| Unusable)
}

/// Nobody here can read it.
#[cfg(not(feature = "compression"))]
pub(crate) fn decompress(_: &[u8], _: usize) -> Result<Vec<u8>, Unusable> {
    Err(Unusable)
}

// === impl Counter ===

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, serde::Serialize, Debug, PartialEq)]
    struct User {
        id: u64,
        name: String,
    }

    fn all() -> Vec<Codec> {
        vec![
            Codec::Json,
            #[cfg(feature = "msgpack")]
            Codec::MessagePack,
            #[cfg(feature = "postcard")]
            Codec::Postcard,
        ]
    }

    #[test]
    fn values_come_back_and_others_do_not() {
        let user = User { id: 7, name: "Ada".to_owned() };
        for codec in all() {
            let bytes = codec.encode(&user).unwrap();
            assert_eq!(codec.decode::<User>(&bytes).unwrap(), user, "{codec:?}");
            assert!(codec.decode::<User>(&bytes[..bytes.len() - 1]).is_err(), "{codec:?}");
            assert!(codec.decode::<User>(&[&bytes[..], b"1"].concat()).is_err(), "{codec:?}: it goes on");
            assert!(codec.decode::<Vec<String>>(&[&bytes[..], &[0xc1; 3]].concat()).is_err(), "{codec:?}");
            assert_eq!(codec.weigh(&user).unwrap(), bytes.len(), "{codec:?}");
        }
    }

    /// By their names they are found wherever they are; without names nobody can tell, and a version has to.
    #[test]
    fn fields_that_change_places() {
        #[derive(serde::Serialize)]
        struct Before {
            day: u64,
            month: u64,
        }
        #[derive(serde::Deserialize)]
        struct After {
            month: u64,
            day: u64,
        }
        for codec in all() {
            let bytes = codec.encode(&Before { day: 1, month: 30 }).unwrap();
            let After { month, day } = codec.decode(&bytes).unwrap();
            let named = match codec {
                #[cfg(feature = "postcard")]
                Codec::Postcard => false,
                _ => true,
            };
            assert_eq!((day, month), if named { (1, 30) } else { (30, 1) }, "{codec:?}");
        }
    }

    #[cfg(feature = "compression")]
    #[test]
    fn a_small_packet_cannot_become_a_large_one() {
        let zeros = vec![0; 100_000];
        let packed = compress(&zeros).unwrap();
        assert!(packed.len() < 1_000);
        assert_eq!(decompress(&packed, 100_000).unwrap(), zeros);
        assert!(decompress(&packed, 99_999).is_err());
        assert!(decompress(&packed[..3], 100_000).is_err());
        assert!(decompress(&packed[..packed.len() - 9], 100_000).is_err());
        assert_eq!(compress(&rand::random::<[u8; 32]>()), None, "nothing to gain");
    }
}
