//! Tests of [`Amount`].

use super::*;

#[test]
fn a_decimal_string_survives_the_round_trip() {
    for (text, digits, minor, shown) in [
        ("12.5", 2, 1_250, "12.50"),
        ("0.01", 2, 1, "0.01"),
        ("10000000", 2, 1_000_000_000, "10000000.00"),
        ("7", 0, 7, "7"),
        ("0.001", 3, 1, "0.001"),
        ("007.10", 2, 710, "7.10"),
    ] {
        let amount = Amount::parse(text, digits).unwrap();
        assert_eq!(amount.minor, minor, "{text}");
        assert_eq!(amount.to_string(), shown);
    }
}

#[test]
fn what_is_no_amount_is_refused_and_never_rounded() {
    for (text, digits, why) in [
        ("", 2, InvalidAmount::NotDecimal),
        (".5", 2, InvalidAmount::NotDecimal),
        ("5.", 2, InvalidAmount::NotDecimal),
        ("-1", 2, InvalidAmount::NotDecimal),
        ("1e3", 2, InvalidAmount::NotDecimal),
        ("1,5", 2, InvalidAmount::NotDecimal),
        (" 1", 2, InvalidAmount::NotDecimal),
        ("1.2.3", 2, InvalidAmount::NotDecimal),
        ("1.005", 2, InvalidAmount::TooManyDigits),
        ("1.0", 0, InvalidAmount::TooManyDigits),
        ("0.00", 2, InvalidAmount::OutOfRange),
        ("10000000.01", 2, InvalidAmount::OutOfRange),
        ("99999999999999999999999", 2, InvalidAmount::OutOfRange),
    ] {
        assert_eq!(Amount::parse(text, digits), Err(why), "{text}");
    }
}
