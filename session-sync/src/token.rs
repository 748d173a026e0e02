//! Tokens: what they say, how they are signed, sealed and kept.

pub(crate) mod access;
pub(crate) mod key_file;
pub(crate) mod keys;
pub(crate) mod refresh;
pub(crate) mod seal;

pub use self::access::{Claims, TokenError};
pub use self::key_file::KeyFile;
pub use self::keys::{Jwk, Jwks, KeyRing, KeyRingConfig};
