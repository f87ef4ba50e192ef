//! CREATE TABLE and ALTER TABLE: what the statements mean.

use super::{one, round_trip};
use crate::sql::ast::Statement;
use crate::sql::ast::partition::{
    DistributionKind, IntervalUnit, PartitionBy, PartitionDef, PartitionStep, PartitionValue, PartitionValues,
};
use crate::sql::ast::table::{CreateTable, DefaultValue, TableModel};
use crate::sql::ast::types::DataType;

fn create(text: &str) -> CreateTable {
    match one(text) {
        Statement::CreateTable(create) => *create,
        other => panic!("{other}"),
    }
}

#[test]
fn a_table_is_what_it_says() {
    let table = create(
        "CREATE TABLE d.t (a INT NOT NULL, b VARCHAR(20) DEFAULT 'x', c DATETIME DEFAULT now(3), d INT AUTO_INCREMENT COMMENT \"c\") \
         ENGINE=olap DUPLICATE KEY (a, b) COMMENT 'rows' \
         PARTITION BY RANGE(a) (PARTITION p1 VALUES LESS THAN ('10'), START ('10') END ('30') EVERY (10)) \
         DISTRIBUTED BY HASH(b) BUCKETS 3 PROPERTIES ('replication_num' = '1')",
    );
    let columns: Vec<_> =
        table.columns.iter().map(|column| (column.name.as_str(), &column.data_type, column.nullable)).collect();
    assert_eq!(
        columns,
        [
            ("a", &DataType::Int, Some(false)),
            ("b", &DataType::Varchar(Some(20)), None),
            ("c", &DataType::DateTime, None),
            ("d", &DataType::Int, None)
        ]
    );
    assert_eq!(table.columns[1].default, Some(DefaultValue::Literal("x".to_owned())));
    assert_eq!(table.columns[2].default, Some(DefaultValue::CurrentTimestamp { precision: Some(3) }));
    assert!(table.columns[3].auto_increment);
    let options = &table.options;
    assert_eq!(options.keys.as_ref().map(|keys| (keys.model, keys.columns.len())), Some((TableModel::Duplicate, 2)));
    assert_eq!(options.comment.as_deref(), Some("rows"));
    assert_eq!(options.properties.get("replication_num"), Some("1"));
    let distribution = options.distribution.as_ref().unwrap();
    assert_eq!((&distribution.kind, distribution.buckets), (&DistributionKind::Hash(vec!["b".to_owned()]), Some(3)));
    let Some(PartitionBy::Range { columns, partitions }) = &options.partition_by else { panic!() };
    assert_eq!((columns.as_slice(), partitions.len()), (["a".to_owned()].as_slice(), 2));
    let PartitionDef::Single { values, .. } = &partitions[0] else { panic!() };
    assert_eq!(*values, PartitionValues::LessThan(vec![PartitionValue::Value("10".to_owned())]));
    let PartitionDef::Batch(batch) = &partitions[1] else { panic!() };
    assert_eq!((batch.start.as_str(), batch.end.as_str(), batch.step), ("10", "30", PartitionStep::Number(10)));
}

#[test]
fn mysql_tables_are_taken_where_that_is_harmless() {
    let inside = create(
        "CREATE TABLE t (id INT(11) NOT NULL AUTO_INCREMENT, v TEXT CHARACTER SET utf8mb4, PRIMARY KEY (`id`)) ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
    );
    let after = create("CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT, v STRING) ENGINE=InnoDB PRIMARY KEY (id)");
    assert_eq!(inside, after);
    assert_eq!(create("CREATE TABLE t (id INT PRIMARY KEY)"), create("CREATE TABLE t (id INT) PRIMARY KEY (id)"));
}

#[test]
fn clauses_stand_in_any_order() {
    let usual = "CREATE TABLE t (a INT) DUPLICATE KEY (a) COMMENT 'c' PARTITION BY (a) DISTRIBUTED BY HASH(a) ORDER BY (a) PROPERTIES ('x' = 'y')";
    let other = "CREATE TABLE t (a INT) PROPERTIES ('x' = 'y') ORDER BY (a) DISTRIBUTED BY HASH(a) PARTITION BY (a) COMMENT 'c' DUPLICATE KEY (a)";
    assert_eq!(one(usual), one(other));
}

#[test]
fn angle_brackets_close_together() {
    let table = create("CREATE TABLE t (a ARRAY<ARRAY<ARRAY<INT>>>, b MAP<INT,STRUCT<x ARRAY<INT>>>, c INT)");
    let array = |element| DataType::Array(Box::new(element));
    assert_eq!(table.columns[0].data_type, array(array(array(DataType::Int))));
    assert_eq!(table.columns.len(), 3);
    round_trip(&Statement::CreateTable(Box::new(table)));
}

#[test]
fn steps_have_units() {
    for (text, unit) in [
        ("HOUR", IntervalUnit::Hour),
        ("day", IntervalUnit::Day),
        ("WEEK", IntervalUnit::Week),
        ("MONTH", IntervalUnit::Month),
        ("QUARTER", IntervalUnit::Quarter),
        ("YEAR", IntervalUnit::Year),
    ] {
        let table = create(&format!(
            "CREATE TABLE t (a DATE) PARTITION BY RANGE(a) (START ('x') END ('y') EVERY (INTERVAL 2 {text}))"
        ));
        let Some(PartitionBy::Range { partitions, .. }) = table.options.partition_by else { panic!() };
        let [PartitionDef::Batch(batch)] = partitions.as_slice() else { panic!() };
        assert_eq!(batch.step, PartitionStep::Interval { count: 2, unit });
    }
}
