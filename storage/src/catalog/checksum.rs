//! Checksums of the catalog: what tells a byte that changed on the disk from one that was written.
//!
//! SQLite's pages carry none. So every table has a row in `checksums`: how many rows it has, and the sum of their hashes.
//! A sum does not depend on the order of rows, and a change adds and takes away the hashes of the rows it touches, so
//! keeping it costs a hash a row and one small update a transaction:
//!
//! 1. temporary triggers on the writer's connection, made for every table there is, hand each row that comes or goes to
//!    [`Sums`], which gathers the differences of the transaction;
//! 2. before the commit, in the same transaction, the sums of the tables that were touched are written.
//!
//! When the catalog is opened, and whenever somebody asks, all rows are read and the sums compared ([`verify`]): a row
//! that changed, went or came back is found whatever page it lies on, and so is a changed schema. SQLite's own
//! integrity check finds what does not show in a full read, such as an index that leads astray. What was written by
//! hand, past this program, is found as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Null, ValueRef};
use rusqlite::{Connection, OptionalExtension, params};

use crate::disk;
use crate::error::Result;

/// The name under which the schema itself has a row.
const SCHEMA: &str = "sqlite_schema";

/// The name under which the version of the schema lies that the sums are of, with its own hash: a version that changed would
/// make all sums look old.
const VERSION: &str = "";

/// Problems that an integrity check lists before it stops: one is enough to refuse the catalog.
const PROBLEMS_MAX: u32 = 3;

/// What a table's rows add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    rows: i64,
    hashes: u128,
}

/// The sums of every table, and what the running transaction changes about them.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    committed: BTreeMap<String, Sum>,
    pending: BTreeMap<String, Sum>,
}

/// How thoroughly SQLite looks at its own structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CatalogCheck {
    /// Every page, and every row in every index.
    Full,
    /// Every page, not what indexes say: for a catalog so large that the start would take long.
    Quick,
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.rows = self.rows.wrapping_add(other.rows);
        self.hashes = self.hashes.wrapping_add(other.hashes);
    }

    fn of_row(hash: u128) -> Sum {
        Sum { rows: 1, hashes: hash }
    }

    fn of_version(version: i64) -> Sum {
        let mut hasher = RowHasher::new(VERSION);
        hasher.add(ValueRef::Integer(version));
        Sum { rows: version, hashes: hasher.finish() }
    }

    fn negative(self) -> Sum {
        Sum { rows: self.rows.wrapping_neg(), hashes: self.hashes.wrapping_neg() }
    }
}

impl Sums {
    /// Brings the stored sums to the schema as it is now, and keeps them from here on: for the writer's connection, once
    /// [`verify`] has found nothing and the migrations are done.
    pub(super) fn attach(writer: &Connection) -> Result<Sums> {
        writer.execute_batch(
            "CREATE TABLE IF NOT EXISTS checksums (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, hashes BLOB NOT NULL)
             STRICT, WITHOUT ROWID",
        )?;
        let sums = Sums::default();
        if stored(writer)?.as_ref().is_none_or(|stored| !is_of_schema(writer, stored)) {
            store_all(writer)?;
        }
        sums.0.lock().committed = stored(writer)?.unwrap_or_default();
        // A row that REPLACE takes away must count, too.
        writer.pragma_update(None, "recursive_triggers", true)?;
        for (function, sign) in [("ebla_row_comes", 1), ("ebla_row_goes", -1)] {
            let state = Arc::clone(&sums.0);
            writer.create_scalar_function(function, -1, FunctionFlags::SQLITE_UTF8, move |row| {
                let table = row.get_raw(0).as_str()?;
                let sum = Sum::of_row(hash_arguments(row));
                let sum = if sign > 0 { sum } else { sum.negative() };
                let mut state = state.lock();
                match state.pending.get_mut(table) {
                    Some(pending) => pending.add(sum),
                    None => drop(state.pending.insert(table.to_owned(), sum)),
                }
                Ok(Null)
            })?;
        }
        for table in tables(writer)? {
            writer.execute_batch(&triggers(&table, &columns(writer, &table)?))?;
        }
        Ok(sums)
    }

