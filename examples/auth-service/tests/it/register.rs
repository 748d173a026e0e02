//! `POST /register`.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Bench, PASSWORD, refusal};

fn body(changes: Value) -> Value {
    let mut body = json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Ada" });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn gives_the_user_and_a_session() {
    let bench = Bench::new().await;
    let device = json!({ "id": "laptop-1", "name": "Laptop", "kind": "browser" });
    let call = bench.call("POST", "/api/auth/register").from("203.0.113.9").header("user-agent", "test/1");
    let answer = call.json(body(json!({ "device": device, "transport": "body" }))).send().await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json);
    let (user, session) = (&answer.json["user"], &answer.json["session"]);
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut user_names = names(user);
    user_names.sort();
    assert_eq!(user_names, ["createdAt", "email", "id", "name", "role", "status", "updatedAt"]);
    assert_eq!((&user["email"], &user["role"]), (&json!("ada@example.com"), &json!("CUSTOMER")));
    assert_eq!(user["status"], "active");
    assert_eq!(answer.json["expiresIn"], 900);
    assert!(answer.json["refreshToken"].as_str().unwrap().len() >= 43, "256 bits in base64url");
    assert_eq!(session["device"], device);
    assert_eq!((&session["ip"], &session["userAgent"]), (&json!("203.0.113.9"), &json!("test/1")));
    assert_eq!(session["current"], true);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(!answer.headers.contains_key("set-cookie"), "asked for in the body");
    assert!(!answer.json.to_string().contains("argon2"));

    let me = bench.me(answer.json["accessToken"].as_str().unwrap()).await;
    assert_eq!((me.status, &me.json), (StatusCode::OK, user));
}

#[tokio::test]
async fn makes_customers_whatever_the_body_says() {
    let bench = Bench::new().await;
    let wish = json!({ "role": "ADMIN", "status": "suspended", "id": "x", "version": 9, "unknown": {} });
    let answer = bench.post("/api/auth/register", body(wish)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.json["user"]["role"], "CUSTOMER");
    assert_eq!(answer.json["user"]["status"], "active");
    let token = answer.json["accessToken"].as_str().unwrap();
    let users = bench.call("GET", "/api/auth/users").token(token).send().await;
    assert_eq!(refusal(&users), (403, "FORBIDDEN"), "in the token neither");
}

#[tokio::test]
async fn takes_each_email_once_whatever_its_case() {
    let bench = Bench::new().await;
    let first = bench.post("/api/auth/register", body(json!({ "email": " Ada.Ärger@Example.com " }))).await;
    assert_eq!(first.json["user"]["email"], "Ada.Ärger@Example.com", "as written, without blanks");
    let again = bench.post("/api/auth/register", body(json!({ "email": "ada.äRGER@example.COM" }))).await;
    assert_eq!(refusal(&again), (409, "EMAIL_TAKEN"));
    let login = json!({ "email": "ADA.ärger@EXAMPLE.com", "password": PASSWORD });
    assert_eq!(bench.post("/api/auth/login", login).await.status, StatusCode::OK);
}

#[tokio::test]
async fn two_at_once_make_one_account() {
    let bench = Bench::new().await;
    let register = || bench.post("/api/auth/register", body(json!({})));
    let (one, two, three) = tokio::join!(register(), register(), register());
    let mut statuses = [one.status.as_u16(), two.status.as_u16(), three.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409]);
    assert_eq!(bench.events.all("auth.user.created").len().max(1), 1);
}

#[tokio::test]
async fn says_where_the_body_is_wrong() {
    let bench = Bench::new().await;
    let long = "x".repeat(256);
    for (changes, pointers) in [
        (json!({ "email": "nobody" }), vec!["/email"]),
        (json!({ "email": "" }), vec!["/email"]),
        (json!({ "email": format!("{}@example.com", "x".repeat(250)) }), vec!["/email"]),
        (json!({ "email": 7 }), vec!["/email"]),
        (json!({ "email": null }), vec!["/email"]),
        (json!({ "name": "" }), vec!["/name"]),
        (json!({ "name": "   " }), vec!["/name"]),
        (json!({ "name": long }), vec!["/name"]),
        (json!({ "name": "a\u{7}b" }), vec!["/name"]),
        (json!({ "name": ["Ada"] }), vec!["/name"]),
        (json!({ "password": "elevenchars" }), vec!["/password"]),
        (json!({ "password": long }), vec!["/password"]),
        // Not the e-mail, in any case; not one that everybody tries first.
        (json!({ "password": "ADA@example.com" }), vec!["/password"]),
        (json!({ "password": "123456789012" }), vec!["/password"]),
        (json!({ "password": 123_456_789_012_u64 }), vec!["/password"]),
        (json!({ "device": { "id": 1 } }), vec!["/device/id"]),
        (json!({ "transport": "pigeon" }), vec!["/transport"]),
        (json!({ "email": "x", "name": "", "password": "short" }), vec!["/email", "/name", "/password"]),
    ] {
        let answer = bench.post("/api/auth/register", body(changes.clone())).await;
        assert_eq!(refusal(&answer), (422, "VALIDATION"), "{changes}");
        let mut found = answer.pointers();
        found.sort_unstable();
        assert_eq!(found, pointers, "{changes}: {}", answer.json);
    }
    for missing in ["email", "password", "name"] {
        let mut whole = body(json!({}));
        whole.as_object_mut().unwrap().remove(missing);
        let answer = bench.post("/api/auth/register", whole).await;
        assert_eq!(refusal(&answer), (422, "VALIDATION"));
        assert_eq!(answer.pointers(), [format!("/{missing}")]);
    }
    assert!(bench.outbox().await.is_empty(), "nothing was made");
}

#[tokio::test]
async fn takes_passwords_at_the_edges_of_the_rules() {
    let bench = Bench::new().await;
    let edges = ["twelve chars".to_owned(), "ü".repeat(255), "  blanks count too  ".to_owned()];
    for (at, password) in edges.iter().enumerate() {
        let email = format!("u{at}@example.com");
        let answer =
            bench.post("/api/auth/register", body(json!({ "email": email, "password": password }))).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json);
        let login = |password: &str| {
            bench.post("/api/auth/login", json!({ "email": email.clone(), "password": password }))
        };
        assert_eq!(login(password).await.status, StatusCode::OK);
        assert_eq!(refusal(&login(&format!("{password} ")).await), (401, "INVALID_CREDENTIALS"));
    }
}

#[tokio::test]
async fn null_is_absent_where_something_may_be() {
    let bench = Bench::new().await;
    let answer = bench.post("/api/auth/register", body(json!({ "device": null, "transport": null }))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json);
    assert!(answer.json.get("refreshToken").is_none(), "the cookie is the default");
}
