//! Tests of the statements.

use sqlx::sqlite::SqlitePoolOptions;

use super::*;

/// An event that is held may have a long queue behind it, and is looked for each time that anything is sent.
#[tokio::test]
async fn looking_for_rows_reads_along_indexes_only() {
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    migrate(&pool).await.unwrap();
    let plan: Vec<(i64, i64, i64, String)> =
        sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sql::LOAD)))
            .bind("")
            .bind(now())
            .bind("[]")
            .bind("[]")
            .bind(64)
            .bind(256)
            .bind(256)
            .fetch_all(&pool)
            .await
            .unwrap();
    let steps: Vec<&str> = plan.iter().map(|(_, _, _, step)| step.as_str()).collect();
    let whole = |step: &str| {
        ["outbox", "lane", "this", "held"].iter().any(|table| step.starts_with(&format!("SCAN {table}")))
            || step.contains("TEMP B-TREE")
    };
    assert!(!steps.iter().any(|step| whole(step)), "{steps:#?}");
    for index in ["outbox_lanes", "outbox_held", "outbox_keyless"] {
        assert!(steps.iter().any(|step| step.contains(index)), "{index}: {steps:#?}");
    }
}
