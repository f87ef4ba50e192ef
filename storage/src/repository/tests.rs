//! Goal: what goes into a repository comes out again, and what is wrong with it is found. Method: the public
//! interface, on a directory, on an S3 server in this process and on whatever server the environment names.

mod damage;
mod race;
mod unfit;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::format::{
    IndexEntry, PartitionEntry, RowsetEntry, SegmentEntry, SnapshotManifest, SnapshotTable, TabletEntry, encode_node,
};
use super::store::tests::servers;
use super::*;
use crate::schema::{
    Column, ColumnId, DataType, Distribution, KeysType, PartitionBounds, Partitioning, TableDefinition,
};

/// A place for repositories, and a directory for local files.
pub(super) struct Ground {
    pub(super) location: Location,
    pub(super) properties: RepositoryProperties,
    pub(super) local: TempDir,
    _server: Option<TempDir>,
    pub(super) context: RepositoryContext,
}

impl Ground {
    pub(super) fn file() -> Self {
        let local = tempfile::tempdir().unwrap();
        let location = Location::try_from(local.path().join("repository/below")).unwrap();
        let properties = RepositoryProperties::default();
        Self { location, properties, local, _server: None, context: RepositoryContext::default() }
    }

    async fn in_process_s3() -> Self {
        let (address, server) = servers::in_process_s3().await;
        let properties = servers::s3_properties(&format!("http://{address}"), servers::ACCESS_KEY, servers::SECRET_KEY);
        Self {
            location: Location::parse("s3a://bucket/pre_fix").unwrap(),
            properties,
            local: tempfile::tempdir().unwrap(),
            _server: Some(server),
            context: RepositoryContext::default(),
        }
    }

    fn external_s3() -> Option<Self> {
        let (location, properties) = servers::external_s3()?;
        Some(Self {
            location: Location::parse(&location).unwrap(),
            properties,
            local: tempfile::tempdir().unwrap(),
            _server: None,
            context: RepositoryContext::default(),
        })
    }

    pub(super) async fn create(&self) -> Repository {
        Repository::create_or_attach(&self.location, &self.properties, Access::ReadWrite, &self.context).await.unwrap()
    }

    /// A local file of these many bytes.
    pub(super) fn file_of(&self, bytes: u64, seed: u64) -> (ObjectRef, PathBuf) {
        let mut state = seed;
        let content: Vec<u8> = (0..bytes)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        let digest = Digest::of(&content);
        let path = self.local.path().join(format!("{digest}.parquet"));
        std::fs::write(&path, content).unwrap();
        (ObjectRef { kind: FileKind::Segment, digest, bytes }, path)
    }
}

/// A snapshot of one table with one partition that holds one segment.
pub(super) async fn put_snapshot(
    repository: &Repository,
    label: &str,
    segment: &ObjectRef,
    bytes_uploaded: u64,
) -> SnapshotManifest {
    let entry =
        SegmentEntry { digest: segment.digest, rows: 10, bytes: segment.bytes, zone_maps: vec![], deletes: None };
    let tablet = TabletEntry { index: 0, bucket: 0, rowsets: vec![RowsetEntry { segments: vec![entry] }] };
    let partition = encode_node(&PartitionNode::new(vec![tablet])).unwrap();
    let partition_entry = PartitionEntry {
        name: "t".into(),
        bounds: PartitionBounds::All,
        buckets: 1,
        replication_num: 1,
        properties: Default::default(),
        node: partition.node,
        objects: 1,
        rows: 10,
        bytes: segment.bytes,
    };
    let table_node =
        TableNode::new(definition(), None, vec![IndexEntry { name: "base".into() }], vec![partition_entry]);
    let table = encode_node(&table_node).unwrap();
    repository.put_node(&partition).await.unwrap();
    repository.put_node(&table).await.unwrap();
    let tables = vec![SnapshotTable::of("t", &table_node, table.node).unwrap()];
    let manifest = SnapshotManifest {
        format_version: format::FORMAT_VERSION,
        engine_version: "0.1.0".into(),
        repository_id: repository.info().repository_id.clone(),
        cluster_id: "c".into(),
        database: "d".into(),
        label: label.into(),
        timestamp: "2023-02-07-14-45-53-143".parse().unwrap(),
        timestamp_ms: 1_675_781_153_143,
        cut_at_ms: 1_675_781_153_200,
        finished_at_ms: 1_675_781_154_000,
        ttl: None,
        expires_at_ms: None,
        locked: None,
        totals: SnapshotManifest::totals_of(&tables, bytes_uploaded).unwrap(),
        tables,
    };
    assert_eq!(repository.put_manifest(&manifest).await.unwrap(), Put::Created);
    manifest
}

