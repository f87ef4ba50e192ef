//! `cargo xtask bench backup`: what backup and restore cost on TPC-H, each beside its floor.
//!
//! A server is loaded with TPC-H and backs up to a SeaweedFS on loopback. Measured are a full backup, one without a
//! change, one after each load of 1 % more rows, one after background compaction has merged such loads, one after
//! `ALTER TABLE … COMPACT`, and a restore into an empty server until every table answers its first right `count(*)`.
//! The floor of each is a plain parallel loop over the very same objects, with the same SDK, against the same store,
//! right after it. Last, what came back is compared with what was there, and the bench fails when it differs.
//!
//! Options: `--scale 1` (TPC-H's scale factor) and `--repeat 3` (times each is measured). docs/benchmarks.md says what the
//! columns are and what was measured last.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing benchmark has nothing to report")]

mod data;
mod floor;
mod meter;
mod report;

use ebla_tests::client::Client;
use ebla_tests::s3::{Bucket, S3Object};
use ebla_tests::server::Server;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore};
use ebla_tests::weed::Weed;

use data::DB;
use floor::Floor;
use meter::{Meter, Sample};
use report::Report;

/// Parts of the data that are loaded one after the other as "1 % more rows".
const MORE_PARTS: i32 = 100;

/// Loads of 1 % that compaction merges: as many segments of one size start it.
const LOADS_MERGED: i32 = 8;

/// What a step has been measured at.
struct Measured {
    sample: Sample,
    floor: Sample,
}

struct Options {
    scale: f64,
    repeat: usize,
}

fn main() {
    let options = Options::parse(std::env::args().skip(1)).unwrap_or_else(|wrong| {
        eprintln!("{wrong}; options: --scale FACTOR, --repeat TIMES");
        std::process::exit(2);
    });
    // As many threads as the server has, so that a floor is not held up by its own loop.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run(&options));
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options { scale: 1.0, repeat: 3 };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} wants a value"));
            match arg.as_str() {
                "--scale" => options.scale = value()?.parse().map_err(|_| "--scale wants a number")?,
                "--repeat" => options.repeat = value()?.parse().map_err(|_| "--repeat wants a whole number")?,
                // What cargo passes to every benchmark.
                "--bench" => {}
                _ => return Err(format!("unknown option {arg}")),
            }
        }
        if options.scale <= 0.0 || options.repeat == 0 {
            return Err("--scale and --repeat are more than 0".to_string());
        }
        Ok(options)
    }
}

async fn run(options: &Options) {
    let Some(weed) = Weed::start().await else {
        panic!("SeaweedFS is not installed: cargo xtask counterparts");
    };
    let mut bench = Bench::new(&weed, options).await;
    let mut report = Report::new(options.scale, options.repeat);

    for round in 0..options.repeat {
        report.add("full backup", bench.full_backup(round).await);
    }
    let full_checksums = data::checksums(&mut bench.client).await;
    for round in 0..options.repeat {
        report.add("no change", bench.backup(&format!("same_{round}")).await);
    }
    for round in 0..options.repeat {
        report.add("restore", bench.restore("full", &full_checksums, round).await);
    }
    for load in 1..LOADS_MERGED {
        data::load_more(&bench.server, options.scale, load, MORE_PARTS).await;
        report.add("1 % more rows", bench.backup(&format!("more_{load}")).await);
    }
    data::load_more(&bench.server, options.scale, LOADS_MERGED, MORE_PARTS).await;
    data::wait_compacted(&mut bench.client, LOADS_MERGED as usize).await;
    report.add("1 % more rows, the last 8 loads merged", bench.backup("merged").await);
    data::load_more(&bench.server, options.scale, LOADS_MERGED + 1, MORE_PARTS).await;
    data::compact_all(&mut bench.client).await;
    report.add("1 % more rows, ALTER TABLE COMPACT", bench.backup("compacted").await);

    // The newest snapshot is made of the objects of many backups: all of them are needed for it to come back whole.
    let last_checksums = data::checksums(&mut bench.client).await;
    bench.restore("compacted", &last_checksums, options.repeat).await;
    println!("{report}");
}