    /// Forgets what a transaction that was rolled back has gathered. Call it before every transaction.
    pub(super) fn begin(&self) {
        self.0.lock().pending.clear();
    }

    /// Writes the sums of the tables that the transaction has touched. Call it before the commit.
    pub(super) fn store(&self, transaction: &Connection) -> Result<()> {
        let state = self.0.lock();
        let mut update = transaction.prepare_cached("UPDATE checksums SET rows = ?2, hashes = ?3 WHERE name = ?1")?;
        for (table, change) in &state.pending {
            let mut sum = state.committed.get(table).copied().unwrap_or_default();
            sum.add(*change);
            update.execute(params![table, sum.rows, sum.hashes.to_le_bytes()])?;
        }
        Ok(())
    }

    /// The transaction is committed.
    pub(super) fn commit(&self) {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        for (table, change) in std::mem::take(&mut state.pending) {
            state.committed.entry(table).or_default().add(change);
        }
    }
}

/// What is wrong with the catalog, as the connection sees it now; `None` when nothing is. Reads every row.
///
/// A catalog that was never opened by a version with checksums has none, and nothing to compare.
pub(super) fn verify(connection: &Connection) -> Result<Option<String>> {
    let Some(stored) = stored(connection)? else { return Ok(None) };
    // Older programs wrote no hash.
    if let Some(version) = stored.get(VERSION)
        && version.hashes != 0
        && *version != Sum::of_version(version.rows)
    {
        return Ok(Some("the version of the checksums is not what was written".to_owned()));
    }
    // A stop between a migration and the sums of what it made leaves sums of the schema before it.
    if !is_of_schema(connection, &stored) {
        return Ok(None);
    }
    let mut wrong = Vec::new();
    let found = sums_now(connection)?;
    for (table, sum) in &found {
        match stored.get(table) {
            Some(stored) if stored == sum => {}
            Some(stored) if stored.rows != sum.rows => {
                wrong.push(format!("table '{table}' has {} rows, {} were written", sum.rows, stored.rows));
            }
            _ => wrong.push(format!("the {} rows of table '{table}' are not what was written", sum.rows)),
        }
    }
    for table in stored.keys().filter(|name| *name != VERSION && !found.contains_key(*name)) {
        wrong.push(format!("table '{table}' is not there"));
    }
    Ok((!wrong.is_empty()).then(|| wrong.join("; ")))
}

/// What SQLite finds wrong with its own structure; `None` when nothing is.
pub(super) fn check_structure(connection: &Connection, check: CatalogCheck) -> Result<Option<String>> {
    let pragma = match check {
        CatalogCheck::Full => "integrity_check",
        CatalogCheck::Quick => "quick_check",
    };
    let mut statement = connection.prepare(&format!("PRAGMA {pragma}({PROBLEMS_MAX})"))?;
    let lines = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    Ok((lines != ["ok"]).then(|| lines.join("; ")))
}

/// Takes what is there for what was written: for somebody who has looked and has nothing better.
pub(super) fn accept(connection: &Connection) -> Result<()> {
    store_all(connection)
}

fn stored(connection: &Connection) -> Result<Option<BTreeMap<String, Sum>>> {
    let there: Option<i64> = connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'checksums'", [], |row| row.get(0))
        .optional()?;
    if there.is_none() {
        return Ok(None);
    }
    let mut statement = connection.prepare("SELECT name, rows, hashes FROM checksums")?;
    let rows = statement.query_map([], |row| {
        let hashes: [u8; 16] = row.get(2)?;
        Ok((row.get(0)?, Sum { rows: row.get(1)?, hashes: u128::from_le_bytes(hashes) }))
    })?;
    let stored: BTreeMap<String, Sum> = rows.collect::<rusqlite::Result<_>>()?;
    // Made, and the process ended before it was filled.
    Ok((!stored.is_empty()).then_some(stored))
}

fn is_of_schema(connection: &Connection, stored: &BTreeMap<String, Sum>) -> bool {
    let version = stored.get(VERSION).map(|sum| sum.rows);
    version.is_some() && version == user_version(connection).ok()
}

