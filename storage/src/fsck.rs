//! `ebla fsck`: looks at a data directory that no server uses, and says what has changed on its disks.
//!
//! 1. The directory's lock is taken: nobody writes meanwhile.
//! 2. The catalog: its structure, the checksums of its rows, its log. What a damaged catalog says is not believed; then
//!    every file is only held against its own name.
//! 3. Every replica of every tablet: each segment and delete vector that the catalog names is read and hashed. Replicas
//!    are compared by that: a file that one has whole heals the others, one that none has is lost.
//! 4. The sealed properties of repositories: whether the secret key opens them.
//! 5. What lies there besides: files that nothing names, files set aside, entries that are not ours.
//!
//! Nothing is changed but for the lock file and what opening a catalog changes: a newer version brings it to its schema.
//! Asked to repair, the directory is opened as a server would open it, replicas are rebuilt from each other, what nothing
//! names is moved to `<root>/quarantine`, and everything is looked at again. The last copy of a file is never deleted,
//! whole or not.

mod look;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalog::{Catalog, CatalogCheck};
use crate::clock::{Clock, Random};
use crate::disk;
use crate::error::{Error, IoContext, Result};
use crate::repository::{Secret, Vault};
use crate::roots::{StorageRoots, create_dir_durable};
use crate::storage::{Storage, StorageConfig, take_lock};
pub use report::{Finding, FsckReport, Kind, Verdict};

/// What is asked of a check.
#[derive(Debug, Clone)]
pub struct FsckOptions {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Rebuild replicas from each other and move away what nothing names.
    pub repair: bool,
    /// Take what a damaged catalog says for true from now on.
    pub trust_catalog: bool,
    /// The key of sealed properties, where it is not in the directory's file.
    pub secret_key: Option<Secret>,
}

/// Looks at a data directory. Errors when it cannot be looked at: it is in use, is none, or cannot be read.
pub fn fsck(options: &FsckOptions, clock: &Arc<dyn Clock>, random: &Arc<dyn Random>) -> Result<FsckReport> {
    let config = StorageConfig::new(&options.data_dir);
    let catalog_path = config.catalog_path();
    if !catalog_path.is_file() {
        return Err(Error::invalid(format!(
            "{} holds no catalog: name the data directory of a server that has been started once",
            options.data_dir.display()
        )));
    }
    let lock = take_lock(&config)?;
    let mut report = FsckReport::default();
    if let Some(detail) = Catalog::find_damage(&catalog_path, CatalogCheck::Full)? {
        report.add(Kind::CatalogDamaged, catalog_path.display(), detail);
        if !options.trust_catalog {
            look::by_name_alone(&options.data_dir, &mut report)?;
            return Ok(report);
        }
        Catalog::accept_damage(&catalog_path)?;
        report.add(Kind::CatalogTrusted, catalog_path.display(), "what it says is taken for true from now on");
    }
    let vault = Vault::new(&options.data_dir, options.secret_key.clone());
    let roots = look_at_all(&config, &vault, clock, random, &mut report)?;
    drop(lock);
    if !options.repair {
        return Ok(report);
    }
    let mut config = config;
    config.roots = roots;
    repair(config.clone(), clock, random, &report)?;
    let mut after = FsckReport::default();
    let _lock = take_lock(&config)?;
    look_at_all(&config, &vault, clock, random, &mut after)?;
    Ok(after.after_repair_of(report))
}

/// Looks at everything that the catalog names, and at the rest. Returns the roots that are there.
fn look_at_all(
    config: &StorageConfig,
    vault: &Vault,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
    report: &mut FsckReport,
) -> Result<Vec<PathBuf>> {
    let catalog = Catalog::open(&config.catalog_path(), Arc::clone(clock), Arc::clone(random))?;
    let roots = StorageRoots::open(&catalog, &config.data_dir, &[])?;
    look::at_roots(&roots, report);
    look::at_tablets(&catalog, &roots, report)?;
    look::at_sealed(&catalog, vault, report)?;
    look::at_the_rest(&catalog, &roots, report)?;
    let there = roots.all().iter().map(|root| root.path.clone()).filter(|path| path.is_dir());
    Ok(there.collect())
}

fn repair(config: StorageConfig, clock: &Arc<dyn Clock>, random: &Arc<dyn Random>, found: &FsckReport) -> Result<()> {
    let storage = Storage::open(config, Arc::clone(clock), Arc::clone(random))?;
    for finding in found.findings() {
        match &finding.kind {
            Kind::Damaged { tablet, path, .. } | Kind::Lost { tablet, path } => {
                storage.files().mark_copy_bad(*tablet, path, &finding.detail);
            }
            Kind::WrongTree { path } => remove_derived(path)?,
            Kind::Unnamed { root, path } => quarantine(root, path)?,
            _ => {}
        }
    }
    let repaired = storage.repair_replicas()?;
    match repaired.failure {
        Some(failure) => Err(Error::Internal(failure)),
        None => Ok(()),
    }
}

fn remove_derived(path: &Path) -> Result<()> {
    disk::remove_file_if_there(path).at("remove", path)
}

/// Moves a file of a root to its quarantine, under the same path. It stays on its disk, so nothing is copied.
fn quarantine(root: &Path, path: &Path) -> Result<()> {
    let below = path.strip_prefix(root).map_err(|_| Error::Internal(format!("{} is elsewhere", path.display())))?;
    let to = root.join("quarantine").join(below);
    if let Some(directory) = to.parent() {
        create_dir_durable(directory)?;
    }
    match disk::rename(path, &to) {
        // Opening the directory has swept it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        moved => moved.at("move to", &to),
    }
}

#[cfg(test)]
mod tests;
