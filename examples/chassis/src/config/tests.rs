//! Tests of the configuration.

use super::*;

fn vars(extra: &[(&str, &str)]) -> Vars {
    let base = [
        ("RABBITMQ_URL", "amqp://u:hunter2@rabbit:5672/%2f"),
        ("JWKS_URL", "http://127.0.0.1:3001/.well-known/jwks.json"),
    ];
    Vars::new(base.iter().chain(extra).copied())
}

#[test]
fn a_service_reads_its_defaults() {
    let common = Common::from_vars(&vars(&[]), &Process::payments()).unwrap();
    assert_eq!(common.http_addr.port(), 3002);
    assert_eq!(common.admin_addr, "127.0.0.1:3102".parse().unwrap());
    assert!(common.trusted_proxies.contains("127.0.0.1".parse().unwrap()));
    assert!(common.redis_url.is_none());
    assert_eq!(common.instance_id.len(), 12);
}

#[test]
fn a_bad_or_missing_variable_is_named_and_its_value_is_not_repeated() {
    let cases: &[(&str, &str)] = &[
        ("PORT", "seventy"),
        ("PORT", "65500"),
        ("PORT", "-1"),
        ("RABBITMQ_URL", "redis://s3cret@x"),
        ("RABBITMQ_URL", "s3cret"),
        ("RABBITMQ_URL", "  "),
        ("REDIS_URL", "http://s3cret"),
        ("JWKS_URL", "ftp://s3cret"),
        ("JWKS_URL", ""),
        ("TRUSTED_PROXIES", "10.0.0.0/8,s3cret"),
        ("INSTANCE_ID", "a b"),
        ("LOG_FORMAT", "xml"),
        ("ADMIN_ADDR", "s3cret"),
        ("DRAIN_TIMEOUT", "10h"),
        ("DRAIN_TIMEOUT", "s3cret"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "s3cret"),
    ];
    for (name, value) in cases {
        let error = Common::from_vars(&vars(&[(name, value)]), &Process::payments()).unwrap_err();
        let line = error.to_string();
        assert!(line.starts_with(&format!("{name}: ")), "{name}={value}: {line}");
        assert!(!line.contains("s3cret") && !line.contains('\n'), "{name}={value}: {line}");
    }
}

#[test]
fn auth_needs_no_key_url() {
    let vars = Vars::new([("RABBITMQ_URL", "amqps://rabbit")]);
    assert!(Common::from_vars(&vars, &Process::auth()).is_ok());
}

#[test]
fn debug_shows_no_secret() {
    let vars = vars(&[("SENTRY_DSN", "hunter2"), ("REDIS_URL", "redis://:hunter2@r?pw=hunter2")]);
    let shown = format!("{vars:?} {:?}", Common::from_vars(&vars, &Process::admin()).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn durations() {
    let vars = Vars::new([("A", "500ms"), ("B", "3"), ("C", "2m"), ("D", "1s")]);
    let read = |name| vars.duration_or(name, std::time::Duration::ZERO).unwrap().as_millis();
    assert_eq!(["A", "B", "C", "D", "E"].map(read), [500, 3000, 120_000, 1000, 0]);
}