/// The server that is backed up, and where to.
struct Bench {
    server: Server,
    client: Client,
    bucket: Bucket,
    floor: Floor,
    /// The prefix of the repository in use.
    prefix: String,
}

impl Bench {
    async fn new(weed: &Weed, options: &Options) -> Bench {
        let bucket = weed.bucket("bench").await;
        let server = Server::start("bench").await;
        let mut client = server.client().await;
        for loaded in ebla_tests::tpch::load(&server, &mut client, DB, options.scale).await {
            let (table, rows, seconds) = (loaded.table.name(), loaded.rows, loaded.elapsed.as_secs_f64());
            eprintln!("loaded {table:<10} {rows:>9} rows {seconds:>7.2} s");
        }
        let floor = Floor::new(&bucket);
        Bench { server, client, bucket, floor, prefix: String::new() }
    }

    /// Everything into a new repository, by a server that has just started: its memory holds nothing of the load.
    async fn full_backup(&mut self, round: usize) -> Measured {
        self.server.terminate().await;
        self.server.restart().await;
        self.client = self.server.client().await;
        self.client.query(&format!("USE {DB}")).await;
        self.client.query("DROP REPOSITORY IF EXISTS repo").await;
        self.prefix = format!("full-{round}");
        self.client.query(&self.bucket.create_repository("repo", &self.prefix)).await;
        self.backup("full").await
    }

    /// One backup into the repository in use, then its floor: a PUT of each object it has made.
    async fn backup(&mut self, label: &str) -> Measured {
        let before = self.bucket.list(&self.prefix).await;
        meter::settle_disks();
        let mut meter = Meter::start(&self.server).await;
        self.client.query(&format!("BACKUP SNAPSHOT {DB}.{label} TO repo")).await;
        meter.wait_log("backup ended").await;
        let sample = meter.stop();
        assert_finished(&wait_backup(&mut self.client, DB).await);

        let mut made = self.bucket.list(&self.prefix).await;
        made.retain(|object| !before.contains(object));
        let sample = sample.moved(&made).requests_until_now(&self.server).await;
        self.floor.get(&made).await;
        let floor = self.floor.put(&made, label).await;
        tell(label, &sample, &floor);
        Measured { sample, floor }
    }

    /// A restore into an empty server until every table counts right, then its floor: a GET of each object of the
    /// snapshot, to a file that is not synced.
    async fn restore(&mut self, label: &str, checksums: &[data::Checksum], round: usize) -> Measured {
        let server = Server::start(&format!("bench-restored-{round}")).await;
        let mut client = server.client().await;
        let statement = self.bucket.create_repository("repo", &self.prefix);
        client.query(&statement.replacen("CREATE REPOSITORY", "CREATE READ ONLY REPOSITORY", 1)).await;
        meter::settle_disks();
        let mut meter = Meter::start(&server).await;
        client.query(&format!("RESTORE SNAPSHOT {DB}.{label} FROM repo")).await;
        meter.wait_log("restore ended").await;
        for checksum in checksums {
            checksum.compare_count(&mut client).await;
        }
        let sample = meter.stop();
        assert_finished(&wait_restore(&mut client, DB).await);
        client.query(&format!("USE {DB}")).await;
        let restored = data::checksums(&mut client).await;
        assert_eq!(restored, checksums, "what was restored differs from what was backed up");

        let objects = self.objects_of(&server).await;
        let sample = sample.moved(&objects).requests_until_now(&server).await;
        let floor = self.floor.get(&objects).await;
        tell(&format!("restore {label}"), &sample, &floor);
        Measured { sample, floor }
    }

    /// The objects in the repository that a server has fetched: those whose digests lie in its tablets.
    async fn objects_of(&self, server: &Server) -> Vec<S3Object> {
        let names = data::file_names(&server.data_dir());
        let mut objects = self.bucket.list(&self.prefix).await;
        objects.retain(|object| object.key.rsplit_once('/').is_some_and(|(_, name)| names.contains(name)));
        objects
    }
}

/// One line a measurement, while the rest is still to come.
fn tell(what: &str, sample: &Sample, floor: &Sample) {
    eprintln!("{what:<20} {sample}   floor {:.3} s", floor.seconds);
}
