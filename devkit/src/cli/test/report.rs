//! Counts what test runners print.

use crate::cli::fuzz::Fuzzed;
use crate::cli::test::watched::Ended;

/// What ran, failed and was skipped.
#[derive(Debug, Default)]
pub(super) struct Report {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// Engine tests that ran without their engine: failures here.
    without_engine: u64,
    failures: Vec<String>,
    /// The test program that is running.
    current: String,
    npm: Npm,
}

/// One browser package's numbers; a runner may print them more than once.
#[derive(Debug, Default)]
struct Npm {
    passed: u64,
    failed: u64,
    skipped: u64,
}

// === impl Report ===

impl Report {
    /// Nothing ran but one thing, which failed.
    pub(super) fn failed(what: &str) -> Self {
        Self { failed: 1, failures: vec![what.to_owned()], ..Self::default() }
    }

    /// Reads one line of `cargo test`.
    pub(super) fn line(&mut self, line: &str) {
        let text = line.trim_start();
        if let Some(rest) = text.strip_prefix("Running ") {
            // `Running tests/it/main.rs (target/debug/deps/it-0123456789abcdef)`
            let program = rest.rsplit(['/', '(']).next().unwrap_or(rest);
            let source = rest.split(" (").next().unwrap_or(rest);
            let program = program.trim_end_matches(')');
            let program = program.rsplit_once('-').map_or(program, |(name, _)| name);
            self.current = format!("{program} ({source})");
        } else if let Some(name) = text.strip_prefix("Doc-tests ") {
            self.current = format!("{name} (docs)");
        } else if let Some(rest) = line.strip_prefix("test result: ") {
            self.result(rest);
        } else if let Some(rest) = line.strip_prefix("test ") {
            if let Some(name) = rest.strip_suffix(" ... FAILED") {
                self.failures.push(format!("{name}  in {}", self.current));
            }
        } else if text.starts_with("SKIPPED (no ") {
            self.without_engine += 1;
            self.failures.push(format!("{text}  in {}", self.current));
        } else if text.starts_with("process didn't exit successfully") && text.contains("(signal: ") {
            // It printed no result: whatever it was to run is one failure.
            self.failed += 1;
            self.failures.push(format!("crashed: {}", self.current));
        }
    }

    /// `ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s`
    fn result(&mut self, rest: &str) {
        for part in rest.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) =
                (words.next().and_then(|word| word.parse::<u64>().ok()), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.skipped += count,
                _ => {}
            }
        }
    }

    /// `cargo test` ended.
    pub(super) fn ended(&mut self, ended: &Ended) {
        if let Ended::Badly(how) = ended
            && self.failed == 0
        {
            self.failed += 1;
            self.failures.push(format!("cargo test: {how}, after {}", self.current));
        }
    }

    /// Reads one line of a browser package's runner: Node's own, or Vitest.
    pub(super) fn npm_line(&mut self, line: &str) {
        let text = line.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        let mut words = text.split_whitespace();
        match (words.next(), words.next().map(str::parse::<u64>)) {
            // `ℹ pass 3`, `# pass 3`
            (Some("pass"), Some(Ok(count))) => self.npm.passed = count,
            (Some("fail"), Some(Ok(count))) => self.npm.failed = count,
            (Some("skipped"), Some(Ok(count))) => self.npm.skipped = count,
            // `Tests  1 failed | 3 passed | 1 skipped (5)`
            (Some("Tests"), Some(Ok(_))) => self.vitest(text.trim_start_matches("Tests")),
            _ => {}
        }
    }

    fn vitest(&mut self, text: &str) {
        for part in text.split('|') {
            let mut words = part.split_whitespace();
            let Some(Ok(count)) = words.next().map(str::parse::<u64>) else { continue };
            match words.next() {
                Some("passed") => self.npm.passed = count,
                Some("failed") => self.npm.failed = count,
                Some("skipped" | "todo") => self.npm.skipped += count,
                _ => {}
            }
        }
    }

    /// One step of a browser package ended; whether the next may follow.
    pub(super) fn npm_ended(&mut self, package: &str, ended: &Ended) -> bool {
        let mut npm = std::mem::take(&mut self.npm);
        if let Ended::Badly(how) = ended {
            npm.failed = npm.failed.max(1);
            self.failures.push(format!("{package}: {how}"));
        }
        self.passed += npm.passed;
        self.failed += npm.failed;
        self.skipped += npm.skipped;
        npm.failed == 0
    }

    /// A fuzz target ended: it counts as one test.
    pub(super) fn fuzzed(&mut self, fuzzed: Fuzzed) {
        match fuzzed.failure {
            None => self.passed += 1,
            Some(why) => self.fail(&format!("{}: {why}", fuzzed.name)),
        }
    }

    /// Something failed that is no test of a test program.
    pub(super) fn fail(&mut self, what: &str) {
        self.failed += 1;
        self.failures.push(what.to_owned());
    }

    pub(super) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Whether all that should run ran, and passed.
    pub(super) fn good(&self) -> bool {
        self.failed == 0 && self.without_engine == 0 && self.passed > 0
    }

    /// The last line.
    pub(super) fn closing(&self) -> String {
        let skipped = self.skipped + self.without_engine;
        format!("{} passed, {} failed, {skipped} skipped", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests;
