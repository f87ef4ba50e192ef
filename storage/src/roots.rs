//! Storage roots: the directories, one a disk, where tablets lie, and how a file gets there to stay.
//!
//! ```text
//! <root>/tablets/<tablet>/<digest>.parquet | <digest>.dv     named by the catalog, immutable
//! <root>/tablets/<tablet>/<digest>.tree                      derived from the segment beside it, see segment/tree
//! <root>/staging/<name>/…                                    being written; swept when the server starts
//! ```
//!
//! A file is written in staging and synced ([`create_file`], [`sync_file`]), then renamed into its tablet's directory,
//! and that directory is synced ([`StorageRoots::install`]): once `install` returns, a power cut leaves the whole file
//! under its name. Only then does a catalog transaction name it. Nothing here deletes what the catalog names.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::catalog::{Catalog, FileKind};
use crate::digest::{Digest, DigestWriter};
use crate::disk;
use crate::error::{Error, IoContext, Result};
use crate::ids::{StorageRootId, TabletId};

const TABLETS: &str = "tablets";
const STAGING: &str = "staging";

/// Extension of a file that was found to be bad and set aside.
pub(crate) const CORRUPT_EXTENSION: &str = "corrupt";

/// Extension of the hash tree of a segment, which is derived from it and lies beside it.
pub(crate) const TREE_EXTENSION: &str = "tree";

/// A table keeps this many replicas when it does not say otherwise and there are as many roots.
const DEFAULT_REPLICATION_NUM_MAX: usize = 3;

/// One storage root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageRoot {
    /// Its identity in the catalog.
    pub id: StorageRootId,
    /// Its directory.
    pub path: PathBuf,
}

/// Every storage root of a data directory.
#[derive(Debug)]
pub struct StorageRoots {
    /// Configured ones first, in the order of the configuration; then those only the catalog knows.
    roots: Vec<StorageRoot>,
    configured: Vec<StorageRootId>,
}

/// A file in staging that is to become a file of a tablet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedFile {
    /// Where it lies, on the root it will stay on, synced.
    pub path: PathBuf,
    /// The digest of its bytes.
    pub digest: Digest,
    /// What it is.
    pub kind: FileKind,
}

/// Errors unless a tablet may have this many replicas on so many roots.
pub(crate) fn check_replication_num(replication_num: u32, roots: usize) -> Result<()> {
    if (1..=roots).contains(&(replication_num as usize)) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "replication_num is {replication_num}, but there {}: ask for at most that, or add storage roots to the configuration",
        if roots == 1 { "is 1 storage root".to_owned() } else { format!("are {roots} storage roots") },
    )))
}

impl StorageRoots {
    /// Makes the configured directories, registers those the catalog does not know, and takes along those it knows
    /// from before: they are read, but nothing new is put there. A root inside the data directory is registered by
    /// its path from there, so that the whole directory can be moved.
    pub fn open(catalog: &Catalog, data_dir: &Path, configured: &[PathBuf]) -> Result<StorageRoots> {
        let data_dir = fs::canonicalize(data_dir).at("resolve", data_dir)?;
        let mut paths: Vec<PathBuf> = Vec::with_capacity(configured.len());
        for path in configured {
            keep_private_dir(path)?;
            for directory in [path.join(TABLETS), path.join(STAGING)] {
                keep_dir(&directory)?;
            }
            let path = fs::canonicalize(path).at("resolve", path)?;
            if paths.contains(&path) {
                return Err(Error::invalid(format!("storage root {} is configured twice", path.display())));
            }
            paths.push(path);
        }
        let known = catalog.read(|read| read.storage_roots())?;
        let mut roots = Vec::with_capacity(paths.len());
        for path in paths {
            let stored = path.strip_prefix(&data_dir).unwrap_or(&path);
            let id = match known.iter().find(|root| root.path == stored) {
                Some(root) => root.id,
                None => catalog.write(|write| write.ensure_storage_root(stored))?,
            };
            roots.push(StorageRoot { id, path });
        }
        let configured: Vec<StorageRootId> = roots.iter().map(|root| root.id).collect();
        for root in known {
            if !configured.contains(&root.id) {
                roots.push(StorageRoot { id: root.id, path: data_dir.join(root.path) });
            }
        }
        Ok(StorageRoots { roots, configured })
    }

