//! The daily aggregates, kept by the service's own events.

use chassis::args;
use contracts::{PaymentChanged, PaymentEvent, PaymentStatus, PaymentType};
use jiff::Timestamp;
use uuid::Uuid;

use crate::support::{App, eventually};

on_both_databases! {
    held: a_redelivered_event_counts_once, each_state_is_counted_on_its_day, the_services_own_events_are_counted;
}

const DAY: &str = "2026-03-01";

/// A payment of 1 to 2 that entered a state.
pub(crate) fn changed(amount: &str, currency: &str, status: PaymentStatus, at: &str) -> PaymentChanged {
    PaymentChanged {
        payment_id: Uuid::now_v7(),
        version: 1,
        sender_id: Uuid::from_u128(1),
        recipient_id: Uuid::from_u128(2),
        amount: amount.to_owned(),
        currency: currency.to_owned(),
        status,
        payment_type: PaymentType::Instant,
        description: "d".to_owned(),
        failure_reason: None,
        occurred_at: at.parse().unwrap(),
    }
}

/// Tells of it that often, each time by the same event.
pub(crate) async fn tell(app: &App, changed: &PaymentChanged, times: usize) {
    let event = changed.wrap("/payments-service", PaymentEvent::entering(changed.status)).unwrap();
    for _ in 0..times {
        app.tell(&event).await;
    }
}

/// Payments and minor units of a row; none is nothing.
async fn sum(app: &App, day: &str, user: u128, currency: &str, status: &str) -> (i64, i64) {
    let row = app
        .db
        .query_opt(
            "SELECT payments, amount FROM daily_aggregates WHERE day = $1 AND user_id = $2 AND currency = $3 \
             AND status = $4 AND payment_type = 'instant'",
            args![day, Uuid::from_u128(user), currency, status],
        )
        .await
        .unwrap();
    row.map_or((0, 0), |row| (row.get("payments").unwrap(), row.get("amount").unwrap()))
}

async fn a_redelivered_event_counts_once(app: App) {
    let at = "2026-03-01T12:00:00Z";
    tell(&app, &changed("12.50", "EUR", PaymentStatus::Completed, at), 3).await;
    tell(&app, &changed("2.50", "EUR", PaymentStatus::Completed, at), 1).await;
    tell(&app, &changed("100", "JPY", PaymentStatus::Completed, at), 2).await;
    // For everyone, for the sender, for the recipient, and for nobody else.
    for user in [0, 1, 2] {
        assert_eq!(sum(&app, DAY, user, "EUR", "completed").await, (2, 1_500), "{user}");
        assert_eq!(sum(&app, DAY, user, "JPY", "completed").await, (1, 100), "{user}");
    }
    assert_eq!(sum(&app, DAY, 3, "EUR", "completed").await, (0, 0));
    assert_eq!(app.dead_letters(), 0);
}

async fn each_state_is_counted_on_its_day(app: App) {
    tell(&app, &changed("1", "EUR", PaymentStatus::Pending, "2026-03-01T23:59:59.999999Z"), 1).await;
    tell(&app, &changed("1", "EUR", PaymentStatus::Failed, "2026-03-02T00:00:00Z"), 1).await;
    assert_eq!(sum(&app, DAY, 0, "EUR", "pending").await, (1, 100));
    assert_eq!(sum(&app, DAY, 0, "EUR", "failed").await, (0, 0));
    assert_eq!(sum(&app, "2026-03-02", 0, "EUR", "failed").await, (1, 100));
}

async fn the_services_own_events_are_counted(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let before = Timestamp::now();
    for _ in 0..5 {
        app.paid(&alice, &bob, "2").await;
    }
    eventually("five payments are counted", async || {
        app.count(
            "SELECT CAST(COALESCE(SUM(payments), 0) AS BIGINT) AS n FROM daily_aggregates WHERE user_id = $1",
            args![alice.id],
        )
        .await
            == 5
    })
    .await;
    let today = before.to_string()[..10].to_owned();
    let rows = app.count("SELECT COUNT(*) AS n FROM daily_aggregates WHERE day < $1", args![today]).await;
    assert_eq!(rows, 0);
}
