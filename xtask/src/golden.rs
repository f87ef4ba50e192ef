//! `cargo xtask golden`: run tests and let them rewrite their golden files, to be read in `git diff`.

use crate::cargo::{cargo, check};
use crate::{Outcome, counterparts};

/// The variable under which every golden test of the workspace rewrites instead of comparing.
pub const UPDATE_ENV: &str = "EBLA_UPDATE_GOLDEN";

/// Runs `cargo test` with the given arguments (default: the end-to-end crate) in rewriting mode.
pub fn run(args: &[String]) -> Outcome {
    counterparts::install_all()?.print();
    let mut command = cargo();
    command.arg("test").arg("--no-fail-fast").env(UPDATE_ENV, "1");
    if args.is_empty() {
        command.args(["--package", "ebla-tests"]);
    } else {
        command.args(args);
    }
    check(command)?;
    println!("golden files are rewritten; read them in `git diff` before you commit");
    Ok(())
}
