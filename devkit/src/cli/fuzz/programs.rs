//! The targets' programs: built with coverage by the stable compiler, and run by libFuzzer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::process::Command;
use tokio::time::timeout;

use crate::cli::fuzz::Subject;
use crate::cli::test::watched::{self, Ended};
use crate::cli::workspace;
use crate::scratch::Scratch;

/// Where they are.
#[derive(Debug)]
pub(super) struct Programs {
    /// Cargo's folder of programs.
    programs: PathBuf,
    /// What is kept: logs, inputs that failed, and what was found.
    folder: PathBuf,
    /// Seeds and dictionaries.
    sources: PathBuf,
}

/// As `cargo fuzz --sanitizer none` has it: libFuzzer's coverage needs no nightly compiler, a sanitizer would. There is
/// no unsafe code of ours for it to look at.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The longest input: all that matters fits, and short ones are quick.
const MOST_BYTES: u32 = 4096;

/// What one input may take, in seconds and MiB. The slowest takes milliseconds and a few MiB.
const MOST_SECONDS: u32 = 20;
const MOST_MIB: u32 = 1024;

/// What starting, and reading what was found before, may take beside the time itself.
const START: Duration = Duration::from_secs(120);

// === impl Programs ===

impl Programs {
    /// Builds them below the target folder.
    pub(super) async fn build(subject: Subject) -> anyhow::Result<Self> {
        let folder = workspace::target_dir().await?.join("fuzz");
        let sources = sources(subject);
        let host = host(&sources).await?;
        // With a target, cargo leaves macros and build scripts alone, which have no use for coverage.
        let mut build = workspace::cargo(["build", "--release", "--quiet", "--bins"]);
        build.args(["--target", &host, "--target-dir"]).arg(&folder).current_dir(&sources);
        build.env("RUSTFLAGS", FLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
        ensure!(workspace::succeeds(&mut build).await?, "the fuzz targets do not build");
        Ok(Self { programs: folder.join(host).join("release"), folder, sources })
    }

    /// Runs one for so long. What it tells: numbers if all is well, or what is wrong.
    ///
    /// With `keep` it begins with what was found before, and what it finds is kept. An input that fails is always.
    ///
    /// # Cancel safety
    ///
    /// If dropped, it is killed.
    pub(super) async fn run(
        &self,
        target: &str,
        time: Duration,
        keep: bool,
    ) -> anyhow::Result<Result<String, String>> {
        let scratch = Scratch::new("fuzz", None)?;
        let found = if keep { self.folder.join("found").join(target) } else { scratch.path().to_owned() };
        let failed = self.folder.join("failed");
        for folder in [&found, &failed] {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let program = self.programs.join(target);
        let mut command = Command::new(&program);
        command
            .arg(format!("-max_total_time={}", time.as_secs()))
            .arg(format!("-max_len={MOST_BYTES}"))
            .arg(format!("-timeout={MOST_SECONDS}"))
            .arg(format!("-rss_limit_mb={MOST_MIB}"))
            .arg("-print_final_stats=1")
            .arg(format!(
                "-dict={}",
                self.sources.join("dictionaries").join(format!("{target}.dict")).display()
            ))
            .arg(format!("-artifact_prefix={}/{target}-", failed.display()))
            // What is new goes into the first.
            .args([&found, &self.sources.join("seeds").join(target)]);
        let mut text = String::new();
        let ended = timeout(
            time + START,
            watched::run(command, |line| {
                text.push_str(line);
                text.push('\n');
            }),
        );
        let ended = ended.await;
        let log = self.folder.join(format!("{target}.log"));
        std::fs::write(&log, &text).with_context(|| format!("cannot write {}", log.display()))?;
        let told = Told::read(&text);
        let Ok(ended) = ended else { return Ok(Err(format!("it does not end; see {}", log.display()))) };
        Ok(match ended? {
            Ended::Well if told.runs > 0 => Ok(format!("{} runs, {} places reached", told.runs, told.places)),
            Ended::Well | Ended::Badly(_) => Err(told.failure(&program, &log)),
        })
    }
}

/// What libFuzzer tells, and the target when it fails.
#[derive(Debug, Default)]
struct Told {
    runs: u64,
    places: u64,
    /// What the panic says.
    words: Vec<String>,
    /// The input that failed.
    input: Option<String>,
}

// === impl Told ===

impl Told {
    fn read(text: &str) -> Self {
        let mut told = Self::default();
        let mut panicked = false;
        for line in text.lines() {
            let mut words = line.split_whitespace();
            if let Some(runs) = line.strip_prefix("stat::number_of_executed_units:") {
                told.runs = runs.trim().parse().unwrap_or_default();
            } else if let Some((_, path)) = line.split_once("Test unit written to ") {
                told.input = Some(path.to_owned());
            } else if line.starts_with('#') && words.any(|word| word == "cov:") {
                told.places = words.next().and_then(|count| count.parse().ok()).unwrap_or(told.places);
            }
            panicked |= line.contains(" panicked at ");
            panicked &= !line.starts_with("stack backtrace:") && !line.starts_with("note: ");
            let words = (panicked || line.contains("ERROR: libFuzzer")).then(|| line.to_owned());
            told.words.extend(words.filter(|_| told.words.len() < 12));
        }
        told
    }

    fn failure(&self, program: &Path, log: &Path) -> String {
        let again = self.input.as_ref().map(|input| format!("\nagain: {} {input}", program.display()));
        format!("{}\nall of it: {}{}", self.words.join("\n"), log.display(), again.unwrap_or_default())
    }
}

/// The targets: a file each.
pub(super) fn names(subject: Subject) -> anyhow::Result<Vec<String>> {
    let folder = sources(subject).join("fuzz_targets");
    let files = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let name = |path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = files.flatten().filter_map(|file| name(file.path())).collect();
    names.sort();
    Ok(names)
}

/// Their package, a workspace of its own.
fn sources(subject: Subject) -> PathBuf {
    workspace::root().join(subject.folder())
}

/// What this compiler compiles for if nobody says.
async fn host(sources: &Path) -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").current_dir(sources).output().await.context("no rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say what it compiles for")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn a_run_is_told() {
        let told = Told::read(
            "INFO: Seed: 1\n#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 28Mb\n\
             #900\tDONE   cov: 310 ft: 609 corp: 129/7549b lim: 2048 exec/s: 90 rss: 28Mb\n\
             stat::number_of_executed_units: 900\n",
        );
        assert_eq!((told.runs, told.places), (900, 310));
        assert!(told.words.is_empty());
    }

