//! What is answered without the database, and what ends it.

use chassis::args;
use chassis::testing::Answer;
use contracts::{PaymentChanged, PaymentEvent, PaymentStatus, Role, UserDeleted, UserUpdated};
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};
use tramline_cache::twin::Twin;
use tramline_cache::{Store, StoreConfig};

use crate::reports::MARCH;
use crate::sums::{changed, tell};
use crate::support::{App, NOWHERE, Person, Place, eventually, user};

on_both_databases! {
    held: a_hit_costs_no_query, a_writer_sees_the_write_at_once, what_the_provider_takes_up_is_seen,
        nobody_gets_what_is_another_ones, a_name_ends_with_its_event, what_a_dead_process_left_ends_with_its_event,
        a_report_is_kept_until_an_event_ends_it, a_report_is_of_one_user_and_role, a_report_waits_for_the_event;
}

/// The same with a Redis beside the database, which the twin stands in for.
mod by_way_of_redis {
    use super::*;

    macro_rules! tests {
        ($($name:ident),+ $(,)?) => {
            $(#[tokio::test]
            async fn $name() {
                super::$name(App::held_beside_redis(Place::sqlite()).await).await;
            })+
        };
    }

    tests!(
        a_hit_costs_no_query,
        a_writer_sees_the_write_at_once,
        what_the_provider_takes_up_is_seen,
        nobody_gets_what_is_another_ones,
        a_name_ends_with_its_event,
        what_a_dead_process_left_ends_with_its_event,
        a_report_is_kept_until_an_event_ends_it,
        a_report_is_of_one_user_and_role,
        a_report_waits_for_the_event,
    );
}

