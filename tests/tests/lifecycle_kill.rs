//! Goal: dropping, expiring and collecting survive the loss of the process that does them: what is listed is whole, what was begun
//! can be ended, and nothing is left that stands in anybody's way. Method: a proxy before the store lets the work come to its
//! first, second, … request; one is lost before the store sees it, or its answer is, and in this moment the server is killed. The
//! next process on the same data directory has to go on. There is a repository for each moment.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::time::Duration;

use ebla_tests::client::Client;
use ebla_tests::proxy::{Ending, Exchange, Fault, Operation, Rule, S3Proxy};
use ebla_tests::s3::Bucket;
use ebla_tests::server::Server;
use ebla_tests::tpch::table_checksum;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};
use ebla_tests::weed::Weed;

/// For what takes a moment, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// For how long a collection leaves alone what nothing names.
const GRACE: Duration = Duration::from_secs(1);

/// Repositories for the moments of two turns of collection.
const REPOSITORIES: usize = 30;

/// One more, which is marked last: when it is swept, all that is marked may be swept.
const MARKED_LAST: usize = REPOSITORIES;

/// One more, whose garbage is the youngest: when it is marked, all there is may be marked.
const YOUNGEST: usize = REPOSITORIES + 1;

/// Repositories for the moments of a drop.
const DROPS: usize = 5;

/// Seconds between two looks for snapshots whose ttl is over; never, where nothing is to happen by itself.
const NEVER: u32 = 0;

/// What an expiry changes in the store, in this order: it tries the right to remove, reads the store's clock, drops.
const CHANGES_OF_EXPIRY: [Change; 5] = [
    Change { operation: Operation::DeleteObject, key: "ebla/garbage/", skip: 0 },
    Change { operation: Operation::PutObject, key: "ebla/garbage/", skip: 0 },
    Change { operation: Operation::DeleteObject, key: "ebla/garbage/", skip: 1 },
    Change { operation: Operation::DeleteObject, key: "ebla/snapshots/gone/", skip: 0 },
    // The backup put the commit object there.
    Change { operation: Operation::PutObject, key: "ebla/snapshots/gone/", skip: 1 },
];

const CREATE_TABLE: &str = "CREATE TABLE d.t (id BIGINT, name STRING) DUPLICATE KEY(id) \
                            DISTRIBUTED BY HASH(id) BUCKETS 2 PROPERTIES (\"replication_num\" = \"1\")";

/// How a request ends at which the server dies.
#[derive(Debug, Clone, Copy)]
enum Loss {
    /// The store never sees the whole of it.
    Request,
    /// The store has done what it was asked.
    Answer,
}

/// A request that changes something.
struct Change {
    operation: Operation,
    key: &'static str,
    /// Requests of the same kind that come before.
    skip: usize,
}

/// A server behind a proxy, whose repositories hold two snapshots each: `kept` and, with more in it, `gone`.
struct Bed {
    server: Server,
    client: Client,
    proxy: S3Proxy,
    /// Past the proxy.
    bucket: Bucket,
    kept: u64,
    gone: u64,
    /// What `kept` needs, below the repository's prefix.
    kept_contents: Vec<String>,
}

impl Bed {
    /// With this many repositories, each of which holds `kept`.
    async fn new(name: &str, weed: &Weed, repositories: usize, expiry_interval_s: u32) -> Bed {
        let bucket = weed.bucket(name).await;
        let proxy = S3Proxy::start(&bucket.endpoint);
        let server = Server::configure(name)
            .env("EBLA_REPOSITORY_COLLECTION_GRACE_S", &GRACE.as_secs().to_string())
            .env("EBLA_REPOSITORY_COLLECTION_INTERVAL_S", "0")
            .env("EBLA_SNAPSHOT_EXPIRY_INTERVAL_S", &expiry_interval_s.to_string())
            .start()
            .await;
        let client = server.client().await;
        let mut bed = Bed { server, client, proxy, bucket, kept: 0, gone: 0, kept_contents: Vec::new() };
        bed.client.query("CREATE DATABASE d").await;
        bed.client.query(CREATE_TABLE).await;
        let seen = bed.proxy.bucket(&bed.bucket);
        for number in 0..repositories {
            bed.client.query(&seen.create_repository(&format!("r{number}"), &format!("p{number}"))).await;
        }
        bed.kept = bed.insert(0..50).await;
        for number in 0..repositories {
            bed.back_up("kept", number, "").await;
        }
        bed.kept_contents = bed.contents(0).await;
        bed.gone = bed.insert(50..100).await;
        bed
    }

