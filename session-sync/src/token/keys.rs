//! Signing keys: sealed in the store, agreed on by all replicas, overlapping when they rotate.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use jiff::Timestamp;
use jsonwebtoken::EncodingKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::{Clock, after, before, from_micros};
use crate::error::{Error, ErrorKind};
use crate::store::Store;
use crate::store::rows::KeyRow;
use crate::token::access;
use crate::token::key_file::KeyFile;
use crate::token::seal;

/// The issuer's keys. Clones share them.
#[derive(Clone)]
pub struct KeyRing(Arc<Shared>);

/// How a [`KeyRing`] behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeyRingConfig {
    /// How long a retired key still verifies.
    ///
    /// The default, 20 minutes, is an access token's life, the reload time of a replica that does
    /// not know yet, and room for clocks.
    pub overlap: Duration,
    /// How long a new key is published before it signs.
    ///
    /// The default, 60 seconds, is twice [`reload_after`](Self::reload_after): every replica
    /// publishes a key before one of them signs with it.
    pub lead: Duration,
    /// How old the keys in memory may get before they are read again.
    ///
    /// The default, 30 seconds, costs one small query a replica in that time.
    pub reload_after: Duration,
    /// The wall clock.
    pub clock: Clock,
}

/// Public keys, as [RFC 7517](https://www.rfc-editor.org/rfc/rfc7517) writes them.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<Jwk>,
}

/// One public Ed25519 key.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Jwk {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    #[serde(default)]
    pub crv: String,
    /// The key's id.
    #[serde(default)]
    pub kid: String,
    /// The public key, base64url.
    #[serde(default)]
    pub x: String,
    /// `EdDSA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig`.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
}

struct Shared {
    store: Store,
    sealing: [u8; 32],
    config: KeyRingConfig,
    keys: ArcSwap<Loaded>,
    /// Held by the one caller that reads the keys again.
    reloading: tokio::sync::Mutex<()>,
}

struct Loaded {
    at: Timestamp,
    keys: Vec<Key>,
}

struct Key {
    jwk: Jwk,
    signer: EncodingKey,
    active_at: Timestamp,
    retired_at: Option<Timestamp>,
}

// === impl KeyRing ===

impl KeyRing {
    /// Opens the store's keys, putting the key file's first key there if there are none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] when the database fails, [`ErrorKind::Crypto`] when the keys there were
    /// sealed with another key file.
    ///
    /// # Cancel safety
    ///
    /// The first key is written in one transaction; dropped, it is there or not.
    pub async fn open(store: &Store, file: &KeyFile, config: KeyRingConfig) -> Result<Self, Error> {
        let now = config.clock.now();
        let mut tx = store.write().await?;
        if tx.keys().await?.is_empty() {
            // All replicas hold the same file, so they add the same key; the second add is none.
            let row = sealed(&file.sealing, &file.first, now, now)?;
            tx.insert_key(&row).await?;
        }
        tx.commit().await?;
        let ring = Self(Arc::new(Shared {
            store: store.clone(),
            sealing: file.sealing,
            config,
            keys: ArcSwap::from_pointee(Loaded { at: now, keys: Vec::new() }),
            reloading: tokio::sync::Mutex::new(()),
        }));
        ring.reload().await?;
        Ok(ring)
    }

    /// Reads the keys again, so that other replicas' rotations are known.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open); the keys known before stay in use.
    pub async fn reload(&self) -> Result<(), Error> {
        let shared = &*self.0;
        let now = shared.config.clock.now();
        let rows = shared.store.read().await?.keys().await?;
        let keys = rows.iter().map(|row| opened(&shared.sealing, row)).collect::<Result<_, _>>()?;
        shared.keys.store(Arc::new(Loaded { at: now, keys }));
        Ok(())
    }

    /// The public keys to verify with: those that sign, will sign, or signed tokens still alive.
    ///
    /// When the store is away the keys known before are given.
    pub async fn jwks(&self) -> Jwks {
        self.freshen().await;
        self.known()
    }

