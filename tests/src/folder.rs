//! A folder of a test's own, gone when the test is.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Set to keep the folders of all tests, to look into them afterwards.
const KEEP_ENV: &str = "EBLA_KEEP";

/// A temporary folder; kept when `EBLA_KEEP` is set.
#[derive(Debug)]
pub struct Folder {
    folder: TempDir,
}

impl Folder {
    /// A new, empty folder with `name` in its name.
    pub fn new(name: &str) -> Folder {
        let mut folder = tempfile::Builder::new().prefix(&format!("ebla-{name}-")).tempdir().unwrap();
        if std::env::var_os(KEEP_ENV).is_some() {
            folder.disable_cleanup(true);
            eprintln!("{KEEP_ENV}: {}", folder.path().display());
        }
        Folder { folder }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
