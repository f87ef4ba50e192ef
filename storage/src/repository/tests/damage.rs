//! Goal: damage is found, on the local disk, on the way and in the store; cancelling is prompt and leaves nothing.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::super::format::Tombstone;
use super::super::store::{MultipartUpload, Operation, StoreError, StoreLayer, StoreResult};
use super::*;

/// How long a machine under load may take for what is done in a moment.
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::test]
async fn a_damaged_local_file_is_not_uploaded() {
    let ground = Ground::file();
    let repository = ground.create().await;
    for bytes in [1000, store::SINGLE_PUT_BYTES_MAX + 1000] {
        let (object, path) = ground.file_of(bytes, bytes);
        let mut content = std::fs::read(&path).unwrap();
        *content.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &content).unwrap();
        let error = repository.put_object(&object, &path, &(), &CancellationToken::new()).await.unwrap_err();
        assert!(matches!(error, RepositoryError::CorruptLocal { .. }), "{error}");
        content.pop();
        std::fs::write(&path, &content).unwrap();
        let error = repository.put_object(&object, &path, &(), &CancellationToken::new()).await.unwrap_err();
        assert!(matches!(error, RepositoryError::CorruptLocal { .. }), "{error}");
        assert!(!repository.has_object(&object).await.unwrap());
    }
    assert!(repository.list_objects().await.unwrap().is_empty());
}

#[tokio::test]
async fn damage_in_the_store_is_found() {
    let ground = Ground::file();
    let repository = ground.create().await;
    let never = CancellationToken::new();
    let (object, path) = ground.file_of(20_000_000, 1);
    repository.put_object(&object, &path, &(), &never).await.unwrap();
    let manifest = put_snapshot(&repository, "s", &object, 1).await;
    let Location::File(file) = &ground.location else { panic!("a file location") };
    let at = |key: &ObjectKey| file.path().join(key.as_str());

    let stored = at(&layout::object(object.kind, &object.digest));
    let whole = std::fs::read(&stored).unwrap();
    let back = ground.local.path().join("back");
    let mut flipped = whole.clone();
    flipped[15_000_000] ^= 4;
    for damaged in [flipped, whole[..10_000_000].to_vec(), whole[..1000].to_vec(), vec![]] {
        std::fs::write(&stored, &damaged).unwrap();
        let progress = AtomicU64::new(0);
        let error = repository.get_object(&object, &back, &progress, &never).await.unwrap_err();
        assert!(matches!(error, RepositoryError::CorruptObject { .. }), "{error}");
        assert!(!back.exists());
    }
    let error = repository.put_object(&object, &path, &(), &never).await.unwrap_err();
    assert!(matches!(error, RepositoryError::CorruptObject { .. }), "{error}");
    std::fs::remove_file(&stored).unwrap();
    let error = repository.get_object(&object, &back, &(), &never).await.unwrap_err();
    assert!(matches!(error, RepositoryError::CorruptObject { .. }), "{error}");

    // One bit of a node, then one of the commit object, at every place.
    let node = manifest.tables[0].node;
    let stored = at(&layout::tree(&node.digest));
    let whole = std::fs::read(&stored).unwrap();
    for position in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[position] ^= 1 << (position % 8);
        std::fs::write(&stored, damaged).unwrap();
        let error = repository.read_table_node(&node).await.unwrap_err();
        assert!(matches!(error, RepositoryError::Format { .. }), "{error}");
    }
    let stored = at(&layout::snapshot("s", &manifest.timestamp).unwrap());
    let whole = std::fs::read(&stored).unwrap();
    for position in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[position] ^= 1 << (position % 8);
        std::fs::write(&stored, damaged).unwrap();
        let error = repository.read_manifest("s", &manifest.timestamp).await.unwrap_err();
        assert!(matches!(error, RepositoryError::Format { .. }), "{position}: {error}");
    }
    // A commit object under another snapshot's name.
    let elsewhere: SnapshotTimestamp = "2024-02-07-14-45-53-143".parse().unwrap();
    std::fs::write(at(&layout::snapshot("s", &elsewhere).unwrap()), &whole).unwrap();
    let error = repository.read_manifest("s", &elsewhere).await.unwrap_err();
    assert!(matches!(error, RepositoryError::Format { .. }), "{error}");
    // Foreign files are listed as such.
    std::fs::write(file.path().join("ebla/snapshots/s/notes.txt"), "x").unwrap();
    let listed = repository.list_snapshots().await.unwrap();
    assert_eq!(listed.snapshots.len(), 2);
    assert_eq!(listed.invalid, ["ebla/snapshots/s/notes.txt"]);
}

