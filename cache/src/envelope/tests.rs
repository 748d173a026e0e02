//! Tests of the envelope.

use proptest::prelude::*;

use super::*;

fn marks(marks: Vec<(String, u64, u64)>) -> Vec<(MarkName, Mark)> {
    let mark = |(name, incarnation, number): (String, _, _)| {
        (MarkName::from_wire(&name), Mark { incarnation, number })
    };
    marks.into_iter().map(mark).collect()
}

fn envelope<'a>(marks: Marks<'a>, payload: &'a [u8]) -> Envelope<'a> {
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
        marks,
        payload,
    }
}

proptest! {
    #[test]
    fn it_comes_back_as_it_was(
        named in prop::collection::vec((".{0,20}", any::<u64>(), any::<u64>()), 0..17),
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let (named, mut written) = (marks(named), Vec::new());
        let envelope = envelope(Marks::write(&named, &mut written), &payload);
        let encoded = envelope.encode();
        let Held::Value(back) = Held::decode(&encoded) else { panic!("a value") };
        prop_assert_eq!(back, envelope);
        prop_assert!(back.marks.are(&named));
        prop_assert!(named.is_empty() || !back.marks.are(&named[1..]));
    }

    #[test]
    fn bytes_of_others_are_no_value_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), ours in any::<bool>()) {
        let mut bytes = bytes;
        if ours && let Some(first) = bytes.first_mut() {
            *first = b'V';
        }
        let _ = Held::decode(&bytes);
    }
}

#[test]
fn what_is_cut_short_is_unreadable() {
    let (one, mut written) = (marks(vec![("t:user:7".into(), 1, 2)]), Vec::new());
    let whole = envelope(Marks::write(&one, &mut written), &[]).encode();
    for len in 0..whole.len() {
        assert!(matches!(Held::decode(&whole[..len]), Held::Unreadable), "{len}");
    }
    assert!(matches!(Held::decode(b"L0123456789abcdef"), Held::Lease));
    assert!(matches!(Held::decode(b"W0123456789abcdef"), Held::Lease));
    assert!(matches!(Held::decode(b"L0123456789abcde"), Held::Unreadable));
}
