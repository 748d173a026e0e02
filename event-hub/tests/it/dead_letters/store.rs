//! What is kept, and how it is found again.

use std::collections::BTreeSet;

use tramline_event_hub::ErrorKind;
use tramline_event_hub::dead_letters::Selection;

use super::*;

on_all!(
    a_letter_is_kept_with_its_story,
    letters_are_found_page_by_page_and_by_filter,
    letters_are_deleted_as_selected,
    a_letter_that_cannot_be_stored_stays_and_is_told,
);

async fn a_letter_is_kept_with_its_story(bed: Bed) {
    let mut work = bed.consume("work", |event, _| match n(event) {
        0 => Outcome::Reject { reason: "no: because".to_owned() },
        _ => Outcome::Retry { reason: "broken: badly".to_owned() },
    });
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let rejected = event("orders.order.placed", 0).with_trace(Some(trace.to_owned()), None);
    bed.publish(&rejected).await;
    work.next().await;
    bed.drain(1).await;
    let [letter] = &bed.all().await[..] else { panic!("one letter") };
    assert_eq!(letter.queue, Some(bed.name("work")));
    assert_eq!(letter.found_in, bed.name("dlq"));
    assert_eq!(letter.exchange, Some(bed.name("events")));
    assert_eq!(letter.routing_key.as_deref(), Some("orders.order.placed"));
    assert_eq!(letter.event_type.as_deref(), Some("orders.order.placed"));
    assert_eq!(letter.event_id.as_deref(), Some(rejected.id.as_str()));
    assert_eq!((letter.reason.as_str(), letter.attempts, letter.redrives), ("rejected", 1, 0));
    assert_eq!(letter.error.as_deref(), Some("no: because"));
    assert_eq!(letter.handler.as_deref(), Some("worker"));
    assert_eq!(letter.content_type.as_deref(), Some("application/cloudevents+json"));
    assert_eq!(letter.first_failed_at, letter.last_failed_at);
    assert_eq!(letter.last_failed_at, Some(letter.died_at));
    assert!(letter.died_at <= letter.stored_at && letter.previous_reason.is_none());
    let (shown, content) = bed.letters.show(letter.id).await.unwrap().unwrap();
    assert_eq!((&shown, &content.body), (letter, &rejected.to_json()));
    assert_eq!(letter.size, content.body.len() as u64);
    assert_eq!(content.headers["traceparent"], trace);
    assert_eq!(content.properties["messageId"], rejected.id.as_str());
    assert_eq!(bed.letters.show(letter.id + 1).await.unwrap(), None);

    bed.publish(&event("orders.order.failed", 1)).await;
    bed.drain(2).await;
    let failed = &bed.all().await[0];
    assert_eq!((failed.reason.as_str(), failed.attempts), ("attempts", 2));
    assert_eq!(failed.exchange, Some(bed.name("events")));
    assert!(failed.first_failed_at < failed.last_failed_at);
    work.stop().await;
}

async fn letters_are_found_page_by_page_and_by_filter(bed: Bed) {
    bed.dead(5).await;
    let page = bed.letters.list(&Filter::new(), None, 2).await.unwrap();
    let newest: Vec<_> = page.letters.iter().map(|letter| letter.id).collect();
    assert!(newest.is_sorted_by(|a, b| a > b));
    // What comes and goes meanwhile neither repeats nor hides others.
    bed.letters.delete(&Selection::Ids(newest.clone()), |_| {}).await.unwrap();
    let mut ids = newest;
    let mut next = page.next;
    while let Some(cursor) = next {
        let page = bed.letters.list(&Filter::new(), Some(cursor), 2).await.unwrap();
        ids.extend(page.letters.iter().map(|letter| letter.id));
        next = page.next;
    }
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (5, 5));

    let all = bed.all().await;
    let letter = &all[0];
    let since = all.iter().filter(|other| other.died_at >= letter.died_at).count() as u64;
    let fits = async |change: &dyn Fn(&mut Filter)| {
        let mut filter = Filter::new();
        change(&mut filter);
        bed.letters.count(&filter).await.unwrap()
    };
    assert_eq!(fits(&|f| f.ids = Some(vec![letter.id, 999_999])).await, 1);
    assert_eq!(fits(&|f| f.ids = Some(Vec::new())).await, 0);
    assert_eq!(fits(&|f| f.queue.clone_from(&letter.queue)).await, 3);
    assert_eq!(fits(&|f| f.queue = Some(bed.name("other"))).await, 0);
    assert_eq!(fits(&|f| f.event_type = Some("orders.order.placed".to_owned())).await, 3);
    assert_eq!(fits(&|f| f.event_type = Some("orders.order".to_owned())).await, 0);
    assert_eq!(fits(&|f| f.routing_key = Some("orders.order.placed".to_owned())).await, 3);
    assert_eq!(fits(&|f| f.reason = Some("rejected".to_owned())).await, 3);
    assert_eq!(fits(&|f| f.reason = Some("attempts".to_owned())).await, 0);
    assert_eq!(fits(&|f| f.handler = Some("worker".to_owned())).await, 3);
    assert_eq!(fits(&|f| f.event_id.clone_from(&letter.event_id)).await, 1);
    assert_eq!(fits(&|f| f.from = Some(letter.died_at)).await, since);
    assert_eq!(fits(&|f| f.to = Some(letter.died_at)).await, 3 - since);
    let both = |f: &mut Filter| (f.reason, f.to) = (Some("attempts".to_owned()), Some(letter.died_at));
    assert_eq!(fits(&both).await, 0);
}

