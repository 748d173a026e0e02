//! What may stand in a source file.

use std::path::Path;

/// Longer than a reader holds in mind; the aim is half of it.
const MOST_LINES: usize = 500;

/// A crate that talks to an engine, and the modules that may name it.
struct Driver {
    name: &'static str,
    modules: &'static [&'static str],
}

/// One module an engine. Where SQL is the subject, `sqlx` is the interface that both databases and
/// the users' own transactions share.
const DRIVERS: [Driver; 3] = [
    Driver { name: "lapin", modules: &["amqp"] },
    Driver { name: "redis", modules: &["redis"] },
    Driver { name: "sqlx", modules: &["postgres", "sqlite", "sql", "outbox", "inbox", "journal", "store"] },
];

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

    /// Only programs read the environment; devkit is what sets it.
    fn reads_environment(&self, code: &str) -> Option<&'static str> {
        let reads = code.contains("std::env") || code.contains("env::var");
        let program = self.path.file_name().is_some_and(|name| name == "main.rs");
        (self.place == Place::Library && reads && !program && !self.is_test())
            .then_some("a library takes its configuration as values")
    }

    fn names_driver(&self, code: &str) -> Option<&'static str> {
        if self.place != Place::Library || self.is_test() {
            return None;
        }
        let out_of_place = |driver: &Driver| {
            names_crate(code, driver.name) && !self.has_part(driver.modules) && !self.declares(driver.name)
        };
        DRIVERS.iter().any(out_of_place).then_some("only driver modules name a driver")
    }

    /// Whether a module of this name is declared here, so that the name is not the crate's.
    fn declares(&self, name: &str) -> bool {
        let declaration = format!("mod {name};");
        self.text.lines().any(|line| line.trim_end().ends_with(&declaration))
    }

    /// Tests, benches, examples of a library and conformance suites.
    fn is_test(&self) -> bool {
        let inside = if self.place == Place::Example { &TEST_PARTS[..2] } else { &TEST_PARTS[..] };
        self.has_part(inside)
    }

    /// Whether a folder of the path, or the file without its ending, has one of these names.
    fn has_part(&self, names: &[&str]) -> bool {
        self.path
            .iter()
            .filter_map(|part| part.to_str())
            .any(|part| names.contains(&part.trim_end_matches(".rs")))
    }
}

/// Whether a path begins with this crate: `redis::Client`, not `crate::redis::Client` and not
/// `my_redis::Client`.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

fn without_comment(line: &str) -> &str {
    let trimmed = line.trim_start();
    if trimmed.starts_with("//") { "" } else { line.split(" // ").next().unwrap_or(line) }
}
