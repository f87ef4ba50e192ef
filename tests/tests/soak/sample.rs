//! What the server takes of the machine and of the store at one moment, and which of it may not rise.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::flat::growth;
use crate::plan::Plan;

/// A table of the catalog that grows with the time that is kept, up to a bound of its own (`run::Soak::check_history`).
pub const HISTORIES: [&str; 2] = ["loads", "jobs"];

/// What is live may change by so much, or the run does not measure what it means to.
const LIVE_GROWTH_MAX: f64 = 0.05;

/// Samples below which no line is laid.
const SAMPLES_MIN: usize = 4;

/// One moment.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Simulated hours since the beginning.
    pub hour: u32,
    /// Which of the server's processes this was, counted from the first.
    pub process: usize,
    pub live_rows: u64,
    /// Bytes of the files that live tables need.
    pub live_bytes: u64,
    pub memory_bytes: u64,
    /// Files in the data directory, the catalog's apart, and their bytes.
    pub data_files: u64,
    pub data_bytes: u64,
    /// The catalog's file.
    pub catalog_bytes: u64,
    /// Its log, which is as long as it was at its longest since the start.
    pub log_bytes: u64,
    /// Rows of each table of the catalog.
    pub catalog: BTreeMap<String, u64>,
    pub repository_objects: u64,
    pub repository_bytes: u64,
    /// Objects by the folder they lie in.
    pub repository: BTreeMap<String, u64>,
    /// Medians over the backups of the whole database since the last sample.
    pub backup_requests: f64,
    pub backup_ms: f64,
    /// Processor time of an hour, in milliseconds: the mean since the last sample, or start.
    pub cpu_ms: f64,
}

/// A figure that may not rise.
struct Figure {
    name: &'static str,
    read: fn(&Sample) -> f64,
    /// By which part of its median it may rise more than what is live, over weeks.
    growth_max: f64,
    /// The same over two days; none where a day says nothing.
    growth_max_short: Option<f64>,
    /// Only over samples of one process.
    of_process: bool,
}

const fn figure(name: &'static str, read: fn(&Sample) -> f64, growth_max: f64, growth_max_short: f64) -> Figure {
    Figure { name, read, growth_max, growth_max_short: Some(growth_max_short), of_process: false }
}

/// The bounds leave room for noise, and over weeks none for a leak: one row, file or object an hour would show as 50 % and more.
const FIGURES: [Figure; 10] = [
    // A process grows into its caches, by less and less each day (docs/reliability.md).
    Figure { of_process: true, ..figure("memory", |s| s.memory_bytes as f64, 0.30, 0.40) },
    figure("data files", |s| s.data_files as f64, 0.15, 0.30),
    figure("data bytes", |s| s.data_bytes as f64, 0.15, 0.30),
    figure("catalog bytes", |s| s.catalog_bytes as f64, 0.20, 0.25),
    figure("catalog rows", Sample::catalog_rows, 0.15, 0.30),
    figure("repository objects", |s| s.repository_objects as f64, 0.15, 0.30),
    figure("repository bytes", |s| s.repository_bytes as f64, 0.15, 0.30),
    figure("requests of a backup", |s| s.backup_requests, 0.20, 0.30),
    // Others have the machine too.
    Figure { growth_max_short: None, ..figure("time of a backup", |s| s.backup_ms, 0.60, 0.0) },
    Figure { growth_max_short: None, ..figure("processor time", |s| s.cpu_ms, 0.30, 0.0) },
];

/// Each table of the catalog and each folder of the repository, by itself, may rise by so much: what rises alone does not show
/// in the sum.
const PART_GROWTH_MAX: f64 = 0.40;

/// Parts that are smaller count as this large: a few more of a few are no finding.
const PART_MIN: f64 = 20.0;

impl Sample {
    /// Rows of the catalog but for histories.
    pub fn catalog_rows(&self) -> f64 {
        let rows = self.catalog.iter().filter(|(table, _)| !HISTORIES.contains(&table.as_str()));
        rows.map(|(_, rows)| *rows).sum::<u64>() as f64
    }

