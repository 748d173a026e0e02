//! Who may depend on whom.

use serde_json::Value;

/// The one library that may know another, and only behind a feature.
const BRIDGE: (&str, &str) = ("tramline-ws-rooms", "tramline-event-hub");

/// Libraries that depend on each other.
pub(super) fn findings(metadata: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        if !is_library(name) {
            continue;
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = dependency["name"].as_str().unwrap_or_default();
            // `kind` is null for a normal dependency; tests may use what they like.
            let counts = dependency["kind"].as_str() != Some("dev");
            let optional = dependency["optional"].as_bool() == Some(true);
            if counts && is_library(on) && !((name, on) == BRIDGE && optional) {
                findings.push(format!("{name}: a library depends on the library {on}"));
            }
            if counts && on == "devkit" {
                findings.push(format!("{name}: devkit is for tests"));
            }
        }
    }
    findings
}

fn is_library(name: &str) -> bool {
    name.starts_with("tramline-")
}
