//! A look into every file before it becomes visible.
//!
//! A digest says that bytes are what somebody wrote, not that it was sensible. So what each segment says of itself is
//! held against what is there ([`inspect`]), its rows are counted, its columns compared with the table's, and each
//! delete vector is decoded: a file that a scan could stumble over never gets a name in a tablet.
//!
//! Where an earlier process has worked on the job, the names of its files are synced as well: it may have been killed
//! between giving a file its name and syncing it, and the file was found in its place since.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use futures::{FutureExt, TryStreamExt, stream};

use super::hidden::{Hidden, HiddenPartition};
use crate::catalog::FileKind;
use crate::digest::Digest;
use crate::error::{Error, IoContext, Result};
use crate::ids::TabletId;
use crate::job::JobContext;
use crate::repository::format::{DeletesEntry, SegmentEntry};
use crate::roots::{StorageRoots, sync_dir};
use crate::schema::TableDefinition;
use crate::segment::{DeleteVector, inspect};

/// Partitions that are looked at at the same time.
const PARTITIONS_IN_FLIGHT_MAX: usize = 2;

/// Looks into every file of the hidden tablets. Errors with the first one that is not what its table needs.
pub(super) async fn run(context: &JobContext, hidden: &Hidden) -> Result<()> {
    stream::iter((0..hidden.partitions.len()).map(Ok))
        .try_for_each_concurrent(PARTITIONS_IN_FLIGHT_MAX, |position| {
            async move {
                let (hidden, files) = (hidden.clone(), context.files.clone());
                let (roots, gate) = (Arc::clone(context.storage.roots()), Arc::clone(&context.gate));
                let resumed = context.resumed;
                context
                    .blocking(move || {
                        let partition = &hidden.partitions[position];
                        if resumed {
                            sync_names(&roots, partition)?;
                        }
                        for entry in &partition.node(&files)?.tablets {
                            for segment in entry.rowsets.iter().flat_map(|rowset| &rowset.segments) {
                                if gate.closed_because().is_some() {
                                    return Err(Error::Cancelled);
                                }
                                check_segment(&roots, partition, entry.bucket, segment)?;
                            }
                        }
                        Ok(())
                    })
                    .await
            }
            .boxed()
        })
        .await
}

/// Makes durable what is in the directories of a partition's tablets. One without files has no directory.
fn sync_names(roots: &StorageRoots, partition: &HiddenPartition) -> Result<()> {
    for tablet in &partition.tablets {
        for root in &tablet.roots {
            match sync_dir(&roots.tablet_dir(*root, tablet.id)?) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                synced => synced?,
            }
        }
    }
    Ok(())
}

fn check_segment(roots: &StorageRoots, partition: &HiddenPartition, bucket: u32, segment: &SegmentEntry) -> Result<()> {
    let tablet = partition.tablet(bucket)?;
    for root in &tablet.roots {
        let path = roots.file_path(*root, tablet.id, &segment.digest, FileKind::Segment)?;
        segment_fits(&path, segment.rows, &partition.definition)
            .map_err(|detail| unfit(tablet.id, &path, &partition.table, detail))?;
        if let Some(deletes) = segment.deletes {
            let path = roots.file_path(*root, tablet.id, &deletes.digest, FileKind::DeleteVector)?;
            let bytes = fs::read(&path).at("read", &path)?;
            deletes_fit(&bytes, segment.rows, &deletes)
                .map_err(|detail| unfit(tablet.id, &path, &partition.table, detail))?;
        }
    }
    Ok(())
}

/// Whether a segment has the rows it should have, in columns of the table's types.
pub(crate) fn segment_fits(path: &Path, rows: u64, definition: &TableDefinition) -> Result<(), String> {
    let found = inspect(path, definition)?;
    if found != rows {
        return Err(format!("it has {found} rows, by the snapshot {rows}"));
    }
    Ok(())
}

/// Whether a delete vector is the one a snapshot names and fits a segment of so many rows.
pub(crate) fn deletes_fit(bytes: &[u8], rows: u64, deletes: &DeletesEntry) -> Result<(), String> {
    if Digest::of(bytes) != deletes.digest {
        return Err("its bytes do not match their digest".to_owned());
    }
    let positions = DeleteVector::decode(bytes, rows)?;
    if positions.len() != deletes.rows {
        return Err(format!("it deletes {} rows, the snapshot says {}", positions.len(), deletes.rows));
    }
    Ok(())
}

fn unfit(tablet: TabletId, path: &Path, table: &str, detail: String) -> Error {
    Error::Corrupt {
        tablet,
        path: path.to_owned(),
        detail: format!("{detail} (table {table}): the snapshot cannot be restored as it is"),
    }
}