/// A store that spoils some reads, or never finishes a put.
#[derive(Debug)]
struct Spoiling {
    inner: Arc<dyn ObjectStore>,
    spoil_gets: Mutex<usize>,
    /// Half of a body comes, instead of one with a wrong bit.
    halve: bool,
    hang_puts: bool,
}

impl Spoiling {
    fn spoil(&self, body: Bytes) -> Bytes {
        let mut left = self.spoil_gets.lock();
        if *left == 0 || body.is_empty() {
            return body;
        }
        *left -= 1;
        if self.halve {
            return body.slice(..body.len() / 2);
        }
        let mut body = body.to_vec();
        body[0] ^= 128;
        body.into()
    }
}

#[async_trait]
impl StoreLayer for Spoiling {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put> {
        if self.hang_puts {
            std::future::pending::<()>().await;
        }
        self.inner.put_create(key, body).await
    }

    async fn start_multipart(&self, key: &ObjectKey, bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        let upload = self.inner.start_multipart(key, bytes).await?;
        Ok(if self.hang_puts { Box::new(Hanging(upload)) } else { upload })
    }

    async fn get(&self, key: &ObjectKey, bytes_max: u64) -> StoreResult<Bytes> {
        Ok(self.spoil(self.inner.get(key, bytes_max).await?))
    }

    async fn get_range(&self, key: &ObjectKey, offset: u64, bytes: u64) -> StoreResult<Bytes> {
        Ok(self.spoil(self.inner.get_range(key, offset, bytes).await?))
    }
}

#[derive(Debug)]
struct Hanging(Box<dyn MultipartUpload>);

#[async_trait]
impl MultipartUpload for Hanging {
    async fn put_part(&self, _index: u64, _body: Bytes) -> StoreResult<()> {
        std::future::pending().await
    }

    async fn complete(self: Box<Self>) -> StoreResult<Put> {
        self.0.complete().await
    }

    async fn abort(self: Box<Self>) {
        self.0.abort().await;
    }
}

async fn spoiled(ground: &Ground, spoil_gets: usize, hang_puts: bool) -> Repository {
    let mut repository = ground.create().await;
    let inner = Arc::clone(&repository.store);
    repository.store = Arc::new(Spoiling { inner, spoil_gets: Mutex::new(spoil_gets), halve: false, hang_puts });
    repository
}

/// A handle whose next reads are spoiled, on the repository of another.
fn spoil(repository: &mut Repository, healthy: &Arc<dyn ObjectStore>, spoil_gets: usize, halve: bool) {
    let (inner, spoil_gets) = (Arc::clone(healthy), Mutex::new(spoil_gets));
    repository.store = Arc::new(Spoiling { inner, spoil_gets, halve, hang_puts: false });
}

/// Goal: an answer that was cut short, with a length to match, is not taken for what is stored.
#[tokio::test]
async fn short_answers_are_fetched_again() {
    let ground = Ground::file();
    let never = CancellationToken::new();
    let mut repository = ground.create().await;
    let healthy = Arc::clone(&repository.store);
    let back = ground.local.path().join("back");
    for bytes in [1000, 20_000_000] {
        let (object, path) = ground.file_of(bytes, bytes);
        spoil(&mut repository, &healthy, 2, true);
        repository.put_object(&object, &path, &(), &never).await.unwrap();
        repository.get_object(&object, &back, &(), &never).await.unwrap();
        spoil(&mut repository, &healthy, usize::MAX, true);
        let error = repository.get_object(&object, &back, &(), &never).await.unwrap_err();
        assert!(matches!(error, RepositoryError::CorruptObject { .. }), "{error}");
        assert!(error.to_string().contains("restore another snapshot"), "{error}");
    }
}

/// Goal: nothing small is called damaged, and nobody is told to remove it, because it came wrong once.
#[tokio::test]
async fn small_objects_that_arrive_damaged_are_read_again() {
    let ground = Ground::file();
    let mut repository = ground.create().await;
    let healthy = Arc::clone(&repository.store);
    let (object, path) = ground.file_of(1000, 1);
    repository.put_object(&object, &path, &(), &CancellationToken::new()).await.unwrap();
    let manifest = put_snapshot(&repository, "s", &object, 1).await;
    let node = manifest.tables[0].node;
    let encoded = encode_node(&*repository.read_table_node(&node).await.unwrap()).unwrap();
    for halve in [false, true] {
        spoil(&mut repository, &healthy, 1, halve);
        repository.verify_identity().await.unwrap();
        spoil(&mut repository, &healthy, 1, halve);
        assert_eq!(repository.read_manifest("s", &manifest.timestamp).await.unwrap(), manifest);
        spoil(&mut repository, &healthy, 1, halve);
        repository.read_table_node(&node).await.unwrap();
        spoil(&mut repository, &healthy, 1, halve);
        assert_eq!(repository.put_node(&encoded).await.unwrap(), Put::Exists);
        spoil(&mut repository, &healthy, 1, halve);
        assert_eq!(repository.put_manifest(&manifest).await.unwrap(), Put::Exists);
    }
}

