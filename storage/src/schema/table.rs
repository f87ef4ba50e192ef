//! A table's definition: what CREATE TABLE says, what a snapshot carries, what two tables must share.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::column::{Column, ColumnId, names_equal};

/// The table model: what happens to rows of equal key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeysType {
    /// All rows are kept; the key is the sort order.
    Duplicate,
    /// Rows of one key are combined by each column's aggregation.
    Aggregate,
    /// The last row of a key stays.
    Unique,
    /// The last row of a key stays; rows can be updated and deleted by key.
    Primary,
}

/// How rows are dealt to partitions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Partitioning {
    /// One partition, named like the table.
    Unpartitioned,
    /// By ranges of these columns.
    Range {
        /// The partition columns.
        columns: Vec<ColumnId>,
    },
}

/// How the rows of a partition are dealt to its buckets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Distribution {
    /// By the hash of these columns (see `tablet::bucket_of`).
    Hash {
        /// The distribution columns.
        columns: Vec<ColumnId>,
    },
    /// In turn.
    Random,
}

/// A secondary index as CREATE TABLE names it. Kept and shown; pruning uses zone maps and bloom filters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SecondaryIndex {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<ColumnId>,
    /// BITMAP, NGRAMBF or GIN.
    pub kind: String,
    /// COMMENT, empty when none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// What CREATE TABLE says, but for the table's name and its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDefinition {
    /// The columns in the order of the definition; key columns lead.
    pub columns: Vec<Column>,
    /// The table model.
    pub keys_type: KeysType,
    /// The columns rows are sorted by in every segment; the key columns unless ORDER BY says otherwise.
    pub sort_key: Vec<ColumnId>,
    /// How rows are dealt to partitions.
    pub partitioning: Partitioning,
    /// How rows of a partition are dealt to buckets.
    pub distribution: Distribution,
    /// Buckets of a partition that does not say otherwise.
    pub buckets: u32,
    /// PROPERTIES as they are shown back, in the order of their names.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Secondary indexes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<SecondaryIndex>,
    /// COMMENT, empty when none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// One difference between the definition that is wanted and the one that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs, such as `column 3 'name' type`.
    pub item: String,
    /// As the snapshot has it.
    pub expected: String,
    /// As the existing table has it.
    pub found: String,
}

impl TableDefinition {
    /// The column of this name, without regard to case.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| names_equal(&column.name, name))
    }

    /// The column of this id.
    pub fn column_by_id(&self, id: ColumnId) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// Position of the column of this id.
    pub fn position(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|column| column.id == id)
    }

    /// Names of these columns, in order; ids that are not there are left out.
    pub fn names(&self, ids: &[ColumnId]) -> Vec<&str> {
        ids.iter().filter_map(|id| self.column_by_id(*id)).map(|column| column.name.as_str()).collect()
    }

    /// The partition columns; none when the table is not partitioned.
    pub fn partition_columns(&self) -> &[ColumnId] {
        match &self.partitioning {
            Partitioning::Unpartitioned => &[],
            Partitioning::Range { columns } => columns,
        }
    }

    /// The hash distribution's columns; none when rows are dealt in turn.
    pub fn distribution_columns(&self) -> &[ColumnId] {
        match &self.distribution {
            Distribution::Hash { columns } => columns,
            Distribution::Random => &[],
        }
    }

    /// The Arrow schema of the table: every column with its type and field id.
    pub fn to_arrow(&self) -> SchemaRef {
        let fields: Vec<_> = self.columns.iter().map(Column::to_field).collect();
        Arc::new(Schema::new_with_metadata(fields, HashMap::new()))
    }

    /// Every item in which `found` differs from this definition, so far as a restore cares: columns, keys, partition
    /// columns, distribution. Comments and most properties do not matter; bucket counts are compared per partition.
    pub fn differences(&self, found: &TableDefinition) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut compare = |item: String, expected: String, found: String| {
            if expected != found {
                differences.push(Difference { item, expected, found });
            }
        };
        compare("partition type".into(), self.partitioning.kind().into(), found.partitioning.kind().into());
        compare("key type".into(), self.keys_type.to_string(), found.keys_type.to_string());
        compare("number of columns".into(), self.columns.len().to_string(), found.columns.len().to_string());
        for (position, column) in self.columns.iter().enumerate() {
            let Some(other) = found.columns.get(position) else {
                compare(format!("column {}", position + 1), column.name.clone(), "none".into());
                continue;
            };
            let mut attribute = |name: &str, expected: String, found: String| {
                compare(format!("column {} '{}' {name}", position + 1, column.name), expected, found);
            };
            if !names_equal(&column.name, &other.name) {
                attribute("name", column.name.clone(), other.name.clone());
            }
            attribute("type", column.data_type.to_string(), other.data_type.to_string());
            attribute("key", column.key.to_string(), other.key.to_string());
            attribute("nullable", column.nullable.to_string(), other.nullable.to_string());
            attribute("aggregation", option_text(&column.aggregation), option_text(&other.aggregation));
            attribute(
                "default",
                column.default.as_ref().map_or("none".into(), ToString::to_string),
                other.default.as_ref().map_or("none".into(), ToString::to_string),
            );
            attribute("auto increment", column.auto_increment.to_string(), other.auto_increment.to_string());
            attribute("id", column.id.0.to_string(), other.id.0.to_string());
        }
        for (position, other) in found.columns.iter().enumerate().skip(self.columns.len()) {
            compare(format!("column {}", position + 1), "none".into(), other.name.clone());
        }
        // Lists of columns: their names count without regard to case, as those of the columns themselves do.
        let mut compare_names = |item: &str, expected: String, found: String| {
            if !names_equal(&expected, &found) {
                differences.push(Difference { item: item.to_owned(), expected, found });
            }
        };
        compare_names("sort key", self.listed(&self.sort_key), found.listed(&found.sort_key));
        compare_names(
            "partition columns",
            self.listed(self.partition_columns()),
            found.listed(found.partition_columns()),
        );
        compare_names("distribution", self.distribution.describe(self), found.distribution.describe(found));
        let bloom = |definition: &TableDefinition| {
            definition.properties.get("bloom_filter_columns").cloned().unwrap_or_else(|| "none".to_owned())
        };
        compare_names("bloom filter columns", bloom(self), bloom(found));
        differences
    }

    /// The names of some columns, in a text.
    fn listed(&self, columns: &[ColumnId]) -> String {
        match self.names(columns).as_slice() {
            [] => "none".to_owned(),
            names => names.join(", "),
        }
    }
}