async fn list(app: &App, who: &Person, query: &str) -> Value {
    let answer = app.get(who, &format!("/api/payments?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.json);
    answer.json
}

async fn read(app: &App, who: &Person, id: &str) -> Value {
    app.get(who, &format!("/api/payments/{id}")).await.json
}

async fn a_hit_costs_no_query(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let id = app.paid(&alice, &bob, "5").await;
    app.paid(&alice, &bob, "6").await;
    settled(&app).await;
    let before = [app.loads("payment"), app.loads("payment-list")];
    let (first, page) = (read(&app, &alice, &id).await, list(&app, &alice, "limit=1").await);
    for _ in 0..3 {
        assert_eq!(read(&app, &alice, &id).await, first);
        assert_eq!(list(&app, &alice, "limit=1").await, page, "the cursor, too");
        // Who may see it is asked each time; what they see is the same.
        assert_eq!(read(&app, &bob, &id).await, first);
    }
    assert_eq!([app.loads("payment"), app.loads("payment-list")], [before[0] + 1, before[1] + 1]);
    // It says so to the browser.
    let said = async |path: &str| timing(&app.get(&alice, path).await);
    assert_eq!(said(&format!("/api/payments/{id}")).await, "hit");
    assert_eq!(said("/api/payments?limit=1").await, "hit");
    assert_eq!(said("/api/payments?limit=1&minAmount=1").await, "", "the cache was not asked");
    // Not kept: pages further on, bounds of time and amount, and what is not there.
    let cursor = page["nextCursor"].as_str().unwrap();
    for query in [format!("limit=1&cursor={cursor}"), "minAmount=1".into(), "to=2100-01-01T00:00:00Z".into()]
    {
        assert!(!list(&app, &alice, &query).await["items"].as_array().unwrap().is_empty());
    }
    assert_eq!(app.loads("payment-list"), before[1] + 1);
}

async fn a_writer_sees_the_write_at_once(app: App) {
    app.hold_events().await;
    let (alice, bob) = app.alice_and_bob().await;
    let admin = app.person("ada", Role::Admin).await;
    let everyone = [&alice, &bob, &admin];
    let statuses = async |who: &Person| -> Vec<Value> {
        let page = list(&app, who, "").await;
        page["items"].as_array().unwrap().iter().map(|item| item["status"].clone()).collect()
    };
    let mut ids = Vec::new();
    for n in 1..=3 {
        ids.push(app.paid(&alice, &bob, "5").await);
        for who in everyone {
            assert_eq!(statuses(who).await.len(), n, "{} sees what was made", who.name);
        }
    }
    for (id, path) in [(&ids[0], "cancel"), (&ids[1], "webhook")] {
        assert_eq!(read(&app, &bob, id).await["status"], "pending");
        let (status, states) = if path == "cancel" {
            assert_eq!(app.post(&alice, &format!("/api/payments/{id}/cancel"), json!({})).await.status, 200);
            ("cancelled", 2)
        } else {
            app.execute("UPDATE payments SET status = 'processing' WHERE id = $1", args![uuid(id)]).await;
            assert_eq!(app.report(id, "completed", "r-1").await.status, 204);
            ("completed", 2)
        };
        for who in everyone {
            let payment = read(&app, who, id).await;
            assert_eq!(payment["status"], status, "{}", who.name);
            assert_eq!(payment["transactions"].as_array().unwrap().len(), states);
            assert!(statuses(who).await.contains(&json!(status)), "{}'s list", who.name);
        }
    }
    assert_eq!(list(&app, &alice, "status=pending").await["items"].as_array().unwrap().len(), 1);
}

async fn what_the_provider_takes_up_is_seen(app: App) {
    app.hold_events().await;
    let (alice, bob) = app.alice_and_bob().await;
    let id = app.paid(&alice, &bob, "5").await;
    let lists = async |query| list(&app, &alice, query).await["items"].as_array().unwrap().len();
    assert_eq!((app.status(&alice, &id).await.as_str(), lists("status=pending").await), ("pending", 1));
    app.execute("UPDATE psp_jobs SET due_at = 0", args![]).await;
    app.becomes(&alice, &id, "processing").await;
    eventually("the list, too", async || lists("status=pending").await == 0).await;
}

async fn nobody_gets_what_is_another_ones(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let (eve, carol) = (app.person("eve", Role::Customer).await, app.person("carol", Role::Vendor).await);
    let id = app.paid(&alice, &bob, "5").await;
    let others = app.paid(&bob, &carol, "7").await;
    let ids = async |who: &Person| -> Vec<String> {
        let page = list(&app, who, "").await;
        page["items"].as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap().to_owned()).collect()
    };
    for _ in 0..2 {
        assert_eq!(read(&app, &alice, &id).await["id"], json!(id), "it is in the cache");
        let hidden = app.get(&eve, &format!("/api/payments/{id}")).await;
        let absent = app.get(&eve, &format!("/api/payments/{}", uuid::Uuid::now_v7())).await;
        assert_eq!((hidden.status.as_u16(), hidden.code()), (404, "NOT_FOUND"));
        assert_eq!(hidden.json["detail"], absent.json["detail"], "nothing tells that it exists");
        assert_eq!(ids(&alice).await, std::slice::from_ref(&id));
        assert_eq!(ids(&eve).await, [] as [String; 0]);
        // The same user with a token of another role.
        let mut risen = alice.clone();
        risen.token = app.issuer.token(alice.id, Role::Admin, "alice").await;
        assert_eq!(ids(&risen).await, [others.clone(), id.clone()]);
    }
}

async fn a_name_ends_with_its_event(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let id = app.paid(&alice, &bob, "5").await;
    let names = async || {
        let page = list(&app, &alice, "").await;
        [read(&app, &alice, &id).await, page["items"][0].clone()]
            .map(|shown| shown["recipient"]["name"].clone())
    };
    assert_eq!(names().await, ["bob", "bob"]);
    let mut renamed = user(&bob, 2);
    renamed.name = "Bobby".to_owned();
    app.tell(&contracts::wrap("/auth-service", &UserUpdated(renamed)).unwrap()).await;
    assert_eq!(names().await, ["Bobby", "Bobby"]);
    let gone = UserDeleted { user_id: bob.id, version: 3, deleted_at: Timestamp::now() };
    app.tell(&contracts::wrap("/auth-service", &gone).unwrap()).await;
    assert_eq!(names().await, ["deleted user", "deleted user"]);
}

/// Written by a process that died before it could tell: the event, which was in the same transaction, tells.
async fn what_a_dead_process_left_ends_with_its_event(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let id = app.paid(&alice, &bob, "5").await;
    settled(&app).await;
    let descriptions = async || {
        let page = list(&app, &bob, "").await;
        [read(&app, &bob, &id).await, page["items"][0].clone()].map(|shown| shown["description"].clone())
    };
    let before = descriptions().await;
    app.execute("UPDATE payments SET description = 'changed' WHERE id = $1", args![uuid(&id)]).await;
    assert_eq!(descriptions().await, before, "nobody has told yet");
    let mut told: PaymentChanged = app.event(&id, 1).await.data().unwrap();
    told.version = 2;
    app.tell(&told.wrap("/payments-service", PaymentEvent::Updated).unwrap()).await;
    assert_eq!(descriptions().await, ["changed", "changed"]);
}

/// How many payments a report of March is of, and where it came from.
async fn report(app: &App, who: &Person) -> (i64, String) {
    let answer = app.get(who, &format!("/api/payments/reports?{MARCH}")).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    let items = answer.json["items"].as_array().unwrap();
    (items.iter().map(|item| item["payments"].as_i64().unwrap()).sum(), timing(&answer))
}

fn timing(answer: &Answer) -> String {
    let header = answer.headers.get("server-timing").map(|value| value.to_str().unwrap().to_owned());
    header.unwrap_or_default().replace("cache;desc=", "")
}

/// A payment between these two, in the range of [`report`].
fn made(from: &Person, to: &Person) -> PaymentChanged {
    let made = changed("5", "EUR", PaymentStatus::Completed, "2026-03-01T12:00:00Z");
    PaymentChanged { sender_id: from.id, recipient_id: to.id, ..made }
}

async fn a_report_is_kept_until_an_event_ends_it(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let (carol, admin) = (app.person("carol", Role::Vendor).await, app.person("ada", Role::Admin).await);
    let told = made(&alice, &bob);
    tell(&app, &told, 1).await;
    let before = app.loads("payment-report");
    for (who, payments) in [(&bob, 1), (&admin, 1), (&carol, 0)] {
        let answers = [report(&app, who).await, report(&app, who).await, report(&app, who).await];
        assert_eq!(answers, ["miss", "hit", "hit"].map(|from| (payments, from.to_owned())), "{}", who.name);
    }
    assert_eq!(app.loads("payment-report"), before + 3);
    // Other days, filters and parts are other questions.
    for query in [
        "from=2026-03-02&to=2026-04-01".to_owned(),
        "from=2026-03-01&to=2026-03-31".to_owned(),
        format!("{MARCH}&currency=EUR"),
        format!("{MARCH}&status=completed"),
        format!("{MARCH}&type=instant"),
        format!("{MARCH}&limit=1"),
    ] {
        assert_eq!(
            timing(&app.get(&bob, &format!("/api/payments/reports?{query}")).await),
            "miss",
            "{query}"
        );
    }
    tell(&app, &made(&bob, &alice), 1).await;
    assert_eq!(report(&app, &bob).await, (2, "miss".to_owned()));
    assert_eq!(report(&app, &admin).await, (2, "miss".to_owned()));
    assert_eq!(report(&app, &carol).await, (0, "hit".to_owned()), "it is not in hers");
    tell(&app, &made(&alice, &carol), 2).await;
    assert_eq!(report(&app, &carol).await, (1, "miss".to_owned()), "told twice, counted once");
    assert_eq!(report(&app, &bob).await, (2, "hit".to_owned()));
}

async fn a_report_is_of_one_user_and_role(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let carol = app.person("carol", Role::Vendor).await;
    tell(&app, &made(&alice, &bob), 1).await;
    tell(&app, &made(&alice, &carol), 1).await;
    let as_role = async |role: Role| {
        let token = app.issuer.token(bob.id, role, "bob").await;
        Person { token, ..bob.clone() }
    };
    let (admin, customer) = (as_role(Role::Admin).await, as_role(Role::Customer).await);
    for _ in 0..2 {
        assert_eq!(report(&app, &bob).await.0, 1);
        assert_eq!(report(&app, &admin).await.0, 2, "risen: everyone's");
        assert_eq!(report(&app, &carol).await.0, 1);
        let refused = app.get(&customer, &format!("/api/payments/reports?{MARCH}")).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, "FORBIDDEN"), "whatever is kept");
        assert_eq!(timing(&refused), "");
    }
}

