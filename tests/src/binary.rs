//! The `ebla` binary under test.
//!
//! `EBLA_BIN` names it (as `cargo xtask test` does, after one build of everything). Without it the first test of the
//! process builds it, so that `cargo test -p ebla-tests` never runs a stale one; cargo holds its build lock only while it builds,
//! never while tests run.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Path of the binary, built when need be.
pub fn ebla() -> &'static Path {
    static EBLA: LazyLock<PathBuf> = LazyLock::new(|| match std::env::var_os("EBLA_BIN") {
        Some(path) => {
            let path = PathBuf::from(path);
            assert!(path.is_file(), "EBLA_BIN is {}, which is no file", path.display());
            path
        }
        None => build(),
    });
    &EBLA
}

fn build() -> PathBuf {
    // A test's executable is <target>/<profile>/deps/<name>.
    let test = std::env::current_exe().unwrap();
    let profile_folder = test.parent().and_then(Path::parent).expect("a test lies in <profile>/deps");
    let target_folder = profile_folder.parent().expect("a profile lies in the target folder");
    let mut cargo = xtask::cargo::cargo();
    cargo.args(["build", "--quiet", "--package", "ebla-server", "--bin", "ebla", "--target-dir"]).arg(target_folder);
    if profile_folder.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.output().unwrap_or_else(|error| panic!("start cargo: {error}"));
    assert!(output.status.success(), "cargo cannot build ebla:\n{}", String::from_utf8_lossy(&output.stderr));
    profile_folder.join("ebla")
}
