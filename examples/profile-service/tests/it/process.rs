//! The binary and its configuration.

use std::net::TcpListener;
use std::process::{Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_profile-service");

#[test]
fn a_wrong_configuration_is_one_line_and_64_before_any_port_opens() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("profile.db");
    // Whoever opened the port first would end otherwise: it is taken.
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let url = format!("sqlite:{}", file.display());
    let good = [
        ("RABBITMQ_URL", "amqp://127.0.0.1:1/%2f"),
        ("PROFILE_DATABASE_URL", &url),
        ("JWKS_URL", "http://127.0.0.1:1/.well-known/jwks.json"),
        ("ADMIN_ADDR", "127.0.0.1:0"),
        ("PORT", &port),
    ];
    let run = |args: &[&str], name: &str, value: &str| {
        let mut command = Command::new(BINARY);
        command.args(args).env_clear().envs(good).env(name, value);
        command.stdin(Stdio::null()).output().unwrap()
    };
    for (name, value) in [
        ("RABBITMQ_URL", ""),
        ("PROFILE_DATABASE_URL", ""),
        ("PROFILE_DATABASE_URL", "mysql://hunter2@127.0.0.1/x"),
        ("JWKS_URL", ""),
        ("JWKS_URL", "file:///hunter2"),
        ("REDIS_URL", "http://hunter2@127.0.0.1"),
        ("PORT", "0x"),
    ] {
        let output = run(&[], name, value);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{name}={value}: {told}");
        assert_eq!(told.lines().count(), 1, "{name}={value}: {told}");
        assert!(told.contains(name) && !told.contains("hunter2"), "{name}={value}: {told}");
    }
    assert_eq!(run(&["--check-config"], "LOG_FORMAT", "json").status.code(), Some(0));
    assert!(!file.exists(), "nothing was opened");
}