    /// With this many repositories, each of which holds `kept` and, with more in it, `gone`. Nothing happens by itself.
    async fn with_both(name: &str, weed: &Weed, repositories: usize) -> Bed {
        let mut bed = Bed::new(name, weed, repositories, NEVER).await;
        for number in 0..repositories {
            bed.back_up("gone", number, "").await;
        }
        assert!(bed.contents(0).await.len() > bed.kept_contents.len());
        bed
    }

    /// Returns what the table holds then.
    async fn insert(&mut self, ids: std::ops::Range<u32>) -> u64 {
        let rows: Vec<String> = ids.map(|id| format!("({id}, 'name {id}')")).collect();
        self.client.query(&format!("INSERT INTO d.t VALUES {}", rows.join(", "))).await;
        table_checksum(&mut self.client, "d.t").await
    }

    async fn back_up(&mut self, label: &str, number: usize, properties: &str) {
        self.client.query(&format!("BACKUP SNAPSHOT d.{label} TO r{number} {properties}")).await;
        assert_finished(&wait_backup(&mut self.client, "d").await);
    }

    /// Segments, delete vectors and nodes of a repository, below its prefix.
    async fn contents(&self, number: usize) -> Vec<String> {
        let mut keys = Vec::new();
        for part in ["objects/", "trees/"] {
            let prefix = format!("p{number}/ebla/{part}");
            let listed = self.bucket.list(&prefix).await;
            keys.extend(listed.into_iter().map(|object| object.key.split_once('/').unwrap().1.to_owned()));
        }
        keys.sort_unstable();
        keys
    }

    async fn labels(&mut self, number: usize) -> Vec<String> {
        let rows = self.client.query(&format!("SHOW SNAPSHOT ON r{number}")).await;
        let mut labels: Vec<String> = rows.column("Snapshot").into_iter().map(str::to_owned).collect();
        labels.sort_unstable();
        labels
    }

    async fn restart(&mut self) {
        self.server.restart().await;
        self.client = self.server.client().await;
    }

    /// The requests of a statement that is let through, by a process that has just been started.
    async fn requests_of(&mut self, statement: &str) -> Vec<Exchange> {
        self.server.kill9();
        self.restart().await;
        self.proxy.reset();
        self.client.query(statement).await;
        self.proxy.exchanges()
    }

    /// Kills the server at a request of the statement, and starts it again.
    async fn kill_at(&mut self, statement: &str, request: usize, loss: Loss) {
        let rule = self.proxy.rule(Rule::new(loss.fault()).after(request).times(1));
        let mut doomed = self.server.client().await;
        let text = statement.to_owned();
        let asked = tokio::spawn(async move { doomed.try_query(&text).await.is_ok() });
        rule.wait_hit(PATIENCE).await;
        self.server.kill9();
        rule.lift();
        assert!(!asked.await.unwrap(), "{statement} was answered by a server that waits for its request {request}");
        self.restart().await;
    }

    async fn assert_restores(&mut self, label: &str, number: usize, sum: u64) {
        self.client
            .query(&format!("RESTORE SNAPSHOT back.{label} FROM r{number} PROPERTIES (\"replication_num\" = \"1\")"))
            .await;
        assert_finished(&wait_restore(&mut self.client, "back").await);
        assert_eq!(table_checksum(&mut self.client, "back.t").await, sum, "{label} in r{number}");
        self.client.query("DROP DATABASE back FORCE").await;
    }

    /// Turns of collection until they have marked, or removed, so many objects in all.
    async fn collect_until(&mut self, what: &str, number: usize, count: usize) {
        let mut sum = 0;
        wait_until(PATIENCE, async || {
            let turn = self.client.query(&format!("ADMIN CLEAN REPOSITORY r{number}")).await;
            let turn = turn.record(0).ok_or("no row")?;
            sum += turn.field(what).parse::<usize>().unwrap();
            if sum >= count { Ok(()) } else { Err(format!("{sum} of {count}: {turn}")) }
        })
        .await;
    }

