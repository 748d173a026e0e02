//! Argon2id and its memory.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::error::{Error, ErrorKind};

const ALGORITHM: Algorithm = Algorithm::Argon2id;
const VERSION: Version = Version::V0x13;

/// What is reserved for a hash at least, in blocks of 1 KiB. Only what Argon2 writes becomes memory.
///
/// glibc keeps a freed block below 32 MiB for the next one, in each of the arenas that its threads allot from: a few
/// sign-ins on a few threads of the pool, and the process keeps 19 MiB for each of them for good. What is larger is
/// always mapped by itself and goes back to the system at once.
const RESERVED_BLOCKS: usize = 33 * 1024;

/// The PHC string of a password, with a fresh salt.
pub(super) fn hash(params: &Params, password: &[u8]) -> Result<String, Error> {
    let salt = Salt::generate();
    let hash = PasswordHash {
        algorithm: ALGORITHM.ident(),
        version: Some(VERSION.into()),
        params: ParamsString::try_from(params).map_err(failed)?,
        salt: Some(salt),
        hash: Some(output(ALGORITHM, VERSION, params.clone(), password, &salt)?),
    };
    Ok(hash.to_string())
}

/// Whether the password belongs to the PHC string, computed with the string's own parameters.
pub(super) fn verify(phc: &str, password: &[u8]) -> Result<bool, Error> {
    let parsed = PasswordHash::new(phc).map_err(failed)?;
    let algorithm = Algorithm::try_from(parsed.algorithm.as_str()).map_err(failed)?;
    let version = parsed.version.map_or(Ok(VERSION), Version::try_from).map_err(failed)?;
    let params = Params::try_from(&parsed).map_err(failed)?;
    let (Some(salt), Some(expected)) = (&parsed.salt, &parsed.hash) else {
        return Ok(false);
    };
    // `Output` compares in constant time.
    Ok(output(algorithm, version, params, password, salt)? == *expected)
}

fn output(
    algorithm: Algorithm,
    version: Version,
    params: Params,
    password: &[u8],
    salt: &[u8],
) -> Result<Output, Error> {
    let blocks = params.block_count();
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let mut memory = Vec::new();
    memory.try_reserve_exact(blocks.max(RESERVED_BLOCKS)).map_err(failed)?;
    memory.resize(blocks, Block::default());
    let mut out = [0; Output::MAX_LENGTH];
    let out = out.get_mut(..length).ok_or_else(|| Error::new(ErrorKind::Crypto))?;
    Argon2::new(algorithm, version, params)
        .hash_password_into_with_memory(password, salt, out, &mut memory[..])
        .map_err(failed)?;
    Output::new(out).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::with(ErrorKind::Crypto, error.to_string())
}
