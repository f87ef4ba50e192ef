//! The looking: files against the catalog, and against their own names. Nothing here writes.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::report::{FsckReport, Kind};
use crate::catalog::{Catalog, FileKind, ReplicaRow, TabletFile, TabletOwner};
use crate::digest::Digest;
use crate::error::{Error, IoContext, Result};
use crate::ids::TabletId;
use crate::repository::Vault;
use crate::roots::{CORRUPT_EXTENSION, StorageRoot, StorageRoots, TREE_EXTENSION};
use crate::segment::SegmentTree;

/// Where storage roots keep tablets; the one root of a directory that does not say otherwise is `storage`.
const TABLETS: &str = "tablets";

/// Says which storage roots are not there.
pub(super) fn at_roots(roots: &StorageRoots, report: &mut FsckReport) {
    for root in roots.all().iter().filter(|root| !root.path.is_dir()) {
        let detail = "the directory is not there: is its disk mounted?";
        report.add(Kind::RootMissing, root.path.display(), detail);
    }
}

/// Reads every file that a replica should have.
pub(super) fn at_tablets(catalog: &Catalog, roots: &StorageRoots, report: &mut FsckReport) -> Result<()> {
    let tablets: Vec<TabletId> = catalog.read(|read| Ok(read.replicas_by_tablet()?.into_keys().collect()))?;
    for tablet in tablets {
        let found = catalog
            .read(|read| Ok((read.tablet_owner(tablet)?, read.replicas(tablet)?, read.tablet_files(tablet)?)))?;
        let (Some(owner), replicas, files) = found else { continue };
        // A restore has not finished it: the server goes on with it, and verifies what it finds.
        if owner.hidden {
            continue;
        }
        report.tablets += 1;
        report.replicas += replicas.len() as u64;
        let mut whole: HashSet<i64> = replicas.iter().map(|replica| replica.id.0).collect();
        for file in &files {
            at_file(roots, &owner, &replicas, file, &mut whole, report)?;
        }
        for replica in replicas.iter().filter(|replica| !replica.healthy && whole.contains(&replica.id.0)) {
            let place = roots.tablet_dir(replica.root_id, tablet)?;
            report.add(Kind::MarkedBad, place.display(), format!("{} has every file whole", describe(&owner)));
        }
    }
    Ok(())
}

/// Compares what the replicas have of one file.
fn at_file(
    roots: &StorageRoots,
    owner: &TabletOwner,
    replicas: &[ReplicaRow],
    file: &TabletFile,
    whole_replicas: &mut HashSet<i64>,
    report: &mut FsckReport,
) -> Result<()> {
    let tablet = owner.tablet.id;
    let mut whole: Option<PathBuf> = None;
    let mut damaged: Vec<(PathBuf, String)> = Vec::new();
    for replica in replicas {
        let path = roots.file_path(replica.root_id, tablet, &file.digest, file.kind)?;
        report.files += 1;
        match hash(&path, file) {
            Ok(bytes) => {
                report.bytes += bytes;
                at_tree(&path, file, report);
                whole.get_or_insert(path);
            }
            Err(detail) => {
                whole_replicas.remove(&replica.id.0);
                damaged.push((path, detail));
            }
        }
    }
    for (path, detail) in damaged {
        let place = path.display().to_string();
        match &whole {
            Some(whole) => {
                let detail = format!("{}: {detail}; it is whole at {}", describe(owner), whole.display());
                report.add(Kind::Damaged { tablet, path, whole: whole.clone() }, place, detail);
            }
            None => report.add(Kind::Lost { tablet, path }, place, format!("{}: {detail}", describe(owner))),
        }
    }
    Ok(())
}

fn describe(owner: &TabletOwner) -> String {
    format!(
        "tablet {} of partition '{}' of table '{}.{}'{}",
        owner.tablet.id,
        owner.partition.name,
        owner.database,
        owner.table.name,
        if owner.live { "" } else { " (dropped)" }
    )
}

