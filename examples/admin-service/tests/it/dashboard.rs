//! `GET /api/admin/dashboard`.

use contracts::{PaymentStatus, Role};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{App, created, deleted, paid, payment, user};

on_both_databases! {
    start: before_anything_happened, the_figures;
}

async fn before_anything_happened(app: App) {
    let dashboard = app.list("/dashboard").await;
    for empty in ["usersByRole", "paymentsByStatus", "volumeByCurrency"] {
        assert!(dashboard[empty].as_object().unwrap().values().all(|n| *n == json!(0)), "{dashboard}");
    }
    assert_eq!((&dashboard["lastEvents"], &dashboard["deadLetters"]), (&json!([]), &json!(0)));
    assert_eq!(dashboard.get("eventLagMs"), None, "what is not known is absent");
}

async fn the_figures(app: App) {
    for (n, role) in [(1, Role::Admin), (2, Role::Customer), (3, Role::Customer), (4, Role::Vendor)] {
        let mut user = user(Uuid::from_u128(n), 1, "somebody");
        user.role = role;
        app.tell(&created(user)).await;
    }
    app.tell(&deleted(Uuid::from_u128(4), 2)).await;
    let pay = async |id: u128, version: i64, status: PaymentStatus, amount: &str, currency: &str| {
        let mut payment = payment(Uuid::from_u128(id), version, status);
        (payment.amount, payment.currency) = (amount.to_owned(), currency.to_owned());
        let event = paid(&payment);
        app.tell(&event).await;
        app.tell(&event).await;
    };
    // Out of order: the newest version tells where a payment stands.
    pay(1, 3, PaymentStatus::Completed, "12.50", "EUR").await;
    pay(1, 1, PaymentStatus::Pending, "12.50", "EUR").await;
    pay(1, 2, PaymentStatus::Processing, "12.50", "EUR").await;
    pay(2, 3, PaymentStatus::Completed, "0.55", "EUR").await;
    pay(3, 3, PaymentStatus::Completed, "1000", "JPY").await;
    pay(4, 1, PaymentStatus::Pending, "5", "JPY").await;
    pay(5, 3, PaymentStatus::Failed, "7.13", "EUR").await;
    pay(6, 3, PaymentStatus::Completed, "10000000", "KWD").await;

    let dashboard = app.list("/dashboard").await;
    assert_eq!(dashboard["usersByRole"], json!({ "ADMIN": 1, "CUSTOMER": 2 }));
    assert_eq!(dashboard["paymentsByStatus"], json!({ "completed": 4, "failed": 1, "pending": 1 }));
    let volumes = json!({ "EUR": "13.05", "JPY": "1000", "KWD": "10000000.000" });
    assert_eq!(dashboard["volumeByCurrency"], volumes);
    // Thirteen different events, each counted once, in this hour or the one before.
    let hours = dashboard["eventsPerHour"].as_array().unwrap();
    assert_eq!(hours.iter().map(|hour| hour["events"].as_i64().unwrap()).sum::<i64>(), 13);
    for hour in hours {
        let at: Timestamp = hour["hour"].as_str().unwrap().parse().unwrap();
        assert_eq!(at.as_second() % 3_600, 0);
    }
    let lag = dashboard["eventLagMs"].as_i64().unwrap();
    assert!((0..60_000).contains(&lag), "{lag}");
    for _ in 0..10 {
        app.tell(&created(user(Uuid::now_v7(), 1, "another"))).await;
    }
    let dashboard = app.list("/dashboard").await;
    let last = dashboard["lastEvents"].as_array().unwrap();
    assert_eq!(last.len(), 20);
    let actions: Vec<_> = last.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!((actions[0], actions[10]), ("auth.user.created", "payments.payment.completed"));
    assert!(last.iter().all(|event| event["id"].is_string() && event["at"] != Value::Null));
}