impl Partitioning {
    /// UNPARTITIONED or RANGE.
    pub fn kind(&self) -> &'static str {
        match self {
            Partitioning::Unpartitioned => "UNPARTITIONED",
            Partitioning::Range { .. } => "RANGE",
        }
    }
}

impl Distribution {
    /// HASH or RANDOM with the columns by name.
    pub fn describe(&self, definition: &TableDefinition) -> String {
        match self {
            Distribution::Hash { columns } => {
                format!("HASH({})", definition.names(columns).join(", "))
            }
            Distribution::Random => "RANDOM".to_owned(),
        }
    }
}

impl fmt::Display for KeysType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeysType::Duplicate => "DUPLICATE KEY",
            KeysType::Aggregate => "AGGREGATE KEY",
            KeysType::Unique => "UNIQUE KEY",
            KeysType::Primary => "PRIMARY KEY",
        })
    }
}

fn option_text<T: fmt::Display>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "none".to_owned(), T::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::DataType;

    fn definition(names: [&str; 2], bloom: &str) -> TableDefinition {
        let ids = [ColumnId(1), ColumnId(2)];
        let column = |(id, name): (ColumnId, &str)| Column {
            id,
            name: name.to_owned(),
            data_type: DataType::Int,
            nullable: true,
            key: true,
            aggregation: None,
            default: None,
            auto_increment: false,
            comment: String::new(),
        };
        TableDefinition {
            columns: ids.into_iter().zip(names).map(column).collect(),
            keys_type: KeysType::Duplicate,
            sort_key: ids.to_vec(),
            partitioning: Partitioning::Range { columns: vec![ids[0]] },
            distribution: Distribution::Hash { columns: vec![ids[1]] },
            buckets: 1,
            properties: BTreeMap::from([("bloom_filter_columns".to_owned(), bloom.to_owned())]),
            comment: String::new(),
            indexes: Vec::new(),
        }
    }

    #[test]
    fn the_case_of_a_name_is_no_difference_wherever_it_stands() {
        let one = definition(["day", "Größe"], "day,Größe");
        assert_eq!(one.differences(&definition(["DAY", "GRÖSSE"], "day,Größe")).len(), 3, "another name");
        assert_eq!(one.differences(&definition(["DAY", "gRÖßE"], "Day,GRÖßE")), []);
        let mut dealt = definition(["DAY", "größe"], "day,größe");
        dealt.distribution = Distribution::Hash { columns: vec![ColumnId(1)] };
        let differences = one.differences(&dealt);
        assert_eq!(differences.len(), 1);
        assert_eq!((differences[0].item.as_str(), differences[0].found.as_str()), ("distribution", "HASH(DAY)"));
    }
}
