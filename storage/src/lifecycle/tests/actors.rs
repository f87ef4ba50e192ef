//! Those who work on one repository at the same time: backups, drops, collectors. What they do to the repository is done by the
//! code that does it in production; a backup's order of steps is written down here once more, because its own code
//! needs tables and a catalog.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::world::{Dice, World};
use crate::catalog::FileKind;
use crate::digest::Digest;
use crate::lifecycle::collect::{Collector, Knowledge, Rule};
use crate::lifecycle::marks::MarkWatch;
use crate::lifecycle::{Monotonic, drop};
use crate::repository::format::{
    Announcement, Content, EncodedNode, FORMAT_VERSION, IndexEntry, PartitionEntry, PartitionNode, RowsetEntry,
    SegmentEntry, SnapshotManifest, SnapshotTable, TableNode, TabletEntry, Tombstone, encode_node,
};
use crate::repository::store::{ObjectKey, ObjectStore};
use crate::repository::{
    CommitName, Entombed, Put, Repository, RepositoryError, RepositoryResult, SnapshotTimestamp, layout,
};
use crate::schema::PartitionBounds;

/// The time a backup may take: less than a grace, or more than two, so that one outlives a mark and its sweep.
pub(super) const TIMEOUTS_S: [u64; 3] = [600, 4_200, 3 * 3_600];

/// What a backup may believe to have beyond that, because its clock was set.
pub(super) const BELIEVED_MS: i64 = 35 * 60_000;

/// The grace of collections.
pub(super) const GRACE_MS: i64 = 3_600_000;

/// Segments there are.
const SEGMENTS: usize = 3;

/// A rule of backups that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriterRule {
    /// The announcement.
    Announce,
    /// The announcement comes before the look at the marks and finding out what is present.
    AnnounceFirst,
    /// The look at the marks.
    Look,
    /// The look at the marks comes before finding out what is present.
    LookThenPresence,
    /// A claimed mark is waited for.
    WaitForClaim,
    /// Nothing is published after the announced time.
    InTime,
    /// Who takes a backup up again looks whether it is still announced.
    StillAnnounced,
}

/// What a snapshot of some segments consists of.
pub(super) struct Parts {
    segments: Vec<Digest>,
    partition: EncodedNode,
    table: EncodedNode,
    entry: SnapshotTable,
}

/// All there can be: a snapshot for each set of segments.
pub(super) struct Universe {
    segments: Vec<(Digest, Bytes)>,
    parts: Vec<Parts>,
    pub(super) bits: Arc<HashMap<String, u64>>,
}

pub(super) static UNIVERSE: LazyLock<Universe> = LazyLock::new(|| {
    let segments: Vec<(Digest, Bytes)> = (0..SEGMENTS)
        .map(|number| {
            let body = Bytes::from(format!("segment {number}"));
            (Digest::of(&body), body)
        })
        .collect();
    let parts: Vec<Parts> = (0..1 << SEGMENTS).map(|set| parts_of(&segments, set)).collect();
    let contents = segments.iter().map(|(digest, _)| Content::Object(FileKind::Segment, *digest));
    let nodes =
        parts.iter().flat_map(|parts| [parts.partition.node.digest, parts.table.node.digest]).map(Content::Node);
    let bits = contents.chain(nodes).enumerate().map(|(bit, content)| (content.key().to_string(), 1 << bit)).collect();
    Universe { segments, parts, bits: Arc::new(bits) }
});

fn parts_of(segments: &[(Digest, Bytes)], set: usize) -> Parts {
    let chosen: Vec<&(Digest, Bytes)> = segments
        .iter()
        .enumerate()
        .filter(|(number, _)| set & (1 << number) != 0)
        .map(|(_, segment)| segment)
        .collect();
    let bytes: u64 = chosen.iter().map(|(_, body)| body.len() as u64).sum();
    let entries = chosen
        .iter()
        .map(|(digest, body)| SegmentEntry {
            digest: *digest,
            rows: 1,
            bytes: body.len() as u64,
            zone_maps: vec![],
            deletes: None,
        })
        .collect();
    let tablet = TabletEntry { index: 0, bucket: 0, rowsets: vec![RowsetEntry { segments: entries }] };
    let partition = encode_node(&PartitionNode::new(vec![tablet])).unwrap();
    let entry = PartitionEntry {
        name: "t".into(),
        bounds: PartitionBounds::All,
        buckets: 1,
        replication_num: 1,
        properties: Default::default(),
        node: partition.node,
        objects: chosen.len() as u64,
        rows: chosen.len() as u64,
        bytes,
    };
    let definition = crate::testing::table_of(vec![crate::testing::column(0, "k", crate::schema::DataType::BigInt)]);
    let node = TableNode::new(definition, None, vec![IndexEntry { name: "base".into() }], vec![entry]);
    let table = encode_node(&node).unwrap();
    let entry = SnapshotTable::of("t", &node, table.node).unwrap();
    Parts { segments: chosen.iter().map(|(digest, _)| *digest).collect(), partition, table, entry }
}

