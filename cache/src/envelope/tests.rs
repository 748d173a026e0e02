//! Tests of the envelope.

use proptest::prelude::*;

use super::*;

fn envelope(marks: Vec<(String, u64, u64)>, payload: Vec<u8>) -> Envelope {
    Envelope {
        id: Token([7; 16]),
        born: 1_700_000_000_000,
        fresh: 60_000,
        stale: 5,
        load: 12,
        codec: 2,
        negative: payload.is_empty(),
        own: payload.len().is_multiple_of(2),
        compressed: payload.len() > 3,
        marks: marks
            .into_iter()
            .map(|(name, incarnation, number)| (MarkName::from_wire(&name), Mark { incarnation, number }))
            .collect(),
        payload: payload.into(),
    }
}

fn decoded(bytes: Vec<u8>) -> Held {
    Held::decode(bytes.into())
}

proptest! {
    #[test]
    fn it_comes_back_as_it_was(
        marks in prop::collection::vec((".{0,20}", any::<u64>(), any::<u64>()), 0..17),
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let envelope = envelope(marks, payload);
        let Held::Value(back) = decoded(envelope.encode()) else { panic!("a value") };
        prop_assert_eq!(*back, envelope);
    }

    #[test]
    fn bytes_of_others_are_no_value_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), ours in any::<bool>()) {
        let mut bytes = bytes;
        if ours && let Some(first) = bytes.first_mut() {
            *first = b'V';
        }
        let _ = decoded(bytes);
    }
}

#[test]
fn what_is_cut_short_is_unreadable() {
    let whole = envelope(vec![("t:user:7".into(), 1, 2)], Vec::new()).encode();
    for len in 0..whole.len() {
        assert!(matches!(decoded(whole[..len].to_vec()), Held::Unreadable), "{len}");
    }
    assert!(matches!(decoded(b"L0123456789abcdef".to_vec()), Held::Lease));
    assert!(matches!(decoded(b"W0123456789abcdef".to_vec()), Held::Lease));
    assert!(matches!(decoded(b"L0123456789abcde".to_vec()), Held::Unreadable));
}
