//! Tests of the vocabularies.

use super::*;

#[test]
fn a_word_survives_the_wire() {
    for role in Role::ALL {
        let json = serde_json::to_string(role).unwrap();
        assert_eq!(json, format!("\"{role}\""));
        assert_eq!(serde_json::from_str::<Role>(&json).unwrap(), *role);
        assert_eq!(role.as_str().parse::<Role>().unwrap(), *role);
    }
    assert!("admin".parse::<Role>().is_err());
}

#[test]
fn the_state_machine_is_the_contracts() {
    let allowed: Vec<_> = PaymentStatus::ALL
        .iter()
        .flat_map(|from| PaymentStatus::ALL.iter().map(move |to| (*from, *to)))
        .filter(|(from, to)| from.may_become(*to))
        .map(|(from, to)| format!("{from}>{to}"))
        .collect();
    assert_eq!(
        allowed,
        ["pending>processing", "pending>cancelled", "processing>completed", "processing>failed"]
    );
}