    /// Every root, configured ones first.
    pub fn all(&self) -> &[StorageRoot] {
        &self.roots
    }

    /// The roots that new replicas may lie on.
    pub fn configured(&self) -> &[StorageRootId] {
        &self.configured
    }

    /// Replicas of a table that does not say how many it wants.
    pub fn default_replication_num(&self) -> u32 {
        self.configured.len().min(DEFAULT_REPLICATION_NUM_MAX) as u32
    }

    /// Errors unless a tablet may have this many replicas, each on a root of its own.
    pub fn check_replication_num(&self, replication_num: u32) -> Result<()> {
        check_replication_num(replication_num, self.configured.len())
    }

    /// The directory of a root.
    pub fn path(&self, root: StorageRootId) -> Result<&Path> {
        self.roots
            .iter()
            .find(|known| known.id == root)
            .map(|known| known.path.as_path())
            .ok_or_else(|| Error::Internal(format!("storage root {root} is not known")))
    }

    /// The directory of a tablet's replica on a root, whether it is there or not.
    pub fn tablet_dir(&self, root: StorageRootId, tablet: TabletId) -> Result<PathBuf> {
        Ok(self.path(root)?.join(TABLETS).join(tablet.to_string()))
    }

    /// Where a file of a tablet's replica lies on a root, whether it is there or not.
    pub fn file_path(&self, root: StorageRootId, tablet: TabletId, digest: &Digest, kind: FileKind) -> Result<PathBuf> {
        Ok(self.tablet_dir(root, tablet)?.join(format!("{digest}.{kind}")))
    }

    /// Makes the staging directory `name` on a root and returns it. The name is a transaction's or a job's number.
    pub fn create_staging(&self, root: StorageRootId, name: &str) -> Result<PathBuf> {
        let path = self.staging_dir(root, name)?;
        if !path.is_dir() {
            disk::create_dir_all(&path).at("create", &path)?;
        }
        Ok(path)
    }

    /// The staging directory `name` on a root, whether it is there or not.
    pub fn staging_dir(&self, root: StorageRootId, name: &str) -> Result<PathBuf> {
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !plain {
            return Err(Error::Internal(format!("'{name}' is no name for a staging directory")));
        }
        Ok(self.path(root)?.join(STAGING).join(name))
    }