impl Universe {
    /// The mended copy of a segment.
    pub(super) fn mended(&self, segment: usize) -> (ObjectKey, Bytes) {
        let (digest, body) = &self.segments[segment];
        (layout::mended(&layout::object(FileKind::Segment, digest)), body.clone())
    }

    /// What a snapshot of this label needs: the set of segments is its first character.
    pub(super) fn needs(&self, label: &str) -> u64 {
        self.contents(set_of(label)).iter().map(|content| self.bits[content.key().as_str()]).sum()
    }

    fn contents(&self, set: usize) -> Vec<Content> {
        let parts = &self.parts[set];
        let segments = parts.segments.iter().map(|digest| Content::Object(FileKind::Segment, *digest));
        segments.chain([Content::Node(parts.partition.node.digest), Content::Node(parts.table.node.digest)]).collect()
    }
}

fn set_of(label: &str) -> usize {
    label.as_bytes().first().map_or(1, |byte| usize::from(byte - b'0'))
}

/// How far a backup has come, as its row would say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Announcing,
    Uploading,
    Publishing,
    Over,
}

/// A backup; what a crash leaves of it.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) name: CommitName,
    timeout_s: u64,
    without: Option<WriterRule>,
    stage: Mutex<Stage>,
    /// What was found to be present.
    present: Mutex<HashSet<Content>>,
    /// When it was submitted.
    began_ms: Mutex<Option<i64>>,
}

impl Writer {
    pub(super) fn new(number: usize, set: usize, timeout_s: u64, without: Option<WriterRule>) -> Arc<Writer> {
        let timestamp = format!("2023-02-07-14-45-53-{number:03}").parse().unwrap();
        Arc::new(Writer {
            name: (format!("{set}-{number}"), timestamp),
            timeout_s,
            without,
            stage: Mutex::new(Stage::Announcing),
            present: Mutex::default(),
            began_ms: Mutex::new(None),
        })
    }

    /// One that has announced itself and found everything present at this time: only its commit object is to come.
    pub(super) fn before_its_end(
        set: usize,
        timeout_s: u64,
        began_ms: i64,
        without: Option<WriterRule>,
    ) -> Arc<Writer> {
        let writer = Writer::new(200, set, timeout_s, without);
        *writer.stage.lock() = Stage::Publishing;
        *writer.began_ms.lock() = Some(began_ms);
        writer
    }

    pub(super) async fn announce(self: Arc<Self>, world: World) {
        Repository::over(world).announce(&self.announcement()).await.unwrap();
    }

    pub(super) fn is_over(&self) -> bool {
        *self.stage.lock() == Stage::Over
    }

    /// From where it stands to its end, or to an error that the job would have tried again for longer.
    pub(super) async fn run(self: Arc<Self>, world: World, mut dice: Dice) {
        let repository = Repository::over(world.clone());
        let began_ms = *self.began_ms.lock().get_or_insert_with(|| world.now_ms());
        let resumed = *self.stage.lock() != Stage::Announcing;
        let ended = self.steps(&world, &repository, &mut dice, began_ms, resumed).await;
        world.note(|| format!("backup {} ends: {ended:?}", self.name.0));
        match ended {
            Ok(()) => {
                *self.stage.lock() = Stage::Over;
                world.0.lock().known.insert(self.name.clone());
            }
            // It stays as it is, and is taken up again, or never.
            Err(error) if error.is_retryable() => {}
            Err(_) => self.give_up(&repository).await,
        }
    }

    async fn give_up(&self, repository: &Repository) {
        if matches!(repository.entomb(&self.name, Tombstone::Withdrawn).await, Ok(Entombed::Yes | Entombed::Committed))
        {
            *self.stage.lock() = Stage::Over;
        }
    }

