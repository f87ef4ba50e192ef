//! The commands behind `cargo xtask`, as a library, so that the end-to-end tests can ask it where a
//! counterpart lies and install one that is missing.
//!
//! Each command is a module with a `run`. A command's error is the text a person reads, so errors here are
//! plain strings. Nothing depends on anything but std: `cargo xtask` builds in seconds on a fresh machine.

pub mod audit;
pub mod bench;
pub mod cargo;
pub mod counterparts;
pub mod coverage;
pub mod deny;
pub mod fuzz;
pub mod golden;
pub mod house;
pub mod test;
pub mod trial;

use std::path::PathBuf;

/// What a command answers: nothing, or the text that says why not.
pub type Outcome<T = ()> = Result<T, String>;

/// The root of the workspace this xtask was built from.
pub fn workspace_root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    match here.parent() {
        Some(root) => root.to_path_buf(),
        None => here,
    }
}

/// Whether this run is CI's (`CI=true`): there, what is skipped has failed.
pub fn is_ci() -> bool {
    matches!(std::env::var("CI").as_deref(), Ok("true" | "1"))
}
