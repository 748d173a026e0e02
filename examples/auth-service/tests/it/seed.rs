//! The demo accounts.

use chassis::args;
use http::StatusCode;
use serde_json::json;
use tramline_session_sync::password::Passwords;

use crate::support::events::data;
use crate::support::{Bench, Setup, eventually, refusal, reopened};

const PASSWORD: &str = "TestPassword123!";
const ACCOUNTS: [(&str, &str); 3] =
    [("admin@example.com", "ADMIN"), ("vendor@example.com", "VENDOR"), ("customer@example.com", "CUSTOMER")];

/// Healthy means ready, and with the seed that the accounts are there.
async fn healthy(bench: &Bench) {
    let ask = || async {
        let answer = bench.call("GET", "/health").send().await;
        (answer.status == StatusCode::OK).then_some(())
    };
    eventually("health with the seed", ask).await;
}

#[tokio::test]
async fn are_made_once_and_never_reset() {
    let (db, folder) = chassis::testing::sqlite();
    let setup = Setup { db: Some(db.clone()), demo_seed: true, ..Setup::default() };
    let key_file = setup.key_file.clone();
    let first = Bench::with(setup).await;
    healthy(&first).await;
    for (email, role) in ACCOUNTS {
        let login = json!({ "email": email, "password": PASSWORD });
        let answer = first.post("/api/auth/login", login).await;
        assert_eq!(answer.status, StatusCode::OK, "{email}");
        assert_eq!(answer.json["user"]["role"], role);
        let event = first.events.wait("auth.user.created", |data| data["email"] == email).await;
        assert_eq!((&data(&event)["role"], &data(&event)["version"]), (&json!(role), &json!(1)));
    }

    // Its user changed the password, and the name.
    let changed = Passwords::default().hash("quite another password").await.unwrap();
    let sql = "UPDATE credentials SET phc = $1 WHERE user_id = (SELECT id FROM users WHERE email = $2)";
    db.execute(sql, args![changed, "vendor@example.com"]).await.unwrap();
    db.execute("UPDATE users SET name = 'Other' WHERE email = 'vendor@example.com'", args![]).await.unwrap();

    let again =
        Bench::with(Setup { db: Some(reopened(&folder)), demo_seed: true, key_file, ..Setup::default() })
            .await;
    healthy(&again).await;
    let reset = again.post("/api/auth/login", json!({ "email": "vendor@example.com", "password": PASSWORD }));
    assert_eq!(refusal(&reset.await), (401, "INVALID_CREDENTIALS"));
    let kept = json!({ "email": "vendor@example.com", "password": "quite another password" });
    let kept = again.post("/api/auth/login", kept).await;
    assert_eq!((kept.status, &kept.json["user"]["name"]), (StatusCode::OK, &json!("Other")));
    let row = db.query_one("SELECT COUNT(*) AS n FROM users", args![]).await.unwrap();
    assert_eq!(row.get::<i64>("n").unwrap(), 3);
}

#[tokio::test]
async fn are_not_there_unasked() {
    let bench = Bench::new().await;
    healthy(&bench).await;
    let answer =
        bench.post("/api/auth/login", json!({ "email": "admin@example.com", "password": PASSWORD })).await;
    assert_eq!(refusal(&answer), (401, "INVALID_CREDENTIALS"));
}
