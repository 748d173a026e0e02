//! Tests of the JSON form.

use proptest::prelude::*;

use super::*;

fn value() -> impl Strategy<Value = HeaderValue> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(HeaderValue::Number),
        any::<String>().prop_map(HeaderValue::Text),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(HeaderValue::Raw),
        any::<bool>().prop_map(HeaderValue::Flag),
        // Of the numbers that are none there are many, and no two are equal.
        prop::num::f64::ANY.prop_filter("NaN", |n| !n.is_nan()).prop_map(HeaderValue::Float),
        any::<(u8, u32)>().prop_map(|(scale, value)| HeaderValue::Decimal { scale, value }),
        any::<u64>().prop_map(HeaderValue::Time),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(HeaderValue::Bytes),
        Just(HeaderValue::Void),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name =
            prop_oneof!["[a-z]{1,4}", Just("$time".to_owned()), Just("$table".to_owned()), any::<String>()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(HeaderValue::List),
            prop::collection::btree_map(name, inner, 0..4).prop_map(HeaderValue::Table),
        ]
    })
}

proptest! {
    /// Whatever came with a message comes back out of its JSON, also through text.
    #[test]
    fn every_value_survives(value in value()) {
        let text = value.to_json().to_string();
        let read = HeaderValue::from_json(&serde_json::from_str(&text).unwrap());
        prop_assert_eq!(read, Some(value));
    }
}

#[test]
fn what_someone_else_wrote_is_refused() {
    for text in [r#"{"$time":"x"}"#, r#"{"$new":1}"#, r#"{"$text":"0g"}"#, "1.5", r#"{"$decimal":[1]}"#] {
        assert_eq!(HeaderValue::from_json(&serde_json::from_str(text).unwrap()), None, "{text}");
    }
}