/// The payment is made, and no event has come by: the sums are of before. With the event they are of now.
async fn a_report_waits_for_the_event(app: App) {
    app.hold_events().await;
    let (alice, bob) = app.alice_and_bob().await;
    let now = Timestamp::now();
    let query = format!("from={}&to={}", now - 48.hours(), now + 48.hours());
    let payments = async || {
        let answer = app.get(&bob, &format!("/api/payments/reports?{query}")).await;
        (answer.json["items"].as_array().unwrap().len(), timing(&answer))
    };
    app.paid(&alice, &bob, "5").await;
    assert_eq!(payments().await, (0, "miss".to_owned()));
    assert_eq!(payments().await, (0, "hit".to_owned()));
    let told = changed("5", "EUR", PaymentStatus::Pending, &now.to_string());
    tell(&app, &PaymentChanged { sender_id: alice.id, recipient_id: bob.id, ..told }, 1).await;
    assert_eq!(payments().await, (1, "miss".to_owned()));
}

#[tokio::test]
async fn replicas_hear_what_the_other_writes() {
    let (here, there) = replicas().await;
    let (alice, bob) = here.alice_and_bob().await;
    let mut elsewhere = alice.clone();
    elsewhere.token = there.issuer.token(alice.id, Role::Customer, "alice").await;
    let id = here.paid(&alice, &bob, "5").await;
    let pending = async |app: &App, who: &Person| {
        list(app, who, "status=pending").await["items"].as_array().unwrap().len()
    };
    assert_eq!(
        (there.status(&elsewhere, &id).await.as_str(), pending(&there, &elsewhere).await),
        ("pending", 1)
    );
    assert_eq!(here.post(&alice, &format!("/api/payments/{id}/cancel"), json!({})).await.status, 200);
    assert_eq!((here.status(&alice, &id).await.as_str(), pending(&here, &alice).await), ("cancelled", 0));
    there.becomes(&elsewhere, &id, "cancelled").await;
    eventually("the list, too", async || pending(&there, &elsewhere).await == 0).await;
    // An event that one of them takes changes the reports of both.
    let token = there.issuer.token(bob.id, Role::Vendor, "bob").await;
    let bob_elsewhere = Person { token, ..bob.clone() };
    assert_eq!((report(&here, &bob).await.0, report(&there, &bob_elsewhere).await.0), (0, 0));
    tell(&here, &made(&alice, &bob), 1).await;
    assert_eq!(report(&here, &bob).await, (1, "miss".to_owned()));
    eventually("the report, too", async || report(&there, &bob_elsewhere).await.0 == 1).await;
}

