use std::path::Path;

use super::source::{Place, SourceFile};
use super::{dependencies, place, variables};

fn findings(path: &str, text: &str) -> Vec<String> {
    let path = Path::new(path);
    SourceFile::new(path, text, place(path)).findings()
}

#[test]
fn places_are_told_by_the_first_folder() {
    assert_eq!(place(Path::new("event-hub/src/lib.rs")), Place::Library);
    assert_eq!(place(Path::new("examples/gateway/src/lib.rs")), Place::Example);
    assert_eq!(place(Path::new("devkit/src/lib.rs")), Place::Tool);
}

#[test]
fn a_driver_is_named_in_driver_modules_only() {
    let code = "use redis::Client;";
    assert_eq!(findings("cache/src/cache.rs", code).len(), 1);
    assert!(findings("cache/src/tier/redis.rs", code).is_empty());
    assert!(findings("cache/src/redis/script.rs", code).is_empty());
    assert!(findings("cache/tests/it/main.rs", code).is_empty());
    assert!(findings("examples/gateway/src/deps.rs", code).is_empty());
    assert!(findings("cache/src/cache.rs", "use crate::tier::redis::Tier;").is_empty());
    assert!(findings("cache/src/cache.rs", "// redis::Client is hidden").is_empty());
    // A module of ours that bears the driver's name.
    assert!(findings("cache/src/tier.rs", "mod redis;\nstruct Shared(redis::Tier);").is_empty());
    // SQL is what an outbox is made of; Redis is not.
    assert!(findings("event-hub/src/outbox/relay.rs", "use sqlx::Error;").is_empty());
    assert_eq!(findings("event-hub/src/outbox/relay.rs", code).len(), 1);
}

#[test]
fn libraries_do_not_read_the_environment() {
    let code = "let home = std::env::var(\"HOME\");";
    assert_eq!(findings("cache/src/config.rs", code).len(), 1);
    assert!(findings("examples/gateway/src/config.rs", code).is_empty());
    assert!(findings("cache/tests/it/main.rs", code).is_empty());
    // A program in a library's package.
    assert!(findings("event-hub/src/cli/main.rs", code).is_empty());
    assert_eq!(findings("event-hub/src/cli/connect.rs", code).len(), 1);
}

#[test]
fn what_is_banned_is_found_with_its_line() {
    for text in [
        concat!("todo", "!()"),
        concat!("#[", "ignore]"),
        concat!("let (a, b) = tokio::sync::mpsc", "::unbounded", "_channel();"),
    ] {
        let found = findings("examples/gateway/src/lib.rs", &format!("\n{text}"));
        assert!(found[0].starts_with("examples/gateway/src/lib.rs:2: "), "{found:?}");
    }
}

#[test]
fn long_files_and_mod_rs_are_found() {
    assert_eq!(findings("devkit/src/foo/mod.rs", "").len(), 1);
    assert_eq!(findings("devkit/src/foo.rs", &"\n".repeat(501)).len(), 1);
    assert!(findings("devkit/src/foo/tests.rs", &"\n".repeat(501)).is_empty());
}

#[test]
fn libraries_do_not_know_each_other() {
    let dependency = |name: &str, on: &str, kind: Option<&str>, optional: bool| {
        serde_json::json!({ "packages": [{
            "name": name,
            "dependencies": [{ "name": on, "kind": kind, "optional": optional }],
        }]})
    };
    let found =
        |name, on, kind, optional| dependencies::findings(&dependency(name, on, kind, optional)).len();
    assert_eq!(found("tramline-cache", "tramline-event-hub", None, true), 1);
    assert_eq!(found("tramline-ws-rooms", "tramline-event-hub", None, false), 1);
    assert_eq!(found("tramline-ws-rooms", "tramline-event-hub", None, true), 0);
    assert_eq!(found("tramline-cache", "tramline-event-hub", Some("dev"), false), 0);
    assert_eq!(found("tramline-cache", "devkit", None, false), 1);
    assert_eq!(found("gateway", "tramline-cache", None, false), 0);
}

#[test]
fn a_variable_has_its_line_in_the_documentation() {
    let found = |path: &str| {
        let (path, code) = (Path::new(path), "vars.get(\"TOLD_URL\")?; vars.text(\"NOT_TOLD\"); \"FOLDER\"");
        variables::findings(path, code, place(path), "| `TOLD_URL` | must be there |")
    };
    assert_eq!(
        found("examples/gateway/src/config.rs"),
        ["examples/gateway/src/config.rs: NOT_TOLD is not in docs/configuration.md"]
    );
    assert_eq!(found("examples/chassis/src/config/common.rs").len(), 1);
    assert!(found("examples/gateway/src/config/tests.rs").is_empty());
    assert!(found("examples/gateway/src/http.rs").is_empty());
    assert!(found("streaming-proxy/src/config/proxy.rs").is_empty());
}
