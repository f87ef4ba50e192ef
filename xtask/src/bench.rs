//! `cargo xtask bench <name>`: builds the release binary and runs one benchmark against it.
//!
//! A benchmark is a file `tests/benches/<name>.rs`, or a folder `tests/benches/<name>` with a `main.rs`, and says
//! `harness = false` in `tests/Cargo.toml`; adding it adds the command. It finds the server to measure in `EBLA_BIN`.

use crate::cargo::{built_binary, cargo, check};
use crate::{Outcome, counterparts, workspace_root};

/// Runs the named benchmark with the rest of the arguments, or lists what there is.
pub fn run(args: &[String]) -> Outcome {
    let known = known()?;
    let Some((name, rest)) = args.split_first() else {
        println!("benchmarks: {}", if known.is_empty() { "none yet".to_string() } else { known.join(", ") });
        return Ok(());
    };
    if !known.contains(name) {
        return Err(format!("there is no benchmark {name} in tests/benches; known: [{}]", known.join(", ")));
    }
    counterparts::install_all()?.print();
    // One call builds both, so that their dependencies are compiled once, with one set of features.
    let mut build = cargo();
    build.args(["build", "--release", "--workspace", "--bins", "--bench", name]);
    check(build)?;
    let mut bench = cargo();
    bench.args(["bench", "--workspace", "--bench", name, "--"]).args(rest);
    bench.env("EBLA_BIN", built_binary("release")?);
    check(bench)
}

fn known() -> Outcome<Vec<String>> {
    let folder = workspace_root().join("tests/benches");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("list {}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let is_folder = path.join("main.rs").is_file();
            if is_folder { Some(name) } else { name.strip_suffix(".rs") }.map(str::to_string)
        })
        .collect();
    names.sort();
    Ok(names)
}
