//! `cargo xtask coverage`: how many lines of storage's code its unit tests run, folder by folder.
//!
//! The storage crate is built with the compiler's own instrumentation, its dependencies as always; the tools that read
//! the counters are rustup's `llvm-tools`. Files of tests are left out. What only end-to-end tests reach counts as
//! not covered, so the figures are a floor.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo::{cargo, check, output};
use crate::{Outcome, workspace_root};

/// The folders that are reported, below `storage/src`. The last one takes what lies in none of them.
const FOLDERS: [&str; 6] = ["backup", "restore", "repository", "job", "catalog", "others"];

/// Schedules of the lifecycle test: enough to run its lines, not to search.
const SCHEDULES: &str = "2000";

/// Lines of a folder.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Lines {
    all: u64,
    missed: u64,
}

/// Runs the unit tests of storage and prints a table; with `--files`, a line a file as well. The tests' own arguments
/// follow `--`.
pub fn run(args: &[String]) -> Outcome {
    let (own, of_tests) = match args.iter().position(|arg| arg == "--") {
        Some(at) => (&args[..at], &args[at + 1..]),
        None => (args, &[] as &[String]),
    };
    let files = match own {
        [] => false,
        [flag] if flag == "--files" => true,
        _ => return Err("usage: cargo xtask coverage [--files] [-- test arguments]".to_string()),
    };
    let tools = tools()?;
    let root = workspace_root();
    let program = build()?;
    // Below the target folder, three steps up: debug, deps, the program.
    let folder = program.ancestors().nth(3).unwrap_or(&root).join("coverage");
    let profiles = folder.join("profiles");
    if profiles.exists() {
        fs::remove_dir_all(&profiles).map_err(|error| format!("empty {}: {error}", profiles.display()))?;
    }
    fs::create_dir_all(&profiles).map_err(|error| format!("create {}: {error}", profiles.display()))?;
    let mut tests = Command::new(&program);
    tests.current_dir(root.join("storage")).args(of_tests);
    // One file for all processes of the tests, and not one each.
    tests.env("LLVM_PROFILE_FILE", profiles.join("%1m.profraw")).env("EBLA_LIFECYCLE_SCHEDULES", SCHEDULES);
    // A test that fails is for `cargo xtask test` to report; the lines were run.
    if let Err(failure) = check(tests) {
        println!("{failure}; what was run until then is counted");
    }
    let merged = folder.join("merged.profdata");
    let mut merge = Command::new(tools.join("llvm-profdata"));
    merge.args(["merge", "--sparse", "--failure-mode=all", "-o"]).arg(&merged).arg(&profiles);
    check(merge)?;
    let mut report = Command::new(tools.join("llvm-cov"));
    report.arg("report").arg("--instr-profile").arg(&merged).arg(&program).arg(root.join("storage/src"));
    let report = output(report)?;
    let by_file = by_file(&report);
    if by_file.is_empty() {
        return Err(format!("llvm-cov reported no file:\n{report}"));
    }
    print(&by_file, files);
    Ok(())
}

/// Builds the unit tests of storage with counters. Gives the program.
fn build() -> Outcome<PathBuf> {
    let mut build = cargo();
    build.args(["rustc", "-p", "ebla-storage", "--lib", "--profile", "test"]);
    build.args(["--message-format", "json-render-diagnostics", "--", "-Cinstrument-coverage"]);
    let messages = output(build)?;
    // Among a line for each crate, the one for a program names it.
    let program =
        messages.lines().filter_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next()).next_back();
    program.map(PathBuf::from).ok_or_else(|| "cargo named no program".to_string())
}

/// Where rustup keeps LLVM's tools.
fn tools() -> Outcome<PathBuf> {
    let mut sysroot = Command::new("rustc");
    sysroot.current_dir(workspace_root()).args(["--print", "sysroot"]);
    let sysroot = output(sysroot)?;
    let hosts = Path::new(sysroot.trim()).join("lib/rustlib");
    let found = fs::read_dir(&hosts)
        .map_err(|error| format!("list {}: {error}", hosts.display()))?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .find(|bin| bin.join("llvm-cov").is_file());
    found.ok_or_else(|| "llvm-cov is missing: `rustup component add llvm-tools`".to_string())
}

/// The lines of each file below `storage/src` that is not of tests, from llvm-cov's table: the name, then regions,
/// functions and lines, each with how many there are, how many were missed, and per cent.
fn by_file(report: &str) -> BTreeMap<String, Lines> {
    let mut files = BTreeMap::new();
    for line in report.lines() {
        let mut words = line.split_whitespace();
        let Some(name) = words.next().filter(|name| name.ends_with(".rs")) else { continue };
        // Below a common folder the names are relative to it.
        let name = name.rsplit_once("storage/src/").map_or(name, |(_, name)| name);
        let numbers: Vec<&str> = words.collect();
        let [Ok(all), Ok(missed)] = [6, 7].map(|at| numbers.get(at).copied().unwrap_or("").parse()) else { continue };
        if !is_of_tests(name) {
            files.insert(name.to_string(), Lines { all, missed });
        }
    }
    files
}

fn is_of_tests(name: &str) -> bool {
    let of_tests = ["tests", "tests.rs", "testing.rs", "bed.rs", "flips.rs"];
    name.split('/').any(|part| of_tests.contains(&part))
}

fn folder_of(file: &str) -> &'static str {
    let first = file.split(['/', '.']).next().unwrap_or(file);
    FOLDERS.iter().copied().find(|folder| *folder == first).unwrap_or("others")
}

fn print(by_file: &BTreeMap<String, Lines>, files: bool) {
    let mut folders: BTreeMap<&str, Lines> = BTreeMap::new();
    for (name, lines) in by_file {
        let sum = folders.entry(folder_of(name)).or_default();
        *sum = Lines { all: sum.all + lines.all, missed: sum.missed + lines.missed };
        if files {
            println!("{name:<50} {}", lines.describe());
        }
    }
    for folder in FOLDERS {
        println!("{folder:<12} {}", folders.get(folder).copied().unwrap_or_default().describe());
    }
}

impl Lines {
    fn describe(self) -> String {
        let covered = self.all.saturating_sub(self.missed);
        format!("{covered:>6} of {:>6} lines  {:>5.1} %", self.all, 100.0 * covered as f64 / self.all.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_by_folder() {
        let report = "\
Filename                      Regions    Missed Regions     Cover   Functions  Missed Functions  Executed       Lines      Missed Lines     Cover    Branches   Missed Branches     Cover
---------------------------------------
/src/storage/src/backup.rs        100                10    90.00%          20                 2    90.00%         200                 5    97.50%           0                 0         -
backup/cut.rs                     100                10    90.00%          20                 2    90.00%         100                10    90.00%           0                 0         -
backup/tests.rs                   100                10    90.00%          20                 2    90.00%         100                10    90.00%           0                 0         -
TOTAL                             100                10    90.00%          20                 2    90.00%         300                15    90.00%           0                 0         -";
        let files = by_file(report);
        let expected = [("backup.rs", (200, 5)), ("backup/cut.rs", (100, 10))];
        let expected = expected.map(|(name, (all, missed))| (name.to_string(), Lines { all, missed }));
        assert_eq!(files, BTreeMap::from(expected));
        assert_eq!(
            [folder_of("backup.rs"), folder_of("job/runner.rs"), folder_of("gc.rs")],
            ["backup", "job", "others"]
        );
        assert_eq!(Lines { all: 300, missed: 15 }.describe(), "   285 of    300 lines   95.0 %");
    }
}