    /// Drops what is left to drop and collects until only what `kept` needs is there. Returns what the turns said.
    async fn tidy_up(&mut self, number: usize) -> String {
        if self.labels(number).await.contains(&"gone".to_owned()) {
            self.client.query(&format!("DROP SNAPSHOT gone ON r{number}")).await;
        }
        let mut said = String::new();
        let (bucket, kept) = (self.bucket.clone(), self.kept_contents.clone());
        wait_until(PATIENCE, async || {
            let turn = self.client.query(&format!("ADMIN CLEAN REPOSITORY r{number}")).await;
            let turn = turn.record(0).ok_or("no row")?;
            said += &format!("{turn}\n");
            if turn.field("Notes").contains("is being swept, or its sweep broke off") {
                lapse(&bucket, number).await;
            }
            let left = self.contents(number).await;
            match left == kept && turn.field("Notes").is_empty() {
                true => Ok(()),
                false => Err(format!("{} objects instead of {}; {said}", left.len(), kept.len())),
            }
        })
        .await;
        said
    }
}

/// Ends the marks of a sweep that broke off, as every collection does once half an hour has passed.
async fn lapse(bucket: &Bucket, number: usize) {
    for part in ["mark.json", "writers.json", "sweep.json"] {
        for object in bucket.list(&format!("p{number}/ebla/garbage/")).await {
            if object.key.ends_with(part) {
                bucket.delete(&object.key).await;
            }
        }
    }
}

impl Loss {
    fn fault(self) -> Fault {
        match self {
            Loss::Request => Fault::CutRequest(Ending::Silence),
            Loss::Answer => Fault::LoseAnswer(Ending::Silence),
        }
    }
}

/// The moments of a statement with these requests: before each of those that change anything, and after the last. Who dies at
/// one that only looks leaves what the change before it has left; of removals of one kind in a row the first and the last will do.
fn moments(requests: &[Exchange]) -> Vec<(usize, Loss)> {
    let kind = |request: &Exchange| {
        let folder = request.key.split('/').nth(2).unwrap_or_default().to_owned();
        (request.operation, folder)
    };
    let changes: Vec<usize> = (0..requests.len())
        .filter(|position| {
            let operation = requests[*position].operation;
            operation.writes() || operation == Operation::DeleteObject
        })
        .collect();
    let is_amid = |position: usize| {
        let around = [position.checked_sub(1), position.checked_add(1)].map(|at| at.and_then(|at| changes.get(at)));
        around.iter().all(|at| at.is_some_and(|at| kind(&requests[*at]) == kind(&requests[changes[position]])))
    };
    let chosen = (0..changes.len()).filter(|position| !is_amid(*position)).map(|position| changes[position]);
    let last = changes.last().map(|last| (*last, Loss::Answer));
    chosen.map(|position| (position, Loss::Request)).chain(last).collect()
}

#[tokio::test]
async fn a_drop_that_was_killed() {
    let Some(weed) = Weed::shared().await else { return };
    let mut bed = Bed::with_both("killed-drop", &weed, DROPS).await;
    let requests = bed.requests_of("DROP SNAPSHOT gone ON r0").await;
    let moments = moments(&requests);
    assert!((3..DROPS).contains(&moments.len()), "{requests:?}");
    for (number, (request, loss)) in (1..).zip(moments) {
        let drop = format!("DROP SNAPSHOT gone ON r{number}");
        bed.kill_at(&drop, request, loss).await;
        let labels = bed.labels(number).await;
        println!("killed at {:?}, {loss:?} lost: {labels:?}", requests[request].operation);
        bed.assert_restores("kept", number, bed.kept).await;
        if labels.len() == 2 {
            bed.assert_restores("gone", number, bed.gone).await;
            bed.client.query(&drop).await;
        } else {
            let refused = bed.client.refused(&drop).await.to_string();
            assert!(refused.contains("Snapshot does not exist"), "{refused}");
        }
        assert_eq!(bed.labels(number).await, ["kept"]);
        // Nothing blocks the label, and nothing brings the old one back.
        bed.back_up("gone", number, "").await;
        bed.assert_restores("gone", number, bed.gone).await;
        bed.tidy_up(number).await;
        bed.assert_restores("kept", number, bed.kept).await;
    }
}

