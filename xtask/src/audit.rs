//! `cargo xtask audit`: asks RustSec's advisory database about every dependency in `Cargo.lock`.
//!
//! The work is cargo-audit's, which fetches the database. So this is no phase of `cargo xtask test`, which must do
//! without a network: where there is one, CI runs this command too. `EBLA_ADVISORY_DB` names a clone of the database to
//! use as it is. An advisory fails the command, and so does a crate that nobody maintains or that was withdrawn; a
//! database that cannot be had fails it in other words, because then nothing was judged.

use std::process::Command;

use crate::cargo::describe;
use crate::{Outcome, workspace_root};

/// Names a clone of the advisory database.
const DATABASE_VAR: &str = "EBLA_ADVISORY_DB";

/// What cargo-audit says once it has the database and begins to judge.
const JUDGING: &str = "Scanning ";

/// Judges `Cargo.lock`.
pub fn run(args: &[String]) -> Outcome {
    if !args.is_empty() {
        return Err("usage: cargo xtask audit".to_string());
    }
    let mut command = Command::new("cargo-audit");
    command.current_dir(workspace_root()).args(["audit", "--deny", "warnings", "--file", "Cargo.lock"]);
    if let Some(database) = std::env::var_os(DATABASE_VAR) {
        command.args(["--no-fetch", "--stale", "--db"]).arg(database);
    }
    let text = describe(&command);
    let output = command.output().map_err(|error| {
        format!("`{text}` did not start: {error}; `cargo install cargo-audit --locked` installs it")
    })?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    println!("{}", said.trim_end());
    judge(output.status.success(), &said)
}

fn judge(success: bool, said: &str) -> Outcome {
    match (success, said.contains(JUDGING)) {
        (true, true) => Ok(()),
        (false, true) => Err("advisories apply, as printed above: move to a version that is mended, or argue the \
                              exception in .cargo/audit.toml"
            .to_string()),
        (_, false) => Err(format!(
            "nothing was judged: the advisory database could not be had. Run this where github.com can be reached, or let \
             {DATABASE_VAR} name a clone of https://github.com/RustSec/advisory-db"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_judged_is_not_clean() {
        let scanned = "Loaded 734 security advisories\n    Scanning Cargo.lock for vulnerabilities (550 crates)\n";
        assert_eq!(judge(true, scanned), Ok(()));
        assert!(judge(false, scanned).unwrap_err().starts_with("advisories apply"));
        for success in [true, false] {
            let refusal = judge(success, "error: couldn't fetch advisory database").unwrap_err();
            assert!(refusal.starts_with("nothing was judged"), "{refusal}");
        }
    }
}
