//! Tests of the gateway's variables.

use std::collections::BTreeMap;

use super::*;

fn vars(patch: &[(&'static str, &'static str)]) -> Vars {
    let mut map = BTreeMap::from([
        ("AUTH_SERVICE_URL", "http://127.0.0.1:3001"),
        ("PAYMENTS_SERVICE_URL", "http://127.0.0.1:3002, http://127.0.0.1:4002"),
        ("ADMIN_SERVICE_URL", "http://127.0.0.1:3003"),
        ("PROFILE_SERVICE_URL", "http://127.0.0.1:3004"),
    ]);
    map.extend(patch.iter().copied());
    Vars::new(map)
}

#[test]
fn the_defaults_are_the_contracts() {
    let limits = Config::from_vars(&vars(&[])).unwrap().rate_limits;
    assert_eq!(limits.api.map(|quota| quota.limit()), Some(100));
    assert_eq!(limits.auth.map(|quota| quota.limit()), Some(10));
    assert_eq!(limits.statics.map(|quota| quota.limit()), Some(1_000));
    let off = Config::from_vars(&vars(&[("RATE_LIMIT_API", "off")])).unwrap();
    assert!(off.rate_limits.api.is_none());
}

#[test]
fn a_bad_variable_is_named() {
    for (name, value) in [
        ("AUTH_SERVICE_URL", "ftp://x"),
        ("RATE_LIMIT_API", "many"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://example.com/path"),
    ] {
        let error = Config::from_vars(&vars(&[(name, value)])).unwrap_err();
        assert_eq!(error.variable(), name, "{value}");
    }
}

#[test]
fn a_table_of_ones_own_is_a_file() {
    assert_eq!(Config::from_vars(&vars(&[])).unwrap().routes_file, None);
    let config = Config::from_vars(&vars(&[("ROUTES_FILE", "/etc/gateway/routes.toml")])).unwrap();
    assert_eq!(config.routes_file.unwrap().to_str(), Some("/etc/gateway/routes.toml"));
}
