//! Skips that are seen: a test that cannot run here says so where `cargo xtask test` reads it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// The program of a counterpart, installed when it was not there. `None` after [`skip`] when it cannot be had.
pub fn counterpart(name: &str) -> Option<PathBuf> {
    match xtask::counterparts::ensure(name) {
        Ok(program) => Some(program),
        Err(reason) => {
            skip(&format!("counterpart {name}: {reason}"));
            None
        }
    }
}

/// Records that the running test is skipped. With `CI=true` it fails instead.
pub fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_string();
    assert!(!xtask::is_ci(), "{test} cannot run, and with CI=true nothing may be skipped: {reason}");
    eprintln!("SKIPPED {test}: {reason}");
    if let Some(file) = std::env::var_os(xtask::test::SKIPS_ENV) {
        let line = format!("{test}: {reason}\n");
        let file = OpenOptions::new().append(true).create(true).open(file);
        file.and_then(|mut file| file.write_all(line.as_bytes())).unwrap();
    }
}