/// In Redis a key is text: another user, role or filter is another one there as well.
#[tokio::test]
async fn nobody_gets_what_is_another_ones_by_way_of_redis() {
    let (here, there) = replicas().await;
    let (alice, bob) = here.alice_and_bob().await;
    let (eve, carol) = (here.person("eve", Role::Customer).await, here.person("carol", Role::Vendor).await);
    for (from, to) in [(&alice, &bob), (&bob, &carol), (&alice, &carol)] {
        here.paid(from, to, "5").await;
        tell(&here, &made(from, to), 1).await;
    }
    let own = [
        (&alice, Role::Customer, 2),
        (&eve, Role::Customer, 0),
        (&carol, Role::Vendor, 2),
        (&bob, Role::Vendor, 2),
        (&bob, Role::Admin, 3),
    ];
    let lists = [
        "",
        "status=pending",
        "status=failed",
        "type=instant",
        "currency=EUR",
        "sort=amount",
        "order=asc",
        "limit=1",
    ];
    let reports = [
        MARCH.to_owned(),
        "from=2026-03-01&to=2026-03-31".to_owned(),
        "from=2026-02-28&to=2026-04-01".to_owned(),
        format!("{MARCH}&currency=EUR"),
        format!("{MARCH}&status=completed"),
        format!("{MARCH}&status=failed"),
        format!("{MARCH}&type=instant"),
        format!("{MARCH}&limit=1"),
    ];
    let mut first = Vec::new();
    for (app, from) in [(&here, "miss"), (&there, "hit")] {
        let mut answers = Vec::new();
        for (who, role, payments) in own {
            let token = app.issuer.token(who.id, role, &who.name).await;
            let who = Person { token, ..who.clone() };
            let asked = lists.iter().map(|query| format!("?{query}"));
            let reported = reports.iter().map(|query| format!("/reports?{query}"));
            for path in asked.chain(reported.filter(|_| role != Role::Customer)) {
                let answer = app.get(&who, &format!("/api/payments{path}")).await;
                assert_eq!(timing(&answer), from, "{} as {role:?}: {path}", who.name);
                answers.push(answer.json["items"].clone());
            }
            assert_eq!(list(app, &who, "").await["items"].as_array().unwrap().len(), payments);
            if role != Role::Customer {
                assert_eq!(report(app, &who).await, (i64::try_from(payments).unwrap(), "hit".to_owned()));
            }
        }
        first.push(answers);
    }
    assert_eq!(first[0], first[1]);
}

/// Two processes of the service on one database and one Redis, which the twin stands in for. No event of theirs is told.
async fn replicas() -> (App, App) {
    let (twin, place) = (Twin::new(), Place::sqlite());
    let replica = async || {
        let cache = Store::twin(&twin, StoreConfig::default());
        App::open_with(place.again(), NOWHERE.parse().unwrap(), None, cache).await
    };
    let (mut here, there) = (replica().await, replica().await);
    here.hold_jobs().await;
    here.hold_events().await;
    eventually("both hear", async || here.cache.stats().attached && there.cache.stats().attached).await;
    here.place = place;
    (here, there)
}

/// Waits until the events of all payments were taken: each ends what it is about once more.
async fn settled(app: &App) {
    eventually("no event is on its way", async || {
        app.count("SELECT COUNT(*) AS n FROM outbox", args![]).await == 0
    })
    .await;
}

fn uuid(id: &str) -> uuid::Uuid {
    id.parse().unwrap()
}
