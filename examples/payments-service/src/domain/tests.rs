//! Tests of what a payment is.

use super::*;

fn payment() -> Payment {
    Payment {
        id: Uuid::nil(),
        version: 1,
        sender_id: Uuid::from_u128(1),
        recipient_id: Uuid::from_u128(2),
        amount: Amount::parse("1.00", 2).unwrap(),
        currency: "EUR".to_owned(),
        payment_type: PaymentType::Instant,
        status: PaymentStatus::Pending,
        description: String::new(),
        metadata: None,
        failure_reason: None,
        psp_reference: None,
        completed_at: None,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

fn completed(reference: &str) -> Change {
    Change::Completed { psp_reference: reference.to_owned() }
}

#[test]
fn a_payment_goes_its_way_once() {
    let now = Timestamp::from_second(5).unwrap();
    let mut payment = payment();
    assert_eq!(payment.apply(&Change::TakenUp, now), Ok(true));
    assert_eq!(payment.apply(&completed("ref"), now), Ok(true));
    assert_eq!((payment.version, payment.completed_at), (3, Some(now)));
    assert_eq!(payment.apply(&completed("ref"), now), Ok(false), "the same webhook again has no effect");
    assert_eq!(payment.version, 3);
}

/// The provider says completed, then failed; or completed under another reference: neither is a
/// repeat, and nothing leaves an end state.
#[test]
fn nothing_leaves_an_end_state() {
    let now = Timestamp::UNIX_EPOCH;
    let mut payment = payment();
    payment.apply(&Change::TakenUp, now).unwrap();
    payment.apply(&completed("ref"), now).unwrap();
    let failed = Change::Failed { psp_reference: "ref".to_owned(), reason: None };
    for change in [failed, completed("other"), Change::Cancelled, Change::TakenUp] {
        let from = PaymentStatus::Completed;
        assert_eq!(payment.apply(&change, now), Err(InvalidTransition { from, to: change.status() }));
    }
}

#[test]
fn currencies_have_their_own_digits() {
    assert_eq!(digits("EUR"), Some(2));
    assert_eq!(digits("JPY"), Some(0));
    assert_eq!(digits("KWD"), Some(3));
    assert_eq!(digits("eur"), None);
    assert_eq!(digits("ABC"), None);
    let yen = Amount::parse("5", 0).unwrap();
    let euros = Amount::parse("5.00", 2).unwrap();
    assert_eq!(scaled(yen), scaled(euros));
}
