//! What keeps a file that no catalog row names any more: readers in this process, and installations under way.
//!
//! Jobs pin files in the catalog, because their pins must outlive the process. A reader's pin is its
//! [`TableSnapshot`]: the collector asks which ones live.
//!
//! The gate closes two gaps. A reader reads the catalog and registers its snapshot while it holds the gate shared, so
//! the collector, which takes it alone, never works between the two. A writer holds it shared from the moment its files
//! are in a tablet's directory until the transaction that names them is done: files are named by their content, so a
//! new file may be one that the collector is about to delete.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::catalog::TabletState;
use crate::digest::Digest;
use crate::ids::TabletId;
use crate::table_snapshot::TableSnapshot;

/// How long the collector waits for those who install files or begin to read.
const COLLECT_WAIT: Duration = Duration::from_secs(2);

/// The snapshots that live, and the gate between installing and collecting.
#[derive(Debug, Default)]
pub struct Pins {
    snapshots: Mutex<Vec<Weak<TableSnapshot>>>,
    gate: RwLock<()>,
}

/// Held while files are installed and until the catalog names them.
#[derive(Debug)]
#[must_use]
pub struct InstallGuard<'a>(#[expect(dead_code, reason = "held for its drop")] RwLockReadGuard<'a, ()>);

impl Pins {
    /// Keeps the collector out until the guard is dropped. Hold it around [`crate::roots::StorageRoots::install`] and
    /// the transaction that names the files, and not for long: do copying before.
    pub fn install_guard(&self) -> InstallGuard<'_> {
        InstallGuard(self.gate.read_recursive())
    }

    /// Keeps everybody out who installs files or begins to read. `None` when somebody else is in for too long: ask
    /// again later, as files that wait harm nobody and readers must not.
    pub(crate) fn collect_guard(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        self.gate.try_write_for(COLLECT_WAIT)
    }

    /// Registers a snapshot; the caller holds the gate since before it read the catalog.
    pub(crate) fn register(&self, snapshot: &Arc<TableSnapshot>) {
        let mut snapshots = self.snapshots.lock();
        if snapshots.len() == snapshots.capacity() {
            snapshots.retain(|snapshot| snapshot.strong_count() > 0);
        }
        snapshots.push(Arc::downgrade(snapshot));
    }

    /// Those of `wanted` that a living snapshot names.
    pub(crate) fn named_among(&self, wanted: &HashSet<(TabletId, Digest)>) -> HashSet<(TabletId, Digest)> {
        let tablets: HashSet<TabletId> = wanted.iter().map(|(tablet, _)| *tablet).collect();
        let mut named = HashSet::new();
        for snapshot in self.living() {
            for tablet in tablets_of(&snapshot).filter(|tablet| tablets.contains(&tablet.tablet.id)) {
                named.extend(files_of(tablet).filter(|file| wanted.contains(file)));
            }
        }
        named
    }

    /// Those of `wanted` that a living snapshot has something in.
    pub(crate) fn read_among(&self, wanted: &HashSet<TabletId>) -> HashSet<TabletId> {
        let mut read = HashSet::new();
        for snapshot in self.living() {
            let tablets = tablets_of(&snapshot).filter(|tablet| !tablet.rowsets.is_empty());
            read.extend(tablets.map(|tablet| tablet.tablet.id).filter(|tablet| wanted.contains(tablet)));
        }
        read
    }

    fn living(&self) -> Vec<Arc<TableSnapshot>> {
        self.snapshots.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

fn tablets_of(snapshot: &TableSnapshot) -> impl Iterator<Item = &TabletState> {
    snapshot.state().partitions.iter().flat_map(|partition| &partition.tablets)
}

fn files_of(tablet: &TabletState) -> impl Iterator<Item = (TabletId, Digest)> {
    let id = tablet.tablet.id;
    tablet.segments().flat_map(move |segment| {
        let deletes = segment.deletes.map(|deletes| (id, deletes.digest));
        std::iter::once((id, segment.digest)).chain(deletes)
    })
}