    async fn steps(
        &self,
        world: &World,
        repository: &Repository,
        dice: &mut Dice,
        began_ms: i64,
        resumed: bool,
    ) -> RepositoryResult<()> {
        let timeout_ms = self.timeout_s.cast_signed() * 1_000;
        let deadline_ms = began_ms + timeout_ms + BELIEVED_MS;
        let in_time = || match self.keeps(WriterRule::InTime) && world.now_ms() > deadline_ms {
            true => Err(RepositoryError::Cancelled),
            false => Ok(()),
        };
        in_time()?;
        if *self.stage.lock() == Stage::Announcing {
            let parents = repository.list_snapshots().await?.snapshots;
            if self.keeps(WriterRule::Announce) && self.keeps(WriterRule::AnnounceFirst) {
                repository.announce(&self.announcement()).await?;
            }
            let late = !self.keeps(WriterRule::LookThenPresence);
            if late {
                self.find_present(repository, dice, &parents).await?;
            }
            if self.keeps(WriterRule::Look) {
                self.settle(world, repository).await?;
            }
            if !late {
                self.find_present(repository, dice, &parents).await?;
            }
            if !self.keeps(WriterRule::AnnounceFirst) {
                repository.announce(&self.announcement()).await?;
            }
            in_time()?;
            *self.stage.lock() = Stage::Uploading;
        }
        if *self.stage.lock() == Stage::Uploading {
            self.upload(world, repository, &in_time).await?;
            *self.stage.lock() = Stage::Publishing;
        }
        let looks = self.keeps(WriterRule::StillAnnounced) && self.keeps(WriterRule::Announce);
        if resumed && looks && !repository.is_announced(&self.announcement()).await? {
            return Err(RepositoryError::Cancelled);
        }
        loop {
            in_time()?;
            match repository.put_manifest(&self.manifest()).await {
                // A job tries again, for as long as it may take.
                Err(error) if error.is_retryable() && dice.chance(70) => {
                    world.sleep_ms([1_000, 60_000, GRACE_MS / 2, GRACE_MS][dice.below(4)]).await;
                }
                put => return put.map(drop),
            }
        }
    }

    fn keeps(&self, rule: WriterRule) -> bool {
        self.without != Some(rule)
    }

    async fn settle(&self, world: &World, repository: &Repository) -> RepositoryResult<()> {
        let needed = UNIVERSE.contents(set_of(&self.name.0));
        let watch = MarkWatch::new("c");
        for open in MarkWatch::list(repository).await? {
            if !open.mark().is_none_or(|mark| needed.iter().any(|content| mark.names(content))) {
                continue;
            }
            let token = crate::clock::Random::identifier(world);
            while !watch.settle(repository, &open, world.elapsed(), token.clone()).await? {
                if !self.keeps(WriterRule::WaitForClaim) {
                    break;
                }
                world.sleep_ms(60_000).await;
            }
        }
        Ok(())
    }

