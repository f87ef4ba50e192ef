//! Ten thousand bytes of a data directory flip, one at a time, anywhere: each is found before it reaches a reader, or
//! means nothing.
//!
//! Goal: bit rot never becomes an answer. Method: a directory with two roots, tables of several partitions, segments of
//! several groups, delete vectors, hash trees, a job's files. A byte is chosen from all bytes of all its files and
//! changed; then what would read it, reads it. A byte of a file of a tablet is read by the very code of queries, in the
//! copy that is damaged, and the same read must give the right bytes from the other replica; a byte of the catalog is
//! given to the check that comes before its opening, and a catalog that passes must say, row by row and table by table,
//! what it said before. Now and then the whole table is read from the storage itself, which then heals the file.
//!
//! What lies on a disk for a while only, the catalog's log after a kill and what a load has spilled, is in `passing`.
//!
//! `EBLA_FLIPS` sets the number, `EBLA_FLIPS_SEED` another order.

mod passing;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;

use super::TabletFiles;
use crate::Storage;
use crate::catalog::{Catalog, CatalogCheck, FileKind, SegmentMeta, TableState, TabletState};
use crate::clock::{ManualClock, SystemRandom};
use crate::delete::DeleteSpec;
use crate::digest::Digest;
use crate::ids::{JobId, TableId};
use crate::job::JobFiles;
use crate::segment::GROUP_BYTES;
use crate::testing::*;

const FLIPS: u64 = 10_000;

/// Of so many flips in segments one is met by the whole storage.
const WHOLE_STORAGE_EVERY: u64 = 800;

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Numbers without order, the same for a seed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Rows with values that do not compress.
fn noisy_rows(keys: std::ops::Range<i32>) -> Vec<Row> {
    let mut numbers = Numbers(9);
    let mut text = || -> String {
        (0..20)
            .map(|_| {
                char::from(
                    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[numbers.below(64) as usize],
                )
            })
            .collect()
    };
    keys.map(|key| (Some(key), Some(text()))).collect()
}

async fn delete_every(storage: &Arc<Storage>, table: &str, every: i32) {
    let spec = DeleteSpec {
        database: "d".to_owned(),
        table: table.to_owned(),
        partitions: None,
        columns: vec!["k".to_owned()],
        predicate: Arc::new(move |batch| {
            Ok(batch.column(0).as_primitive::<Int32Type>().iter().map(|key| key.map(|key| key % every == 0)).collect())
        }),
    };
    storage.delete(spec).await.unwrap();
}

/// What one file of the directory is to the test.
#[derive(Clone)]
enum Part {
    Segment(TabletState, SegmentMeta),
    DeleteVector(TabletState, SegmentMeta),
    Tree(TabletState, SegmentMeta),
    Catalog,
    JobFile(String),
    /// Who holds the lock: a courtesy.
    Lock,
}

struct Bench {
    dir: tempfile::TempDir,
    storage: Arc<Storage>,
    /// Every file, with its bytes.
    parts: Vec<(PathBuf, Vec<u8>, Part)>,
    catalog: Contents,
    expected: [Vec<Row>; 2],
}

/// Everything a catalog says, read in two ways: rows as they lie, and tables as readers see them.
#[derive(Debug, PartialEq)]
struct Contents {
    rows: Vec<String>,
    tables: Vec<TableState>,
}

impl Bench {
    async fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        config.roots = vec![dir.path().join("a"), dir.path().join("b")];
        let storage = open(config.clone());
        create_table(&storage, "t", 2);
        create_partitioned_table(&storage, "p", 3, 2);
        insert(&storage, "t", &noisy_rows(0..24_000)).await;
        insert(&storage, "t", &noisy_rows(24_000..36_000)).await;
        insert(&storage, "p", &rows(0..30)).await;
        delete_every(&storage, "t", 3).await;
        delete_every(&storage, "p", 4).await;
        // A first read leaves the trees.
        let _ = table_rows(&storage, "t");
        for (tablet, segment) in segments(&storage) {
            let copies = copies(&storage, &tablet, &segment.digest, FileKind::Segment);
            let tree = copies[0].with_extension("tree");
            if tree.exists() {
                fs::copy(tree, copies[1].with_extension("tree")).unwrap();
            }
        }
        let files = JobFiles::new(dir.path(), JobId(7));
        files.reset().unwrap();
        let plan: Vec<u8> = (0..5_000_u32).flat_map(u32::to_le_bytes).collect();
        files.put("plan.json", &plan).unwrap();
        let mut bundle = files.bundle("nodes").unwrap();
        for number in 0..50_u8 {
            bundle.add(Digest::of(&[number]), &[number; 100]).unwrap();
        }
        bundle.finish().unwrap();