pub(super) fn definition() -> TableDefinition {
    let column = Column {
        id: ColumnId(1),
        name: "id".into(),
        data_type: DataType::BigInt,
        nullable: false,
        key: true,
        aggregation: None,
        default: None,
        auto_increment: false,
        comment: String::new(),
    };
    TableDefinition {
        columns: vec![column],
        keys_type: KeysType::Duplicate,
        sort_key: vec![ColumnId(1)],
        partitioning: Partitioning::Unpartitioned,
        distribution: Distribution::Hash { columns: vec![ColumnId(1)] },
        buckets: 1,
        properties: Default::default(),
        indexes: vec![],
        comment: String::new(),
    }
}

async fn whole_story(ground: &Ground) {
    let never = CancellationToken::new();
    let repository = ground.create().await;
    let progress = AtomicU64::new(0);

    // Backup: a small and a large segment, nodes, commit object. Everything twice: the second time nothing moves.
    let sizes = [10_000, store::SINGLE_PUT_BYTES_MAX + 4321];
    let files: Vec<_> = (1..).zip(sizes).map(|(seed, bytes)| ground.file_of(bytes, seed)).collect();
    for expected in [Put::Created, Put::Exists] {
        for (object, path) in &files {
            let put = repository.put_object(object, path, &progress, &never).await.unwrap();
            if expected == Put::Created {
                assert_eq!(put, Put::Created);
            }
            assert!(repository.has_object(object).await.unwrap());
        }
    }
    let (absent, _) = ground.file_of(10, 99);
    assert!(!repository.has_object(&absent).await.unwrap());
    assert!(progress.load(Ordering::Relaxed) >= sizes.iter().sum::<u64>());
    let there = repository.list_objects().await.unwrap();
    assert_eq!(there.len(), 2);
    assert_eq!(there[&(FileKind::Segment, files[1].0.digest)], sizes[1]);

    let label = "nightly/2023 ü";
    assert!(repository.list_snapshots().await.unwrap().snapshots.is_empty());
    let manifest = put_snapshot(&repository, label, &files[1].0, sizes[1]).await;
    assert_eq!(repository.put_manifest(&manifest).await.unwrap(), Put::Exists, "a replay");
    let mut other = manifest.clone();
    other.finished_at_ms += 1;
    let error = repository.put_manifest(&other).await.unwrap_err();
    assert!(matches!(error, RepositoryError::SnapshotExists { .. }), "{error}");
    other.database = "a longer name than before".into();
    let error = repository.put_manifest(&other).await.unwrap_err();
    assert!(matches!(error, RepositoryError::SnapshotExists { .. }), "{error}");

    // Restore, by another cluster that only may read.
    let reader = Repository::create_or_attach(&ground.location, &ground.properties, Access::ReadOnly, &ground.context)
        .await
        .unwrap();
    assert_eq!(reader.info(), repository.info());
    reader.verify_identity().await.unwrap();
    let listed = reader.list_snapshots().await.unwrap();
    assert_eq!(listed.snapshots, [SnapshotListing { label: label.into(), timestamp: manifest.timestamp.clone() }]);
    assert_eq!(listed.invalid, Vec::<String>::new());
    assert_eq!(reader.list_snapshots_of(label).await.unwrap(), listed);
    assert!(reader.list_snapshots_of("nightly").await.unwrap().snapshots.is_empty());
    let read = reader.read_manifest(label, &manifest.timestamp).await.unwrap();
    assert_eq!(read, manifest);
    let table = reader.read_table_node(&read.tables[0].node).await.unwrap();
    read.tables[0].check(&table).unwrap();
    let partition = reader.read_partition_node(&table.partitions[0].node).await.unwrap();
    table.partitions[0].check(&partition, table.indexes.len()).unwrap();
    for (object, path) in &files {
        let back = ground.local.path().join("back");
        std::fs::write(&back, vec![7; 50_000_000]).unwrap(); // What an earlier try left.
        reader.get_object(object, &back, &progress, &never).await.unwrap();
        assert!(std::fs::read(&back).unwrap() == std::fs::read(path).unwrap());
    }
    let error = reader.put_object(&files[0].0, &files[0].1, &(), &never).await.unwrap_err();
    assert!(matches!(error, RepositoryError::ReadOnly { .. }), "{error}");
    let error = reader.read_manifest("no", &manifest.timestamp).await.unwrap_err();
    assert!(matches!(error, RepositoryError::SnapshotNotFound { .. }), "{error}");

    // The catalog's copy opens the same repository.
    let stored = repository.attachment().to_catalog_json();
    let attachment = Attachment::from_catalog_json(&stored).unwrap();
    let opened = Repository::open(&ground.location, &attachment, Access::ReadWrite, Patience::Job, &ground.context)
        .await
        .unwrap();
    opened.verify_identity().await.unwrap();
    assert_eq!(opened.counts().calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_story_in_a_directory() {
    let ground = Ground::file();
    whole_story(&ground).await;
    assert!(ground.create().await.attachment().capabilities.conditional_put);
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_story_on_an_s3_server_in_process() {
    whole_story(&Ground::in_process_s3().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_story_on_an_external_s3_server() {
    match Ground::external_s3() {
        Some(ground) => {
            whole_story(&ground).await;
            let repository = ground.create().await;
            eprintln!("capabilities: {:?}", repository.attachment().capabilities);
        }
        None => eprintln!("skipped: EBLA_TEST_S3_ENDPOINT is not set"),
    }
}

/// Goal: creating is idempotent, keeps the first identity, and costs a bounded number of requests.
#[tokio::test]
async fn creating_twice_attaches() {
    let ground = Ground::file();
    let first = ground.create().await;
    let second = ground.create().await;
    assert_eq!(first.info(), second.info());

    let other = Ground::file();
    let error = Repository::create_or_attach(&other.location, &other.properties, Access::ReadOnly, &other.context)
        .await
        .unwrap_err();
    assert!(matches!(error, RepositoryError::NotARepository { .. }), "{error}");
    assert!(error.to_string().contains("READ ONLY"), "{error}");
    assert!(!other.local.path().join("repository").exists(), "a read-only repository writes nothing");
}

#[tokio::test]
async fn a_replaced_repository_is_noticed() {
    let ground = Ground::file();
    let repository = ground.create().await;
    let Location::File(file) = &ground.location else { panic!("a file location") };
    std::fs::remove_dir_all(file.path()).unwrap();
    let error = repository.verify_identity().await.unwrap_err();
    assert!(matches!(error, RepositoryError::NotARepository { .. }), "{error}");
    ground.create().await;
    let error = repository.verify_identity().await.unwrap_err();
    assert!(matches!(error, RepositoryError::Replaced { .. }), "{error}");
}

/// Goal: mistakes in a location or in credentials are told apart. Method: a real server that refuses.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_configurations_on_a_real_server() {
    let ground = Ground::in_process_s3().await;
    let Ok(settings) = ground.properties.s3("bucket") else { panic!("settings") };
    let endpoint = settings.endpoint.unwrap();
    let create = |location: &str, access_key: &str, secret_key: &str| {
        let location = Location::parse(location).unwrap();
        let properties = servers::s3_properties(&endpoint, access_key, secret_key);
        let context = ground.context.clone();
        async move {
            let error = Repository::create_or_attach(&location, &properties, Access::ReadWrite, &context).await;
            error.unwrap_err()
        }
    };
    let no_bucket = create("s3://nowhere/x", servers::ACCESS_KEY, servers::SECRET_KEY).await;
    assert!(no_bucket.to_string().contains("create the bucket"), "{no_bucket}");
    let wrong_secret = create("s3://bucket/x", servers::ACCESS_KEY, "WRONGCANARY").await;
    assert_eq!(wrong_secret.store_kind(), Some(StoreErrorKind::PermissionDenied), "{wrong_secret}");
    assert!(wrong_secret.to_string().contains("check aws.s3.secret_key"), "{wrong_secret}");
    let unknown_key = create("s3://bucket/x", "nobody", "WRONGCANARY").await;
    assert_eq!(unknown_key.store_kind(), Some(StoreErrorKind::PermissionDenied), "{unknown_key}");
    for error in [no_bucket, wrong_secret, unknown_key] {
        let text = error.to_string();
        assert!(text.contains("bucket '") && text.contains(&endpoint) && text.contains("HTTP status"), "{text}");
        assert!(!format!("{text} {error:?}").contains("CANARY"), "{text}");
    }
}
