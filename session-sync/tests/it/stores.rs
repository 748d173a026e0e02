//! Every store passes the same suite.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use tramline_session_sync::{
    ClientInfo, Device, KeyFile, KeyRing, KeyRingConfig, Sessions, SessionsConfig, Store, User, conformance,
};

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    conformance::store(&Store::memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::sqlite(sqlite_pool(&folder.path().join("sessions.db"), 4).await);
    let (one, two) = tokio::join!(store.migrate(), store.migrate());
    one.and(two).unwrap();
    store.migrate().await.unwrap();
    conformance::store(&store).await;
}

/// Signing keys are read again while a session is being written: with a single connection this
/// would wait for itself for ever if it happened inside the transaction.
#[tokio::test]
async fn sqlite_with_one_connection() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::sqlite(sqlite_pool(&folder.path().join("sessions.db"), 1).await);
    store.migrate().await.unwrap();
    conformance::store(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    let Some(url) = devkit::engines::fresh_database().await else {
        return;
    };
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let store = Store::postgres(pool);
    let (one, two) = tokio::join!(store.migrate(), store.migrate());
    one.and(two).unwrap();
    store.migrate().await.unwrap();
    conformance::store(&store).await;
}

#[tokio::test]
async fn tokens_and_keys_are_not_in_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let pool = sqlite_pool(&path, 1).await;
    let store = Store::sqlite(pool.clone());
    store.migrate().await.unwrap();
    let file = KeyFile::generate();
    let keys = KeyRing::open(&store, &file, KeyRingConfig::default()).await.unwrap();
    let sessions = Sessions::new(SessionsConfig::default(), store, keys);
    let user = User::new("u1", "u1@example.com", "U", "CUSTOMER");
    let opened =
        sessions.open(user.clone(), Device::new(None, None, None), ClientInfo::default()).await.unwrap();
    let renewed = sessions
        .refresh(&opened.refresh_token, None, ClientInfo::default(), |_| async { Ok(Some(user)) })
        .await
        .unwrap();
    pool.close().await;
    let bytes = std::fs::read(&path).unwrap();
    let text = file.to_text();
    let seeds = text.split('"').filter(|part| part.len() == 43);
    let secrets = [&*opened.refresh_token, &*renewed.refresh_token];
    let mut checked = 0;
    for secret in secrets.into_iter().chain(seeds) {
        use base64::Engine as _;
        let raw = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(secret).unwrap();
        assert!(!contains(&bytes, &raw), "in the database, raw");
        assert!(!contains(&bytes, secret.as_bytes()), "in the database");
        checked += 1;
    }
    assert_eq!(checked, 4);
    // The search works: what must be there is found.
    assert!(contains(&bytes, opened.session.id.as_bytes()));
}

pub(crate) async fn sqlite_pool(path: &std::path::Path, connections: u32) -> sqlx::SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(10));
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options)
        .await
        .unwrap()
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|part| part == wanted)
}
