//! The plan as people read it, and what it refuses.

use super::*;
use crate::job::bed::{definition, range};
use crate::schema::{Bound, PartitionKey, Value};

fn source_partition(name: &str, bounds: PartitionBounds) -> SourcePartition {
    SourcePartition {
        name: name.into(),
        bounds,
        buckets: 2,
        replication_num: 3,
        properties: BTreeMap::new(),
        node: Digest::of(name.as_bytes()),
        rows: 1_000,
        bytes: 12_345_678,
        files: 4,
    }
}

fn source() -> Source {
    Source {
        label: "monday".into(),
        timestamp: "2023-02-07-14-45-53-143".into(),
        database: "sr_hub".into(),
        tables: vec![
            SourceTable {
                name: "events".into(),
                definition: definition(true, 2),
                auto_increment_next: 1,
                partitions: vec![source_partition("p0", range(0, 100)), source_partition("p1", range(100, 200))],
            },
            SourceTable {
                name: "members".into(),
                definition: definition(false, 2),
                auto_increment_next: 1,
                partitions: vec![source_partition("members", PartitionBounds::All)],
            },
        ],
    }
}

fn target_partition(name: &str, bounds: PartitionBounds) -> TargetPartition {
    TargetPartition { name: name.into(), bounds, buckets: 2, replication_num: 1 }
}

fn target(database_id: Option<DatabaseId>, partitions: Vec<TargetPartition>) -> Target {
    let table = TargetTable { id: TableId(7), definition: definition(true, 2), partitions };
    let tables = if database_id.is_some() { BTreeMap::from([("events".to_owned(), table)]) } else { BTreeMap::new() };
    Target { database: "sr_hub".into(), database_id, tables, roots: 2 }
}

fn select(objects: &RestoreObjects) -> Vec<RestoreSelection> {
    objects.select("monday", &["events", "members"]).unwrap()
}

#[test]
fn plan_into_an_empty_cluster() {
    let plan = RestorePlan::make(&source(), &select(&RestoreObjects::All), &target(None, Vec::new()), None).unwrap();
    assert_eq!(
        plan.to_string(),
        "\
restore snapshot 'monday' of 2023-02-07-14-45-53-143 taken of database 'sr_hub' into database 'sr_hub' (to be created)
  create table 'events'
    add partition 'p0' [(\"0\"), (\"100\")): buckets 2, replicas 2, rows 1000, files 4, 12.3 MB
    add partition 'p1' [(\"100\"), (\"200\")): buckets 2, replicas 2, rows 1000, files 4, 12.3 MB
  create table 'members'
    add partition 'members' (all): buckets 2, replicas 2, rows 1000, files 4, 12.3 MB
"
    );
    let stored = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<RestorePlan>(&stored).unwrap(), plan);
}

#[test]
fn plan_over_what_is_there() {
    let there = target(
        Some(DatabaseId(1)),
        vec![target_partition("P0", range(0, 100)), target_partition("p9", range(900, 1_000))],
    );
    let alias = RestoreSelection { alias: Some("people".into()), ..RestoreSelection::whole("members") };
    let objects = RestoreObjects::Tables(vec![alias, RestoreSelection::whole("events")]);
    let plan = RestorePlan::make(&source(), &select(&objects), &there, None).unwrap();
    assert_eq!(
        plan.to_string(),
        "\
restore snapshot 'monday' of 2023-02-07-14-45-53-143 taken of database 'sr_hub' into database 'sr_hub'
  create table 'members' as 'people'
    add partition 'people' (all): buckets 2, replicas 2, rows 1000, files 4, 12.3 MB
  replace in table 'events'
    replace partition 'P0' [(\"0\"), (\"100\")): buckets 2, replicas 1, rows 1000, files 4, 12.3 MB
    add partition 'p1' [(\"100\"), (\"200\")): buckets 2, replicas 2, rows 1000, files 4, 12.3 MB
"
    );
}

#[test]
fn everything_in_the_way_is_named() {
    let there =
        target(Some(DatabaseId(1)), vec![target_partition("p0", range(0, 50)), target_partition("q", range(150, 160))]);
    let refused = RestorePlan::make(&source(), &select(&RestoreObjects::All), &there, Some(2)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Partition p0 in table events has different range with partition in repository: expected [(\"0\"), (\"100\")), \
         found [(\"0\"), (\"50\")); Partition p0 in table events has different replication num '1' with partition in \
         repository, which is 2: leave replication_num out to keep the table's own; Partition p1 in table events has \
         conflict range with existing ranges: [(\"100\"), (\"200\")) overlaps [(\"150\"), (\"160\")) of partition q. \
         Restore under another name with AS, or drop the table first"
    );
}

/// Goal: ranges of columns of different types are not judged, for their values have no order among each other; the types
/// are what is said. Method: a table of the same name whose partition column holds dates, one partition of the same name
/// and one of another.
#[test]
fn ranges_of_different_types_are_not_compared() {
    let day = |days: i32| PartitionKey(vec![Bound::Value(Value::Date(days))]);
    let days = |lower, upper| PartitionBounds::Range { lower: day(lower), upper: day(upper) };
    let mut there = target(
        Some(DatabaseId(1)),
        vec![target_partition("p0", days(0, 100)), target_partition("q", days(i32::MIN, i32::MAX))],
    );
    let events = there.tables.get_mut("events").unwrap();
    let by = events.definition.partition_columns()[0];
    events.definition.columns.iter_mut().find(|column| column.id == by).unwrap().data_type = DataType::Date;
    let refused = RestorePlan::make(&source(), &select(&RestoreObjects::All), &there, None).unwrap_err().to_string();
    assert!(refused.contains(" type: expected "), "{refused}");
    assert!(!refused.contains("range"), "{refused}");
}

#[test]
fn more_replicas_than_roots_is_no_reason_to_fail() {
    let plan = |asked| {
        let plan =
            RestorePlan::make(&source(), &select(&RestoreObjects::All), &target(None, Vec::new()), asked).unwrap();
        plan.tables[0].partitions[0].replication_num
    };
    assert_eq!((plan(None), plan(Some(1)), plan(Some(3))), (2, 1, 2));
}

#[test]
fn selections_are_checked() {
    let refuse = |objects: RestoreObjects, words: &str| {
        let error = objects.select("monday", &["events", "members"]).unwrap_err().to_string();
        assert_eq!(error, words);
    };
    let whole = |table: &str| RestoreSelection::whole(table);
    let alias = |table: &str, alias: &str| RestoreSelection { alias: Some(alias.into()), ..whole(table) };
    refuse(RestoreObjects::Tables(vec![whole("events"), whole("events")]), "Duplicated table: events");
    refuse(RestoreObjects::Tables(vec![whole("events"), alias("members", "events")]), "Duplicated alias name: events");
    refuse(RestoreObjects::Tables(vec![whole("x")]), "Table x does not exist in snapshot monday");
    refuse(RestoreObjects::AllBut(vec!["x".into()]), "Table x does not exist in snapshot monday");
    refuse(
        RestoreObjects::AllBut(vec!["members".into(), "events".into()]),
        "Nothing to restore: EXCLUDE names every table of snapshot monday. Leave out at least one of them",
    );
    let empty = RestoreObjects::All.select("monday", &[]).unwrap_err().to_string();
    assert_eq!(empty, "Nothing to restore: snapshot monday holds no table");
    assert_eq!(select(&RestoreObjects::AllBut(vec!["events".into()])), [whole("members")]);
}
