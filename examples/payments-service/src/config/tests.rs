//! Tests of the service's variables.

use super::*;

fn vars(patch: &[(&str, &str)]) -> Vars {
    let mut map = std::collections::BTreeMap::from([
        ("PAYMENTS_DATABASE_URL", "postgres://127.0.0.1/payments"),
        ("PSP_WEBHOOK_SECRET", "0123456789abcdef"),
    ]);
    for (name, value) in patch {
        if value.is_empty() {
            map.remove(name);
        } else {
            map.insert(name, value);
        }
    }
    Vars::new(map)
}

#[test]
fn a_missing_or_bad_variable_is_named() {
    assert!(Config::from_vars(&vars(&[])).is_ok());
    for (name, value) in [
        ("PAYMENTS_DATABASE_URL", ""),
        ("PAYMENTS_DATABASE_URL", "mysql://x"),
        ("PSP_WEBHOOK_SECRET", ""),
        ("PSP_WEBHOOK_SECRET", "short"),
        ("PSP_WEBHOOK_URL", "https://127.0.0.1/"),
        ("PSP_WEBHOOK_URL", "nonsense"),
    ] {
        let error = Config::from_vars(&vars(&[(name, value)])).unwrap_err();
        assert_eq!(error.variable(), name, "{value:?}");
    }
}

#[test]
fn no_secret_is_shown() {
    let config = Config::from_vars(&vars(&[("PAYMENTS_DATABASE_URL", "postgres://u:hidden@h/p")])).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("hidden") && !shown.contains("0123456789abcdef"), "{shown}");
}
