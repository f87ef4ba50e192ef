//! Repair: replicas that are bad, or that lack files, are rebuilt from good ones.
//!
//! A reader that meets a missing or damaged file marks the replica as bad, sets the damaged file aside and reads
//! another replica. Repair compares what a replica has with what the catalog names: a replica marked as bad file by
//! file against the digests, any other by presence and size. What is missing is copied from another replica, hashed on
//! the way, synced and installed. A file that no replica has whole is fetched from a repository that has an object of
//! its digest, whichever snapshot put it there. Only a replica that has everything is marked as good again, by a
//! transaction that makes sure nothing was added meanwhile. A damaged file stays where it is until a whole one takes its
//! place: what is read of it is checked, and may be all that is left.
//!
//! A file that is nowhere whole is reported with its table and tablet, and stays named: only restoring the partition
//! from a backup, or dropping it, helps then.

mod copy;
mod rescue;

pub(crate) use rescue::Rescue;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use crate::catalog::{ReplicaRow, TabletFile, TabletOwner};
use crate::digest::Digest;
use crate::disk;
use crate::error::{Error, Result};
use crate::ids::{StorageRootId, TabletId};
use crate::roots::{CORRUPT_EXTENSION, StagedFile};
use crate::storage::Storage;
use copy::copy_checked;

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Replicas that are whole again.
    pub repaired_replicas: u64,
    /// Files fetched from a repository, as no replica had them.
    pub fetched_files: u64,
    /// Files copied.
    pub copied_files: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Files of which no whole copy is left.
    pub lost: Vec<LostFile>,
    /// The first replica that could not be rebuilt for another reason, and why.
    pub failure: Option<String>,
}

/// A file of which no whole copy is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostFile {
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// The partition.
    pub partition: String,
    /// The tablet.
    pub tablet: TabletId,
    /// Where it should be.
    pub path: PathBuf,
}

/// How closely a replica is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Files are there and have their size.
    Sizes,
    /// Files have their digest.
    Digests,
}

/// What became of one file.
enum Fetched {
    /// It is there now, from another replica.
    Copied,
    /// It is there now, from a repository.
    Rescued,
    /// Nobody names it any more.
    NotNeeded,
    /// No whole copy of it is left.
    Lost,
}

impl Storage {
    /// Looks at every replica and rebuilds what is missing. It blocks, and asks the file system about every file.
    pub fn repair_replicas(&self) -> Result<RepairReport> {
        let tablets: Vec<TabletId> =
            self.catalog().read(|read| Ok(read.replicas_by_tablet()?.into_keys().collect()))?;
        self.repair(&tablets)
    }

    /// Rebuilds the replicas that are marked as bad.
    pub(crate) fn repair_bad_replicas(&self) -> Result<RepairReport> {
        let tablets = self.catalog().read(|read| read.tablets_with_bad_replica())?;
        self.repair(&tablets)
    }

    fn repair(&self, tablets: &[TabletId]) -> Result<RepairReport> {
        let mut report = RepairReport::default();
        for tablet in tablets {
            if self.background().is_stopping() {
                return Err(Error::Cancelled);
            }
            let found = self.catalog().read(|read| {
                let owner = read.tablet_owner(*tablet)?;
                Ok(owner.map(|owner| Ok::<_, Error>((owner, read.replicas(*tablet)?, read.tablet_files(*tablet)?))))
            })?;
            let Some(found) = found else { continue };
            let (owner, replicas, files) = found?;
            // A restore fills its tablets itself.
            if owner.hidden {
                continue;
            }
            let _span = tracing::info_span!("repair", %tablet, table = %owner.table.name).entered();
            for replica in &replicas {
                if let Err(error) = self.repair_replica(&owner, replica, &replicas, &files, &mut report) {
                    if matches!(error, Error::Cancelled) {
                        return Err(error);
                    }
                    report.failure.get_or_insert_with(|| format!("replica {} of tablet {tablet}: {error}", replica.id));
                }
            }
        }
        report.publish();
        Ok(report)
    }

