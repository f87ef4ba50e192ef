//! Calls of cargo from within `cargo run`.
//!
//! The outer cargo describes the xtask package in its environment. Build scripts of other packages may watch
//! some of these variables, so an inner cargo that saw them would rebuild what a plain one has just built.

use std::path::PathBuf;
use std::process::Command;

use crate::{Outcome, workspace_root};

/// A cargo command in the workspace root, with the environment a person's shell would have.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace_root());
    for (name, _) in std::env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let of_outer_cargo = name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || name.starts_with("CARGO_BIN_")
            || matches!(name, "CARGO" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR" | "LD_LIBRARY_PATH");
        if of_outer_cargo {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end with its output passed through.
pub(crate) fn check(mut command: Command) -> Outcome {
    let text = describe(&command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{text}` ended with {status}")),
        Err(error) => Err(format!("`{text}` did not start: {error}")),
    }
}

/// Runs a command to its end and gives its stdout.
pub(crate) fn output(mut command: Command) -> Outcome<String> {
    let text = describe(&command);
    let output = command.output().map_err(|error| format!("`{text}` did not start: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{text}` ended with {}\n{}", output.status, stderr.trim_end()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where cargo put the `ebla` binary of a profile: beside this very program when it is the profile of `cargo run`.
pub(crate) fn built_binary(profile: &str) -> Outcome<PathBuf> {
    let xtask = std::env::current_exe().map_err(|error| format!("find the running xtask: {error}"))?;
    let target = xtask.parent().and_then(|profile| profile.parent());
    let target = target.ok_or("the running xtask lies in no target folder")?;
    Ok(target.join(profile).join("ebla"))
}

pub(crate) fn describe(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    if let Some((_, name)) = text.rsplit_once('/') {
        text = name.to_string();
    }
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}
