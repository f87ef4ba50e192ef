//! The statements that meet a failing disk: what each needs, what it changes, and how it is said.

use std::collections::BTreeSet;

/// Bytes of a text that forty times is more than half of [`MEMORY`], from where on rows are spilled.
const SPILLED_BYTES: usize = 1_000_000;

/// What loads may keep in memory: the least that the configuration takes.
pub const MEMORY: u64 = 64 << 20;

/// Stands in a statement for the URL of the disk.
pub const DISK: &str = "{disk}";

/// A statement that works on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement {
    /// Of some rows.
    Insert,
    /// Of some rows, into tablets that have no directories yet.
    FirstInsert,
    /// Of some rows, in the place of all there are.
    Overwrite,
    /// Of more rows than a load may keep in memory, with a label.
    Spill,
    /// Of some rows, with a label.
    StreamLoad,
    /// Of some rows.
    Delete,
    /// With two partitions.
    CreateTable,
    /// To a table.
    AddPartition,
    /// Of a partition.
    Truncate,
    /// Of a table.
    Rename,
    /// For good.
    DropTable,
    /// Of a table with two rowsets.
    Compact,
    /// To a directory.
    Backup,
    /// Into a new database.
    Restore,
    /// In a directory.
    CreateRepository,
    /// From a directory.
    DropSnapshot,
    /// Of a repository in a directory.
    Clean,
}

impl Statement {
    /// Whether it is done by a job.
    pub fn is_job(self) -> bool {
        matches!(self, Statement::Backup | Statement::Restore)
    }

    /// What must be there before. `turn` makes names new.
    pub fn before(self, turn: u64) -> Vec<String> {
        match self {
            Statement::AddPartition | Statement::Truncate | Statement::Rename | Statement::DropTable => {
                vec![create(turn), format!("INSERT INTO d.x{turn} VALUES (1, 1, 'one')")]
            }
            Statement::Spill => vec![table(&format!("d.x{turn}"), SPILLED_BYTES)],
            Statement::Compact => vec![
                create(turn),
                format!("INSERT INTO d.x{turn} VALUES (1, 1, 'one')"),
                format!("INSERT INTO d.x{turn} VALUES (2, 1, 'two')"),
            ],
            Statement::FirstInsert => vec!["TRUNCATE TABLE d.t".to_string()],
            // Something that no snapshot has yet.
            Statement::Backup => vec![format!("INSERT INTO d.u VALUES ({turn}, 1, 'new')")],
            Statement::DropSnapshot => vec![backup(turn)],
            // Something that nothing refers to.
            Statement::Clean => {
                vec![format!("INSERT INTO d.u VALUES ({turn}, 1, 'new')"), backup(turn), drop_snapshot(turn)]
            }
            _ => Vec::new(),
        }
    }

    /// The statement itself; for a stream load the label.
    pub fn sql(self, turn: u64) -> String {
        match self {
            Statement::Insert | Statement::FirstInsert => format!("INSERT INTO d.t VALUES {}", values(turn)),
            Statement::Overwrite => format!("INSERT OVERWRITE d.t VALUES {}", values(turn)),
            Statement::Spill => format!(
                "INSERT INTO d.x{turn} WITH LABEL spill_{turn} SELECT k, g, REPEAT('spilled ', {}) FROM d.u",
                SPILLED_BYTES / 8
            ),
            Statement::StreamLoad => format!("label-{turn}"),
            Statement::Delete => format!("DELETE FROM d.t WHERE k = {}", turn % 40),
            Statement::CreateTable => create(turn),
            Statement::AddPartition => {
                format!("ALTER TABLE d.x{turn} ADD PARTITION p2 VALUES LESS THAN (\"20\")")
            }
            Statement::Truncate => format!("TRUNCATE TABLE d.x{turn}"),
            Statement::Rename => format!("ALTER TABLE d.x{turn} RENAME y{turn}"),
            Statement::DropTable => format!("DROP TABLE d.x{turn} FORCE"),
            Statement::Compact => format!("ALTER TABLE d.x{turn} COMPACT"),
            Statement::Backup => backup(turn),
            Statement::CreateRepository => {
                format!("CREATE REPOSITORY r{turn} WITH BROKER ON LOCATION \"{DISK}/repository-{turn}\"")
            }
            Statement::DropSnapshot => drop_snapshot(turn),
            Statement::Clean => "ADMIN CLEAN REPOSITORY repo".to_string(),
            Statement::Restore => format!("RESTORE SNAPSHOT first FROM repo DATABASE d AS copy{turn}"),
        }
    }

