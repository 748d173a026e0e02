use super::Report;
use crate::cli::fuzz::Fuzzed;
use crate::cli::test::watched::Ended;

fn read(lines: &str) -> Report {
    let mut report = Report::default();
    lines.lines().for_each(|line| report.line(line));
    report
}

#[test]
fn results_of_all_programs_add_up() {
    let report = read(
        "     Running unittests src/lib.rs (target/debug/deps/devkit-0a1b)
test a ... ok
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s
   Doc-tests devkit
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.25s",
    );
    assert_eq!(report.closing(), "5 passed, 0 failed, 1 skipped");
    assert!(report.good());
}

#[test]
fn a_failure_is_named_with_its_program() {
    let mut report = read(
        "     Running tests/it/main.rs (target/debug/deps/it-0a1b)
test servers::one ... FAILED
test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
    );
    report.ended(&Ended::Badly("exit status: 101".to_owned()));
    assert_eq!(report.failures(), ["servers::one  in it (tests/it/main.rs)"]);
    assert_eq!(report.closing(), "3 passed, 1 failed, 0 skipped");
    assert!(!report.good());
}

#[test]
fn a_crash_counts_though_it_prints_no_result() {
    let mut report = read(
        "     Running tests/it/main.rs (target/debug/deps/it-0a1b)
Caused by:
  process didn't exit successfully: `target/debug/deps/it-0a1b` (signal: 6, SIGABRT: process abort signal)",
    );
    report.ended(&Ended::Badly("exit status: 101".to_owned()));
    assert_eq!(report.closing(), "0 passed, 1 failed, 0 skipped");
}

#[test]
fn a_bad_end_without_a_failure_is_one() {
    let mut report =
        read("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s");
    report.ended(&Ended::Badly("exit status: 101".to_owned()));
    assert!(!report.good());
    assert_eq!(report.closing(), "3 passed, 1 failed, 0 skipped");
}

#[test]
fn an_engine_test_without_its_engine_fails_the_run() {
    let mut report = read(
        "SKIPPED (no Redis): install it, or run `cargo dev test`
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
    );
    report.ended(&Ended::Well);
    assert!(!report.good());
    assert_eq!(report.closing(), "3 passed, 0 failed, 1 skipped");
}

#[test]
fn a_run_without_tests_is_not_good() {
    assert!(!Report::default().good());
}

#[test]
fn browser_runners_are_read() {
    let mut report = Report::default();
    for line in ["ℹ tests 4", "ℹ pass 3", "ℹ fail 0", "ℹ skipped 1"] {
        report.npm_line(line);
    }
    assert!(report.npm_ended("a/web", &Ended::Well));
    report.npm_line("      Tests  1 failed | 2 passed (3)");
    assert!(!report.npm_ended("b/web", &Ended::Badly("exit status: 1".to_owned())));
    assert_eq!(report.closing(), "5 passed, 1 failed, 1 skipped");
    assert_eq!(report.failures(), ["b/web: exit status: 1"]);
}

#[test]
fn a_fuzz_target_is_a_test() {
    let mut report = Report::default();
    report.fuzzed(Fuzzed { name: "fuzz::a".to_owned(), failure: None });
    assert!(report.good());
    report.fuzzed(Fuzzed { name: "fuzz::b".to_owned(), failure: Some("it panicked".to_owned()) });
    assert!(!report.good());
    assert_eq!(report.closing(), "1 passed, 1 failed, 0 skipped");
    assert_eq!(report.failures(), ["fuzz::b: it panicked"]);
}
