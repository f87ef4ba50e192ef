//! Goal: a privilege is on the object it was granted on, whatever becomes of its name. Method: a catalog, one holder, and
//! what it holds after each change, as SHOW GRANTS and every check read it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::catalog::{Catalog, Grantee};
use crate::clock::{ManualClock, SystemRandom};
use crate::schema::DataType;
use crate::testing::{column, table_of};

struct Bench {
    _dir: tempfile::TempDir,
    catalog: Catalog,
    database: DatabaseId,
}

fn holder() -> Grantee {
    Grantee::User { name: "jack".into(), host: "%".into() }
}

impl Bench {
    /// The database d with the tables t and u, and SELECT on each, on all of d and on all there is, ALTER on d.
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let catalog =
            Catalog::open(&dir.path().join("catalog.db"), ManualClock::at(1), Arc::new(SystemRandom)).unwrap();
        let database = catalog.write(|write| write.create_database("d", &BTreeMap::new())).unwrap();
        let bench = Bench { _dir: dir, catalog, database };
        for table in ["t", "u"] {
            bench.create(table);
        }
        for (database, table) in [("d", "t"), ("d", "u"), ("d", "*"), ("*", "*")] {
            bench.grant("TABLE", database, table);
        }
        bench.grant("DATABASE", "d", "*");
        bench
    }

    fn create(&self, table: &str) -> TableId {
        let definition = table_of(vec![column(1, "k", DataType::Int)]);
        self.change(|write| write.create_table(self.database, table, &definition, None))
    }

    fn change<T>(&self, change: impl FnOnce(&WriteTransaction<'_>) -> Result<T>) -> T {
        self.catalog.write(change).unwrap()
    }

    fn grant(&self, kind: &str, database: &str, table: &str) {
        self.change(|write| write.grant_privilege(&holder(), &row(kind, database, table)));
    }

    fn drop_table(&self, name: &str) {
        self.change(|write| write.drop_table(write.table(self.database, name)?.id));
    }

    fn recover_table(&self, name: &str) {
        self.change(|write| write.recover_table(&write.dropped_table(self.database, name)?.expect("it was dropped")));
    }

    /// What is held, but for what is held on everything.
    fn held(&self) -> String {
        let rows = self.catalog.read(|read| read.privileges_of(&holder())).unwrap();
        assert!(rows.contains(&row("TABLE", "*", "*")), "what is on everything is on no object");
        let shown = |row: &PrivilegeRow| match row.object_kind.as_str() {
            "TABLE" => format!("{}.{}", row.object_database, row.object_name),
            kind => format!("{kind} {}", row.object_database),
        };
        let held: Vec<String> = rows.iter().filter(|row| row.object_database != "*").map(shown).collect();
        held.join(", ")
    }

    /// Rows that there are, those that wait as well.
    fn kept(&self) -> i64 {
        self.catalog
            .read(|read| Ok(read.prepare_cached("SELECT count(*) FROM privileges")?.query_row([], |row| row.get(0))?))
            .unwrap()
    }
}

fn row(kind: &str, database: &str, table: &str) -> PrivilegeRow {
    PrivilegeRow {
        privilege: if kind == "TABLE" { "SELECT" } else { "ALTER" }.into(),
        object_kind: kind.into(),
        object_database: database.into(),
        object_name: table.into(),
        with_grant: false,
    }
}

const ALL: &str = "DATABASE d, d.*, d.t, d.u";

#[test]
fn a_dropped_table_takes_its_grants_along() {
    let bench = Bench::new();
    assert_eq!(bench.held(), ALL);
    bench.drop_table("t");
    assert_eq!(bench.held(), "DATABASE d, d.*, d.u");
    bench.create("t");
    assert_eq!(bench.held(), "DATABASE d, d.*, d.u", "a new table of the name is another table");
    bench.change(|write| write.drop_table_for_good(write.table(bench.database, "t")?.id));
    bench.recover_table("t");
    assert_eq!(bench.held(), ALL, "the old one comes back as it was");
    let kept = bench.kept();
    bench.change(|write| write.drop_table_for_good(write.table(bench.database, "t")?.id));
    assert_eq!(bench.kept(), kept - 1);
    bench.drop_table("u");
    bench.change(|write| write.purge_table(write.dropped_table(bench.database, "u")?.expect("it was dropped").id));
    assert_eq!(bench.kept(), kept - 2, "nothing waits for what is gone");
}

#[test]
fn a_dropped_database_takes_the_grants_of_its_tables_along() {
    let bench = Bench::new();
    bench.drop_table("t");
    bench.change(|write| write.drop_database(bench.database));
    assert_eq!(bench.held(), "");
    let other = bench.change(|write| write.create_database("d", &BTreeMap::new()));
    assert_eq!(bench.held(), "");
    bench.grant("DATABASE", "d", "*");
    bench.change(|write| write.purge_database(other));
    assert_eq!(bench.held(), "");
    bench.change(|write| write.recover_database(&write.dropped_database("d")?.expect("it was dropped")));
    assert_eq!(bench.held(), "DATABASE d, d.*, d.u");
    bench.recover_table("t");
    assert_eq!(bench.held(), ALL);
    bench.drop_table("u");
    bench.change(|write| write.drop_database(bench.database));
    bench.change(|write| write.purge_database(bench.database));
    assert_eq!((bench.held().as_str(), bench.kept()), ("", 1));
}

#[test]
fn a_new_name_takes_the_grants_along() {
    let bench = Bench::new();
    bench.drop_table("u");
    bench.change(|write| write.rename_table(&write.table(bench.database, "t")?, "renamed"));
    assert_eq!(bench.held(), "DATABASE d, d.*, d.renamed");
    bench.create("t");
    assert_eq!(bench.held(), "DATABASE d, d.*, d.renamed");
    bench.change(|write| write.rename_database(bench.database, "e"));
    assert_eq!(bench.held(), "DATABASE e, e.*, e.renamed");
    bench.recover_table("u");
    assert_eq!(bench.held(), "DATABASE e, e.*, e.renamed, e.u", "those that waited have the new name too");
}

/// What is revoked while its table waits to be recovered does not come back with it, and what an older version left on a
/// name is not on the next table of that name.
#[test]
fn what_is_taken_back_stays_away() {
    let bench = Bench::new();
    bench.drop_table("t");
    assert!(bench.change(|write| write.revoke_privilege(&holder(), &row("TABLE", "d", "t"))));
    bench.recover_table("t");
    assert_eq!(bench.held(), "DATABASE d, d.*, d.u");
    bench.grant("TABLE", "d", "later");
    bench.create("later");
    assert_eq!(bench.held(), "DATABASE d, d.*, d.u");
}
