//! Every step after which something stays on a disk: a name given or taken away, a directory made, bytes or names
//! synced, a transaction of the catalog committed.
//!
//! Each is a durable step of [`crate::failpoint`]: a test can end the process just before it and just after it. So that
//! none is forgotten, `clippy.toml` forbids what stands below them everywhere else in this crate and in the server. A
//! request to a store is such a step as well; those pass through `repository::store::Metered`.
//!
//! Nothing here decides what a failure means, and nothing tries again.
#![allow(clippy::disallowed_methods, reason = "here they are wrapped")]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rusqlite::{Connection, Transaction};
use rusqlite_migration::Migrations;
use rustix::fs::{CWD, RenameFlags};

use crate::failpoint::{DurableStep, durable};

/// Makes a directory whose parent is there.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    durable(DurableStep::MakeDirectory, || fs::create_dir(path))
}

/// The same; nobody but its owner may look into it.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    durable(DurableStep::MakeDirectory, || DirBuilder::new().mode(0o700).create(path))
}

/// Makes a directory and those above it.
pub(crate) fn create_dir_all(path: &Path) -> io::Result<()> {
    durable(DurableStep::MakeDirectory, || DirBuilder::new().recursive(true).create(path))
}

/// Gives a file another name; whatever had it loses it.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    durable(DurableStep::Rename, || fs::rename(from, to))
}

/// Gives a file a second name, which must be free.
pub(crate) fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    durable(DurableStep::Link, || fs::hard_link(from, to))
}

/// Gives a file another name, which must be free.
pub(crate) fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    durable(DurableStep::Rename, || rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE))
        .map_err(io::Error::from)
}

/// Takes a file's name away.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    durable(DurableStep::Unlink, || fs::remove_file(path))
}

/// The same; a file that is not there is fine.
pub(crate) fn remove_file_if_there(path: &Path) -> io::Result<()> {
    match remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes a directory with all that is in it.
pub(crate) fn remove_dir_all(path: &Path) -> io::Result<()> {
    durable(DurableStep::RemoveDirectory, || fs::remove_dir_all(path))
}

/// Makes a file's bytes durable.
pub(crate) fn sync_file(file: &File) -> io::Result<()> {
    durable(DurableStep::SyncFile, || file.sync_all())
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    durable(DurableStep::SyncDirectory, || File::open(path)?.sync_all())
}

/// Commits a transaction of the catalog.
pub(crate) fn commit(transaction: Transaction<'_>) -> rusqlite::Result<()> {
    durable(DurableStep::Commit, || transaction.commit())
}

/// Brings a catalog's schema to the newest version, in one transaction.
pub(crate) fn migrate(connection: &mut Connection, migrations: &Migrations<'_>) -> rusqlite_migration::Result<()> {
    durable(DurableStep::Commit, || migrations.to_latest(connection))
}

/// Writes a line that is a secret: whole or not at all, and readable by its owner only from its first byte on. When this
/// returns, it is there to stay. What was there before is replaced.
pub fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = Path::new(&aside);
    // One that a crash left is begun again.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(aside)?;
    writeln!(file, "{secret}")?;
    sync_file(&file)?;
    rename(aside, path)?;
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => sync_directory(Path::new(".")),
        Some(folder) => sync_directory(folder),
        None => Ok(()),
    }
}
