//! SHOW CREATE: text that makes the same table again.

use ebla_storage::catalog::{PartitionRow, TableRow};
use ebla_storage::schema::{Bound, Column, DataType, DefaultValue, Distribution, PartitionBounds, Partitioning};

/// Properties every table shows, with what stands when nothing was said.
const SHOWN_DEFAULTS: [(&str, &str); 2] = [("compression", "ZSTD"), ("replication_num", "1")];

/// CREATE TABLE for an existing table, laid out as MySQL's tools expect it: two spaces before a column, names in
/// backquotes, `) ENGINE=OLAP`.
pub fn create_table(table: &TableRow, partitions: &[PartitionRow]) -> String {
    let definition = &table.definition;
    let columns = definition.columns.iter().map(column).collect::<Vec<_>>();
    let indexes = definition.indexes.iter().map(|index| {
        let comment = comment_clause(&index.comment);
        format!(
            "  INDEX {} ({}) USING {}{comment}",
            identifier(&index.name),
            identifiers(&definition.names(&index.columns)),
            index.kind
        )
    });
    let body: Vec<String> = columns.into_iter().chain(indexes).collect();
    let mut text = format!("CREATE TABLE {} (\n{}\n) ENGINE=OLAP", identifier(&table.name), body.join(",\n"));

    let keys: Vec<&str> =
        definition.columns.iter().filter(|column| column.key).map(|column| column.name.as_str()).collect();
    if !keys.is_empty() {
        text += &format!("\n{}({})", definition.keys_type, identifiers(&keys));
    }
    if !definition.comment.is_empty() {
        text += &format!("\nCOMMENT {}", quoted(&definition.comment));
    }
    if let Partitioning::Range { columns } = &definition.partitioning {
        let partitions: Vec<String> = partitions.iter().map(partition).collect();
        text +=
            &format!("\nPARTITION BY RANGE({})\n({})", identifiers(&definition.names(columns)), partitions.join(",\n"));
    }
    match &definition.distribution {
        Distribution::Hash { columns } => {
            text += &format!("\nDISTRIBUTED BY HASH({})", identifiers(&definition.names(columns)));
        }
        Distribution::Random => text += "\nDISTRIBUTED BY RANDOM",
    }
    text += &format!(" BUCKETS {}", definition.buckets);
    let key_ids: Vec<_> = definition.columns.iter().filter(|column| column.key).map(|column| column.id).collect();
    if definition.sort_key != key_ids {
        text += &format!("\nORDER BY({})", identifiers(&definition.names(&definition.sort_key)));
    }
    let mut properties = definition.properties.clone();
    for (key, value) in SHOWN_DEFAULTS {
        properties.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    let properties: Vec<String> =
        properties.iter().map(|(key, value)| format!("{} = {}", quoted(key), quoted(value))).collect();
    text += &format!("\nPROPERTIES (\n{}\n);", properties.join(",\n"));
    text
}

/// CREATE TABLE for a table of `information_schema`: what its columns are. It is no statement to run.
pub fn create_virtual_table(name: &str, schema: &arrow::datatypes::Schema) -> String {
    let columns: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| {
            let kind = super::information_schema::type_name(field.data_type());
            format!("  {} {kind} NULL", identifier(field.name()))
        })
        .collect();
    format!("CREATE TABLE {} (\n{}\n) ENGINE=MEMORY;", identifier(name), columns.join(",\n"))
}

/// The columns of an implied key are stated as well, so that the text does not depend on how they were implied.
fn column(column: &Column) -> String {
    let null = if column.nullable { "NULL" } else { "NOT NULL" };
    let mut text = format!("  {} {} {null}", identifier(&column.name), column.data_type);
    if column.auto_increment {
        text += " AUTO_INCREMENT";
    }
    text += &default_clause(&column.default);
    text += &comment_clause(&column.comment);
    text
}

fn default_clause(default: &Option<DefaultValue>) -> String {
    default.as_ref().map_or_else(String::new, |default| format!(" DEFAULT {default}"))
}

fn comment_clause(comment: &str) -> String {
    if comment.is_empty() { String::new() } else { format!(" COMMENT {}", quoted(comment)) }
}

fn partition(partition: &PartitionRow) -> String {
    let values = match &partition.bounds {
        PartitionBounds::All => String::new(),
        // Only the lowest partition reaches down without end, and it is listed first.
        PartitionBounds::Range { lower, upper } if lower.0.iter().all(|bound| *bound == Bound::MinValue) => {
            format!(" VALUES LESS THAN {upper}")
        }
        bounds @ PartitionBounds::Range { .. } => format!(" VALUES {bounds}"),
    };
    format!("PARTITION {}{values}", identifier(&partition.name))
}

/// What DESC and `information_schema` print as a column's default; `None` is NULL.
pub fn default_text(column: &Column) -> Option<String> {
    match column.default.as_ref()? {
        DefaultValue::Constant(text) => Some(text.clone()),
        DefaultValue::CurrentTimestamp => Some("CURRENT_TIMESTAMP".to_owned()),
        DefaultValue::Uuid => Some("uuid()".to_owned()),
        DefaultValue::UuidNumeric => Some("uuid_numeric()".to_owned()),
    }
}

/// The MySQL type name without length: `varchar`, `decimal`.
pub fn base_type(data_type: &DataType) -> String {
    let text = data_type.to_string();
    text.split(['(', '<']).next().unwrap_or_default().to_owned()
}

/// A name in backquotes.
pub fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn identifiers(names: &[&str]) -> String {
    names.iter().map(|name| identifier(name)).collect::<Vec<_>>().join(", ")
}

/// A text in double quotes.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
