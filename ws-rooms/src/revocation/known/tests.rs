//! What is remembered, for how long, and what stands for the rest.

use super::*;

fn identity(user: &str, session: &str, issued_at: Option<Timestamp>) -> Identity {
    let mut identity = Identity::new(user, session, Timestamp::now() + Duration::from_secs(900));
    identity.issued_at = issued_at;
    identity
}

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

fn until(seconds: u64) -> Timestamp {
    Timestamp::now() + Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn tokens_of_before_have_ended_until_the_last_of_them_does() {
    let known = Known::new();
    let at = Timestamp::now();
    let (before, after) = (Some(at - Duration::from_secs(5)), Some(at + Duration::from_millis(1)));
    assert!(known.insert(&Revocation::user("ada", until(60)).at(at)));
    for (issued, ended) in [(before, true), (Some(at), true), (after, false), (None, true)] {
        assert_eq!(known.of(&identity("ada", "s1", issued)).is_some(), ended, "{issued:?}");
    }
    assert_eq!(known.of(&identity("bob", "s1", before)), None);
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(known.of(&identity("ada", "s1", before)), Some(Ended::ForGood));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(known.of(&identity("ada", "s1", before)), None);
    assert!(known.in_force().is_empty());
}

/// Who issued a token may have a clock that is ahead.
#[tokio::test(start_paused = true)]
async fn a_session_that_ended_is_all_of_its_tokens_and_the_rest_those_of_before() {
    let end = until(60);
    let (before, ahead) =
        (Timestamp::now() - Duration::from_secs(5), Timestamp::now() + Duration::from_secs(50));
    let rows: [(&str, Revocation, [Option<Ended>; 2]); 6] = [
        ("a session", Revocation::session("s1", end), [Some(Ended::ForGood); 2]),
        ("its role", Revocation::session("s1", end).renewable(), [Some(Ended::Renewable), None]),
        ("a time", Revocation::session("s1", end).at(before), [Some(Ended::ForGood), None]),
        (
            "a time, and its role",
            Revocation::session("s1", end).at(ahead).renewable(),
            [Some(Ended::Renewable); 2],
        ),
        ("a user", Revocation::user("ada", end), [Some(Ended::ForGood), None]),
        ("a user who never comes back", Revocation::user("ada", end).at(end), [Some(Ended::ForGood); 2]),
    ];
    for (name, revocation, ended) in rows {
        let known = Known::new();
        known.insert(&revocation);
        for (issued, ended) in [before, ahead].into_iter().zip(ended) {
            assert_eq!(known.of(&identity("ada", "s1", Some(issued))), ended, "{name}, {issued}");
        }
        // In a room whoever has a newer token may ask again.
        let known = Known::new();
        known.insert(&revocation.clone().in_room(room("a")));
        let told = ["a time", "a time, and its role", "a user who never comes back"].contains(&name);
        let newer = if told && ended[1].is_some() { Access::Forbidden } else { Access::Allowed };
        for (issued, access) in [(before, Access::Forbidden), (ahead, newer)] {
            let identity = identity("ada", "s1", Some(issued));
            assert_eq!(known.in_room(&identity, &room("a")), access, "{name}, {issued}");
        }
        // What a node wrote, another reads.
        let read: Revocation = serde_json::from_str(&serde_json::to_string(&revocation).unwrap()).unwrap();
        assert_eq!(read, revocation);
    }
}

/// Sent away for good, and then another role: neither takes anything of the other back.
#[tokio::test(start_paused = true)]
async fn who_was_sent_away_for_good_is_so_whatever_comes_later() {
    let at = Timestamp::now();
    let [first, second, third] = [0, 10, 20].map(|seconds| at + Duration::from_secs(seconds));
    let good = Revocation::user("ada", until(60)).at(first);
    let role = Revocation::user("ada", until(90)).at(second).renewable();
    for order in [[&good, &role], [&role, &good]] {
        let known = Known::new();
        assert!(order.into_iter().all(|revocation| known.insert(revocation)));
        for (issued, ended) in
            [(first, Some(Ended::ForGood)), (second, Some(Ended::Renewable)), (third, None)]
        {
            assert_eq!(known.of(&identity("ada", "s1", Some(issued))), ended, "{issued}");
        }
        assert_eq!(known.in_force().len(), 2);
    }
    // The session goes on, and its user does not.
    let known = Known::new();
    known.insert(&Revocation::session("s1", until(60)).renewable());
    known.insert(&good);
    assert_eq!(known.of(&identity("ada", "s1", Some(first))), Some(Ended::ForGood));
}

#[tokio::test(start_paused = true)]
async fn one_about_a_room_is_about_that_room() {
    let known = Known::new();
    let ada = identity("ada", "s1", None);
    assert_eq!(known.in_room(&ada, &room("a")), Access::Allowed);
    known.insert(&Revocation::user("ada", until(60)).in_room(room("a")));
    known.insert(&Revocation::session("s1", until(60)).in_room(room("b")));
    known.insert(&Revocation::room(room("c"), until(60)));
    for (user, session, forbidden) in
        [("ada", "s1", vec!["a", "b", "c"]), ("ada", "s2", vec!["a", "c"]), ("bob", "s1", vec!["b", "c"])]
    {
        let identity = identity(user, session, None);
        assert_eq!(known.of(&identity), None, "they are still let in");
        for name in ["a", "b", "c", "d"] {
            let expected = if forbidden.contains(&name) { Access::Forbidden } else { Access::Allowed };
            assert_eq!(known.in_room(&identity, &room(name)), expected, "{user} {session} {name}");
        }
    }
}

/// The same one comes from several sides, and in any order: it is news once, and none ends before its time.
#[tokio::test(start_paused = true)]
async fn a_repetition_is_no_news_and_takes_nothing_back() {
    let known = Known::new();
    let at = Timestamp::now();
    let later = at + Duration::from_secs(10);
    let first = Revocation::user("ada", until(100)).at(at);
    assert!(known.insert(&first));
    assert!(!known.insert(&first));
    // Later, and over sooner: what the first forbade for longer stays so.
    assert!(known.insert(&Revocation::user("ada", until(20)).at(later)));
    assert!(!known.insert(&first));
    tokio::time::advance(Duration::from_secs(50)).await;
    assert!(known.of(&identity("ada", "s1", Some(later))).is_some());
    assert_eq!(known.in_force().len(), 1);
    // One that is over already is about those who are there, and is not remembered.
    assert!(known.insert(&Revocation::user("bob", Timestamp::now())));
    assert_eq!(known.of(&identity("bob", "s1", None)), None);
}

/// The same one again, with a later end: it is news, and the first one's end ends nothing.
#[tokio::test(start_paused = true)]
async fn a_repetition_that_lasts_longer_is_in_force_for_longer() {
    let known = Known::new();
    let at = Timestamp::now();
    let (short, long) =
        (Revocation::user("ada", until(20)).at(at), Revocation::user("ada", until(100)).at(at));
    assert!(known.insert(&short));
    assert!(known.insert(&long));
    assert!(!known.insert(&short));
    tokio::time::advance(Duration::from_secs(50)).await;
    assert_eq!(known.of(&identity("ada", "s1", Some(at))), Some(Ended::ForGood));
    assert_eq!(known.in_force(), [long]);
}

/// Nothing that was revoked is good again because there are many.
#[tokio::test(start_paused = true)]
async fn too_many_of_them_end_every_older_token() {
    let known = Known::with_capacity(3);
    for number in 0..4 {
        let end = if number == 3 { 20 } else { 60 };
        known.insert(&Revocation::session(format!("s{number}"), until(end)));
    }
    assert_eq!(known.in_force().len(), 1);
    let after = Some(Timestamp::now() + Duration::from_secs(1));
    assert_eq!(known.of(&identity("ada", "s3", None)), Some(Ended::ForGood));
    assert_eq!(known.of(&identity("ada", "s0", None)), Some(Ended::Renewable));
    assert_eq!(known.in_room(&identity("ada", "s0", None), &room("a")), Access::Unavailable);
    assert_eq!(known.of(&identity("ada", "s0", after)), None);
    assert_eq!(known.in_room(&identity("ada", "s0", after), &room("a")), Access::Allowed);
    // Another round keeps the floor for as long as the first needed it.
    for number in 10..13 {
        known.insert(&Revocation::session(format!("s{number}"), until(10)));
    }
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(known.of(&identity("ada", "s0", None)), Some(Ended::Renewable));
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(known.of(&identity("ada", "s0", None)), None);
    // Those that are over make place.
    for number in 20..23 {
        known.insert(&Revocation::session(format!("s{number}"), until(60)));
    }
    assert_eq!(known.of(&identity("ada", "s0", None)), None);
}

/// Those that are over make place at once, and those that are not stay as they are.
#[tokio::test(start_paused = true)]
async fn what_is_over_is_no_reason_to_end_anything() {
    let known = Known::with_capacity(3);
    known.insert(&Revocation::room(room("a"), until(600)));
    for number in 0..2 {
        known.insert(&Revocation::session(format!("s{number}"), until(10)));
    }
    tokio::time::advance(Duration::from_secs(11)).await;
    known.insert(&Revocation::session("s2", until(600)));
    assert_eq!(known.of(&identity("ada", "s0", None)), None, "nothing stands for all the others");
    assert_eq!(known.of(&identity("ada", "s2", None)), Some(Ended::ForGood));
    assert_eq!(known.in_room(&identity("ada", "s0", None), &room("a")), Access::Forbidden);
    assert_eq!(known.in_force().len(), 2);
}