async fn letters_are_deleted_as_selected(bed: Bed) {
    bed.dead(4).await;
    let refused = bed.letters.delete(&Selection::Matching(Filter::new()), |_| {}).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    let ids: Vec<_> = bed.all().await.iter().map(|letter| letter.id).collect();
    // One is in a redrive's hands.
    bed.db
        .execute(&format!(
            "UPDATE tramline_dead_letters SET claimed_until = 9000000000000000000 WHERE id = {}",
            ids[1]
        ))
        .await;
    let some = Selection::Ids(vec![ids[0], ids[0], ids[1], 999_999]);
    let deleted = bed.letters.delete(&some, |_| {}).await.unwrap();
    assert_eq!((deleted.deleted, deleted.busy, deleted.unknown), (1, 1, vec![999_999]));
    bed.db.execute("UPDATE tramline_dead_letters SET claimed_until = 0").await;
    let mut filter = Filter::new();
    filter.event_id = bed.all().await[0].event_id.clone();
    assert_eq!(bed.letters.delete(&Selection::Matching(filter), |_| {}).await.unwrap().deleted, 1);
    assert_eq!(bed.all().await.len(), 2);
    assert_eq!(bed.letters.delete(&Selection::All, |_| {}).await.unwrap().deleted, 2);
    assert_eq!(bed.letters.count(&Filter::new()).await.unwrap(), 0);
}

/// The database refuses one letter among others, and then it is mended.
async fn a_letter_that_cannot_be_stored_stays_and_is_told(bed: Bed) {
    let rejecting = bed.reject("work");
    let refuse = match &bed.db {
        Database::Postgres(_) => {
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF new.event_type = 'orders.poison' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN new; END $$; \
             CREATE TRIGGER refuse BEFORE INSERT ON tramline_dead_letters FOR EACH ROW EXECUTE FUNCTION refuse()"
        }
        Database::Sqlite(..) => {
            "CREATE TRIGGER refuse BEFORE INSERT ON tramline_dead_letters WHEN new.event_type = 'orders.poison' \
             BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        }
    };
    bed.db.execute(refuse).await;
    bed.publish(&event("orders.poison", 0)).await;
    for n in 1..20 {
        bed.publish(&event("orders.order.placed", n)).await;
    }
    let mend = match &bed.db {
        Database::Postgres(_) => "DROP TRIGGER refuse ON tramline_dead_letters",
        Database::Sqlite(..) => "DROP TRIGGER refuse",
    };
    let dlq = bed.name("dlq");
    let all = async {
        while bed.hub.queue(&dlq).await.unwrap().unwrap().messages < 20 {
            tokio::task::yield_now().await;
        }
    };
    soon("the letters", all).await;
    let drain = || {
        let mut config = DrainConfig::default();
        config.until_empty = true;
        config.first_pause = Duration::from_millis(10);
        soon("the end", bed.letters.drain(&bed.hub, &dlq, config, |_| {}, std::future::pending()))
    };
    // The others are stored though this one is refused, and it does not keep the drain from its end.
    let refused = drain().await.unwrap();
    assert_eq!((refused.stored, refused.held), (19, 1));
    assert!(refused.error.unwrap().contains("not this one"));
    bed.db.execute(mend).await;
    // The broker gives back what the first one held.
    bed.until_waiting("dlq").await;
    let drained = drain().await.unwrap();
    assert_eq!((drained.stored, drained.held, drained.error), (1, 0, None));
    rejecting.stop().await;
    bed.until_gone("dlq").await;
}
