//! Goal: a repository whose owner means harm ends a restore with an error at worst: nothing panics, nothing is left
//! behind, no file comes to be outside the data directory. Method: forge snapshots whose digests are all right, of
//! segments that make no sense and of names that lead elsewhere, and restore them into another store.

use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::catalog::FileKind;
use crate::digest::Digest;
use crate::repository::format::{
    Node, NodeRef, PartitionNode, SnapshotManifest, SnapshotTable, TableNode, decode_node, encode_node,
};
use crate::repository::layout;
use crate::repository::store::ObjectKey;

/// Segments with changes by chance.
const CHANGED_SEGMENTS: usize = 40;

/// A repository in a directory, with one snapshot to forge others from.
struct Forger {
    repository: PathBuf,
    manifest: SnapshotManifest,
    forged: usize,
}

impl Forger {
    fn new(repository: PathBuf) -> Forger {
        let commit_objects = files_below(&repository.join("ebla/snapshots"));
        let [commit_object] = &commit_objects[..] else { panic!("one snapshot") };
        let manifest = SnapshotManifest::from_stored(&fs::read(commit_object).unwrap()).unwrap();
        Forger { repository, manifest, forged: 0 }
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.repository.join(key.to_string())
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) {
        let path = self.path(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn get<N: Node>(&self, node: &NodeRef) -> N {
        decode_node(node, &fs::read(self.path(&layout::tree(&node.digest))).unwrap()).unwrap()
    }

    fn put_node<N: Node>(&self, node: &N) -> NodeRef {
        let encoded = encode_node(node).unwrap();
        self.put(&layout::tree(&encoded.node.digest), &encoded.stored);
        encoded.node
    }

    /// Puts another snapshot and returns its label: like the first, but with these nodes and segments. What a segment
    /// becomes must be as long as it was.
    fn forge(
        &mut self,
        change_table: impl Fn(&mut SnapshotTable, &mut TableNode),
        change_segment: impl Fn(&mut [u8]),
    ) -> String {
        let mut manifest = self.manifest.clone();
        for entry in &mut manifest.tables {
            let mut table: TableNode = self.get(&entry.node);
            for partition in &mut table.partitions {
                let mut node: PartitionNode = self.get(&partition.node);
                let segments = node.tablets.iter_mut().flat_map(|tablet| &mut tablet.rowsets);
                for segment in segments.flat_map(|rowset| &mut rowset.segments) {
                    let path = self.path(&layout::object(FileKind::Segment, &segment.digest));
                    let mut bytes = fs::read(path).unwrap();
                    change_segment(&mut bytes);
                    segment.digest = Digest::of(&bytes);
                    self.put(&layout::object(FileKind::Segment, &segment.digest), &bytes);
                }
                partition.node = self.put_node(&node);
            }
            change_table(entry, &mut table);
            entry.node = self.put_node(&table);
        }
        self.forged += 1;
        manifest.label = format!("forged{}", self.forged);
        self.put(&layout::snapshot(&manifest.label, &manifest.timestamp).unwrap(), &manifest.to_stored().unwrap());
        manifest.label
    }
}

async fn beds(dir: &Path, bed: &Bed) -> (Forger, Bed) {
    bed.create_table("t", &[0, 100], 1);
    bed.load("t", &rows(0..60));
    bed.backup("x").await;
    let forger = Forger::new(dir.join("repository"));
    (forger, Bed::open(&dir.join("other"), &dir.join("repository"), 1).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_makes_no_sense_ends_its_restore() {
    let (dir, bed) = Bed::temporary().await;
    let (mut forger, other) = beds(dir.path(), &bed).await;
    let overwrite = |at_end: bool, with: &'static [u8]| {
        move |bytes: &mut [u8]| {
            let at = if at_end { bytes.len() - with.len() } else { 0 };
            bytes[at..at + with.len()].copy_from_slice(with);
        }
    };
    let lies = [
        (overwrite(false, b"nope"), "it is no Parquet file"),
        (overwrite(true, b"\xff\xff\xff\xffPAR1"), "it says that its footer has 4294967295 bytes"),
        (overwrite(true, b"\0\0\0\0PAR1"), "its footer makes no sense"),
        // The first page: its type, and what its bytes become.
        (overwrite(false, b"PAR1\x15\x0e"), "which no segment has"),
        (overwrite(false, b"PAR1\x15\x04\x15\xfe\xff\xff\xff\x0f"), "the page at 4"),
    ];
    for (lie, words) in lies {
        let label = forger.forge(|_, _| {}, lie);
        let row = other.restore(&label).await;
        assert_eq!(row.state, "CANCELLED", "{words}");
        let status = row.status.to_string();
        assert!(status.contains(words) && status.contains("the snapshot cannot be restored as it is"), "{status}");
        assert!(!other.has_table("t"));
        other.assert_nothing_left();
    }
}

/// What is inside of pages is looked at by those who read it. So a restore may succeed here, and its rows be an error.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_segment_never_leads_to_a_panic() {
    let (dir, bed) = Bed::temporary().await;
    let (mut forger, other) = beds(dir.path(), &bed).await;
    let mut random = SmallRng::seed_from_u64(7);
    let (mut ended, mut restored) = (0, 0);
    for _ in 0..CHANGED_SEGMENTS {
        let (from_end, value) = (random.random_range(0..1_500_usize), random.random::<u8>());
        let label = forger.forge(
            |_, _| {},
            |bytes| {
                let at = bytes.len().saturating_sub(from_end + 1);
                bytes[at] = value;
            },
        );
        let row = other.restore(&label).await;
        let status = row.status.to_string();
        assert!(!status.contains("internal error"), "{status}");
        match row.state.as_str() {
            "FINISHED" => {
                restored += 1;
                let snapshot = other.storage.table_snapshot("d", "t").unwrap();
                let tablet = &snapshot.state().partitions[0].tablets[0];
                let segment = snapshot.segment(tablet, &tablet.rowsets[0].segments[0]);
                let _ = segment.open(snapshot.schema()).map(|reader| reader.filter(Result::is_ok).count());
                drop(snapshot);
                other.drop_table("t");
            }
            _ => ended += 1,
        }
    }
    assert!(ended > 0 && restored > 0, "{ended} ended, {restored} restored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_leads_nowhere() {
    let (dir, bed) = Bed::temporary().await;
    let (mut forger, other) = beds(dir.path(), &bed).await;
    let outside = |dir: &Path| -> Vec<PathBuf> {
        let files = files_below(dir).into_iter();
        files.filter(|path| !path.starts_with(dir.join("other")) && !path.starts_with(dir.join("repository"))).collect()
    };
    let before = outside(dir.path());
    for name in ["../../../escaped", "/tmp/escaped", "..", "a/../../escaped", "escaped\\..\\..", "escaped\n", "."] {
        let label = forger.forge(
            |entry, table| {
                entry.name = name.to_owned();
                table.partitions[0].name = name.to_owned();
                for column in &mut table.definition.columns {
                    column.name = format!("{}{name}", column.name);
                }
                table.definition.comment = name.to_owned();
            },
            |_| {},
        );
        // Whether such a table comes to be is for it to say who judges names; here it is about files.
        let row = other.restore(&label).await;
        assert!(matches!(row.state.as_str(), "FINISHED" | "CANCELLED"), "{row:?}");
        assert!(!row.status.to_string().contains("internal error"), "{row:?}");
        if other.has_table(name) {
            other.drop_table(name);
        }
        assert_eq!(outside(dir.path()), before, "{name:?}");
        let escaped = files_below(&dir.path().join("other"))
            .into_iter()
            .filter(|path| path.to_string_lossy().contains("escaped"));
        assert_eq!(escaped.collect::<Vec<_>>(), Vec::<PathBuf>::new(), "{name:?}");
    }
    other.assert_nothing_left();
}