    /// Removes the staging directory `name` from every root, with what is in it.
    pub fn remove_staging(&self, name: &str) -> Result<()> {
        for root in &self.roots {
            let path = self.staging_dir(root.id, name)?;
            match disk::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at("remove", &path),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes everything from the staging directories. Only for the start: nobody writes there yet.
    pub(crate) fn sweep_staging(&self) -> Result<usize> {
        let mut swept = 0;
        for root in self.roots.iter().filter(|root| self.configured.contains(&root.id)) {
            let staging = root.path.join(STAGING);
            for entry in fs::read_dir(&staging).at("list", &staging)? {
                let path = entry.at("list", &staging)?.path();
                let removed = if path.is_dir() { disk::remove_dir_all(&path) } else { disk::remove_file(&path) };
                removed.at("remove", &path)?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Moves synced files from staging, on the same root, to a tablet's directory. When this returns, they are there
    /// to stay. A file that is there already is replaced by the same bytes.
    pub fn install(&self, root: StorageRootId, tablet: TabletId, files: &[StagedFile]) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let directory = self.tablet_dir(root, tablet)?;
        create_dir_durable(&directory)?;
        for file in files {
            let to = directory.join(format!("{}.{}", file.digest, file.kind));
            disk::rename(&file.path, &to).at("rename to", &to)?;
        }
        sync_dir(&directory)
    }

    /// The tablets that have a directory on a root, in no order. Other entries are left out.
    pub fn tablets_on_disk(&self, root: StorageRootId) -> Result<Vec<TabletId>> {
        let directory = self.path(root)?.join(TABLETS);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.at("list", &directory)?,
        };
        let mut tablets = Vec::new();
        for entry in entries {
            let name = entry.at("list", &directory)?.file_name();
            if let Some(id) = name.to_str().and_then(|name| name.parse().ok()) {
                tablets.push(TabletId(id));
            }
        }
        Ok(tablets)
    }

    /// The files of a tablet's replica on a root, in no order. Other entries are left out.
    pub fn files_on_disk(&self, root: StorageRootId, tablet: TabletId) -> Result<Vec<(Digest, FileKind)>> {
        let directory = self.tablet_dir(root, tablet)?;
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.at("list", &directory)?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let name = entry.at("list", &directory)?.file_name();
            files.extend(name.to_str().and_then(parse_file_name));
        }
        Ok(files)
    }

    /// Bytes a root has room for.
    pub fn free_bytes(&self, root: StorageRootId) -> Result<u64> {
        let path = self.path(root)?;
        let stat = rustix::fs::statvfs(path).map_err(io::Error::from).at("ask the free space of", path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// `<digest>.<extension>` as the catalog knows it.
fn parse_file_name(name: &str) -> Option<(Digest, FileKind)> {
    let (digest, extension) = name.split_once('.')?;
    let kind = [FileKind::Segment, FileKind::DeleteVector].into_iter().find(|kind| kind.extension() == extension)?;
    Some((digest.parse().ok()?, kind))
}

/// Makes a new file; one that is there is an error.
pub fn create_file(path: &Path) -> Result<File> {
    File::options().write(true).create_new(true).open(path).at("create", path)
}

/// Makes a file's bytes durable. Its name is durable once its directory is synced as well.
pub fn sync_file(file: &File, path: &Path) -> Result<()> {
    disk::sync_file(file).at("sync", path)
}

/// Makes the names in a directory durable.
pub fn sync_dir(path: &Path) -> Result<()> {
    disk::sync_directory(path).at("sync", path)
}

/// Bits of a mode that let accounts in which are neither the owner nor of the group.
const OTHERS: u32 = 0o007;

/// Directories that were made and whose parents could not be synced then.
///
/// The lock is held while a directory is made, so that whoever finds one that is there may rely on its name: it is not
/// one that another thread has made and not yet synced.
static UNSYNCED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Makes a directory and syncs its parent; one that is there is fine. When this returns, it is there to stay, if no
/// earlier process has left it unsynced (see [`keep_dir`]).
pub fn create_dir_durable(path: &Path) -> Result<()> {
    create_dir_synced(path, disk::create_dir, &mut UNSYNCED.lock())
}

/// Makes a directory with `create`, and those above it that are missing as directories are by default.
fn create_dir_synced(path: &Path, create: fn(&Path) -> io::Result<()>, unsynced: &mut BTreeSet<PathBuf>) -> Result<()> {
    // The parent of a bare name is the empty path: the working directory, which is there.
    if path.as_os_str().is_empty() || (path.is_dir() && !unsynced.contains(path)) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_dir_synced(parent, disk::create_dir, unsynced)?;
    }
    match create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.at("create", path)?,
    }
    let synced = sync_parent(path);
    match &synced {
        Ok(()) => unsynced.remove(path),
        Err(_) => unsynced.insert(path.to_owned()),
    };
    synced
}

/// Makes a directory durable with the names in it, also when it was there: a process that was killed may have made any of
/// them without syncing them. For the start, where few directories are looked at once.
pub fn keep_dir(path: &Path) -> Result<()> {
    keep_dir_made_by(path, disk::create_dir)
}

/// The same for a directory whose files are nobody else's business: one that is made is its owner's alone. One that is
/// there stays as somebody has set it up, and the log tells when all the machine may look into it.
pub fn keep_private_dir(path: &Path) -> Result<()> {
    keep_dir_made_by(path, disk::create_private_dir)?;
    let mode = fs::metadata(path).at("look at", path)?.permissions().mode();
    if mode & OTHERS != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{:04o}", mode & 0o7777),
            "every account of this machine may look into this directory, which holds the data: chmod 0700, unless it is meant"
        );
    }
    Ok(())
}

fn keep_dir_made_by(path: &Path, create: fn(&Path) -> io::Result<()>) -> Result<()> {
    create_dir_synced(path, create, &mut UNSYNCED.lock())?;
    match sync_parent(path) {
        // The directory above may be somebody else's; then its owner has made this one.
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {}
        synced => synced?,
    }
    sync_dir(path)
}

fn sync_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_dir(Path::new(".")),
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

/// Gives `from` a second name `to`: a hard link where both lie on one filesystem, a synced copy elsewhere. `to` is
/// durable once its directory is synced. A `to` that is there is replaced.
pub fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    disk::remove_file_if_there(to).at("remove", to)?;
    if disk::hard_link(from, to).is_ok() {
        return Ok(());
    }
    // Another filesystem, or one without links: whatever the reason was, the copy tells it.
    copy_synced(from, to).map(drop)
}