/// A store that gives, so many times, another object's bytes.
#[derive(Debug)]
struct Swapping {
    inner: Arc<dyn ObjectStore>,
    other: Bytes,
    left: Mutex<usize>,
}

impl Swapping {
    fn swap(&self) -> Option<&Bytes> {
        let mut left = self.left.lock();
        *left = left.checked_sub(1)?;
        Some(&self.other)
    }

    fn wrong_size(&self, key: &ObjectKey) -> StoreError {
        StoreError::new(StoreErrorKind::Corrupt, Operation::Get, &self.place(), key.as_str(), "another size")
    }
}

#[async_trait]
impl StoreLayer for Swapping {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn get(&self, key: &ObjectKey, bytes_max: u64) -> StoreResult<Bytes> {
        match self.swap() {
            None => self.inner.get(key, bytes_max).await,
            Some(other) if other.len() as u64 > bytes_max => Err(self.wrong_size(key)),
            Some(other) => Ok(other.clone()),
        }
    }

    async fn get_range(&self, key: &ObjectKey, offset: u64, bytes: u64) -> StoreResult<Bytes> {
        match self.swap() {
            None => self.inner.get_range(key, offset, bytes).await,
            Some(other) if other.len() as u64 != bytes => Err(self.wrong_size(key)),
            Some(other) => Ok(other.clone()),
        }
    }
}

