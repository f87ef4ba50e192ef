//! Goal: every backend behaves the same. Method: one suite, run against a directory, an S3 server in this process
//! and, when `EBLA_TEST_S3_ENDPOINT`, `_ACCESS_KEY`, `_SECRET_KEY` and `_BUCKET` name one, any other S3 server.

mod advice;
mod faults;
mod pace;
pub(crate) mod servers;

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;

use super::*;
use servers::TestStore;

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

async fn list_all(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for_each_listed(store, prefix, 10_000, |entry| keys.push(entry.key)).await.unwrap();
    keys.sort_unstable(); // Stores differ in the order.
    keys
}

async fn whole_objects(test: &TestStore) {
    let store = &*test.store;
    let small = key("ebla/a/small");
    assert_eq!(store.head(&small).await.unwrap(), None);
    assert_eq!(store.get(&small, 100).await.unwrap_err().kind(), StoreErrorKind::NotFound);

    assert_eq!(store.put_create(&small, Bytes::from_static(b"first")).await.unwrap(), Put::Created);
    assert_eq!(store.put_create(&small, Bytes::from_static(b"other!")).await.unwrap(), Put::Exists);
    assert_eq!(store.get(&small, 100).await.unwrap(), "first");
    assert_eq!(store.get(&small, 5).await.unwrap(), "first");
    assert_eq!(store.get(&small, 4).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
    assert_eq!(store.head(&small).await.unwrap(), Some(ObjectMeta { bytes: 5 }));

    let empty = key("ebla/a/empty");
    assert_eq!(store.put_create(&empty, Bytes::new()).await.unwrap(), Put::Created);
    assert_eq!(store.get(&empty, 0).await.unwrap(), "");

    assert_eq!(store.get_range(&small, 1, 3).await.unwrap(), "irs");
    assert_eq!(store.get_range(&small, 0, 0).await.unwrap(), "");
    for (offset, bytes) in [(3, 5), (5, 1), (100, 1)] {
        let error = store.get_range(&small, offset, bytes).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{offset} {bytes} {error}");
    }
}

async fn objects_in_parts(test: &TestStore) {
    let store = &*test.store;
    let bytes = 2 * PART_BYTES + 12_345;
    let body: Bytes = (0..bytes).map(|i| (i * 31 % 253) as u8).collect::<Vec<_>>().into();
    let part = |index| {
        let (offset, len) = part_range(bytes, index).unwrap();
        body.slice(offset as usize..(offset + len) as usize)
    };
    let large = key("ebla/large");

    let upload = store.start_multipart(&large, bytes).await.unwrap();
    assert_eq!(upload.put_part(0, part(1).slice(1..)).await.unwrap_err().kind(), StoreErrorKind::Invalid);
    upload.put_part(2, part(2)).await.unwrap();
    upload.put_part(0, part(0)).await.unwrap();
    assert_eq!(store.head(&large).await.unwrap(), None);
    assert!(upload.complete().await.is_err(), "a part is missing");
    assert_eq!(store.head(&large).await.unwrap(), None);

    let upload = store.start_multipart(&large, bytes).await.unwrap();
    upload.put_part(1, part(0)).await.unwrap();
    futures::try_join!(upload.put_part(2, part(2)), upload.put_part(0, part(0)), upload.put_part(1, part(1))).unwrap();
    assert_eq!(upload.complete().await.unwrap(), Put::Created);
    assert_eq!(store.head(&large).await.unwrap(), Some(ObjectMeta { bytes }));
    assert_eq!(
        store.get_range(&large, PART_BYTES - 5, 10).await.unwrap(),
        body.slice(PART_BYTES as usize - 5..PART_BYTES as usize + 5)
    );
    assert!(store.get(&large, bytes).await.unwrap() == body, "the object is not its parts");

    let again = store.start_multipart(&large, 3).await.unwrap();
    again.put_part(0, Bytes::from_static(b"no!")).await.unwrap();
    if test.conditional_complete {
        assert_eq!(again.complete().await.unwrap(), Put::Exists);
        assert_eq!(store.head(&large).await.unwrap(), Some(ObjectMeta { bytes }));
    } else {
        again.abort().await;
    }
}

async fn listings(test: &TestStore) {
    let store = &*test.store;
    let mut keys: Vec<String> =
        ["a", "a-b/x", "a.b/x", "a/x", "a/y/z", "a0", "b/c"].map(|k| format!("ebla/l/{k}")).into();
    // The file `a` beside the directory `a` is beyond a file system; S3 has no such limit.
    keys.remove(0);
    for k in &keys {
        store.put_create(&key(k), Bytes::from_static(b"x")).await.unwrap();
    }
    store.put_create(&key("ebla/m"), Bytes::from_static(b"x")).await.unwrap();
    keys.sort_unstable();
    assert_eq!(list_all(store, "ebla/l/").await, keys);
    assert_eq!(list_all(store, "ebla/l/a/").await, ["ebla/l/a/x", "ebla/l/a/y/z"]);
    assert_eq!(list_all(store, "ebla/nothing/").await, Vec::<String>::new());
    let entry = &store.list("ebla/l/", None).await.unwrap().entries[0];
    assert_eq!(entry.bytes, 1);
    assert!(entry.modified_at_ms > 1_600_000_000_000);
}

async fn listings_of_many_pages(test: &TestStore) {
    let store = &test.store;
    let keys: Vec<String> = (0..LIST_PAGE_KEYS + 3)
        .map(|i| format!("ebla/p/{}/{i:05}", ["x", "x-1", "x.2", "x%20", "x0"][i % 5]))
        .collect();
    let puts = futures::stream::iter(keys.clone()).map(|k| async move {
        store.put_create(&key(&k), Bytes::from_static(b"x")).await.unwrap();
    });
    puts.buffer_unordered(16).collect::<Vec<()>>().await;
    let mut keys = keys;
    keys.sort_unstable();
    assert_eq!(list_all(&**store, "ebla/p/").await, keys);
}

async fn racing_creators(test: &TestStore) {
    let racers = (0..8_u8).map(|racer| {
        let store = Arc::clone(&test.store);
        tokio::spawn(async move { store.put_create(&key("ebla/race"), Bytes::from(vec![racer; 1000])).await.unwrap() })
    });
    let outcomes = futures::future::join_all(racers).await;
    let winners: Vec<_> = (0_u8..).zip(outcomes).filter(|(_, put)| *put.as_ref().unwrap() == Put::Created).collect();
    let there = test.store.get(&key("ebla/race"), 1000).await.unwrap();
    if test.atomic {
        assert_eq!(winners.len(), 1);
        assert_eq!(there, vec![winners[0].0; 1000]);
    } else {
        assert!(!winners.is_empty());
    }
}

async fn deletes(test: &TestStore) {
    let doomed = key("ebla/doomed");
    test.store.put_create(&doomed, Bytes::from_static(b"x")).await.unwrap();
    test.delete.delete(&doomed).await.unwrap();
    assert_eq!(test.store.head(&doomed).await.unwrap(), None);
    test.delete.delete(&doomed).await.unwrap();
}

async fn suite(test: &TestStore) {
    whole_objects(test).await;
    objects_in_parts(test).await;
    listings(test).await;
    listings_of_many_pages(test).await;
    racing_creators(test).await;
    deletes(test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn file_suite() {
    suite(&servers::file_store()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_process_s3_suite() {
    suite(&servers::in_process_s3_store().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn external_s3_suite() {
    match servers::external_s3_store().await {
        Some(test) => suite(&test).await,
        None => eprintln!("skipped: EBLA_TEST_S3_ENDPOINT is not set"),
    }
}

/// Goal: the fallback for stores without conditional puts leaves existing objects alone too.
#[tokio::test(flavor = "multi_thread")]
async fn head_first_suite() {
    let mut test = servers::file_store();
    test.store =
        Arc::new(HeadFirst::new(test.store, lacking(Capabilities { conditional_put: false, ..Capabilities::ALL })));
    suite(&test).await;
}

#[tokio::test]
async fn file_store_stays_in_its_root_and_cleans_up() {
    let test = servers::file_store();
    let root = test.root.as_ref().unwrap().path().join("repository");
    test.store.put_create(&key("ebla/objects/aa/x"), Bytes::from_static(b"x")).await.unwrap();

    std::os::unix::fs::symlink("/etc/hostname", root.join("ebla/objects/aa/link")).unwrap();
    let link = key("ebla/objects/aa/link");
    for error in [
        test.store.get(&link, 1000).await.unwrap_err(),
        test.store.head(&link).await.unwrap_err(),
        test.store.put_create(&link, Bytes::from_static(b"x")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
    }
    let directory = test.store.get(&key("ebla/objects/aa"), 10).await.unwrap_err();
    assert_eq!(directory.kind(), StoreErrorKind::Corrupt, "{directory}");
    assert_eq!(list_all(&*test.store, "").await, ["ebla/objects/aa/x"]);
    for prefix in ["../", "ebla", "/", "ebla/../", "ebla//"] {
        assert_eq!(test.store.list(prefix, None).await.unwrap_err().kind(), StoreErrorKind::Invalid, "{prefix}");
    }

    drop(test.store.start_multipart(&key("ebla/large"), PART_BYTES * 3).await.unwrap());
    let left = std::fs::read_dir(root.join(".ebla-staging")).unwrap().count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_full_disk_or_a_missing_right_is_said() {
    let test = servers::file_store();
    let root = test.root.as_ref().unwrap().path().join("repository");
    std::fs::write(&root, "a file where the directory should be").unwrap();
    let error = test.store.put_create(&key("ebla/x"), Bytes::from_static(b"x")).await.unwrap_err();
    assert!(error.to_string().contains("cannot put 'ebla/x' in directory"), "{error}");
    assert!(!error.is_retryable());
}

fn lacking(capabilities: Capabilities) -> Arc<KnownCapabilities> {
    Arc::new(KnownCapabilities::new(capabilities))
}

#[tokio::test]
async fn layers_count_and_limit() {
    let test = servers::file_store();
    let stats = StoreStats::new();
    let limits = Arc::new(TransferLimits::new(1, PART_BYTES, None));
    let known = lacking(Capabilities { conditional_put: false, ..Capabilities::ALL });
    let store = layered(Arc::clone(&test.store), &stats, &limits, &known);
    store.put_create(&key("ebla/x"), Bytes::from_static(b"12345")).await.unwrap();
    store.put_create(&key("ebla/x"), Bytes::from_static(b"12345")).await.unwrap();
    store.get(&key("ebla/x"), 10).await.unwrap();
    store.get(&key("ebla/y"), 10).await.unwrap_err();
    let counts = stats.counts();
    assert_eq!(counts.calls_of(Operation::Head), 2);
    assert_eq!(counts.calls_of(Operation::Put), 1);
    assert_eq!((counts.bytes_up(), counts.bytes_down()), (5, 5));
    assert_eq!(counts.operations[&Operation::Get].failures, 1);
    assert_eq!(counts.calls(), 5);
}

#[test]
fn parts_cover_an_object() {
    for bytes in [1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES, PART_BYTES * PARTS_MAX + 1, 5 << 40] {
        let parts: Vec<_> = (0..).map_while(|index| part_range(bytes, index)).collect();
        assert!(parts.len() as u64 <= PARTS_MAX);
        assert_eq!(parts.len() as u64, bytes.div_ceil(part_bytes(bytes)));
        assert_eq!(parts.iter().map(|(_, len)| len).sum::<u64>(), bytes);
        assert!(parts.windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0));
    }
    assert_eq!(part_range(0, 0), None);
}