    /// Asks whether it has been done: the first value of the answer, and what it is then.
    pub fn done(self, turn: u64) -> Option<(String, &'static str)> {
        let named = |name: String| format!("SHOW TABLES FROM d LIKE '{name}'");
        Some(match self {
            // Not the length alone: what came from a run may be anything.
            Statement::Spill => {
                (format!("SELECT k FROM d.x{turn} WHERE v = REPEAT('spilled ', {})", SPILLED_BYTES / 8), "40 rows")
            }
            Statement::CreateTable => (named(format!("x{turn}")), "1 rows"),
            Statement::AddPartition => (format!("SHOW PARTITIONS FROM d.x{turn}"), "3 rows"),
            Statement::Truncate => (format!("SELECT * FROM d.x{turn}"), "0 rows"),
            Statement::Rename => (named(format!("y{turn}")), "1 rows"),
            Statement::DropTable => (named(format!("x{turn}")), "0 rows"),
            _ => return None,
        })
    }

    /// What must be true either way.
    pub fn always(self, turn: u64) -> Option<(String, &'static str)> {
        match self {
            Statement::Compact => Some((format!("SELECT * FROM d.x{turn}"), "2 rows")),
            Statement::Clean | Statement::DropSnapshot => {
                Some(("SHOW SNAPSHOT ON repo WHERE SNAPSHOT = 'first'".to_string(), "1 rows"))
            }
            _ => None,
        }
    }

    /// What it makes of the rows of `d.t`.
    pub fn change(self, turn: u64, rows: &mut BTreeSet<i64>) {
        match self {
            Statement::Insert | Statement::FirstInsert | Statement::StreamLoad => rows.extend(keys(turn)),
            Statement::Overwrite => *rows = keys(turn).into_iter().collect(),
            Statement::Delete => {
                rows.remove(&((turn % 40) as i64));
            }
            _ => {}
        }
    }

    /// What it has made is taken away again.
    pub fn after(self, turn: u64) -> Vec<String> {
        match self {
            Statement::CreateTable
            | Statement::Spill
            | Statement::AddPartition
            | Statement::Truncate
            | Statement::Rename
            | Statement::DropTable
            | Statement::Compact => {
                vec![format!("DROP TABLE IF EXISTS d.x{turn} FORCE"), format!("DROP TABLE IF EXISTS d.y{turn} FORCE")]
            }
            Statement::Restore => vec![format!("DROP DATABASE IF EXISTS copy{turn} FORCE")],
            Statement::CreateRepository => vec![format!("DROP REPOSITORY r{turn}")],
            // What it has taken is there for the next turn; rows that came stay few.
            Statement::Delete => vec![],
            _ => Vec::new(),
        }
    }
}

/// New rows.
pub fn keys(turn: u64) -> Vec<i64> {
    let first = 1000 + 10 * turn as i64;
    (first..first + 3).collect()
}

fn values(turn: u64) -> String {
    let rows: Vec<String> = keys(turn).iter().map(|k| format!("({k}, {}, 'inserted')", k % 10)).collect();
    rows.join(", ")
}

fn backup(turn: u64) -> String {
    format!("BACKUP SNAPSHOT d.s{turn} TO repo ON (u)")
}

/// In the form that is fine with a snapshot that is gone: a removal that could not be synced may have happened.
fn drop_snapshot(turn: u64) -> String {
    format!("DROP SNAPSHOT ON repo WHERE SNAPSHOT = 's{turn}'")
}

fn create(turn: u64) -> String {
    table(&format!("d.x{turn}"), 40)
}

/// A table of two partitions with two tablets each, and texts of so many bytes at most.
pub fn table(name: &str, text_bytes: usize) -> String {
    format!(
        "CREATE TABLE {name} (k BIGINT NOT NULL, g INT NOT NULL, v VARCHAR({text_bytes})) DUPLICATE KEY (k) \
         PARTITION BY RANGE (g) (PARTITION p0 VALUES LESS THAN (\"5\"), PARTITION p1 VALUES LESS THAN (\"10\")) \
         DISTRIBUTED BY HASH(k) BUCKETS 2"
    )
}
