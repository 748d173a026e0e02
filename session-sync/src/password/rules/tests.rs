//! Tests of the rules.

use super::*;

#[test]
fn each_rule_has_its_fault() {
    let email = "someone@example.com";
    let cases = [
        ("short", Err(PasswordFault::TooShort)),
        ("elevenchars", Err(PasswordFault::TooShort)),
        ("Someone@Example.com", Err(PasswordFault::Email)),
        ("password1234", Err(PasswordFault::Common)),
        ("Password1235 x", Ok(())),
        ("TestPassword123!", Ok(())),
        ("ünïcödé-pässwörd", Ok(())),
    ];
    for (password, expected) in cases {
        assert_eq!(check_rules(password, email), expected, "{password}");
    }
    assert_eq!(check_rules(&"é".repeat(255), email), Ok(()));
    assert_eq!(check_rules(&"é".repeat(256), email), Err(PasswordFault::TooLong));
    // Characters count, not bytes.
    assert_eq!(check_rules(&"é".repeat(11), email), Err(PasswordFault::TooShort));
}

#[test]
fn the_list_holds_only_what_the_length_lets_through() {
    assert!(COMMON.len() > 150);
    assert!(COMMON.iter().all(|entry| entry.chars().count() >= 12));
}
