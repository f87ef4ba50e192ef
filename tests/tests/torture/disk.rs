//! Holds the data directory against the catalog in it: every file has a name there, every name has its file, and nothing
//! is left of work that is over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// Rows that must be gone once everything has settled, and what they are.
const LEFTOVERS: [(&str, &str); 7] = [
    ("SELECT count(*) FROM pins", "pins"),
    ("SELECT count(*) FROM garbage", "files on the list of garbage"),
    ("SELECT count(*) FROM jobs WHERE state NOT IN ('FINISHED', 'CANCELLED')", "running jobs"),
    ("SELECT count(*) FROM loads WHERE state = 'PREPARE'", "running loads"),
    (
        "SELECT count(*) FROM databases WHERE hidden_by IS NOT NULL OR dropped_at_ms IS NOT NULL",
        "hidden or dropped databases",
    ),
    (
        "SELECT count(*) FROM tables WHERE hidden_by IS NOT NULL OR dropped_at_ms IS NOT NULL",
        "hidden or dropped tables",
    ),
    (
        "SELECT count(*) FROM partitions WHERE hidden_by IS NOT NULL OR dropped_at_ms IS NOT NULL",
        "hidden or dropped partitions",
    ),
];

/// What a walk has seen.
#[derive(Debug, Default, Clone, Copy)]
pub struct Walked {
    pub tablets: usize,
    pub files: usize,
}

/// Everything that is wrong with the data directory of a server that nobody uses.
pub fn walk(data_dir: &Path) -> Result<Walked, Vec<String>> {
    let mut complaints = Vec::new();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let catalog = Connection::open_with_flags(data_dir.join("catalog.db"), flags).expect("the catalog opens");
    for (query, what) in LEFTOVERS {
        let count: i64 = catalog.query_row(query, [], |row| row.get(0)).expect("the catalog answers");
        if count > 0 {
            complaints.push(format!("{count} {what}"));
        }
    }
    let jobs = names_in(&data_dir.join("jobs"));
    if !jobs.is_empty() {
        complaints.push(format!("directories of jobs that have ended: {jobs:?}"));
    }
    let named = named_files(&catalog);
    let replicas = replicas(&catalog);
    let mut walked = Walked { tablets: replicas.len(), files: 0 };
    for (root, path) in roots(&catalog) {
        let path = data_dir.join(path);
        let staged = names_in(&path.join("staging"));
        if !staged.is_empty() {
            complaints.push(format!("staging of {}: {staged:?}", path.display()));
        }
        for tablet in names_in(&path.join("tablets")) {
            let id: i64 = tablet.parse().unwrap_or(-1);
            if !replicas.contains(&(id, root)) {
                complaints.push(format!("tablet {tablet} on {} is of nobody", path.display()));
                continue;
            }
            let none = BTreeSet::new();
            let wanted = named.get(&id).unwrap_or(&none);
            let found = names_in(&path.join("tablets").join(&tablet));
            walked.files += found.len();
            // What is derived from a file stands and falls with it.
            let is_named = |name: &String| wanted.iter().any(|wanted| wanted == name || is_derived_from(name, wanted));
            complaints.extend(
                found.iter().filter(|name| !is_named(name)).map(|name| format!("nothing names {tablet}/{name}")),
            );
        }
        for (id, wanted) in &named {
            let found = names_in(&path.join("tablets").join(id.to_string()));
            if replicas.contains(&(*id, root)) {
                complaints.extend(wanted.difference(&found).map(|name| format!("tablet {id} lacks {name}")));
            }
        }
    }
    if complaints.is_empty() { Ok(walked) } else { Err(complaints) }
}

/// Whether `name` is that of `file` with another extension.
fn is_derived_from(name: &str, file: &str) -> bool {
    name.split_once('.').map(|(stem, _)| stem) == file.split_once('.').map(|(stem, _)| stem) && name.ends_with(".tree")
}

/// The files of each tablet.
fn named_files(catalog: &Connection) -> BTreeMap<i64, BTreeSet<String>> {
    let mut named: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    let mut statement = catalog
        .prepare(
            "SELECT rowsets.tablet_id, lower(hex(digest)) || '.parquet', iif(deletes_digest IS NULL, NULL, lower(hex(deletes_digest)) || '.dv')
             FROM rowsets JOIN segments ON segments.rowset_id = rowsets.id",
        )
        .expect("the catalog has segments");
    let mut rows = statement.query([]).expect("the catalog answers");
    while let Some(row) = rows.next().expect("the catalog answers") {
        let files = named.entry(row.get(0).expect("a tablet")).or_default();
        files.insert(row.get(1).expect("a digest"));
        files.extend(row.get::<_, Option<String>>(2).expect("a digest, or none"));
    }
    named
}

/// Tablets and the roots they lie on.
fn replicas(catalog: &Connection) -> BTreeSet<(i64, i64)> {
    let mut statement = catalog.prepare("SELECT tablet_id, root_id FROM replicas").expect("the catalog has replicas");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("the catalog answers");
    rows.map(|row| row.expect("the catalog answers")).collect()
}

/// The storage roots, below the data directory.
fn roots(catalog: &Connection) -> Vec<(i64, String)> {
    let mut statement = catalog.prepare("SELECT id, path FROM storage_roots").expect("the catalog has roots");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("the catalog answers");
    rows.map(|row| row.expect("the catalog answers")).collect()
}

/// What is in a directory; nothing when it is not there.
fn names_in(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