fn store_all(connection: &Connection) -> Result<()> {
    let sums = sums_now(connection)?;
    let transaction = connection.unchecked_transaction()?;
    transaction.execute("DELETE FROM checksums", [])?;
    let mut insert = transaction.prepare("INSERT INTO checksums (name, rows, hashes) VALUES (?1, ?2, ?3)")?;
    for (table, sum) in &sums {
        insert.execute(params![table, sum.rows, sum.hashes.to_le_bytes()])?;
    }
    let version = Sum::of_version(user_version(connection)?);
    insert.execute(params![VERSION, version.rows, version.hashes.to_le_bytes()])?;
    drop(insert);
    disk::commit(transaction)?;
    Ok(())
}

fn user_version(connection: &Connection) -> Result<i64> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn sums_now(connection: &Connection) -> Result<BTreeMap<String, Sum>> {
    let mut sums = BTreeMap::new();
    // Not the page a table begins on: that may change without the table.
    let schema = sum_of(connection, SCHEMA, "SELECT type, name, tbl_name, sql FROM sqlite_schema")?;
    sums.insert(SCHEMA.to_owned(), schema);
    for table in tables(connection)? {
        let columns = columns(connection, &table)?.join(", ");
        let sum = sum_of(connection, &table, &format!("SELECT {columns} FROM {} NOT INDEXED", quoted(&table)))?;
        sums.insert(table, sum);
    }
    Ok(sums)
}

fn sum_of(connection: &Connection, table: &str, query: &str) -> Result<Sum> {
    let mut statement = connection.prepare(query)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut sum = Sum::default();
    while let Some(row) = rows.next()? {
        let mut hasher = RowHasher::new(table);
        for column in 0..columns {
            hasher.add(row.get_ref(column)?);
        }
        sum.add(Sum::of_row(hasher.finish()));
    }
    Ok(sum)
}

/// Every table but the sums themselves.
fn tables(connection: &Connection) -> Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT name FROM sqlite_schema
         WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> 'checksums' ORDER BY name",
    )?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

/// The columns of a table, quoted, in the order of its definition.
fn columns(connection: &Connection, table: &str) -> Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
    let names = statement.query_map([table], |row| Ok(quoted(&row.get::<_, String>(0)?)))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

fn triggers(table: &str, columns: &[String]) -> String {
    let name = table.replace('\'', "''");
    let row = |side: &str| columns.iter().map(|column| format!(", {side}.{column}")).collect::<String>();
    let comes = format!("SELECT ebla_row_comes('{name}'{});", row("NEW"));
    let goes = format!("SELECT ebla_row_goes('{name}'{});", row("OLD"));
    let trigger = |event: &str, work: &str| {
        let trigger = quoted(&format!("checksum_{table}_{event}"));
        format!("CREATE TEMP TRIGGER {trigger} AFTER {event} ON main.{} BEGIN {work} END;\n", quoted(table))
    };
    trigger("INSERT", &comes) + &trigger("DELETE", &goes) + &trigger("UPDATE", &(goes.clone() + &comes))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn hash_arguments(row: &Context<'_>) -> u128 {
    let mut hasher = RowHasher::new(row.get_raw(0).as_str().unwrap_or_default());
    for column in 1..row.len() {
        hasher.add(row.get_raw(column));
    }
    hasher.finish()
}

/// Hashes a row so that no two rows, of any two tables, read the same.
struct RowHasher(blake3::Hasher);

impl RowHasher {
    fn new(table: &str) -> RowHasher {
        let mut hasher = RowHasher(blake3::Hasher::new());
        hasher.add(ValueRef::Text(table.as_bytes()));
        hasher
    }

    fn add(&mut self, value: ValueRef<'_>) {
        let mut tagged = |tag: u8, bytes: &[u8]| {
            self.0.update(&[tag]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        match value {
            ValueRef::Null => tagged(0, &[]),
            ValueRef::Integer(number) => tagged(1, &number.to_le_bytes()),
            ValueRef::Real(number) => tagged(2, &number.to_le_bytes()),
            ValueRef::Text(text) => tagged(3, text),
            ValueRef::Blob(bytes) => tagged(4, bytes),
        }
    }

    fn finish(&self) -> u128 {
        let mut half = [0; 16];
        half.copy_from_slice(&self.0.finalize().as_bytes()[..16]);
        u128::from_le_bytes(half)
    }
}

#[cfg(test)]
mod tests;