    /// Measures the files: all but the server's memory, its answers and the store.
    pub fn of_data_dir(data_dir: &Path) -> Sample {
        let mut sample = Sample::default();
        walk(data_dir, &mut |path, bytes| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match name.as_str() {
                "catalog.db" => sample.catalog_bytes = bytes,
                "catalog.db-wal" => sample.log_bytes = bytes,
                _ => {
                    sample.data_files += 1;
                    sample.data_bytes += bytes;
                }
            }
        });
        let catalog = catalog(data_dir);
        let names: Vec<String> = {
            let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
            let mut statement = catalog.prepare(sql).unwrap();
            let names = statement.query_map([], |row| row.get(0)).unwrap();
            names.map(|name| name.unwrap()).collect()
        };
        for name in names {
            let rows: i64 = catalog.query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get(0)).unwrap();
            sample.catalog.insert(name, rows.unsigned_abs());
        }
        let live: i64 = catalog
            .query_row(
                "SELECT coalesce(sum(segments.bytes + coalesce(segments.deletes_bytes, 0)), 0) FROM segments
                 JOIN rowsets ON rowsets.id = segments.rowset_id JOIN tablets ON tablets.id = rowsets.tablet_id
                 JOIN partitions ON partitions.id = tablets.partition_id JOIN tables ON tables.id = partitions.table_id
                 JOIN databases ON databases.id = tables.database_id
                 WHERE partitions.dropped_at_ms IS NULL AND tables.dropped_at_ms IS NULL AND databases.dropped_at_ms IS NULL",
                [],
                |row| row.get(0),
            )
            .unwrap();
        sample.live_bytes = live.unsigned_abs();
        sample
    }
}

/// How many files the catalog lists as garbage.
pub fn garbage(data_dir: &Path) -> i64 {
    catalog(data_dir).query_row("SELECT count(*) FROM garbage", [], |row| row.get(0)).unwrap()
}

fn catalog(data_dir: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let catalog = Connection::open_with_flags(data_dir.join("catalog.db"), flags).unwrap();
    catalog.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    catalog
}

/// Every file below a directory, with its length; what goes away meanwhile is passed over.
fn walk(directory: &Path, seen: &mut dyn FnMut(&Path, u64)) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => walk(&entry.path(), seen),
            Ok(metadata) => seen(&entry.path(), metadata.len()),
            Err(_) => {}
        }
    }
}

/// Every figure that rises more than what is live does.
pub fn complaints(samples: &[Sample], plan: &Plan) -> Vec<String> {
    let settled: Vec<&Sample> = samples.iter().filter(|sample| sample.hour >= plan.settled_after).collect();
    assert!(settled.len() >= SAMPLES_MIN, "{} samples are too few", settled.len());
    let live = growth(&values(&settled, |sample| sample.live_rows as f64), 1.0);
    let mut complaints = Vec::new();
    if live.abs() > LIVE_GROWTH_MAX {
        complaints.push(format!("what is live is not the same from day to day: {:+.0} %", live * 100.0));
    }
    let mut judge = |name: &str, of: &[&Sample], values: &[f64], growth_max: f64, median_min: f64| {
        let grown = growth(values, median_min);
        if grown > growth_max + live.max(0.0) {
            let (grown, live) = (grown * 100.0, live * 100.0);
            let (from, to) = (of[0].hour, of[of.len() - 1].hour);
            complaints.push(format!(
                "{name} rose by {grown:.0} % from hour {from} to hour {to}, what is live by {live:.0} %: {values:.0?}"
            ));
        }
    };
    for figure in &FIGURES {
        let growth_max = if plan.is_short { figure.growth_max_short } else { Some(figure.growth_max) };
        let of = if figure.of_process { longest_life(&settled) } else { settled.clone() };
        if let Some(growth_max) = growth_max {
            assert!(of.len() >= SAMPLES_MIN, "{}: {} samples are too few", figure.name, of.len());
            judge(figure.name, &of, &values(&of, figure.read), growth_max, 1.0);
        }
    }
    let tables = |sample: &Sample| sample.catalog.clone();
    let folders = |sample: &Sample| sample.repository.clone();
    let parts: [(&str, &dyn Fn(&Sample) -> BTreeMap<String, u64>); 2] =
        [("rows of the catalog's", &tables), ("objects in the repository's", &folders)];
    for (what, parts) in parts {
        let names: BTreeSet<String> = settled.iter().flat_map(|sample| parts(sample).into_keys()).collect();
        for name in names.iter().filter(|name| !HISTORIES.contains(&name.as_str())) {
            let values: Vec<f64> =
                settled.iter().map(|sample| parts(sample).get(name).copied().unwrap_or(0) as f64).collect();
            judge(&format!("{what} {name}"), &settled, &values, PART_GROWTH_MAX, PART_MIN);
        }
    }
    complaints
}

