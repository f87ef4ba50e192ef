//! Goal: no flipped bit of a repository goes unseen, unless it lies in bytes that mean nothing.
//! Method: single bytes are flipped at random, by a seed, over every kind of object; for each, VERIFY at depth `digest`
//! looks at the whole repository. Where it finds nothing, a restore must give the rows there were. `EBLA_FLIPS` sets how
//! many; two workers, each with a copy of the repository.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::inspect::{Inspector, Verdict};
use super::super::reader::Reader;
use super::super::{census, listing};
use super::*;
use crate::job::bed::{Row, table_as};

/// Flips when nothing else is asked for.
const FLIPS: u64 = 10_000;

/// Flips after which one goes into bytes that mean nothing: each costs a restore.
const PROBE_EVERY: u64 = 400;

const WORKERS: u64 = 2;

/// Kinds of objects, as prefix and ending of their keys.
const KINDS: [(&str, &str); 6] = [
    ("objects/", ".parquet"),
    ("objects/", ".dv"),
    ("trees/", ".json.zst"),
    ("snapshots/one/", ".json"),
    ("snapshots/two/", ".json"),
    ("repository.json", ""),
];

/// SplitMix64: the same flips for the same seed.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((number ^ (number >> 31)) % below as u64) as usize
    }
}

/// A store of its own, with a copy of the repository that may be damaged.
struct Worker {
    bed: Bed,
    root: PathBuf,
    /// Files by kind.
    files: Vec<Vec<PathBuf>>,
    seeded: Seeded,
}

impl Worker {
    async fn new(dir: &Path, number: u64) -> Worker {
        let repository = dir.join(format!("repository-{number}"));
        copy(&dir.join("repository"), &repository);
        let bed = Bed::open(&dir.join(format!("data-{number}")), &repository, 1).await;
        let root = repository.join("ebla");
        let all = files_below(&root);
        let files: Vec<Vec<PathBuf>> = KINDS
            .iter()
            .map(|(prefix, ending)| {
                let is_of_kind = |path: &&PathBuf| {
                    let key = path.strip_prefix(&root).unwrap().to_str().unwrap();
                    key.starts_with(prefix) && key.ends_with(ending)
                };
                all.iter().filter(is_of_kind).cloned().collect()
            })
            .collect();
        assert!(files.iter().all(|files| !files.is_empty()), "there is something of every kind");
        let kinds: usize = files.iter().map(Vec::len).sum();
        // Their names say everything, their bytes are not read.
        let announcements = all.iter().filter(|path| path.starts_with(root.join("writers"))).count();
        assert_eq!(all.len(), kinds + announcements + 2, "what is of no kind are the two probes");
        Worker { bed, root, files, seeded: Seeded(0x0ebb_1a00 + number) }
    }

    /// Whether a verification of this depth finds anything wrong.
    async fn finds(&self, depth: Depth) -> bool {
        let (context, repository) = (self.bed.context(), self.bed.repository().await);
        let reader = Reader::new(&context, &repository);
        let snapshots = census::snapshots(&reader, None).await.unwrap();
        let mut census = census::take(&reader, &snapshots).await.unwrap();
        listing::whole(&reader, &mut census).await.unwrap();
        if !census.findings.is_empty() {
            return true;
        }
        let inspector = Inspector::new(&reader, &census, depth).await.unwrap();
        for wanted in &census.objects {
            if inspector.inspect(wanted).await.unwrap() != Verdict::Whole {
                return true;
            }
        }
        false
    }

    /// Flips one byte of a file, looks, and puts it back. Returns whether that was found.
    async fn flip(&mut self, path: &Path, depth: Depth) -> (usize, bool) {
        let whole = std::fs::read(path).unwrap();
        let mut damaged = whole.clone();
        let position = self.seeded.next(whole.len());
        damaged[position] ^= 1 << self.seeded.next(8);
        std::fs::write(path, damaged).unwrap();
        let found = self.finds(depth).await;
        if !found && depth == Depth::Digest {
            self.assert_restores(path, position).await;
        }
        std::fs::write(path, whole).unwrap();
        (position, found)
    }

    /// Bytes that mean nothing are those without which a restore is the same.
    async fn assert_restores(&self, path: &Path, position: usize) {
        for (table, expected) in [("t", table_t()), ("u", table_u())] {
            let restored = self.bed.restore_of("two", table_as(table, &format!("{table}_back"))).await;
            assert_restored(&restored);
            let rows = self.bed.rows(&format!("{table}_back"));
            assert_eq!(rows, expected, "byte {position} of {} was flipped and nobody saw it", path.display());
            self.bed.drop_table(&format!("{table}_back"));
        }
    }

    async fn run(mut self, flips: u64) -> u64 {
        assert!(!self.finds(Depth::Digest).await, "nothing is wrong before anything is flipped");
        let mut meaningless = 0;
        for number in 0..flips {
            if number % PROBE_EVERY == 0 {
                let probe = self.root.join("probe");
                let (_, found) = self.flip(&probe, Depth::Digest).await;
                assert!(!found, "the probe means nothing");
                meaningless += 1;
                continue;
            }
            let kind = (number % KINDS.len() as u64) as usize;
            let file = self.seeded.next(self.files[kind].len());
            let path = self.files[kind][file].clone();
            let (position, found) = self.flip(&path, Depth::Digest).await;
            assert!(
                found,
                "byte {position} of {} was flipped and is not found, although it means something",
                path.display()
            );
        }
        assert!(!self.finds(Depth::Digest).await, "everything was put back");
        // Without a comparison of digests, which is what finds flips of objects, none is found.
        for number in 0..20 {
            let kind = number % 2;
            let path = self.files[kind][number % self.files[kind].len()].clone();
            let (_, found) = self.flip(&path, Depth::Length).await;
            assert!(!found, "a length does not tell a flip");
        }
        meaningless
    }
}

fn table_t() -> Vec<Row> {
    let deleted = [1, 2, 3, 150, 250];
    some_rows(0..300).into_iter().filter(|(key, _)| !deleted.contains(key)).collect()
}

fn table_u() -> Vec<Row> {
    some_rows(0..50)
}

fn copy(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flip_is_found_or_means_nothing() {
    let flips = std::env::var("EBLA_FLIPS").ok().and_then(|flips| flips.parse().ok()).unwrap_or(FLIPS);
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let source = Bed::open(&dir.path().join("data"), &dir.path().join("repository"), 1).await;
    fill(&source);
    assert_backed_up(&source.backup("one").await);
    source.delete("t", &[250]);
    assert_backed_up(&source.backup("two").await);
    source.close().await;
    let workers = (0..WORKERS).map(|number| {
        let dir = Arc::clone(&dir);
        tokio::spawn(async move { Worker::new(dir.path(), number).await.run(flips.div_ceil(WORKERS)).await })
    });
    let meaningless: u64 =
        futures::future::join_all(workers).await.into_iter().map(|done| done.expect("a worker ends well")).sum();
    assert_eq!(meaningless, WORKERS * flips.div_ceil(WORKERS).div_ceil(PROBE_EVERY));
}
