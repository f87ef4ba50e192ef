//! `cargo xtask fuzz <target> <seconds>`: a thin call of cargo-fuzz, which needs a nightly compiler.
//!
//! What a target found before is in `fuzz/corpus/<target>`, which git does not keep; what it starts from is in
//! `fuzz/seeds/<target>`, which git keeps and `cargo xtask test` replays. An input that breaks a promise is left in
//! `fuzz/artifacts/<target>`: mend the fault, then move the input to the seeds under a name that tells what it was.

use std::fs;
use std::process::{Command, Stdio};

use crate::cargo::check;
use crate::{Outcome, workspace_root};

/// The target that stands for each of them, one after another.
const ALL: &str = "all";

/// Targets that need the server: the query engine is built with a sanitizer only for them.
const OF_SERVER: &str = "stream_load_";

/// A target holds less than this, whatever it is given.
const MEMORY_MB_MAX: u32 = 1024;

/// The most it may ask for at once: what a page of a segment may become, twice.
const MALLOC_MB_MAX: u32 = 512;

/// The longest one input may take, in seconds.
const INPUT_SECONDS_MAX: u32 = 20;

/// Runs one fuzz target of `fuzz/`, or all, for the given seconds each.
pub fn run(args: &[String]) -> Outcome {
    let [target, seconds] = args else {
        return Err("usage: cargo xtask fuzz <target>|all <seconds>".to_string());
    };
    let seconds: u64 = seconds.parse().map_err(|_| format!("{seconds:?} is not a number of seconds"))?;
    let known = known()?;
    if target != ALL && !known.contains(target) {
        return Err(format!("there is no fuzz/fuzz_targets/{target}.rs; known: {}", known.join(", ")));
    }
    if !fuzz_command().arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    {
        return Err("cargo-fuzz or the nightly toolchain is missing: \
                    `rustup toolchain install nightly && cargo install cargo-fuzz`"
            .to_string());
    }
    let mut failed = Vec::new();
    for name in known.iter().filter(|name| target == ALL || *name == target) {
        println!("\n== {name}, {seconds} s");
        if let Err(reason) = fuzz(name, seconds) {
            println!("{name}: {reason}");
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("promises broken: {}", failed.join(", "))) }
}

fn fuzz(target: &str, seconds: u64) -> Outcome {
    let fuzz = workspace_root().join("fuzz");
    let (corpus, seeds) = (fuzz.join("corpus").join(target), fuzz.join("seeds").join(target));
    fs::create_dir_all(&corpus).map_err(|error| format!("create {}: {error}", corpus.display()))?;
    let mut command = fuzz_command();
    command.current_dir(workspace_root()).arg("run");
    if target.starts_with(OF_SERVER) {
        command.args(["--features", "server"]);
    }
    command.arg(target).args([corpus, seeds]).arg("--");
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-rss_limit_mb={MEMORY_MB_MAX}"));
    command.arg(format!("-malloc_limit_mb={MALLOC_MB_MAX}"));
    command.arg(format!("-timeout={INPUT_SECONDS_MAX}"));
    let words = fuzz.join("dictionaries").join(format!("{target}.dict"));
    if words.is_file() {
        command.arg(format!("-dict={}", words.display()));
    }
    check(command)
}

/// The names of the targets, sorted.
fn known() -> Result<Vec<String>, String> {
    let folder = workspace_root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|error| format!("list {}: {error}", folder.display()))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_string())).collect();
    names.sort();
    Ok(names)
}

/// The proxy `cargo` of rustup understands `+nightly`; the cargo that runs us may be a real one that does not.
fn fuzz_command() -> Command {
    let mut command = Command::new("cargo");
    command.args(["+nightly", "fuzz"]).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command
}