/// Goal: the answer to another request is taken for nothing it is not, neither once nor always. Method: bytes of other
/// objects, whole in themselves, in the place of those of commit objects and segments.
#[tokio::test]
async fn answers_to_other_requests_are_not_believed() {
    let ground = Ground::file();
    let never = CancellationToken::new();
    let mut repository = ground.create().await;
    let healthy = Arc::clone(&repository.store);
    let (object, path) = ground.file_of(1000, 1);
    repository.put_object(&object, &path, &(), &never).await.unwrap();
    let manifest = put_snapshot(&repository, "s", &object, 1).await;
    let name = ("s".to_owned(), manifest.timestamp.clone());
    let mut foreign = manifest.clone();
    foreign.label = "other".into();
    let tombstone = Tombstone::Dropped.to_stored();
    let swapped = |other: &Bytes, left: usize| -> Arc<dyn ObjectStore> {
        Arc::new(Swapping { inner: Arc::clone(&healthy), other: other.clone(), left: Mutex::new(left) })
    };
    for other in [&foreign.to_stored().unwrap(), &tombstone] {
        repository.store = swapped(other, 1);
        assert_eq!(repository.read_manifest("s", &manifest.timestamp).await.unwrap(), manifest);
        repository.store = swapped(other, 1);
        assert_eq!(repository.put_manifest(&manifest).await.unwrap(), Put::Exists);
        repository.store = swapped(other, usize::MAX);
        for error in [
            repository.read_manifest("s", &manifest.timestamp).await.unwrap_err(),
            repository.put_manifest(&manifest).await.unwrap_err(),
        ] {
            assert!(matches!(error, RepositoryError::Format { .. }), "{error}");
        }
        for left in [1, usize::MAX] {
            repository.store = swapped(other, left);
            repository.remove_tombstone(&name).await.unwrap();
            assert_eq!(repository.entomb(&name, Tombstone::Withdrawn).await.unwrap(), Entombed::Committed);
        }
    }
    // A tombstone that is there is one.
    let gone = ("gone".to_owned(), manifest.timestamp.clone());
    repository.store = Arc::clone(&healthy);
    assert_eq!(repository.entomb(&gone, Tombstone::Withdrawn).await.unwrap(), Entombed::Yes);
    assert_eq!(repository.entomb(&gone, Tombstone::Dropped).await.unwrap(), Entombed::Yes);
    let mut late = manifest.clone();
    late.label = "gone".into();
    let error = repository.put_manifest(&late).await.unwrap_err();
    assert!(matches!(error, RepositoryError::SnapshotFenced { tombstone: Tombstone::Withdrawn, .. }), "{error}");
    let error = repository.read_manifest("gone", &manifest.timestamp).await.unwrap_err();
    assert!(matches!(error, RepositoryError::SnapshotNotFound { .. }), "{error}");
    repository.remove_tombstone(&gone).await.unwrap();
    assert!(repository.store.head(&layout::snapshot(&gone.0, &gone.1).unwrap()).await.unwrap().is_none());

    // Segments: longer, shorter and of the same length; whole, and in parts.
    let back = ground.local.path().join("back");
    for bytes in [1000, 20_000_000] {
        let (object, path) = ground.file_of(bytes, bytes);
        repository.store = Arc::clone(&healthy);
        repository.put_object(&object, &path, &(), &never).await.unwrap();
        let part = bytes.min(store::PART_BYTES) as usize;
        for other in [part + 1, part - 1, part].map(|bytes| Bytes::from(vec![7; bytes])) {
            repository.store = swapped(&other, 1);
            let inspected = repository.inspect_digest(Copy::Original, &object, None, &(), &never).await.unwrap();
            assert_eq!(inspected, Inspection::Whole, "{bytes} {}", other.len());
            repository.store = swapped(&other, 1);
            repository.get_object(&object, &back, &(), &never).await.unwrap();
            repository.store = swapped(&other, usize::MAX);
            match repository.inspect_digest(Copy::Original, &object, None, &(), &never).await {
                Ok(inspected) => assert!(matches!(inspected, Inspection::Digest { .. }), "{inspected:?}"),
                Err(error) => assert!(error.is_corrupt_object(), "{error}"),
            }
            let error = repository.get_object(&object, &back, &(), &never).await.unwrap_err();
            assert!(matches!(error, RepositoryError::CorruptObject { .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn damage_on_the_way_is_fetched_again() {
    let ground = Ground::file();
    let never = CancellationToken::new();
    let back = ground.local.path().join("back");
    for bytes in [1000, 20_000_000] {
        let (object, path) = ground.file_of(bytes, bytes);
        let repository = spoiled(&ground, 2, false).await;
        repository.put_object(&object, &path, &(), &never).await.unwrap();
        let progress = AtomicU64::new(0);
        repository.get_object(&object, &back, &progress, &never).await.unwrap();
        assert_eq!(progress.load(Ordering::Relaxed), bytes);
        let repository = spoiled(&ground, usize::MAX, false).await;
        let error = repository.get_object(&object, &back, &progress, &never).await.unwrap_err();
        assert!(matches!(error, RepositoryError::CorruptObject { .. }), "{error}");
        assert_eq!(progress.load(Ordering::Relaxed), bytes);
    }
}

#[tokio::test]
async fn cancelling_is_prompt_and_leaves_nothing() {
    let ground = Ground::file();
    let repository = spoiled(&ground, 0, true).await;
    for bytes in [1000, store::SINGLE_PUT_BYTES_MAX + 1] {
        let (object, path) = ground.file_of(bytes, bytes);
        let cancel = CancellationToken::new();
        let soon = cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            soon.cancel();
        });
        // The put hangs for ever: only the cancel ends it.
        let put = repository.put_object(&object, &path, &(), &cancel);
        let error = tokio::time::timeout(PATIENCE, put).await.expect("the cancel ends the put").unwrap_err();
        assert!(matches!(error, RepositoryError::Cancelled), "{error}");
        assert!(!repository.has_object(&object).await.unwrap());
    }
    let Location::File(file) = &ground.location else { panic!("a file location") };
    assert_eq!(std::fs::read_dir(file.path().join(".ebla-staging")).unwrap().count(), 0);
}

/// Goal: a budget smaller than one part, and far smaller than all that moves, slows transfers down and stops nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_tight_budget_does_not_deadlock() {
    let mut ground = Ground::file();
    ground.context.limits = Arc::new(TransferLimits::new(2, store::PART_BYTES + 1, None));
    let repository = ground.create().await;
    let files: Vec<_> = (0..3).map(|seed| ground.file_of(3 * store::PART_BYTES + seed, seed)).collect();
    let never = CancellationToken::new();
    let moves = files.iter().map(|(object, path)| async {
        repository.put_object(object, path, &(), &never).await.unwrap();
        let back = path.with_extension("back");
        repository.get_object(object, &back, &(), &never).await.unwrap();
    });
    let all = futures::future::join_all(moves);
    tokio::time::timeout(PATIENCE, all).await.expect("no deadlock");
}