    /// Adds a new signing key and retires the others; returns the new key's id.
    ///
    /// The new key is published at once and signs after [`KeyRingConfig::lead`]; the old ones
    /// verify for [`KeyRingConfig::overlap`] after that.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    ///
    /// # Cancel safety
    ///
    /// One transaction: dropped, the keys have rotated or not.
    pub async fn rotate(&self) -> Result<String, Error> {
        let shared = &*self.0;
        let now = shared.config.clock.now();
        let active = after(now, shared.config.lead);
        let row = sealed(&shared.sealing, &rand::random(), now, active)?;
        let mut tx = shared.store.write().await?;
        for old in tx.keys().await? {
            if old.retired_at.is_none() {
                tx.retire_key(&old.kid, active.as_microsecond()).await?;
            }
        }
        tx.insert_key(&row).await?;
        tx.delete_keys(before(now, shared.config.overlap).as_microsecond()).await?;
        tx.commit().await?;
        self.reload().await?;
        Ok(row.kid)
    }

    /// Signs claims with the key in force, as last read: see [`freshen`](Self::freshen).
    pub(crate) fn sign<T: Serialize>(&self, claims: &T) -> Result<String, Error> {
        let keys = self.0.keys.load();
        let now = self.0.config.clock.now();
        // INVARIANT: keys are in the order of activation, so the last active one is in force.
        let key = keys
            .keys
            .iter()
            .rev()
            .find(|key| key.active_at <= now)
            .or(keys.keys.first())
            .ok_or_else(|| Error::with(ErrorKind::Crypto, "there is no signing key"))?;
        access::sign(&key.jwk.kid, &key.signer, claims)
    }

    fn known(&self) -> Jwks {
        let overlap = self.0.config.overlap;
        let now = self.0.config.clock.now();
        let alive = |key: &&Key| key.retired_at.is_none_or(|at| now < after(at, overlap));
        let keys = self.0.keys.load();
        Jwks { keys: keys.keys.iter().filter(alive).map(|key| key.jwk.clone()).collect() }
    }

    /// Reads the keys again when they are old. A failure is logged: the known keys still serve.
    ///
    /// Never call it inside a transaction: it would wait for another connection.
    pub(crate) async fn freshen(&self) {
        let old = |ring: &Self| {
            let due = after(ring.0.keys.load().at, ring.0.config.reload_after);
            due <= ring.0.config.clock.now()
        };
        if !old(self) {
            return;
        }
        let Ok(_one) = self.0.reloading.try_lock() else {
            return;
        };
        if old(self)
            && let Err(error) = self.reload().await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "signing keys not reloaded");
        }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").finish_non_exhaustive()
    }
}

// === impl KeyRingConfig ===

impl Default for KeyRingConfig {
    fn default() -> Self {
        Self {
            overlap: Duration::from_secs(20 * 60),
            lead: Duration::from_secs(60),
            reload_after: Duration::from_secs(30),
            clock: Clock::system(),
        }
    }
}

// === impl Jwk ===

impl Jwk {
    fn of(seed: &[u8; 32]) -> Self {
        let public = SigningKey::from_bytes(seed).verifying_key();
        let x = URL_SAFE_NO_PAD.encode(public.as_bytes());
        // RFC 7638: the id is the thumbprint, so a key has the same id everywhere.
        let thumbprint = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            kid: URL_SAFE_NO_PAD.encode(Sha256::digest(thumbprint)),
            x,
            alg: Some("EdDSA".to_owned()),
            usage: Some("sig".to_owned()),
        }
    }
}

fn sealed(sealing: &[u8; 32], seed: &[u8; 32], now: Timestamp, active: Timestamp) -> Result<KeyRow, Error> {
    let kid = Jwk::of(seed).kid;
    Ok(KeyRow {
        sealed: seal::seal(sealing, kid.as_bytes(), seed)?,
        kid,
        created_at: now.as_microsecond(),
        active_at: active.as_microsecond(),
        retired_at: None,
    })
}

fn opened(sealing: &[u8; 32], row: &KeyRow) -> Result<Key, Error> {
    let seed: [u8; 32] = seal::open(sealing, row.kid.as_bytes(), &row.sealed)?
        .try_into()
        .map_err(|_| Error::new(ErrorKind::Crypto))?;
    let der = SigningKey::from_bytes(&seed)
        .to_pkcs8_der()
        .map_err(|error| Error::with(ErrorKind::Crypto, error.to_string()))?;
    Ok(Key {
        jwk: Jwk::of(&seed),
        signer: EncodingKey::from_ed_der(der.as_bytes()),
        active_at: from_micros(row.active_at),
        retired_at: row.retired_at.map(from_micros),
    })
}