        drop(storage);
        // What a stopped server leaves.
        let catalog_path = config.catalog_path();
        let catalog_bytes = fs::read(&catalog_path).unwrap();
        assert!(!dir.path().join("catalog.db-wal").exists(), "a server that stops leaves no log");
        let catalog = contents(&catalog_path);
        let storage = open(config);
        let mut parts = vec![
            (catalog_path, catalog_bytes, Part::Catalog),
            (dir.path().join("LOCK"), fs::read(dir.path().join("LOCK")).unwrap(), Part::Lock),
        ];
        for name in ["plan.json", "nodes"] {
            let path = dir.path().join("jobs/7").join(name);
            parts.push((path.clone(), fs::read(path).unwrap(), Part::JobFile(name.to_owned())));
        }
        for (tablet, segment) in segments(&storage) {
            for path in copies(&storage, &tablet, &segment.digest, FileKind::Segment) {
                let tree = path.with_extension("tree");
                if tree.exists() {
                    parts.push((tree.clone(), fs::read(tree).unwrap(), Part::Tree(tablet.clone(), segment.clone())));
                }
                parts.push((path.clone(), fs::read(path).unwrap(), Part::Segment(tablet.clone(), segment.clone())));
            }
            if let Some(deletes) = &segment.deletes {
                for path in copies(&storage, &tablet, &deletes.digest, FileKind::DeleteVector) {
                    let part = Part::DeleteVector(tablet.clone(), segment.clone());
                    parts.push((path.clone(), fs::read(path).unwrap(), part));
                }
            }
        }
        let counted = |wanted: fn(&Part) -> bool| parts.iter().filter(|(_, _, part)| wanted(part)).count();
        assert!(counted(|part| matches!(part, Part::Tree(..))) >= 4, "segments of several groups have trees");
        assert!(counted(|part| matches!(part, Part::DeleteVector(..))) >= 4);
        let expected = ["t", "p"].map(|table| table_rows(&storage, table));
        Bench { dir, storage, parts, catalog, expected }
    }

    /// A reader that remembers nothing, and that asks the replica at `path` first.
    fn reader(&self, tablet: &TabletState, path: &Path) -> (Arc<TabletFiles>, TabletState) {
        let (roots, catalog) = (Arc::clone(self.storage.roots()), Arc::clone(self.storage.catalog()));
        let mut tablet = tablet.clone();
        for replica in &mut tablet.replicas {
            replica.healthy = path.starts_with(self.storage.roots().path(replica.root_id).unwrap());
        }
        (Arc::new(TabletFiles::new(roots, catalog, 1 << 20)), tablet)
    }

    /// Reads what byte `at` of a part has changed. Returns whether that was found; panics when it passed.
    fn judge(&self, path: &Path, good: &[u8], flipped: u8, at: usize, part: &Part) -> bool {
        match part {
            Part::Segment(tablet, segment) => {
                let (files, tablet) = self.reader(tablet, path);
                let group = at as u64 / GROUP_BYTES * GROUP_BYTES;
                let range = group..(group + GROUP_BYTES).min(segment.bytes);
                let handle = files.segment(&tablet, segment);
                let bytes = handle.read(range.clone()).unwrap();
                assert!(bytes == good[range.start as usize..range.end as usize], "wrong bytes were read");
                assert_eq!(handle.failed_copies(), [path], "the copy that is damaged was not found to be");
                true
            }
            Part::DeleteVector(tablet, segment) => {
                let (files, tablet) = self.reader(tablet, path);
                let right = self.storage.files().delete_vector(&tablet, segment).unwrap();
                assert_eq!(files.delete_vector(&tablet, segment).unwrap(), right);
                let found = super::files::read_delete_vector(path, &segment.deletes.unwrap().digest, segment.rows);
                assert!(found.is_err(), "a damaged delete vector was read");
                true
            }
            Part::Tree(tablet, segment) => {
                let (files, tablet) = self.reader(tablet, path);
                let handle = files.segment(&tablet, segment);
                handle.read(0..segment.bytes.min(GROUP_BYTES)).unwrap();
                assert_eq!(
                    handle.failed_copies(),
                    Vec::<PathBuf>::new(),
                    "the segment is whole, its tree is made anew"
                );
                assert!(fs::read(path).unwrap() == good);
                true
            }
            Part::Catalog => {
                let copy = self.dir.path().join("flipped.db");
                let mut bytes = good.to_vec();
                bytes[at] = flipped;
                for beside in ["flipped.db-wal", "flipped.db-shm"] {
                    let _ = fs::remove_file(self.dir.path().join(beside));
                }
                fs::write(&copy, bytes).unwrap();
                match Catalog::find_damage(&copy, CatalogCheck::Full).unwrap() {
                    Some(_) => true,
                    None => {
                        assert_eq!(contents(&copy), self.catalog, "a changed catalog was believed");
                        false
                    }
                }
            }
            Part::JobFile(name) => {
                let files = JobFiles::new(self.dir.path(), JobId(7));
                if name == "plan.json" {
                    assert!(files.get(name).is_err());
                    return true;
                }
                let read = (0..50_u8).map(|number| {
                    let piece = files.get_piece(name, &Digest::of(&[number]));
                    assert!(piece.as_ref().map_or(true, |piece| *piece == [number; 100]), "a wrong piece was read");
                    piece.is_ok()
                });
                !read.fold(true, |all, one| all & one)
            }
            Part::Lock => false,
        }
    }

    /// Reads the whole of both tables with a segment damaged of which nobody knows, as a query does, and lets the storage
    /// heal it. Returns whether the damage was met: a reader asks one replica, and that may have been the other.
    fn heal(&self, path: &Path, good: &[u8], put: &dyn Fn(bool)) -> bool {
        put(false);
        self.storage.repair_replicas().unwrap();
        assert_eq!(self.bad_replicas(), 0, "all that was found before is healed");
        put(true);
        for (table, expected) in ["t", "p"].iter().zip(&self.expected) {
            assert!(table_rows(&self.storage, table) == *expected, "table {table} has other rows");
        }
        let met = self.bad_replicas() > 0;
        if met {
            let report = self.storage.repair_replicas().unwrap();
            assert_eq!((report.copied_files, self.bad_replicas()), (1, 0));
            assert!(fs::read(path).unwrap() == good, "the file is not healed");
        }
        met
    }

    fn bad_replicas(&self) -> usize {
        let replicas = self.storage.catalog().read(|read| read.replicas_by_tablet()).unwrap();
        replicas.values().flatten().filter(|replica| !replica.healthy).count()
    }
}

