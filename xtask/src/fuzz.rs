//! `cargo xtask fuzz <target> <seconds>`: a thin call of cargo-fuzz, which needs a nightly compiler.

use std::process::{Command, Stdio};

use crate::cargo::check;
use crate::{Outcome, workspace_root};

/// Runs one fuzz target of `fuzz/` for the given seconds.
pub fn run(args: &[String]) -> Outcome {
    let [target, seconds] = args else {
        return Err("usage: cargo xtask fuzz <target> <seconds>".to_string());
    };
    let seconds: u64 = seconds.parse().map_err(|_| format!("{seconds:?} is not a number of seconds"))?;
    let root = workspace_root();
    if !root.join("fuzz/fuzz_targets").join(format!("{target}.rs")).is_file() {
        return Err(format!("there is no fuzz/fuzz_targets/{target}.rs"));
    }
    if !fuzz_command().arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    {
        return Err("cargo-fuzz or the nightly toolchain is missing: \
                    `rustup toolchain install nightly && cargo install cargo-fuzz`"
            .to_string());
    }
    let mut command = fuzz_command();
    command.current_dir(root).args(["run", target, "--", &format!("-max_total_time={seconds}")]);
    check(command)
}

/// The proxy `cargo` of rustup understands `+nightly`; the cargo that runs us may be a real one that does not.
fn fuzz_command() -> Command {
    let mut command = Command::new("cargo");
    command.args(["+nightly", "fuzz"]).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command
}