    /// As a backup's plan does: from an earlier snapshot, if there is one that is whole, or by listing.
    async fn find_present(
        &self,
        repository: &Repository,
        dice: &mut Dice,
        parents: &[crate::repository::SnapshotListing],
    ) -> RepositoryResult<()> {
        let mut present = HashSet::new();
        if !parents.is_empty() && dice.chance(70) {
            let parent = &parents[dice.below(parents.len())];
            match repository.read_manifest(&parent.label, &parent.timestamp).await {
                Ok(manifest) => present.extend(UNIVERSE.contents(set_of(&manifest.label))),
                Err(RepositoryError::SnapshotNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        } else if dice.chance(50) {
            let listed = repository.list_objects().await?;
            present.extend(listed.into_keys().map(|(kind, digest)| Content::Object(kind, digest)));
        }
        *self.present.lock() = present;
        Ok(())
    }

    async fn upload(
        &self,
        world: &World,
        repository: &Repository,
        in_time: &impl Fn() -> RepositoryResult<()>,
    ) -> RepositoryResult<()> {
        let parts = &UNIVERSE.parts[set_of(&self.name.0)];
        let present = self.present.lock().clone();
        let lacks = |content: Content| !present.contains(&content);
        for digest in &parts.segments {
            let content = Content::Object(FileKind::Segment, *digest);
            if lacks(content) {
                in_time()?;
                let body = &UNIVERSE.segments.iter().find(|(other, _)| other == digest).unwrap().1;
                world.put_create(&content.key(), body.clone()).await?;
            }
        }
        for node in [&parts.partition, &parts.table] {
            if lacks(Content::Node(node.node.digest)) {
                in_time()?;
                let put: Put = repository.put_node(node).await?;
                let _ = put; // There or put: it is as good.
            }
        }
        Ok(())
    }

    fn announcement(&self) -> Announcement {
        Announcement {
            format_version: FORMAT_VERSION,
            engine_version: "0.1.0".into(),
            cluster_id: "c".into(),
            job_id: 1,
            label: self.name.0.clone(),
            timestamp: self.name.1.clone(),
            timeout_s: self.timeout_s,
        }
    }

    pub(super) fn manifest(&self) -> SnapshotManifest {
        let tables = vec![UNIVERSE.parts[set_of(&self.name.0)].entry.clone()];
        SnapshotManifest {
            format_version: FORMAT_VERSION,
            engine_version: "0.1.0".into(),
            repository_id: "of a test".into(),
            cluster_id: "c".into(),
            database: "d".into(),
            label: self.name.0.clone(),
            timestamp: self.name.1.clone(),
            timestamp_ms: 0,
            cut_at_ms: 0,
            finished_at_ms: 0,
            ttl: None,
            expires_at_ms: None,
            locked: None,
            totals: SnapshotManifest::totals_of(&tables, 0).unwrap(),
            tables,
        }
    }
}

/// Drops one snapshot after the other, as many as this.
pub(super) async fn drop_snapshots(world: World, mut dice: Dice, times: usize) {
    let repository = Repository::over(world.clone());
    for _ in 0..times {
        let Ok(listed) = repository.list_snapshots().await else { continue };
        if listed.snapshots.is_empty() {
            world.sleep_ms(60_000).await;
            continue;
        }
        let chosen = &listed.snapshots[dice.below(listed.snapshots.len())];
        let name: (String, SnapshotTimestamp) = (chosen.label.clone(), chosen.timestamp.clone());
        let mut dropped = Err(crate::Error::Cancelled);
        for _ in 0..3 {
            dropped = drop::remove_snapshot(&repository, &world, &name).await;
            if dropped.is_ok() {
                break;
            }
        }
        world.note(|| format!("drop of {}: {}", name.0, if dropped.is_ok() { "done" } else { "fails" }));
    }
}

/// Drops the snapshots of one label.
pub(super) async fn drop_label(world: World, label: &'static str) {
    let repository = Repository::over(world.clone());
    for snapshot in repository.list_snapshots_of(label).await.unwrap().snapshots {
        drop::remove_snapshot(&repository, &world, &(snapshot.label, snapshot.timestamp)).await.unwrap();
    }
}

/// What a collector knows: the backups of its own cluster, and the catalog of it.
#[derive(Debug)]
struct Known(Vec<Arc<Writer>>, World);

#[async_trait]
impl Knowledge for Known {
    async fn has_ended(&self, announcement: &Announcement) -> bool {
        let name = (announcement.label.clone(), announcement.timestamp.clone());
        self.0.iter().any(|writer| writer.name == name && writer.is_over())
    }

    async fn known_snapshots(&self) -> crate::Result<HashSet<CommitName>> {
        Ok(self.1.0.lock().known.clone())
    }

    async fn learn(&self, new: Vec<CommitName>, gone: Vec<CommitName>) -> crate::Result<()> {
        let known = &mut self.1.0.lock().known;
        known.extend(new);
        known.retain(|name| !gone.contains(name));
        Ok(())
    }
}

/// A collector of this world.
pub(super) fn collector(world: &World, writers: &[Arc<Writer>], without: Option<Rule>) -> Collector {
    Collector {
        own: Arc::new(Known(writers.to_vec(), world.clone())),
        repository: Arc::new(Repository::over(world.clone())),
        cluster_id: "c".into(),
        grace: std::time::Duration::from_millis(GRACE_MS as u64),
        random: Arc::new(world.clone()),
        timer: Arc::new(world.clone()),
        without,
    }
}

/// Takes turns at collecting, as many as this.
pub(super) async fn collect(
    world: World,
    mut dice: Dice,
    turns: usize,
    writers: Vec<Arc<Writer>>,
    without: Option<Rule>,
) {
    let collector = collector(&world, &writers, without);
    for _ in 0..turns {
        let turn = collector.turn().await;
        world.note(|| format!("turn: {turn:?}"));
        if dice.chance(70) {
            world.sleep_ms([1_000, 1_900_000, GRACE_MS][dice.below(3)]).await;
        }
    }
}
