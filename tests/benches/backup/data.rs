//! The data: more of it, merged, counted and summed up.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use ebla_tests::client::Client;
use ebla_tests::http::Body;
use ebla_tests::server::Server;
use ebla_tests::tpch::Table;
use ebla_tests::wait::wait_until;

/// The database.
pub const DB: &str = "tpch";

/// How long background compaction may take to merge what a load has completed.
const COMPACTION_PATIENCE: Duration = Duration::from_secs(300);

/// The rows of a table as two numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    table: &'static str,
    rows: String,
    /// The sum over all rows of a CRC-32 of all their cells.
    sum: String,
}

impl Checksum {
    /// Holds the count of a restored table against this.
    pub async fn compare_count(&self, client: &mut Client) {
        let rows = client.value(&format!("SELECT COUNT(*) FROM {DB}.{}", self.table)).await;
        assert_eq!(rows, self.rows, "rows of {}", self.table);
    }
}

/// Loads one of `parts` parts of every table that grows with the scale once more: new rows of the same kind.
pub async fn load_more(server: &Server, scale: f64, part: i32, parts: i32) {
    for table in Table::ALL.into_iter().filter(|table| !matches!(table, Table::Region | Table::Nation)) {
        let rows: String = table.lines(scale, part, parts).flat_map(|line| [line, "\n".to_string()]).collect();
        // At a small scale a part of a small table may be empty.
        if !rows.is_empty() {
            let body = Body::Bytes(rows.into_bytes());
            server.load(DB, table.name(), &[("column_separator", "|")], body).await;
        }
    }
}

/// Waits until background compaction has left no tablet with as many rowsets as start a merge.
pub async fn wait_compacted(client: &mut Client, rowsets: usize) {
    for table in Table::ALL {
        wait_until(COMPACTION_PATIENCE, async || {
            let tablets = client.query(&format!("SHOW TABLET FROM {DB}.{}", table.name())).await;
            let most = tablets.column("VersionCount").iter().filter_map(|count| count.parse::<usize>().ok()).max();
            match most {
                Some(most) if most >= rowsets => Err(format!("a tablet of {} has {most} rowsets", table.name())),
                _ => Ok(()),
            }
        })
        .await;
    }
}

/// Merges whatever can be merged.
pub async fn compact_all(client: &mut Client) {
    for table in Table::ALL {
        client.query(&format!("ALTER TABLE {DB}.{} COMPACT", table.name())).await;
    }
}

/// All tables of the database, summed up by the server: no two of these take a table over the wire.
pub async fn checksums(client: &mut Client) -> Vec<Checksum> {
    let mut checksums = Vec::new();
    for table in Table::ALL.map(Table::name) {
        let columns = client.query(&format!("SHOW COLUMNS FROM {DB}.{table}")).await;
        let cells = columns.column("Field").join(", ");
        let sums = client
            .query(&format!("SELECT COUNT(*) AS n, SUM(CRC32(CONCAT_WS('|', {cells}))) AS s FROM {DB}.{table}"))
            .await;
        let [rows, sum] = ["n", "s"].map(|column| sums.column(column)[0].to_string());
        checksums.push(Checksum { table, rows, sum });
    }
    checksums
}

/// The names of all files in a server's tablets.
pub fn file_names(data_dir: &Path) -> HashSet<String> {
    let mut names = HashSet::new();
    let mut folders = vec![data_dir.join("storage/tablets")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                names.insert(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    names
}
