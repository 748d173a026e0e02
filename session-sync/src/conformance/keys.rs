//! Signing keys: replicas agree, rotations overlap.

use super::{Bench, ManualClock, secs};
use crate::{ErrorKind, KeyFile, KeyRing, KeyRingConfig, Store, TokenError};

pub(super) async fn run(store: &Store, file: &KeyFile) {
    replicas_agree(store, file).await;
    rotations_overlap(store, file).await;
}

async fn replicas_agree(store: &Store, file: &KeyFile) {
    let clock = ManualClock::new();
    let open = || {
        let (store, file, clock) = (store.clone(), file.clone(), clock.clone());
        tokio::spawn(async move {
            let config = KeyRingConfig { clock: clock.clock(), ..KeyRingConfig::default() };
            KeyRing::open(&store, &file, config).await
        })
    };
    let (one, two) = (open(), open());
    let (one, two) = (one.await.unwrap().unwrap(), two.await.unwrap().unwrap());
    assert_eq!(one.jwks().await, two.jwks().await);
    let other = KeyFile::generate();
    let refused = KeyRing::open(store, &other, KeyRingConfig::default()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Crypto);
}

async fn rotations_overlap(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let before = bench.open("d1").await;
    let ring = bench.sessions.keys();
    let old = ring.jwks().await.keys;
    let kid = ring.rotate().await.unwrap();
    let both = ring.jwks().await.keys;
    assert_eq!(both.len(), old.len() + 1);
    assert!(both.iter().any(|key| key.kid == kid), "published at once");
    // It signs when every replica has had time to publish it.
    assert_ne!(signer(&bench.open("d1").await.access_token), kid);
    bench.hand.advance(secs(61));
    let after = bench.open("d1").await;
    assert_eq!(signer(&after.access_token), kid);
    for token in [&before.access_token, &after.access_token] {
        bench.verifier.verify(token).await.unwrap();
    }
    // The old key goes when its last token has gone.
    bench.hand.advance(secs(20 * 60));
    let left = ring.jwks().await.keys;
    assert_eq!(left.iter().map(|key| &key.kid).collect::<Vec<_>>(), [&kid]);
    let refused = bench.verifier.verify(&before.access_token).await;
    assert_eq!(refused.unwrap_err(), TokenError::Expired);
    ring.rotate().await.unwrap();
}

fn signer(token: &str) -> String {
    crate::token::access::key_id(token).unwrap()
}
