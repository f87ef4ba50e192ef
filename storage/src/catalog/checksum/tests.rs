//! Checksums follow every change, and no change on the disk passes them.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::catalog::{Catalog, log_path};
use crate::clock::{ManualClock, SystemRandom};
use crate::error::Error;

fn open(path: &Path) -> Result<Catalog> {
    Catalog::open(path, ManualClock::at(1), Arc::new(SystemRandom))
}

fn catalog_path(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("catalog.db")
}

fn set(catalog: &Catalog, name: &str, value: &str) {
    catalog.write(|write| write.set_variable(name, value)).unwrap();
}

/// Runs SQL past the program, as a byte that flips does.
fn by_hand(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
}

fn damage(path: &Path) -> String {
    match open(path) {
        Err(Error::CatalogDamaged { detail, .. }) => detail,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_program_writes_is_what_it_finds() {
    let dir = tempfile::tempdir().unwrap();
    let path = catalog_path(&dir);
    let catalog = open(&path).unwrap();
    set(&catalog, "a", "1");
    set(&catalog, "a", "2");
    set(&catalog, "b", "3");
    let failed: Result<()> = catalog.write(|write| {
        write.set_variable("c", "4")?;
        Err(Error::Cancelled)
    });
    assert!(failed.is_err());
    catalog.verify().unwrap();
    catalog.write(|write| Ok(write.execute("INSERT OR REPLACE INTO variables VALUES ('a', '9')", [])?)).unwrap();
    catalog.write(|write| Ok(write.execute("DELETE FROM variables WHERE name = 'b'", [])?)).unwrap();
    catalog.verify().unwrap();
    catalog.erase_deleted().unwrap();
    drop(catalog);
    open(&path).unwrap().verify().unwrap();
}

#[test]
fn a_row_that_changed_went_or_came_is_found_with_its_table() {
    for (sql, wants) in [
        (
            "UPDATE variables SET value = '2' WHERE name = 'a'",
            "the 2 rows of table 'variables' are not what was written",
        ),
        ("DELETE FROM variables WHERE name = 'a'", "table 'variables' has 1 rows, 2 were written"),
        ("INSERT INTO roles (name, builtin) VALUES ('x', 0)", "table 'roles' has"),
        ("DROP TABLE pins", "table 'pins' is not there"),
        ("DROP TRIGGER tables_changed", "table 'sqlite_schema' has"),
        ("UPDATE checksums SET rows = rows + 1 WHERE name = 'loads'", "table 'loads' has 0 rows, 1 were written"),
        ("UPDATE checksums SET rows = rows - 1 WHERE name = ''", "the version of the checksums is not"),
        (
            "UPDATE checksums SET hashes = X'00000000BC0000000000000000000000' WHERE name = ''",
            "the version of the checksums is not",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = catalog_path(&dir);
        let catalog = open(&path).unwrap();
        set(&catalog, "a", "1");
        set(&catalog, "b", "1");
        drop(catalog);
        by_hand(&path, sql);
        let detail = damage(&path);
        assert!(detail.contains(wants), "{sql}: {detail}");
        accept(&Connection::open(&path).unwrap()).unwrap();
        open(&path).unwrap();
    }
}

#[test]
fn a_catalog_that_changes_in_use_answers_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = catalog_path(&dir);
    let catalog = open(&path).unwrap();
    set(&catalog, "a", "1");
    by_hand(&path, "UPDATE variables SET value = '2'");
    assert!(catalog.verify().unwrap_err().to_string().contains("table 'variables'"));
    assert!(matches!(catalog.read(|read| read.version()), Err(Error::CatalogDamaged { .. })));
    assert!(matches!(catalog.write(|write| write.next_id()), Err(Error::CatalogDamaged { .. })));
}

#[test]
fn sums_of_an_older_schema_are_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = catalog_path(&dir);
    let catalog = open(&path).unwrap();
    set(&catalog, "a", "1");
    drop(catalog);
    // As earlier versions left it, and as a stop right after a migration from one of them does.
    for sql in [
        "DROP TABLE checksums",
        "DELETE FROM checksums",
        "UPDATE checksums SET rows = rows - 1, hashes = zeroblob(16) WHERE name = ''",
    ] {
        by_hand(&path, sql);
        let catalog = open(&path).unwrap();
        set(&catalog, "a", sql);
        catalog.verify().unwrap();
    }
}

/// Goal: a byte that flips in the log loses no committed transaction unseen, and a log that a power cut tore is no
/// damage. Method: take the log of a catalog in use; flip bytes all over it, cut it anywhere.
#[test]
fn the_log_is_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let path = catalog_path(&dir);
    let catalog = open(&path).unwrap();
    let mut ends = Vec::new();
    for number in 0..6 {
        set(&catalog, "a", &number.to_string());
        ends.push(fs::metadata(log_path(&path)).unwrap().len() as usize);
    }
    let (file, log) = (fs::read(&path).unwrap(), fs::read(log_path(&path)).unwrap());
    drop(catalog);
    assert!(ends.windows(2).all(|ends| ends[0] < ends[1]), "each transaction is behind the one before: {ends:?}");

    let value = |log: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        let path = catalog_path(&dir);
        fs::write(&path, &file).unwrap();
        fs::write(log_path(&path), log).unwrap();
        open(&path).map(|catalog| {
            catalog
                .read(|read| {
                    Ok(read.query_row("SELECT max(value) FROM variables WHERE name = 'a'", [], |row| row.get(0))?)
                })
                .unwrap()
        })
    };
    let newest: Option<String> = value(&log).unwrap();
    assert_eq!(newest.as_deref(), Some("5"));
    // A torn end is dropped with the transaction it belongs to.
    for cut in [ends[5] - 1, ends[4] + 1, ends[4]] {
        assert_eq!(value(&log[..cut]).unwrap().as_deref(), Some("4"));
    }
    let mut unseen = 0;
    for at in (0..log.len()).step_by(97).chain(0..56) {
        let mut flipped = log.clone();
        flipped[at] ^= 0x40;
        match value(&flipped) {
            Err(Error::CatalogDamaged { .. }) => {}
            Ok(Some(value)) if value == "5" => {}
            // The last transaction cannot be told from one that a power cut tore.
            Ok(Some(value)) if value == "4" && at >= ends[4] => unseen += 1,
            other => panic!("byte {at} of {ends:?}: {other:?}"),
        }
    }
    assert!(unseen > 0);
}
