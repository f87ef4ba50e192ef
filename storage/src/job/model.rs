//! Whatever is done to a database, every snapshot holds what was there at its cut.
//!
//! Goal: loads, deletes, compactions, collections, drops, backups and restores in any order never lose, add or mix up
//! a row. Method: a model does the same to plain vectors. After each restore the tables are compared with it, and in
//! the end every snapshot is restored into an empty store and compared with the model at its cut.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::bed::{Bed, Row, restore_spec, some_tables};
use crate::backup::BackupObjects;
use crate::clock::SystemClock;
use crate::repository::Access;
use crate::restore::{RestoreObjects, RestoreSelection, RestoreSpec};

/// Tables of the model: partitioned or not, of one or more buckets.
const TABLES: [(&str, &[i128], u32); 3] = [("a", &[0, 100, 200, 300], 2), ("b", &[], 1), ("c", &[0, 150, 300], 1)];

type Model = BTreeMap<&'static str, Held>;

/// What a table of the model holds.
#[derive(Debug, Clone, Default)]
struct Held {
    rows: Vec<Row>,
    /// Whether a restore made it with its first partition alone: rows of the others have no place in it.
    first_only: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Create(usize),
    Drop(usize),
    Load { table: usize, first: i64, rows: i64 },
    Delete { table: usize, keys: Vec<i64> },
    Compact(usize),
    Collect,
    Backup { only: Option<usize> },
    Restore { snapshot: usize, only: Option<usize>, partition: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let table = 0..TABLES.len();
    let key = 0..300_i64;
    prop_oneof![
        2 => table.clone().prop_map(Step::Create),
        1 => table.clone().prop_map(Step::Drop),
        6 => (table.clone(), 0..280_i64, 1..20_i64).prop_map(|(table, first, rows)| Step::Load { table, first, rows }),
        3 => (table.clone(), prop::collection::vec(key, 1..60)).prop_map(|(table, keys)| Step::Delete { table, keys }),
        2 => table.clone().prop_map(Step::Compact),
        1 => Just(Step::Collect),
        3 => prop::option::of(table.clone()).prop_map(|only| Step::Backup { only }),
        3 => (0..4_usize, prop::option::of(table), any::<bool>())
            .prop_map(|(snapshot, only, partition)| Step::Restore { snapshot, only, partition }),
    ]
}

async fn run(steps: Vec<Step>, dir: &Path) {
    let bed = Bed::open(&dir.join("data"), &dir.join("repository"), 1).await;
    let mut model = Model::new();
    let mut snapshots: Vec<(String, Model)> = Vec::new();
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Create(table) => {
                let (name, bounds, buckets) = TABLES[table];
                if !model.contains_key(name) {
                    bed.create_table(name, bounds, buckets);
                    model.insert(name, Held::default());
                }
            }
            Step::Drop(table) => {
                if model.remove(TABLES[table].0).is_some() {
                    bed.drop_table(TABLES[table].0);
                }
            }
            Step::Load { table, first, rows } => {
                let name = TABLES[table].0;
                if let Some(held) = model.get_mut(name) {
                    let new: Vec<Row> = (first..first + rows).map(|key| (key, format!("{number}:{key}"))).collect();
                    bed.load(name, &new);
                    let first_only = held.first_only;
                    held.rows.extend(new.into_iter().filter(|(key, _)| !first_only || in_first(name, *key)));
                }
            }
            Step::Delete { table, keys } => {
                if let Some(held) = model.get_mut(TABLES[table].0) {
                    bed.delete(TABLES[table].0, &keys);
                    held.rows.retain(|(key, _)| !keys.contains(key));
                }
            }
            Step::Compact(table) => {
                if model.contains_key(TABLES[table].0) {
                    bed.compact(TABLES[table].0);
                }
            }
            Step::Collect => {
                bed.storage.collect_garbage().unwrap();
            }
            Step::Backup { only } => {
                let only = only.map(|table| TABLES[table].0);
                let cut: Model = model
                    .iter()
                    .filter(|(name, _)| only.is_none_or(|only| only == **name))
                    .map(|(name, held)| (*name, held.clone()))
                    .collect();
                if cut.is_empty() {
                    continue;
                }
                let label = format!("snapshot {number}");
                let objects = only.map_or(BackupObjects::All, |name| some_tables(&[name]));
                let row = bed.backup_of(&label, objects).await;
                assert_eq!(row.state, "FINISHED", "{}", row.status);
                assert_eq!(row.totals.rows, cut.values().map(|held| held.rows.len() as u64).sum::<u64>());
                snapshots.push((label, cut));
            }
            Step::Restore { snapshot, only, partition } => {
                let Some((label, cut)) = snapshots.get(snapshot) else { continue };
                let (objects, names): (RestoreObjects, Vec<&'static str>) = match only.map(|table| TABLES[table].0) {
                    None => (RestoreObjects::All, cut.keys().copied().collect()),
                    Some(name) if !cut.contains_key(name) => continue,
                    Some(name) => {
                        let mut selection = RestoreSelection::whole(name);
                        if partition && name != "b" {
                            selection.partitions = vec!["p0".into()];
                        }
                        (RestoreObjects::Tables(vec![selection]), vec![name])
                    }
                };
                let of_partition =
                    matches!(&objects, RestoreObjects::Tables(tables) if !tables[0].partitions.is_empty());
                let row = bed.restore_of(label, objects).await;
                assert_eq!(row.state, "FINISHED", "{}", row.status);
                for name in names {
                    let restored = &cut[name];
                    match model.get_mut(name) {
                        // Partitions that the snapshot does not have, or that are not named, stay as they are.
                        Some(held) if of_partition || restored.first_only => {
                            held.rows.retain(|(key, _)| !in_first(name, *key));
                            held.rows.extend(restored.rows.iter().filter(|(key, _)| in_first(name, *key)).cloned());
                        }
                        None if of_partition => {
                            let rows = restored.rows.iter().filter(|(key, _)| in_first(name, *key)).cloned();
                            model.insert(name, Held { rows: rows.collect(), first_only: true });
                        }
                        _ => {
                            model.insert(name, restored.clone());
                        }
                    }
                }
                assert_model(&bed, crate::job::bed::DATABASE, &model);
                bed.assert_nothing_left();
            }
        }
    }
    assert_model(&bed, crate::job::bed::DATABASE, &model);
    let other = Bed::open_with(&dir.join("other"), 1, Arc::new(SystemClock), Default::default());
    other.add_repository(&format!("file://{}", dir.join("repository").display()), Access::ReadOnly).await;
    for (number, (label, cut)) in snapshots.iter().enumerate() {
        let database = format!("of {number}");
        let spec = RestoreSpec { database: Some(database.clone()), ..restore_spec(label, RestoreObjects::All) };
        let id = other.runner.submit_restore(spec).await.unwrap();
        assert_eq!(other.ended(id).await.state, "FINISHED", "{}", other.restore_row(id).status);
        assert_model(&other, &database, cut);
    }
    bed.close().await;
    other.close().await;
}

/// Whether a key belongs into the first partition of a table.
fn in_first(name: &str, key: i64) -> bool {
    let (_, bounds, _) = TABLES.iter().find(|(other, ..)| *other == name).unwrap();
    bounds.get(1).is_none_or(|end| i128::from(key) < *end)
}

fn assert_model(bed: &Bed, database: &str, model: &Model) {
    let id = bed.storage.catalog().read(|read| Ok(read.database(database)?.id)).unwrap();
    let tables = bed.storage.catalog().read(|read| read.tables(id)).unwrap();
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, model.keys().copied().collect::<Vec<_>>());
    for (name, held) in model {
        let mut expected = held.rows.clone();
        expected.sort();
        assert_eq!(bed.rows_in(database, name), expected, "table {name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_snapshot_is_the_model_at_its_cut(steps in prop::collection::vec(step(), 8..40)) {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(run(steps, dir.path()));
    }
}