#[tokio::test]
async fn an_expiry_that_was_killed() {
    let Some(weed) = Weed::shared().await else { return };
    let mut moments: Vec<(&Change, Loss)> = CHANGES_OF_EXPIRY.iter().map(|change| (change, Loss::Request)).collect();
    moments.extend(CHANGES_OF_EXPIRY.last().map(|last| (last, Loss::Answer)));
    let mut bed = Bed::new("killed-expiry", &weed, moments.len(), 1).await;
    for (number, (change, loss)) in moments.into_iter().enumerate() {
        let key = format!("p{number}/{}", change.key);
        let rule = Rule::new(loss.fault()).on(change.operation).key(&key).after(change.skip).times(1);
        let rule = bed.proxy.rule(rule);
        bed.back_up("gone", number, "PROPERTIES (\"ttl\" = \"1 SECOND\")").await;
        rule.wait_hit(PATIENCE).await;
        bed.server.kill9();
        rule.lift();
        bed.restart().await;
        println!("killed at {:?} of {key}, {loss:?} lost", change.operation);
        // It goes on by itself, and takes nothing else along.
        wait_until(PATIENCE, async || match bed.labels(number).await {
            labels if labels == ["kept"] => Ok(()),
            labels => Err(format!("{labels:?}")),
        })
        .await;
        // Nothing blocks the label, and nothing takes what lives for ever under it.
        bed.back_up("gone", number, "").await;
        bed.assert_restores("gone", number, bed.gone).await;
        bed.tidy_up(number).await;
        bed.assert_restores("kept", number, bed.kept).await;
    }
}

#[tokio::test]
async fn a_turn_of_collection_that_was_killed() {
    let Some(weed) = Weed::shared().await else { return };
    // The last one is backed up to last.
    let mut bed = Bed::with_both("killed-clean", &weed, YOUNGEST + 1).await;
    for number in 0..=YOUNGEST {
        bed.client.query(&format!("DROP SNAPSHOT gone ON r{number}")).await;
    }
    // The first turn marks: once everything is older than the grace, all of it.
    let garbage = bed.contents(0).await.len() - bed.kept_contents.len();
    let marked = async |bed: &mut Bed, number: usize| {
        let turn = bed.client.query(&format!("ADMIN CLEAN REPOSITORY r{number}")).await;
        let turn = turn.record(0).unwrap();
        assert_eq!(turn.field("MarkedObjects"), garbage.to_string(), "{turn}");
    };
    bed.collect_until("MarkedObjects", YOUNGEST, garbage).await;
    let requests = bed.requests_of("ADMIN CLEAN REPOSITORY r0").await;
    let mut number = 1;
    for (request, loss) in moments(&requests) {
        bed.kill_at(&format!("ADMIN CLEAN REPOSITORY r{number}"), request, loss).await;
        println!("marking, killed at {:?}, {loss:?} lost", requests[request].operation);
        bed.back_up("meanwhile", number, "").await;
        bed.assert_restores("kept", number, bed.kept).await;
        bed.assert_restores("meanwhile", number, bed.gone).await;
        bed.client.query(&format!("DROP SNAPSHOT meanwhile ON r{number}")).await;
        bed.tidy_up(number).await;
        bed.assert_restores("kept", number, bed.kept).await;
        number += 1;
    }
    // The rest is marked, and the next turn sweeps.
    let first = number;
    for number in first..=MARKED_LAST {
        marked(&mut bed, number).await;
    }
    bed.collect_until("RemovedObjects", MARKED_LAST, garbage).await;
    let requests = bed.requests_of(&format!("ADMIN CLEAN REPOSITORY r{first}")).await;
    let removals = requests.iter().filter(|request| request.operation == Operation::DeleteObject).count();
    assert!(removals > garbage, "this turn sweeps: {requests:?}");
    let moments = moments(&requests);
    assert!(first + moments.len() < MARKED_LAST, "{requests:?}");
    for (number, (request, loss)) in (first + 1..).zip(moments) {
        bed.kill_at(&format!("ADMIN CLEAN REPOSITORY r{number}"), request, loss).await;
        println!("sweeping, killed at {:?}, {loss:?} lost", requests[request].operation);
        bed.assert_restores("kept", number, bed.kept).await;
        bed.tidy_up(number).await;
        bed.assert_restores("kept", number, bed.kept).await;
        // What was swept comes back with the next backup that needs it.
        bed.back_up("gone", number, "").await;
        bed.assert_restores("gone", number, bed.gone).await;
    }
}