    fn repair_replica(
        &self,
        owner: &TabletOwner,
        replica: &ReplicaRow,
        replicas: &[ReplicaRow],
        files: &BTreeSet<TabletFile>,
        report: &mut RepairReport,
    ) -> Result<()> {
        let tablet = owner.tablet.id;
        let check = if replica.healthy { Check::Sizes } else { Check::Digests };
        if !replica.healthy {
            // A disk that is still gone is no place to rebuild on.
            self.roots().create_staging(replica.root_id, &staging_name(tablet))?;
        }
        let mut whole = true;
        for file in files {
            let path = self.roots().file_path(replica.root_id, tablet, &file.digest, file.kind)?;
            if is_whole(&path, file, check) {
                continue;
            }
            match self.fetch(tablet, replica.root_id, replicas, file)? {
                fetched @ (Fetched::Copied | Fetched::Rescued) => {
                    match fetched {
                        Fetched::Rescued => report.fetched_files += 1,
                        _ => {
                            report.copied_files += 1;
                            report.copied_bytes += file.bytes;
                        }
                    }
                    // What was set aside has been replaced.
                    let _ = disk::remove_file(&path.with_extension(CORRUPT_EXTENSION));
                }
                Fetched::NotNeeded => {}
                Fetched::Lost => {
                    whole = false;
                    let lost = LostFile {
                        database: owner.database.clone(),
                        table: owner.table.name.clone(),
                        partition: owner.partition.name.clone(),
                        tablet,
                        path,
                    };
                    let known =
                        |other: &LostFile| other.tablet == tablet && other.path.file_name() == lost.path.file_name();
                    if !report.lost.iter().any(known) {
                        report.lost.push(lost);
                    }
                }
            }
        }
        if whole && !replica.healthy {
            let healed = self.catalog().write(|write| {
                let unchanged = write.tablet_files(tablet)? == *files;
                if unchanged {
                    write.set_replica_health(replica.id, true)?;
                }
                Ok(unchanged)
            })?;
            if healed {
                report.repaired_replicas += 1;
                tracing::info!(replica = %replica.id, "replica is whole again");
            }
        }
        self.roots().remove_staging(&staging_name(tablet))
    }

    /// Copies a file to a root from wherever a whole copy of it is.
    fn fetch(
        &self,
        tablet: TabletId,
        to: StorageRootId,
        replicas: &[ReplicaRow],
        file: &TabletFile,
    ) -> Result<Fetched> {
        let staged =
            self.roots().create_staging(to, &staging_name(tablet))?.join(format!("{}.{}", file.digest, file.kind));
        let good = replicas.iter().filter(|replica| replica.healthy).map(|replica| replica.root_id);
        let others = self.roots().all().iter().map(|root| root.id);
        let mut asked = BTreeSet::from([to]);
        for root in good.chain(others) {
            if !asked.insert(root) {
                continue;
            }
            let path = self.roots().file_path(root, tablet, &file.digest, file.kind)?;
            match copy_checked(&path, &staged, file) {
                Ok(()) => return self.install_copy(tablet, to, file, staged, Fetched::Copied),
                Err(copy::Failure::Missing) => {}
                Err(copy::Failure::Damaged(detail)) => self.files().mark_copy_bad(tablet, &path, &detail),
                Err(copy::Failure::Write(error)) => return Err(error),
            }
        }
        if !self.catalog().read(|read| read.is_file_live(tablet, &file.digest))? {
            return Ok(Fetched::NotNeeded);
        }
        if self.fetch_from_repositories(file, &staged)? {
            return self.install_copy(tablet, to, file, staged, Fetched::Rescued);
        }
        Ok(Fetched::Lost)
    }

    fn install_copy(
        &self,
        tablet: TabletId,
        to: StorageRootId,
        file: &TabletFile,
        path: PathBuf,
        fetched: Fetched,
    ) -> Result<Fetched> {
        let _gate = self.pins().install_guard();
        // From here on the collector is kept out: what is named now is garbage at the worst, never without a name.
        if !self.catalog().read(|read| read.is_file_live(tablet, &file.digest))? {
            return Ok(Fetched::NotNeeded);
        }
        self.roots().install(to, tablet, &[StagedFile { path, digest: file.digest, kind: file.kind }])?;
        Ok(fetched)
    }
}

fn staging_name(tablet: TabletId) -> String {
    format!("repair-{tablet}")
}

fn is_whole(path: &std::path::Path, file: &TabletFile, check: Check) -> bool {
    match check {
        Check::Sizes => fs::metadata(path).is_ok_and(|metadata| metadata.len() == file.bytes),
        Check::Digests => {
            Digest::of_file(path).is_ok_and(|(digest, bytes)| digest == file.digest && bytes == file.bytes)
        }
    }
}

impl RepairReport {
    fn publish(&self) {
        metrics::counter!("ebla_repaired_replicas_total").increment(self.repaired_replicas);
        metrics::counter!("ebla_repaired_files_total").increment(self.copied_files);
        metrics::counter!("ebla_rescued_files_total").increment(self.fetched_files);
        metrics::gauge!("ebla_lost_files").set(self.lost.len() as f64);
    }

    /// A failure, when something could not be rebuilt.
    pub(crate) fn into_result(self) -> Result<RepairReport> {
        if let Some(lost) = self.lost.first() {
            return Err(Error::Internal(format!(
                "{} files have no whole copy left; the first is {lost}",
                self.lost.len()
            )));
        }
        match self.failure {
            Some(failure) => Err(Error::Internal(failure)),
            None => Ok(self),
        }
    }
}

impl fmt::Display for LostFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of tablet {} of partition '{}' of table '{}.{}': restore this partition from a snapshot",
            self.path.display(),
            self.tablet,
            self.partition,
            self.database,
            self.table
        )
    }
}

#[cfg(test)]
mod tests;
