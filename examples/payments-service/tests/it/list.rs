//! `GET /api/payments`: whose, which, in which order, page by page.

use chassis::args;
use contracts::Role;
use serde_json::{Value, json};

use crate::support::{App, Person, Place, order};

on_both_databases! {
    held: ones_own_and_everyones, filters_and_sorts, a_walk_has_no_gap_and_no_repeat;
}

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn amounts(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["amount"].as_str().unwrap()).collect()
}

async fn list(app: &App, who: &Person, query: &str) -> Value {
    let answer = app.get(who, &format!("/api/payments?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.json);
    answer.json
}

async fn ones_own_and_everyones(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let carol = app.person("carol", Role::Vendor).await;
    let admin = app.person("ada", Role::Admin).await;
    let sent = app.paid(&alice, &bob, "1").await;
    let received = app.paid(&carol, &alice, "2").await;
    let others = app.paid(&bob, &carol, "3").await;
    assert_eq!(ids(&list(&app, &alice, "").await), [received.clone(), sent.clone()]);
    assert_eq!(ids(&list(&app, &carol, "").await), [others.clone(), received.clone()]);
    let all = list(&app, &admin, "").await;
    assert_eq!(ids(&all), [others, received, sent]);
    assert_eq!(all["nextCursor"], json!(null));
    assert!(all["items"][0].get("transactions").is_none());
    let stranger = app.stranger("nobody", Role::Customer).await;
    assert_eq!(list(&app, &stranger, "").await, json!({ "items": [], "nextCursor": null }));
}

async fn filters_and_sorts(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let pay = async |amount: &str, currency: &str| {
        let mut body = order(&bob, amount);
        body["currency"] = json!(currency);
        let made = app.pay(&alice, body).await.json;
        (made["id"].as_str().unwrap().to_owned(), made["createdAt"].as_str().unwrap().to_owned())
    };
    let (first, _) = pay("9.50", "EUR").await;
    let (second, second_at) = pay("100", "JPY").await;
    let (third, third_at) = pay("10", "EUR").await;
    app.post(&alice, &format!("/api/payments/{first}/cancel"), json!({})).await;
    let all = || vec![third.clone(), second.clone(), first.clone()];
    for (query, expected) in [
        ("status=pending".to_owned(), vec![third.clone(), second.clone()]),
        ("status=cancelled".to_owned(), vec![first.clone()]),
        ("status=completed".to_owned(), vec![]),
        ("type=instant".to_owned(), all()),
        ("type=recurring".to_owned(), vec![]),
        ("currency=JPY".to_owned(), vec![second.clone()]),
        ("currency=EUR&status=pending".to_owned(), vec![third.clone()]),
        (format!("from={second_at}"), vec![third.clone(), second.clone()]),
        (format!("to={second_at}"), vec![first.clone()]),
        (format!("from={second_at}&to={third_at}"), vec![second.clone()]),
        ("minAmount=10".to_owned(), vec![third.clone(), second.clone()]),
        ("minAmount=0&maxAmount=9.5".to_owned(), vec![first.clone()]),
        ("minAmount=9.51&maxAmount=99.99".to_owned(), vec![third.clone()]),
        ("status=&currency=".to_owned(), all()),
        ("order=asc".to_owned(), vec![first.clone(), second.clone(), third.clone()]),
        ("sort=createdAt&order=desc".to_owned(), all()),
        ("sort=amount".to_owned(), vec![second.clone(), third.clone(), first.clone()]),
        ("sort=amount&order=asc".to_owned(), vec![first.clone(), third.clone(), second.clone()]),
    ] {
        assert_eq!(ids(&list(&app, &alice, &query).await), expected, "{query}");
    }
}

#[tokio::test]
async fn bad_parameters_are_422_with_their_pointer() {
    let app = App::held(Place::sqlite()).await;
    let alice = app.person("alice", Role::Customer).await;
    for (query, pointer) in [
        ("status=open", "?status"),
        ("type=soon", "?type"),
        ("currency=eur", "?currency"),
        ("from=yesterday", "?from"),
        ("to=2026-13-01T00:00:00Z", "?to"),
        ("minAmount=ten", "?minAmount"),
        ("minAmount=-1", "?minAmount"),
        ("maxAmount=1e9", "?maxAmount"),
        ("sort=name", "?sort"),
        ("order=up", "?order"),
        ("limit=0", "?limit"),
        ("limit=101", "?limit"),
        ("limit=x", "?limit"),
        ("cursor=%F0%9F%92%A9", "?cursor"),
        ("cursor=AAAA", "?cursor"),
    ] {
        let answer = app.get(&alice, &format!("/api/payments?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "VALIDATION"), "{query}");
        assert_eq!(answer.pointers(), [pointer], "{query}: {}", answer.json);
    }
}

/// Payments that share what they are sorted by, and new ones that arrive during the walk.
async fn a_walk_has_no_gap_and_no_repeat(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let mut made = Vec::new();
    for n in 0..13 {
        made.push(app.paid(&alice, &bob, if n % 3 == 0 { "5" } else { "7" }).await);
    }
    app.execute("UPDATE payments SET created_at = 1767225600000000", args![]).await;
    for sort in
        ["sort=createdAt&order=desc", "sort=createdAt&order=asc", "sort=amount&order=desc", "sort=amount"]
    {
        let whole = ids(&list(&app, &alice, &format!("{sort}&limit=100")).await);
        let mut walked = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = list(&app, &alice, &format!("{sort}&limit=4&cursor={cursor}")).await;
            assert!(page["items"].as_array().unwrap().len() <= 4);
            walked.extend(ids(&page));
            // Newer than every one of them: they come before, or after, what is still to be walked.
            let late = app.paid(&alice, &bob, "6").await;
            app.execute("DELETE FROM psp_jobs", args![]).await;
            app.execute("UPDATE payments SET status = 'cancelled' WHERE id = $1", args![uuid(&late)]).await;
            let Some(next) = page["nextCursor"].as_str() else { break };
            next.clone_into(&mut cursor);
        }
        let old = |all: Vec<String>| all.into_iter().filter(|id| made.contains(id)).collect::<Vec<_>>();
        let (walked, whole) = (old(walked), old(whole));
        assert_eq!(walked.len(), made.len(), "{sort}");
        assert_eq!(walked, whole, "{sort}");
    }
    // By amount, those of the same amount keep one order.
    let page = list(&app, &alice, "sort=amount&order=asc&limit=5&status=pending").await;
    assert_eq!(amounts(&page), ["5.00"; 5]);
}

#[tokio::test]
async fn a_cursor_goes_on_in_its_own_list_only() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    let admin = app.person("ada", Role::Admin).await;
    for _ in 0..3 {
        app.paid(&alice, &bob, "5").await;
    }
    let page = list(&app, &alice, "limit=1&status=pending").await;
    let cursor = page["nextCursor"].as_str().unwrap();
    // Another limit is the same list.
    let rest = list(&app, &alice, &format!("limit=2&status=pending&cursor={cursor}")).await;
    assert_eq!((ids(&rest).len(), &rest["nextCursor"]), (2, &json!(null)));
    for (who, query) in [
        (&alice, "status=completed"),
        (&alice, ""),
        (&alice, "status=pending&sort=amount"),
        (&alice, "status=pending&order=asc"),
        (&bob, "status=pending"),
        (&admin, "status=pending"),
    ] {
        let answer = app.get(who, &format!("/api/payments?{query}&cursor={cursor}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.pointers()),
            (422, vec!["?cursor"]),
            "{} {query}",
            who.name
        );
    }
}

fn uuid(id: &str) -> uuid::Uuid {
    id.parse().unwrap()
}
