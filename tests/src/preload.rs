//! Small libraries of C that LD_PRELOAD puts between a program and libc, built with the system's compiler.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The library of this source, built beside the test's binary under a name that tells its source; the text of an error
/// where there is no compiler.
pub(crate) fn library(name: &str, source: &str) -> Result<PathBuf, String> {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_path_buf();
    let digest = sha2::Digest::finalize(sha2::Digest::chain_update(<sha2::Sha256 as sha2::Digest>::new(), source));
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let library = folder.join(format!("{name}-{digest}.so"));
    if library.is_file() {
        return Ok(library);
    }
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_string());
    let unfinished = folder.join(format!("{name}-{digest}.{}", std::process::id()));
    let mut command = Command::new(&compiler);
    command.args(["-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-x", "c", "-", "-lpthread", "-ldl", "-o"]);
    command.arg(&unfinished).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().map_err(|error| format!("no C compiler: {compiler}: {error}"))?;
    running.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
    // Whole or not at all: another test may be looking for it.
    std::fs::rename(&unfinished, &library).unwrap();
    Ok(library)
}
