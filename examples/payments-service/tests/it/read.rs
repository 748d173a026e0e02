//! `GET /api/payments/{id}`.

use contracts::Role;
use serde_json::json;

use crate::support::App;

on_both_databases! {
    start: its_parties_and_admins_see_it, the_states_that_it_entered_oldest_first;
}

async fn its_parties_and_admins_see_it(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let admin = app.person("ada", Role::Admin).await;
    let (eve, mallory) = (app.person("eve", Role::Customer).await, app.person("mallory", Role::Vendor).await);
    let id = app.paid(&alice, &bob, "5").await;
    let path = format!("/api/payments/{id}");
    for who in [&alice, &bob, &admin] {
        let answer = app.get(who, &path).await;
        assert_eq!((answer.status.as_u16(), &answer.json["id"]), (200, &json!(id)), "{}", who.name);
    }
    for who in [&eve, &mallory] {
        let hidden = app.get(who, &path).await;
        let absent = app.get(who, &format!("/api/payments/{}", uuid::Uuid::now_v7())).await;
        assert_eq!((hidden.status.as_u16(), hidden.code()), (404, "NOT_FOUND"), "{}", who.name);
        assert_eq!(hidden.json["detail"], absent.json["detail"], "nothing tells that it exists");
    }
}

async fn the_states_that_it_entered_oldest_first(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let id = app.paid(&alice, &bob, "5").await;
    app.becomes(&alice, &id, "processing").await;
    assert_eq!(app.report(&id, "completed", "r-1").await.status, 204);
    let payment = app.get(&bob, &format!("/api/payments/{id}")).await.json;
    assert_eq!((&payment["status"], &payment["pspReference"]), (&json!("completed"), &json!("r-1")));
    let entered = payment["transactions"].as_array().unwrap();
    let states: Vec<_> = entered.iter().map(|entry| entry["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["pending", "processing", "completed"]);
    let times: Vec<_> = entered.iter().map(|entry| entry["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(
        (times[0], times[2]),
        (payment["createdAt"].as_str().unwrap(), payment["updatedAt"].as_str().unwrap())
    );
    assert_eq!(payment["completedAt"], payment["updatedAt"]);
}