fn hash(path: &Path, file: &TabletFile) -> Result<u64, String> {
    match Digest::of_file(path) {
        Ok((digest, bytes)) if digest == file.digest && bytes == file.bytes => Ok(bytes),
        Ok((_, bytes)) if bytes != file.bytes => Err(format!("it has {bytes} bytes instead of {}", file.bytes)),
        Ok(_) => Err("its bytes do not match its digest".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("it is missing".to_owned()),
        Err(error) => Err(format!("it cannot be read: {error}")),
    }
}

/// Looks at the hash tree beside a whole segment, when there is one.
fn at_tree(path: &Path, file: &TabletFile, report: &mut FsckReport) {
    let path = path.with_extension(TREE_EXTENSION);
    let Some(encoded) = (file.kind == FileKind::Segment).then(|| fs::read(&path).ok()).flatten() else { return };
    if SegmentTree::decode(file.digest, file.bytes, &encoded).is_none() {
        let place = path.display().to_string();
        let detail = "it is not the hash tree of its segment; a reader makes it anew";
        report.add(Kind::WrongTree { path }, place, detail);
    }
}

/// Opens the sealed properties of every repository. Nothing of what they hold is told.
pub(super) fn at_sealed(catalog: &Catalog, vault: &Vault, report: &mut FsckReport) -> Result<()> {
    let repositories = catalog.read(|read| read.repositories())?;
    for repository in repositories.iter().filter(|repository| Vault::is_sealed(&repository.properties)) {
        if let Err(error) = vault.open(&repository.identity, &repository.properties) {
            report.add(Kind::Sealed, format!("repository '{}'", repository.name), error.to_string());
        }
    }
    Ok(())
}

/// Looks at what lies in the storage roots besides.
pub(super) fn at_the_rest(catalog: &Catalog, roots: &StorageRoots, report: &mut FsckReport) -> Result<()> {
    for root in roots.all() {
        let directory = root.path.join(TABLETS);
        for entry in entries(&directory)? {
            let Some(tablet) = parse_tablet(&entry) else {
                report.add(Kind::Note, entry.display(), "no directory of a tablet");
                continue;
            };
            let named = catalog.read(|read| match read.tablet_owner(tablet)? {
                Some(owner) if owner.hidden => Ok(None),
                Some(_) => Ok(Some(read.named_files(tablet)?)),
                None => Ok(Some(read.pinned_files(tablet)?)),
            })?;
            let Some(named) = named else { continue };
            for path in entries(&entry)? {
                at_entry(root, path, &named, report);
            }
        }
        for left in entries(&root.path.join("staging"))? {
            report.add(
                Kind::Note,
                left.display(),
                "left by a load or job that a stop cut short: the next start removes it",
            );
        }
    }
    Ok(())
}

fn at_entry(root: &StorageRoot, path: PathBuf, named: &HashSet<Digest>, report: &mut FsckReport) {
    let place = path.display().to_string();
    match parse_file(&path) {
        None => report.add(Kind::Note, place, "its name is none of ours: it is left alone"),
        Some((_, extension)) if extension == CORRUPT_EXTENSION => {
            report.add(Kind::Note, place, "a damaged file that was set aside");
        }
        Some((digest, _)) if !named.contains(&digest) => {
            let detail = "nothing names it: a start would delete it";
            report.add(Kind::Unnamed { root: root.path.clone(), path }, place, detail);
        }
        Some(_) => {}
    }
}

/// Holds every file against its name, for a catalog that cannot be believed.
pub(super) fn by_name_alone(data_dir: &Path, report: &mut FsckReport) -> Result<()> {
    let mut tablets: Vec<PathBuf> = entries(&data_dir.join("storage").join(TABLETS))?;
    // Other storage roots are known to the catalog alone, and those it names may still be right.
    for root in Catalog::roots_of_damaged(&data_dir.join("catalog.db")) {
        let root = data_dir.join(root).join(TABLETS);
        tablets.extend(entries(&root).unwrap_or_default());
    }
    tablets.sort();
    tablets.dedup();
    for directory in tablets {
        report.replicas += 1;
        for path in entries(&directory)? {
            let Some((digest, extension)) = parse_file(&path) else { continue };
            if extension == CORRUPT_EXTENSION || extension == TREE_EXTENSION {
                continue;
            }
            let (found, bytes) = Digest::of_file(&path).at("read", &path)?;
            report.files += 1;
            report.bytes += bytes;
            if found != digest {
                report.add(Kind::NotItsName, path.display(), "its bytes do not match its digest");
            }
        }
    }
    Ok(())
}

fn parse_tablet(path: &Path) -> Option<TabletId> {
    path.is_dir().then(|| path.file_name()?.to_str()?.parse().ok().map(TabletId)).flatten()
}

/// The digest and the extension in the name of a file of ours.
fn parse_file(path: &Path) -> Option<(Digest, String)> {
    let (digest, extension) = path.file_name()?.to_str()?.split_once('.')?;
    let ours = ["parquet", "dv", CORRUPT_EXTENSION, TREE_EXTENSION].contains(&extension);
    Some((digest.parse().ok().filter(|_| ours)?, extension.to_owned()))
}

/// What a directory holds, by name; nothing when it is not there.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let listed = match fs::read_dir(directory) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        listed => listed.at("list", directory)?,
    };
    let mut paths =
        listed.map(|entry| Ok(entry.at("list", directory)?.path())).collect::<Result<Vec<PathBuf>, Error>>()?;
    paths.sort();
    Ok(paths)
}
