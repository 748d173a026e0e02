//! Tests of versions.

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::handler::chain;

#[derive(Debug, Deserialize, Serialize, PartialEq)]
struct First {
    name: String,
}

#[derive(Debug, Deserialize, Serialize, PartialEq)]
struct Second {
    names: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize, PartialEq)]
struct Third {
    names: Vec<String>,
    count: usize,
}

impl Versioned for Third {
    const TYPE: &'static str = "a.thing.made";
    const VERSION: u32 = 3;

    fn upcasts(upcasts: Upcasts) -> Upcasts {
        upcasts.step(Self::TYPE, 1, |v1: First| Second { names: vec![v1.name] }).try_step(
            Self::TYPE,
            2,
            |v2: Second| match v2.names.len() {
                0 => Err("nobody"),
                count => Ok(Self { names: v2.names, count }),
            },
        )
    }
}

fn event(version: u32, data: &Value) -> Event {
    Event::new(Third::TYPE, "svc", data).unwrap().with_version(version)
}

fn known() -> Upcasts {
    Upcasts::new().with::<Third>()
}

#[test]
fn every_older_version_reaches_the_newest() {
    known().check().unwrap();
    let expected = Third { names: vec!["x".to_owned()], count: 1 };
    for (version, data) in
        [(1, json!({"name": "x"})), (2, json!({"names": ["x"]})), (3, json!({"names": ["x"], "count": 1}))]
    {
        let old = event(version, &data);
        assert_eq!(old.data_as::<Third>(&known()).unwrap(), expected);
        let new = known().upcast(old.clone()).unwrap();
        assert_eq!((new.data_version, &new.id), (3, &old.id));
        assert_eq!(new.data::<Third>().unwrap(), expected);
        assert_eq!(known().upcast(new.clone()).unwrap().to_json(), new.to_json(), "twice is once");
    }
    let made = Event::of("svc", &expected).unwrap();
    assert_eq!((made.event_type.as_str(), made.data_version), (Third::TYPE, 3));
}

#[test]
fn what_is_not_registered_passes() {
    let other = Event::new("b.c", "svc", &json!({"any": 1})).unwrap().with_version(77);
    assert_eq!(known().upcast(other.clone()).unwrap().to_json(), other.to_json());
    assert_eq!(other.data_as::<Value>(&known()).unwrap(), json!({"any": 1}));
    let raw = Event::new("b.c", "svc", &Value::Null).unwrap();
    assert_eq!(Upcasts::new().upcast(raw).unwrap().data_version, 1);
}

#[test]
fn an_unknown_version_says_which_and_what_is_known() {
    for version in [0, 4, u32::MAX] {
        let error = known().upcast(event(version, &json!({}))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownVersion);
        assert!(!error.is_retryable());
        let expected = format!("unknown version: a.thing.made of version {version}, known are 1 to 3");
        assert_eq!(error.to_string(), expected);
    }
    // One that has left the first version behind.
    let late = Upcasts::new().step("t", 2, |v: Value| v);
    late.check().unwrap();
    let old = Event::new("t", "svc", &1).unwrap();
    assert!(late.upcast(old).unwrap_err().to_string().contains("t of version 1, known are 2 to 3"));
}

#[test]
fn a_failing_step_is_named_with_its_cause() {
    for (version, data, words) in [
        (2, json!({"names": []}), "the step from version 2 to 3: nobody"),
        (1, json!({"nome": "x"}), "the step from version 1 to 2: missing field `name`"),
    ] {
        let error = known().upcast(event(version, &data)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidEvent);
        let text = chain(&error);
        assert!(text.contains("a.thing.made") && text.contains(words), "{text}");
    }
    let panics = Upcasts::new().step("t", 1, |_: Value| -> Value { panic!("on purpose") });
    let error = panics.upcast(Event::new("t", "svc", &1).unwrap()).unwrap_err();
    assert!(chain(&error).contains("t: the step from version 1 to 2: it panicked"), "{}", chain(&error));
}

#[test]
fn a_broken_chain_is_found_at_the_start() {
    let pass = |v: Value| v;
    let up = Upcasts::new;
    for (upcasts, words) in [
        (up().step("t", 1, pass).step("t", 3, pass), "t has no step from version 2"),
        (up().step("t", 1, pass).step("t", 1, pass), "t has two steps from version 1"),
        (up().step("t", 0, pass), "t has a version 0"),
        (up().step("t", 1, pass).current("t", 3), "t has no step from version 2"),
        (
            up().step("t", 1, pass).step("t", 2, pass).current("t", 2),
            "t has a step from version 2, and 2 is the newest",
        ),
        (up().current("t", 1).current("t", 2), "t has two newest versions, 1 and 2"),
        (up().step("t", 1, pass).current("t", u32::MAX), "t has no step from version 2"),
        (up().step("t", u32::MAX, pass), "and 4294967295 is the newest"),
    ] {
        let error = upcasts.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(words), "{error}");
    }
    up().current("t", 5).check().unwrap();
    up().step("t", 4, pass).step("t", 5, pass).current("t", 6).check().unwrap();
}

#[test]
fn a_clone_is_not_changed_by_what_is_added_later() {
    let one = Upcasts::new().step("t", 1, |v: Value| v);
    let two = one.clone().step("t", 2, |v: Value| v);
    assert_eq!(format!("{one:?} {two:?}"), r#"Upcasts({"t": "1..=2"}) Upcasts({"t": "1..=3"})"#);
}
