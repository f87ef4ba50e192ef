//! `cargo xtask test`: everything CI checks, phase by phase.
//!
//! Order: fmt → counterparts → dependencies → clippy → build → tests → docs. A failed phase does not hide the
//! later ones (only the tests need the build). Output passes through; at the end comes a table of phases with
//! their seconds, what was skipped and why, and the sum of the tests. With `CI=true` a skip is a failure.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::cargo::{built_binary, cargo, check};
use crate::{Outcome, counterparts, deny, is_ci};

/// The file a test appends a line to when it cannot run here (see `skip` in the end-to-end crate).
pub const SKIPS_ENV: &str = "EBLA_TEST_SKIPS";

/// Runs every phase; arguments go to `cargo test`'s test binaries (a filter for the tests' names).
pub fn run(filter: &[String]) -> Outcome {
    let mut run = Run::default();
    run.phase("fmt", |_| check(with(cargo(), &["fmt", "--all", "--check"])));
    run.phase("counterparts", install_counterparts);
    run.phase("dependencies", |_| deny::run());
    run.phase("clippy", |_| {
        check(with(cargo(), &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
    });
    // All targets in one build: the tests and the `ebla` binary they start share one set of features.
    let built = run.phase("build", |_| check(with(cargo(), &["build", "--workspace", "--all-targets"])));
    if built {
        run.phase("tests", |run| run_tests(run, filter));
    } else {
        run.skipped.push("tests: the build failed".to_string());
    }
    run.phase("docs", |_| {
        // The pages are for those who work on the code: a link to what is private helps them.
        let mut doc = with(cargo(), &["doc", "--workspace", "--no-deps", "--document-private-items"]);
        doc.env("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private-intra-doc-links");
        check(doc)
    });
    run.finish()
}

/// What a run of all phases has seen.
#[derive(Debug, Default)]
struct Run {
    phases: Vec<(&'static str, f64, Outcome)>,
    skipped: Vec<String>,
    tally: Tally,
}

impl Run {
    fn phase(&mut self, name: &'static str, work: impl FnOnce(&mut Run) -> Outcome) -> bool {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = work(self);
        let seconds = start.elapsed().as_secs_f64();
        match &outcome {
            Ok(()) => println!("== {name}: ok, {seconds:.1} s"),
            Err(reason) => println!("== {name}: FAILED, {seconds:.1} s: {reason}"),
        }
        let ok = outcome.is_ok();
        self.phases.push((name, seconds, outcome));
        ok
    }

    fn finish(self) -> Outcome {
        println!();
        let mut failed: Vec<&str> = Vec::new();
        for (name, seconds, outcome) in &self.phases {
            let word = if outcome.is_ok() { "ok" } else { "FAILED" };
            println!("{name:<14} {seconds:>8.1} s  {word}");
            if outcome.is_err() {
                failed.push(name);
            }
        }
        println!("not checked here: security advisories (their database is fetched from a network)");
        if self.skipped.is_empty() {
            println!("skipped: nothing");
        } else {
            println!("skipped:");
            for skip in &self.skipped {
                println!("  {skip}");
            }
        }
        // The last line before the exit code: the sum over all test binaries.
        let Tally { passed, failed: tests_failed, .. } = self.tally;
        let skips_count = is_ci() && !self.skipped.is_empty();
        if skips_count {
            println!("with CI=true a skip is a failure");
        }
        println!("{passed} passed, {tests_failed} failed");
        if !failed.is_empty() {
            return Err(format!("failed: {}", failed.join(", ")));
        }
        if skips_count {
            return Err(format!("{} skipped", self.skipped.len()));
        }
        Ok(())
    }
}

fn install_counterparts(run: &mut Run) -> Outcome {
    let installed = counterparts::install_all()?;
    installed.print();
    for (name, reason) in &installed.missing {
        run.skipped.push(format!("counterpart {name}: {reason}"));
    }
    Ok(())
}

fn run_tests(run: &mut Run, filter: &[String]) -> Outcome {
    let ebla = built_binary("debug")?;
    let skips = skips_file(&ebla)?;
    let mut command = with(cargo(), &["test", "--workspace", "--no-fail-fast"]);
    if !filter.is_empty() {
        command.arg("--").args(filter);
    }
    command.env(SKIPS_ENV, &skips);
    if ebla.is_file() {
        command.env("EBLA_BIN", &ebla);
    }
    let outcome = tee(command, |line| run.tally.read(line));
    let recorded = fs::read_to_string(&skips).unwrap_or_default();
    run.skipped.extend(recorded.lines().map(str::to_string));
    run.skipped.extend(run.tally.ignored.drain(..).map(|name| format!("{name}: ignored")));
    outcome
}

/// An empty file beside the binaries; tests append to it.
fn skips_file(ebla: &Path) -> Outcome<PathBuf> {
    let path = ebla.with_file_name("skipped-tests.txt");
    fs::write(&path, "").map_err(|error| format!("write {}: {error}", path.display()))?;
    Ok(path)
}

/// Runs a command, passes its stdout on line by line as it comes, and shows each line to `read`.
fn tee(mut command: Command, mut read: impl FnMut(&str)) -> Outcome {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("cargo did not start: {error}"))?;
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        let mut out = std::io::stdout();
        loop {
            line.clear();
            match reader.read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => {
                    // A closed stdout of ours does not end the tests.
                    let _ = out.write_all(&line).and_then(|()| out.flush());
                    read(String::from_utf8_lossy(&line).trim_end());
                }
                Err(error) => return Err(format!("read cargo's output: {error}")),
            }
        }
    }
    let status = child.wait().map_err(|error| format!("wait for cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo test ended with {status}")) }
}

/// The sum of the `test result:` lines.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: Vec<String>,
}

impl Tally {
    fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            for part in result.split([';', '.']) {
                match part.trim().split_once(' ') {
                    Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                    Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                    _ => {}
                }
            }
        } else if let Some(test) = line.strip_prefix("test ")
            && let Some((name, verdict)) = test.rsplit_once(" ... ")
            && verdict.starts_with("ignored")
        {
            self.ignored.push(format!("test {name}"));
        }
    }
}

fn with(mut command: Command, args: &[&str]) -> Command {
    command.args(args);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tally_sums_every_binary() {
        let mut tally = Tally::default();
        for line in [
            "test a ... ok",
            "test b::c ... ignored, needs a lake",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s",
        ] {
            tally.read(line);
        }
        assert_eq!(tally, Tally { passed: 15, failed: 2, ignored: vec!["test b::c".to_string()] });
    }
}
