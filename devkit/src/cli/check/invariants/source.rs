//! What may stand in a source file.

use std::path::Path;

/// Longer than a reader holds in mind; the aim is half of it.
const MOST_LINES: usize = 500;

/// Which crates are drivers, and how their names begin in code.
const DRIVERS: [&str; 3] = ["lapin::", "redis::", "sqlx::"];

/// Modules that may name them: one an engine, and `sql` for what both databases share.
const DRIVER_MODULES: [&str; 5] = ["amqp", "redis", "postgres", "sqlite", "sql"];

/// Parts of a path that make it a test. The last ones only count outside the folder `examples`.
const TEST_PARTS: [&str; 4] = ["tests", "benches", "examples", "conformance"];

/// Whose file it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Library,
    Example,
    Tool,
}

/// One file, by lines.
pub(super) struct SourceFile<'a> {
    path: &'a Path,
    text: &'a str,
    place: Place,
}

/// A text that no line may hold, and why.
struct Banned {
    text: &'static str,
    why: &'static str,
}

/// Everywhere. The texts are cut in two so that this file does not hold them.
const BANNED: [Banned; 6] = [
    Banned { text: concat!("#[", "ignore"), why: "a test that does not run: mend it or remove it" },
    Banned { text: concat!("todo", "!("), why: "not finished" },
    Banned { text: concat!("unimplemented", "!("), why: "not finished" },
    Banned { text: concat!("unbounded_", "channel"), why: "every queue has a bound" },
    Banned { text: concat!("mpsc::", "unbounded"), why: "every queue has a bound" },
    Banned { text: concat!("channel::", "unbounded"), why: "every queue has a bound" },
];

// === impl SourceFile ===

impl<'a> SourceFile<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str, place: Place) -> Self {
        Self { path, text, place }
    }

    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let path = self.path.display();
        if self.path.file_name().is_some_and(|name| name == "mod.rs") {
            findings.push(format!("{path}: `foo.rs` beside `foo/` instead"));
        }
        let lines = self.text.lines().count();
        if lines > MOST_LINES && !self.is_test() {
            findings.push(format!("{path}: {lines} lines, {MOST_LINES} are the most: split it"));
        }
        for (number, line) in (1..).zip(self.text.lines()) {
            let code = without_comment(line);
            let banned = BANNED.iter().filter(|banned| code.contains(banned.text)).map(|banned| banned.why);
            for why in banned.chain(self.reads_environment(code)).chain(self.names_driver(code)) {
                findings.push(format!("{path}:{number}: {why}: {}", line.trim()));
            }
        }
        findings
    }

    /// Only examples read the environment; devkit is what sets it.
    fn reads_environment(&self, code: &str) -> Option<&'static str> {
        let reads = code.contains("std::env") || code.contains("env::var");
        (self.place == Place::Library && reads && !self.is_test())
            .then_some("a library takes its configuration as values")
    }

    fn names_driver(&self, code: &str) -> Option<&'static str> {
        let names = DRIVERS.iter().any(|driver| names_crate(code, driver));
        (self.place == Place::Library && names && !self.is_test() && !self.in_driver_module())
            .then_some("only driver modules name a driver")
    }

    /// Tests, benches, examples of a library and conformance suites.
    fn is_test(&self) -> bool {
        let inside = if self.place == Place::Example { &TEST_PARTS[..2] } else { &TEST_PARTS[..] };
        self.path
            .iter()
            .filter_map(|part| part.to_str())
            .any(|part| inside.contains(&part.trim_end_matches(".rs")))
    }

    fn in_driver_module(&self) -> bool {
        self.path
            .iter()
            .filter_map(|part| part.to_str())
            .any(|part| DRIVER_MODULES.contains(&part.trim_end_matches(".rs")))
    }
}

/// Whether a path begins with this crate: `redis::Client`, not `crate::redis::Client` and not
/// `my_redis::Client`.
fn names_crate(code: &str, driver: &str) -> bool {
    code.match_indices(driver).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

fn without_comment(line: &str) -> &str {
    let trimmed = line.trim_start();
    if trimmed.starts_with("//") { "" } else { line.split(" // ").next().unwrap_or(line) }
}
