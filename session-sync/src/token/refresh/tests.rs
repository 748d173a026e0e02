//! Tests of refresh tokens.

use super::*;

#[test]
fn a_token_survives_its_text() {
    let token = RefreshToken::draw();
    assert_eq!(RefreshToken::parse(&token.text()), Some(token));
}

#[test]
fn other_texts_are_no_tokens() {
    for text in ["", "x", &"!".repeat(43), &"A".repeat(44), &"é".repeat(21)] {
        assert_eq!(RefreshToken::parse(text), None, "{text}");
    }
}

#[test]
fn only_the_parent_and_its_session_open_the_successor() {
    let (parent, other, next) = (RefreshToken::draw(), RefreshToken::draw(), RefreshToken::draw());
    let sealed = parent.seal_successor("s1", &next).unwrap();
    assert_eq!(parent.open_successor("s1", &sealed).unwrap(), next);
    assert!(parent.open_successor("s2", &sealed).is_err());
    assert!(other.open_successor("s1", &sealed).is_err());
    assert!(parent.open_successor("s1", &sealed[..8]).is_err());
    let mut bent = sealed;
    bent[20] ^= 1;
    assert!(parent.open_successor("s1", &bent).is_err());
}