/// Copies a file and syncs the copy. Returns the digest of what was read and written.
pub fn copy_synced(from: &Path, to: &Path) -> Result<Digest> {
    let mut source = File::open(from).at("open", from)?;
    let mut target = DigestWriter::new(create_file(to)?);
    io::copy(&mut source, &mut target).at("copy to", to)?;
    let (target, digest, _) = target.finish();
    sync_file(&target, to)?;
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, SystemRandom};
    use std::sync::Arc;

    fn open(dir: &Path, roots: &[&str]) -> (Catalog, Result<StorageRoots>) {
        let catalog = Catalog::open(&dir.join("catalog.db"), ManualClock::at(1), Arc::new(SystemRandom)).unwrap();
        let paths: Vec<PathBuf> = roots.iter().map(|root| dir.join(root)).collect();
        let roots = StorageRoots::open(&catalog, dir, &paths);
        (catalog, roots)
    }

    #[test]
    fn roots_keep_their_ids_and_unconfigured_ones_stay_readable() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), &["a", "deep/b"]).1.unwrap();
        let again = open(dir.path(), &["deep/b", "c"]).1.unwrap();
        assert_eq!(again.configured(), [first.configured()[1], again.all()[1].id]);
        assert_eq!(again.all().len(), 3);
        assert_eq!(again.path(first.configured()[0]).unwrap(), dir.path().canonicalize().unwrap().join("a"));
        assert_eq!(again.default_replication_num(), 2);
        let twice = open(dir.path(), &["a", "./a"]).1.unwrap_err();
        assert!(twice.to_string().contains("configured twice"), "{twice}");
    }

    #[test]
    fn directories_are_made_below_the_working_directory_too() {
        create_dir_durable(Path::new("")).unwrap();
        let dir = tempfile::tempdir_in(".").unwrap();
        let relative = Path::new(dir.path().file_name().unwrap()).join("deep/er");
        create_dir_durable(&relative).unwrap();
        create_dir_durable(&relative).unwrap();
        assert!(relative.is_dir());
    }

    #[test]
    fn install_moves_a_staged_file_under_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let roots = open(dir.path(), &["a"]).1.unwrap();
        let root = roots.configured()[0];
        let staging = roots.create_staging(root, "7").unwrap();
        let digest = Digest::of(b"bytes");
        for _ in 0..2 {
            let path = staging.join("0.parquet");
            fs::write(&path, b"bytes").unwrap();
            roots.install(root, TabletId(3), &[StagedFile { path, digest, kind: FileKind::Segment }]).unwrap();
        }
        let path = roots.file_path(root, TabletId(3), &digest, FileKind::Segment).unwrap();
        assert_eq!(Digest::of_file(&path).unwrap(), (digest, 5));
        assert_eq!(roots.tablets_on_disk(root).unwrap(), [TabletId(3)]);
        assert_eq!(roots.files_on_disk(root, TabletId(3)).unwrap(), [(digest, FileKind::Segment)]);
        assert!(roots.free_bytes(root).unwrap() > 0);

        fs::write(staging.join("left"), b"x").unwrap();
        assert_eq!(roots.sweep_staging().unwrap(), 1);
        assert!(!staging.exists());
        assert!(roots.staging_dir(root, "../x").is_err());
    }

    #[test]
    fn link_or_copy_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, b"new").unwrap();
        fs::write(&to, b"old").unwrap();
        link_or_copy(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"new");
    }
}
