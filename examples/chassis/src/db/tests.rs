//! One suite, both databases.

use jiff::Timestamp;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::args;

const POSTGRES: &str = "
CREATE TABLE things (
    id UUID PRIMARY KEY, name TEXT NOT NULL, size BIGINT, share DOUBLE PRECISION, good BOOLEAN, raw BYTEA,
    other UUID REFERENCES things (id), made_at BIGINT);
CREATE UNIQUE INDEX things_name ON things (name);
";
const SQLITE: &str = "
CREATE TABLE things (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, size INTEGER, share REAL, good BOOLEAN, raw BLOB,
    other TEXT REFERENCES things (id), made_at INTEGER);
CREATE UNIQUE INDEX things_name ON things (name);
";
const MIGRATIONS: &[Migration] = &[
    Migration::new("0001_init", POSTGRES, SQLITE),
    Migration::new(
        "0002_more",
        "ALTER TABLE things ADD COLUMN note TEXT",
        "ALTER TABLE things ADD COLUMN note TEXT",
    ),
];

fn file(folder: &TempDir) -> Db {
    let url = format!("sqlite:{}", folder.path().join("deeper/a.db").display());
    Db::open("TEST_DATABASE_URL", &url, &DbConfig::default()).unwrap()
}

/// Runs a test on each database that is there.
async fn each<F: Future<Output = ()>>(test: impl Fn(Db) -> F) {
    let folder = TempDir::new().unwrap();
    test(file(&folder)).await;
    if let Some(url) = devkit::engines::fresh_database().await {
        test(Db::open("TEST_DATABASE_URL", &url, &DbConfig::default()).unwrap()).await;
    }
}

async fn insert(tx: &mut Tx, name: &str) -> Result<u64, DbError> {
    tx.execute("INSERT INTO things (id, name) VALUES ($1, $2)", args![Uuid::now_v7(), name]).await
}

async fn names(db: &Db) -> Vec<String> {
    let rows = db.query("SELECT name FROM things ORDER BY name", args![]).await.unwrap();
    rows.iter().map(|row| row.get("name").unwrap()).collect()
}

#[tokio::test]
async fn every_type_goes_in_and_comes_out() {
    each(async |db| {
        db.migrate(MIGRATIONS).await.unwrap();
        let (id, now) = (Uuid::now_v7(), Timestamp::from_microsecond(1_234_567_890_123_456).unwrap());
        let sql = "INSERT INTO things (id, name, size, share, good, raw, other, made_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $1, $7)";
        db.execute(sql, args![id, "ä", i64::MAX, 0.5, true, vec![0_u8, 255], now]).await.unwrap();
        let row = db.query_one("SELECT * FROM things WHERE id = $1", args![&id]).await.unwrap();
        assert_eq!(row.get::<Uuid>("id").unwrap(), id);
        assert_eq!(row.get::<Option<Uuid>>("other").unwrap(), Some(id));
        assert_eq!(row.get::<String>("name").unwrap(), "ä");
        assert_eq!(row.get::<i64>("size").unwrap(), i64::MAX);
        assert!((row.get::<f64>("share").unwrap() - 0.5).abs() < f64::EPSILON);
        assert!(row.get::<bool>("good").unwrap());
        assert_eq!(row.get::<Vec<u8>>("raw").unwrap(), [0, 255]);
        assert_eq!(row.get::<Timestamp>("made_at").unwrap(), now);
        assert_eq!(row.get::<Option<String>>("note").unwrap(), None);
        assert!(row.get::<i32>("size").is_err());
        assert!(row.get::<i64>("name").is_err());
        assert!(row.get::<i64>("nowhere").is_err());
    })
    .await;
}

