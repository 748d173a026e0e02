//! `GET /api/payments/reports`: whose sums, of which days, part by part.

use chassis::page::{Page, PageRequest};
use contracts::{PaymentChanged, PaymentStatus, PaymentType, Role};
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::sums::{changed, tell};
use crate::support::{App, Person, Place};

on_both_databases! {
    held: ones_own_and_everyones, filters_and_days, a_walk_has_no_gap_and_no_repeat, without_a_range_it_is_the_last_month,
        a_cursor_that_somebody_made_up_is_422;
}

/// A range that has all that is told here.
pub(crate) const MARCH: &str = "from=2026-03-01&to=2026-04-01";

/// A change of a payment between these two.
fn between(from: &Person, to: &Person, amount: &str, currency: &str, at: &str) -> PaymentChanged {
    let changed = changed(amount, currency, PaymentStatus::Completed, at);
    PaymentChanged { sender_id: from.id, recipient_id: to.id, ..changed }
}

async fn page(app: &App, who: &Person, query: &str) -> Value {
    let answer = app.get(who, &format!("/api/payments/reports?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.json);
    answer.json
}

/// Each sum in a line.
fn lines(page: &Value) -> Vec<String> {
    let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
    let line = |item: &Value| {
        let [day, currency, status, kind] =
            ["day", "currency", "status", "type"].map(|name| text(item, name));
        format!("{day} {currency} {status} {kind} {} {}", item["payments"], text(item, "amount"))
    };
    page["items"].as_array().unwrap().iter().map(line).collect()
}

async fn report(app: &App, who: &Person, query: &str) -> Vec<String> {
    lines(&page(app, who, query).await)
}

async fn ones_own_and_everyones(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let (carol, eve) = (app.person("carol", Role::Vendor).await, app.person("eve", Role::Vendor).await);
    let admin = app.person("ada", Role::Admin).await;
    for (from, to, amount, currency, day) in [
        (&alice, &bob, "12.50", "EUR", 1),
        (&carol, &bob, "2.5", "EUR", 1),
        (&alice, &carol, "100", "JPY", 1),
        (&bob, &alice, "1.25", "KWD", 2),
    ] {
        // Twice: an event that comes again is counted once.
        tell(&app, &between(from, to, amount, currency, &format!("2026-03-0{day}T12:00:00Z")), 2).await;
    }
    let (kwd, jpy) = ("2026-03-02 KWD completed instant 1 1.250", "2026-03-01 JPY completed instant 1 100");
    let eur = "2026-03-01 EUR completed instant 2 15.00";
    assert_eq!(report(&app, &bob, MARCH).await, [kwd, eur], "received and sent");
    assert_eq!(report(&app, &carol, MARCH).await, ["2026-03-01 EUR completed instant 1 2.50", jpy]);
    assert_eq!(report(&app, &admin, MARCH).await, [kwd, eur, jpy]);
    assert_eq!(page(&app, &eve, MARCH).await, json!({ "items": [], "nextCursor": null }));
    assert_eq!(
        page(&app, &bob, MARCH).await["items"][1],
        json!({
            "day": "2026-03-01", "currency": "EUR", "status": "completed", "type": "instant",
            "payments": 2, "amount": "15.00",
        })
    );
    for query in [MARCH, "from=yesterday", ""] {
        let answer = app.get(&alice, &format!("/api/payments/reports?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (403, "FORBIDDEN"), "{query}");
    }
}

async fn filters_and_days(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let mut told = [
        between(&alice, &bob, "1", "EUR", "2026-03-01T00:00:00Z"),
        between(&alice, &bob, "2", "JPY", "2026-03-02T23:59:59.999999Z"),
        between(&alice, &bob, "3", "EUR", "2026-03-03T00:00:00Z"),
        between(&alice, &bob, "4", "EUR", "2026-03-03T00:00:00Z"),
    ];
    told[2].status = PaymentStatus::Failed;
    told[3].status = PaymentStatus::Failed;
    told[3].payment_type = PaymentType::Scheduled;
    for changed in &told {
        tell(&app, changed, 1).await;
    }
    let first = "2026-03-01 EUR completed instant 1 1.00";
    let second = "2026-03-02 JPY completed instant 1 2";
    let third = "2026-03-03 EUR failed instant 1 3.00";
    let fourth = "2026-03-03 EUR failed scheduled 1 4.00";
    let of_march = |filter: &str| format!("{MARCH}&{filter}");
    for (query, expected) in [
        (MARCH.to_owned(), vec![third, fourth, second, first]),
        (of_march("status=&currency=&type="), vec![third, fourth, second, first]),
        (of_march("currency=EUR"), vec![third, fourth, first]),
        (of_march("currency=EUR&status=completed"), vec![first]),
        (of_march("status=failed"), vec![third, fourth]),
        (of_march("status=pending"), vec![]),
        (of_march("type=scheduled"), vec![fourth]),
        ("from=2026-03-02&to=2026-04-01".into(), vec![third, fourth, second]),
        ("from=2026-03-01&to=2026-03-03".into(), vec![second, first]),
        // A time counts for the day that it is in, as UTC has it.
        ("from=2026-03-02T23:59:59Z&to=2026-03-03T00:00:00Z".into(), vec![second]),
        (
            "from=2026-03-03T00:30:00%2B01:00&to=2026-03-03T00:00:00.000001Z".into(),
            vec![third, fourth, second],
        ),
        // Thirty days to the end.
        ("to=2026-03-31".into(), vec![third, fourth, second, first]),
        ("to=2026-04-01".into(), vec![third, fourth, second]),
        // A year, and the last days that there are.
        ("from=2025-03-02&to=2026-03-03".into(), vec![second, first]),
        ("to=9999-12-31".into(), vec![]),
    ] {
        assert_eq!(report(&app, &bob, &query).await, expected, "{query}");
    }
}

async fn without_a_range_it_is_the_last_month(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let now = Timestamp::now();
    for (days, amount) in [(40, "1"), (28, "2"), (0, "3")] {
        let at = (now - (24 * days).hours()).to_string();
        tell(&app, &between(&alice, &bob, amount, "EUR", &at), 1).await;
    }
    let amounts = async |query: String| -> Vec<String> {
        let page = page(&app, &bob, &query).await;
        page["items"].as_array().unwrap().iter().map(|i| i["amount"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(amounts(String::new()).await, ["3.00", "2.00"]);
    let long_ago = (now - (24 * 50).hours()).to_string();
    assert_eq!(amounts(format!("from={long_ago}")).await, ["3.00", "2.00", "1.00"]);
}

#[tokio::test]
async fn bad_parameters_are_422_with_their_pointer() {
    let app = App::held(Place::sqlite()).await;
    let vendor = app.person("victor", Role::Vendor).await;
    for (query, pointers) in [
        ("from=yesterday", vec!["?from"]),
        ("from=2026-02-30", vec!["?from"]),
        ("from=2026-03-01T10:00:00", vec!["?from"]),
        ("from=-009999-01-01", vec!["?from"]),
        ("to=2026-13-01", vec!["?to"]),
        ("to=2026-13-01T00:00:00Z", vec!["?to"]),
        ("status=open", vec!["?status"]),
        ("type=soon", vec!["?type"]),
        ("currency=eur", vec!["?currency"]),
        ("from=2026-03-02&to=2026-03-02", vec!["?to"]),
        ("from=2026-03-02&to=2026-03-01", vec!["?to"]),
        ("from=9999-12-31", vec!["?from"]),
        ("from=2025-03-01&to=2026-03-03", vec!["?from"]),
        ("from=2025-01-01&to=2026-03-03&currency=e", vec!["?currency", "?from"]),
        ("limit=0", vec!["?limit"]),
        ("limit=101", vec!["?limit"]),
        ("cursor=AAAA", vec!["?cursor"]),
    ] {
        let answer = app.get(&vendor, &format!("/api/payments/reports?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "VALIDATION"), "{query}");
        assert_eq!(answer.pointers(), pointers, "{query}: {}", answer.json);
    }
}

/// Days that have several sums, and new ones that arrive during the walk.
async fn a_walk_has_no_gap_and_no_repeat(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    for day in 1..=5 {
        for currency in ["EUR", "JPY", "USD"] {
            let at = format!("2026-03-0{day}T12:00:00Z");
            tell(&app, &between(&alice, &bob, "1", currency, &at), 1).await;
        }
    }
    let whole = report(&app, &bob, &format!("{MARCH}&limit=100")).await;
    assert_eq!(whole.len(), 15);
    assert!(whole[0].starts_with("2026-03-05 EUR") && whole[14].starts_with("2026-03-01 USD"), "{whole:?}");
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let part = page(&app, &bob, &format!("{MARCH}&limit=4&cursor={cursor}")).await;
        walked.extend(lines(&part));
        assert!(walked.len() <= whole.len(), "it goes on and on: {walked:?}");
        tell(&app, &between(&alice, &bob, "1", "EUR", "2026-03-06T12:00:00Z"), 1).await;
        let Some(next) = part["nextCursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    assert_eq!(walked, whole);
    let page = page(&app, &bob, &format!("{MARCH}&limit=4")).await;
    let cursor = page["nextCursor"].as_str().unwrap();
    for query in [format!("{MARCH}&currency=EUR"), "to=2026-04-01".into()] {
        let answer = app.get(&bob, &format!("/api/payments/reports?{query}&cursor={cursor}")).await;
        assert_eq!((answer.status.as_u16(), answer.pointers()), (422, vec!["?cursor"]), "{query}");
    }
}

/// A cursor has a check that anybody can reckon: what is in it is looked at all the same.
async fn a_cursor_that_somebody_made_up_is_422(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    tell(&app, &between(&alice, &bob, "1", "EUR", "2026-03-02T12:00:00Z"), 1).await;
    let filter = "Filter { from: Some(Moment(2026-03-01T00:00:00)), to: Some(Moment(2026-04-01T00:00:00)), \
        currency: None, status: None, payment_type: None }";
    let list = format!("reports {:?} {filter}", Some(bob.id));
    let ask = async |day: &str, currency: &str, status: &str| {
        let at = json!([day, currency, status, "instant"]);
        let page = Page::new(&PageRequest::first(1), &list, vec![(), ()], |()| at.clone());
        let cursor = page.next_cursor.unwrap();
        app.get(&bob, &format!("/api/payments/reports?{MARCH}&cursor={cursor}")).await
    };
    let sound = ask("2026-03-03", "ZZZ", "completed").await;
    assert_eq!(sound.status, 200, "as one of ours: {}", sound.json);
    assert_eq!(lines(&sound.json), ["2026-03-02 EUR completed instant 1 1.00"]);
    for (day, currency, status) in [
        ("2026-03-03", "\0", "completed"),
        ("2026-03-03", "EU\0", "completed"),
        ("2026-03-03", "", "completed"),
        ("2026-03-03", "eur", "completed"),
        ("2026-03-03", "EUR; --", "completed"),
        ("2026-03-03\0", "EUR", "completed"),
        ("2026-03-03", "EUR", "\0"),
    ] {
        let answer = ask(day, currency, status).await;
        assert_eq!((answer.status.as_u16(), answer.pointers()), (422, vec!["?cursor"]), "{day} {currency:?}");
    }
}