    #[test]
    fn a_failure_has_its_words_and_its_input() {
        let told = Told::read(
            "#7\tNEW    cov: 5 ft: 6\n\nthread '<unnamed>' (1) panicked at fuzz_targets/a.rs:1:2:\n\
             left is not right\nstack backtrace:\n   0: rust_begin_unwind\n\
             ==1== ERROR: libFuzzer: deadly signal\n\
             artifact_prefix='/f/'; Test unit written to /f/a-crash-0\n",
        );
        let failure = told.failure(Path::new("/p/a"), Path::new("/f/a.log"));
        assert!(failure.contains("left is not right\n==1== ERROR"), "{failure}");
        assert!(failure.ends_with("all of it: /f/a.log\nagain: /p/a /f/a-crash-0"), "{failure}");
    }

    /// What is not declared is not built, and what has no seeds begins with nothing.
    #[test]
    fn every_target_is_whole() {
        let mut all = Vec::new();
        for subject in Subject::value_variants() {
            let sources = sources(*subject);
            let manifest = std::fs::read_to_string(sources.join("Cargo.toml")).unwrap();
            let names = names(*subject).unwrap();
            for name in &names {
                assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
                assert!(sources.join(format!("dictionaries/{name}.dict")).is_file(), "{name}");
                assert!(sources.join("seeds").join(name).read_dir().unwrap().count() > 2, "{name}");
            }
            assert!(!names.is_empty(), "{subject:?}");
            all.extend(names);
        }
        assert!(all.len() > 6);
        all.sort();
        all.windows(2)
            .for_each(|pair| assert_ne!(pair[0], pair[1], "what is found has one folder for each name"));
    }
}