fn values(samples: &[&Sample], read: fn(&Sample) -> f64) -> Vec<f64> {
    samples.iter().map(|sample| read(sample)).collect()
}

/// The samples of the process that has most of them.
fn longest_life<'a>(samples: &[&'a Sample]) -> Vec<&'a Sample> {
    let mut lives: BTreeMap<usize, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        lives.entry(sample.process).or_default().push(sample);
    }
    lives.into_values().max_by_key(Vec::len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty-five days of a server that takes the same each day, but for what `leak` adds.
    fn month(leak: impl Fn(&mut Sample, u64)) -> Vec<String> {
        let samples: Vec<Sample> = (1..=30)
            .map(|day| {
                let mut sample = Sample {
                    hour: day * 24,
                    process: usize::from(day > 10) + usize::from(day > 20),
                    live_rows: 10_000,
                    live_bytes: 1_000_000,
                    memory_bytes: 200 << 20,
                    data_files: 150,
                    data_bytes: 2_000_000,
                    catalog_bytes: 600_000,
                    catalog: BTreeMap::from([
                        ("segments".to_string(), 500),
                        ("jobs".to_string(), 100 * u64::from(day)),
                    ]),
                    repository_objects: 700,
                    repository_bytes: 3_000_000,
                    backup_requests: 30.0,
                    backup_ms: 300.0,
                    cpu_ms: 300.0,
                    ..Sample::default()
                };
                leak(&mut sample, u64::from(day));
                sample
            })
            .collect();
        complaints(&samples, &Plan::long(30))
    }

    #[test]
    fn whatever_rises_is_named_and_nothing_else() {
        assert_eq!(month(|_, _| {}), Vec::<String>::new());
        let leaks: [(&str, fn(&mut Sample, u64)); 13] = [
            ("memory", |s, day| s.memory_bytes += (day - 1) % 10 * (16 << 20)),
            ("data files", |s, day| s.data_files += 2 * day),
            ("data bytes", |s, day| s.data_bytes += day * 20_000),
            ("catalog bytes", |s, day| s.catalog_bytes += day * 8_192),
            ("catalog rows", |s, day| *s.catalog.get_mut("segments").unwrap() += 6 * day),
            ("repository objects", |s, day| s.repository_objects += 24 * day),
            ("repository bytes", |s, day| s.repository_bytes += day * 30_000),
            ("requests of a backup", |s, day| s.backup_requests += 0.5 * day as f64),
            ("time of a backup", |s, day| s.backup_ms += 20.0 * day as f64),
            ("what is live", |s, day| s.live_rows += day * 50),
            ("processor time", |s, day| s.cpu_ms += 6.0 * day as f64),
            ("rows of the catalog's garbage", |s, day| *s.catalog.entry("garbage".to_string()).or_default() = day),
            ("objects in the repository's writers", |s, day| {
                *s.repository.entry("writers".to_string()).or_default() = 30 + day
            }),
        ];
        for (name, leak) in leaks {
            let found = month(leak);
            assert!(found.len() == 1 && found[0].starts_with(name), "{name}: {found:#?}");
        }
    }
}