#[tokio::test]
async fn nulls_of_every_type() {
    each(async |db| {
        db.migrate(MIGRATIONS).await.unwrap();
        let sql = "INSERT INTO things (id, name, size, share, good, raw, other, made_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let values = args![
            Uuid::now_v7(),
            "n",
            None::<i64>,
            None::<f64>,
            None::<bool>,
            None::<&[u8]>,
            None::<Uuid>,
            None::<Timestamp>
        ];
        db.execute(sql, values).await.unwrap();
        let row = db.query_one("SELECT * FROM things", args![]).await.unwrap();
        assert_eq!(row.get::<Option<i64>>("size").unwrap(), None);
        assert_eq!(row.get::<Option<Uuid>>("other").unwrap(), None);
        assert_eq!(row.get::<Option<Timestamp>>("made_at").unwrap(), None);
        assert!(row.get::<i64>("size").is_err());
        let count = db.query_one("SELECT COUNT(*) AS n, 1 AS one FROM things", args![]).await.unwrap();
        assert_eq!((count.get::<i64>("n").unwrap(), count.get::<i64>("one").unwrap()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing() {
    each(async |db| {
        db.migrate(MIGRATIONS).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        insert(&mut tx, "kept").await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = db.begin().await.unwrap();
        insert(&mut tx, "dropped").await.unwrap();
        drop(tx);
        let mut tx = db.begin().await.unwrap();
        insert(&mut tx, "back").await.unwrap();
        tx.rollback().await.unwrap();
        assert_eq!(names(&db).await, ["kept"]);
    })
    .await;
}

#[tokio::test]
async fn violations_are_told_apart() {
    each(async |db| {
        db.migrate(MIGRATIONS).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        insert(&mut tx, "a").await.unwrap();
        let error = insert(&mut tx, "a").await.unwrap_err();
        assert!(error.is_unique_violation() && error.is_unique_violation_of("name"), "{error:?}");
        assert!(!error.is_unique_violation_of("email") && !error.is_unavailable());
        drop(tx);
        let sql = "INSERT INTO things (id, name, other) VALUES ($1, $2, $3)";
        let error = db.execute(sql, args![Uuid::now_v7(), "b", Uuid::now_v7()]).await.unwrap_err();
        assert!(error.is_foreign_key_violation() && !error.is_unique_violation(), "{error:?}");
        let error = db.query("SELECT nonsense", args![]).await.unwrap_err();
        assert_eq!(crate::problem::Problem::from(error).status(), 500);
    })
    .await;
}

#[tokio::test]
async fn replicas_migrate_at_once_and_again() {
    each(async |db| {
        let results = futures_util::future::join_all((0..4).map(|_| db.migrate(MIGRATIONS))).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        db.migrate(MIGRATIONS).await.unwrap();
        let n = db
            .query_one("SELECT COUNT(*) AS n FROM schema_migrations WHERE name LIKE '000%'", args![])
            .await
            .unwrap();
        assert_eq!(n.get::<i64>("n").unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_migration_that_fails_or_was_changed_leaves_the_schema_as_it_was() {
    each(async |db| {
        let broken = "CREATE TABLE half (id BIGINT); CREATE TABLE nonsense (";
        let fails = [MIGRATIONS[0], Migration::new("0002_broken", broken, broken)];
        assert!(db.migrate(&fails).await.is_err());
        assert!(db.query("SELECT * FROM half", args![]).await.is_err());
        assert!(db.query("SELECT * FROM things", args![]).await.is_err());

        db.migrate(MIGRATIONS).await.unwrap();
        let changed = [Migration::new("0001_init", "SELECT 1", "SELECT 1")];
        let error = db.migrate(&changed).await.unwrap_err();
        assert!(error.to_string().contains("0001_init"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn writers_wait_for_each_other() {
    each(async |db| {
        db.migrate(MIGRATIONS).await.unwrap();
        let tasks = (0..20).map(|n| {
            let db = db.clone();
            tokio::spawn(async move {
                let mut tx = db.begin().await?;
                insert(&mut tx, &format!("{n:02}")).await?;
                let row = tx.query_one("SELECT COUNT(*) AS n FROM things", args![]).await?;
                row.get::<i64>("n")?;
                tx.commit().await
            })
        });
        for result in futures_util::future::join_all(tasks).await {
            result.unwrap().unwrap();
        }
        assert_eq!(names(&db).await.len(), 20);
    })
    .await;
}

#[tokio::test]
async fn a_reader_of_sqlite_cannot_write() {
    let folder = TempDir::new().unwrap();
    let db = file(&folder);
    db.migrate(MIGRATIONS).await.unwrap();
    let sql = "INSERT INTO things (id, name) VALUES ('1', 'x') RETURNING id";
    assert!(db.query(sql, args![]).await.is_err());
}

#[tokio::test]
async fn a_database_that_is_away_is_unavailable_and_no_error_of_open() {
    // Nothing listens on port 1.
    let config = DbConfig { acquire_timeout: Duration::from_millis(300), ..DbConfig::default() };
    let db = Db::open("X", "postgres://u:hunter2@127.0.0.1:1/none", &config).unwrap();
    let error = db.ping().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(db.migrate(MIGRATIONS).await.unwrap_err().is_unavailable());
    assert_eq!(crate::problem::Problem::from(error).status(), 503);
}

#[test]
fn bad_urls_name_the_variable_and_not_the_password() {
    for url in [
        "mysql://u:hunter2@x/y",
        "sqlite::memory:",
        "sqlite:x?mode=memory",
        "postgres://u:hunter2@x:port/y",
        "hunter2",
    ] {
        let error = Db::check_url(url).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(Db::check_url("sqlite:data/x.db").is_ok() && Db::check_url("postgresql://u@h/d").is_ok());
}
