//! Rules of the house that a reader of two files could check, checked: imports, links, metrics.
//!
//! The functions give complaints, one text each; `xtask/tests/house.rs` wants none.

use std::fs;
use std::path::{Path, PathBuf};

mod links;
mod metrics;

pub use links::broken_links;
pub use metrics::undescribed_metrics;

/// Crates point down only: who may name whom, in manifests and in sources.
const MAY_NOT_NAME: &[(&str, &[&str])] = &[
    ("protocol", &["ebla-storage", "ebla-server", "ebla-tests", "datafusion"]),
    ("storage", &["ebla-protocol", "ebla-server", "ebla-tests", "datafusion", "sqlparser", "opensrv-mysql"]),
    ("server", &["ebla-tests"]),
    ("tests", &["ebla-protocol", "ebla-storage", "ebla-server", "datafusion", "arrow", "parquet"]),
];

/// Where a crate names another it may not know, and where the server names DataFusion outside `query`.
pub fn forbidden_imports(root: &Path) -> Vec<String> {
    let mut complaints = Vec::new();
    for (member, forbidden) in MAY_NOT_NAME {
        let manifest = read(&root.join(member).join("Cargo.toml"));
        for name in *forbidden {
            if manifest
                .lines()
                .any(|line| line.starts_with(&format!("{name}.")) || line.starts_with(&format!("{name} ")))
            {
                complaints.push(format!("{member}/Cargo.toml depends on {name}"));
            }
            let path = format!("{}::", name.replace('-', "_"));
            complaints.extend(sources_naming(root, &root.join(member), &path));
        }
    }
    let engine = |complaint: &String| {
        !complaint.starts_with("server/src/query.rs") && !complaint.starts_with("server/src/query/")
    };
    complaints.extend(sources_naming(root, &root.join("server/src"), "datafusion::").into_iter().filter(engine));
    complaints
}

/// Lines of code under `folder` with a path that begins with `path`; comments may name whom they like.
fn sources_naming(root: &Path, folder: &Path, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in files_under(folder, "rs") {
        for (index, line) in read(&file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let starts_a_path = |(at, _): (usize, &str)| {
                !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '"')
            };
            if code.match_indices(path).any(starts_a_path) {
                let file = file.strip_prefix(root).unwrap_or(&file);
                found.push(format!("{}:{} names {path}", file.display(), index + 1));
            }
        }
    }
    found
}

/// Every file under a folder with this extension, leaving out what git and cargo keep there.
pub(crate) fn files_under(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}