fn segments(storage: &Storage) -> Vec<(TabletState, SegmentMeta)> {
    let of_table = |table: &str| {
        let snapshot = storage.table_snapshot("d", table).unwrap();
        let partitions = snapshot.state().partitions.iter();
        let tablets = partitions.flat_map(|partition| partition.tablets.clone());
        tablets
            .flat_map(|tablet| tablet.segments().map(|segment| (tablet.clone(), segment.clone())).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    [of_table("t"), of_table("p")].concat()
}

fn copies(storage: &Storage, tablet: &TabletState, digest: &Digest, kind: FileKind) -> Vec<PathBuf> {
    let roots = storage.roots();
    let path = |root| roots.file_path(root, tablet.tablet.id, digest, kind).unwrap();
    tablet.replicas.iter().map(|replica| path(replica.root_id)).collect()
}

/// Everything that the catalog at `path` says. It is opened as a start opens it.
fn contents(path: &Path) -> Contents {
    let catalog = Catalog::open(path, ManualClock::at(1_700_000_000_000), Arc::new(SystemRandom)).unwrap();
    catalog
        .read(|read| {
            let list = |sql: &str| -> crate::Result<Vec<String>> {
                let mut statement = read.prepare(sql)?;
                let names = statement.query_map([], |row| row.get(0))?;
                Ok(names.collect::<rusqlite::Result<_>>()?)
            };
            let mut rows = list("SELECT coalesce(type || name || tbl_name || sql, '') FROM sqlite_schema ORDER BY 1")?;
            for table in list("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")? {
                let columns = list(&format!("SELECT 'quote(\"' || name || '\")' FROM pragma_table_info('{table}')"))?;
                rows.push(table.clone());
                rows.extend(list(&format!("SELECT {} FROM \"{table}\" ORDER BY 1", columns.join(" || '|' || ")))?);
            }
            let ids: Vec<i64> = read
                .prepare("SELECT id FROM tables ORDER BY id")?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let tables = ids.into_iter().map(|id| read.table_state(TableId(id))).collect::<crate::Result<_>>()?;
            Ok(Contents { rows, tables })
        })
        .unwrap()
}

#[tokio::test]
async fn no_flipped_byte_is_believed() {
    let bench = Bench::new().await;
    let total: u64 = bench.parts.iter().map(|(_, bytes, _)| bytes.len() as u64).sum();
    let seed = setting("EBLA_FLIPS_SEED", 1);
    let mut numbers = Numbers(seed);
    let (mut found, mut in_segments, mut met) = (0_u64, 0_u64, 0_u64);
    let mut meaningless = BTreeMap::<String, u64>::new();
    let flips = setting("EBLA_FLIPS", FLIPS);
    for flip in 0..flips {
        let mut at = numbers.below(total) as usize;
        let part = bench.parts.iter().find(|(_, bytes, _)| {
            let here = at < bytes.len();
            if !here {
                at -= bytes.len();
            }
            here
        });
        let (path, good, part) = part.unwrap();
        let flipped = good[at] ^ (1 + numbers.below(255)) as u8;
        let on_disk = !matches!(part, Part::Catalog | Part::Lock);
        let file = on_disk.then(|| File::options().write(true).open(path).unwrap());
        let put = |byte: u8| file.as_ref().map_or(Ok(()), |file| file.write_all_at(&[byte], at as u64)).unwrap();
        put(flipped);
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if matches!(part, Part::Segment(..)) && in_segments % WHOLE_STORAGE_EVERY == 0 {
                met += u64::from(bench.heal(path, good, &|flip| put(if flip { flipped } else { good[at] })));
                // Healing has put another file in its place.
                fs::write(path, good).unwrap();
                let file = File::options().write(true).open(path).unwrap();
                file.write_all_at(&[flipped], at as u64).unwrap();
                let found = bench.judge(path, good, flipped, at, part);
                file.write_all_at(&[good[at]], at as u64).unwrap();
                return found;
            }
            bench.judge(path, good, flipped, at, part)
        }));
        put(good[at]);
        in_segments += u64::from(matches!(part, Part::Segment(..)));
        match judged {
            Ok(true) => found += 1,
            Ok(false) => *meaningless.entry(path.file_name().unwrap().to_string_lossy().into_owned()).or_default() += 1,
            Err(_) => panic!("flip {flip} of seed {seed}: byte {at} of {} became {flipped:#04x}", path.display()),
        }
    }
    println!(
        "{flips} flips over {total} bytes: {found} found, {in_segments} in segments, {met} met by the whole storage; \
         meaningless: {meaningless:?}"
    );
    assert_eq!(found + meaningless.values().sum::<u64>(), flips);
    assert!(met > 0 || flips < FLIPS, "the whole storage has met no damage");
    // A lock and the free space of the catalog are a small part; more would be a hole in what is checked.
    assert!(meaningless.values().sum::<u64>() * 5 < flips, "{meaningless:?}");
}
