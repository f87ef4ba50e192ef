//! From what CREATE TABLE says to what a table is: names resolved to columns, defaults filled in, every limit checked.
//!
//! Everything wrong is found here, before anything is made, and the text says what to write instead.

use std::collections::BTreeMap;

use ebla_protocol::sql::ast::name::Properties;
use ebla_protocol::sql::ast::partition::{self as ast_partition, DistributionKind, PartitionBy};
use ebla_protocol::sql::ast::table::{ColumnDef, DefaultValue as AstDefault, TableModel, TableOptions};
use ebla_protocol::sql::ast::types::DataType as AstType;
use ebla_protocol::sql::{MASK, is_secret_key};
use ebla_storage::catalog::NewPartition;
use ebla_storage::schema::{
    Column, ColumnId, DataType, DefaultValue, Distribution, KeysType, PartitionBounds, Partitioning, SecondaryIndex,
    StructField, TableDefinition, Value,
};

use super::partitions;
use crate::error::{Error, Result};

/// Longest table name, in characters.
const TABLE_NAME_LENGTH_MAX: usize = 1024;
/// Longest column name, in characters.
const COLUMN_NAME_LENGTH_MAX: usize = 1024;
/// Longest partition and index name, in characters.
const OTHER_NAME_LENGTH_MAX: usize = 64;
/// Most columns of a table.
const COLUMNS_MAX: usize = 10_000;
/// Most buckets of a partition: each is a directory and at least one file.
const BUCKETS_MAX: u32 = 1024;
/// Buckets of a partition when neither the statement nor a property says.
const BUCKETS_DEFAULT: u32 = 1;
/// Bytes of key columns that an implied sort key takes, and columns, as StarRocks chooses them.
const IMPLIED_KEY_BYTES_MAX: u32 = 36;
const IMPLIED_KEY_COLUMNS_MAX: usize = 3;

/// Properties that are checked here; the others below are kept and shown back.
const COMPRESSIONS: [&str; 6] = ["LZ4", "LZ4_FRAME", "ZSTD", "ZLIB", "SNAPPY", "NO_COMPRESSION"];
/// Properties that are accepted, kept and shown back without effect; see [`check_kept`] for their values.
const KEPT_PROPERTIES: [&str; 22] = [
    "in_memory",
    "enable_persistent_index",
    "replicated_storage",
    "write_quorum",
    "fast_schema_evolution",
    "storage_medium",
    "storage_cooldown_time",
    "storage_cooldown_ttl",
    "storage_format",
    "storage_volume",
    "datacache.enable",
    "datacache.partition_duration",
    "enable_async_write_back",
    "light_schema_change",
    "unique_constraints",
    "foreign_key_constraints",
    "bucket_size",
    "labels.location",
    "compaction_policy",
    "base_compaction_forbidden_time_ranges",
    "file_bundling",
    "partition_live_number",
];
/// Properties whose feature comes later; accepting them in silence would promise what is not done.
const NOT_YET_PROPERTIES: [&str; 3] = ["colocate_with", "partition_ttl", "partition_retention_condition"];

/// A table as it is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTable {
    /// What it is.
    pub definition: TableDefinition,
    /// Its first partitions.
    pub partitions: Vec<NewPartition>,
}

/// Works out a table from its columns and what follows them.
///
/// `replication_default` is what applies when the properties say nothing.
pub fn resolve(
    name: &str,
    columns: &[ColumnDef],
    options: &TableOptions,
    replication_default: u32,
) -> Result<NewTable> {
    check_table_name(name)?;
    if let Some(engine) = options.engine.as_deref().filter(|engine| !engine.eq_ignore_ascii_case("olap")) {
        return Err(Error::not_yet(format!("ENGINE={engine} (tables are of ENGINE=OLAP)")));
    }
    if !options.rollups.is_empty() {
        return Err(Error::not_yet("ROLLUP in CREATE TABLE (use a second table, filled by INSERT … SELECT)"));
    }
    let keys_type = match options.keys.as_ref().map(|keys| keys.model) {
        None | Some(TableModel::Duplicate) => KeysType::Duplicate,
        Some(TableModel::Aggregate) => return Err(not_yet_model("AGGREGATE KEY", "GROUP BY when it is read")),
        Some(TableModel::Unique) => return Err(not_yet_model("UNIQUE KEY", REPLACES)),
        Some(TableModel::Primary) => return Err(not_yet_model("PRIMARY KEY", REPLACES)),
    };
    let mut columns = resolve_columns(columns)?;
    let sort_key = resolve_keys(&mut columns, options)?;
    let find = |name: &str| {
        columns
            .iter()
            .find(|column| column.is_named(name))
            .ok_or_else(|| Error::analysis(format!("Column '{name}' does not exist in the table")))
    };

    let (partitioning, partition_defs) = match &options.partition_by {
        None => (Partitioning::Unpartitioned, &[][..]),
        Some(PartitionBy::Range { columns: names, partitions }) => {
            let ids = names.iter().map(|name| partition_column(find(name)?)).collect::<Result<Vec<_>>>()?;
            if ids.is_empty() {
                return Err(Error::analysis("PARTITION BY RANGE needs at least one column"));
            }
            (Partitioning::Range { columns: ids }, partitions.as_slice())
        }
        Some(PartitionBy::List { .. }) => {
            return Err(Error::not_yet("PARTITION BY LIST (use PARTITION BY RANGE over a date or an integer)"));
        }
        Some(PartitionBy::Expression { .. }) => {
            return Err(Error::not_yet("expression partitioning (use PARTITION BY RANGE with START … END … EVERY)"));
        }
    };

    let (distribution, buckets) = match &options.distribution {
        None => (Distribution::Random, None),
        Some(ast_partition::Distribution { kind: DistributionKind::Random, buckets }) => {
            (Distribution::Random, *buckets)
        }
        Some(ast_partition::Distribution { kind: DistributionKind::Hash(names), buckets }) => {
            let ids = names.iter().map(|name| distribution_column(find(name)?)).collect::<Result<Vec<_>>>()?;
            if ids.is_empty() {
                return Err(Error::analysis("DISTRIBUTED BY HASH needs at least one column"));
            }
            (Distribution::Hash { columns: ids }, *buckets)
        }
    };
    let buckets = check_buckets(buckets.unwrap_or(BUCKETS_DEFAULT))?;

    let mut indexes = Vec::with_capacity(options.indexes.len());
    for index in &options.indexes {
        check_other_name(&index.name)?;
        indexes.push(SecondaryIndex {
            name: index.name.clone(),
            columns: index.columns.iter().map(|name| Ok(find(name)?.id)).collect::<Result<_>>()?,
            kind: index.index_type.clone().unwrap_or_else(|| "BITMAP".to_owned()),
            comment: index.comment.clone().unwrap_or_default(),
        });
    }
    let properties = resolve_properties(&options.properties, &columns)?;
    let replication_num = match properties.get("replication_num") {
        Some(text) => parse_replication_num(text)?,
        None => replication_default,
    };
    let mut definition = TableDefinition {
        columns,
        keys_type,
        sort_key,
        partitioning,
        distribution,
        buckets,
        properties,
        indexes,
        comment: options.comment.clone().unwrap_or_default(),
    };
    definition.properties.insert("replication_num".to_owned(), replication_num.to_string());

    let partitions = match &definition.partitioning {
        Partitioning::Unpartitioned => vec![NewPartition {
            name: name.to_owned(),
            bounds: PartitionBounds::All,
            buckets,
            replication_num,
            properties: BTreeMap::new(),
        }],
        Partitioning::Range { .. } => partitions::resolve_all(&definition, partition_defs, &[], replication_num)?,
    };
    Ok(NewTable { definition, partitions })
}

/// Gives a table that is made like another one these properties in the place of the other's.
pub fn replace_properties(table: &mut NewTable, properties: &Properties) -> Result<()> {
    let properties = resolve_properties(properties, &table.definition.columns)?;
    if let Some(text) = properties.get("replication_num") {
        let replication_num = parse_replication_num(text)?;
        table.partitions.iter_mut().for_each(|partition| partition.replication_num = replication_num);
    }
    table.definition.properties.extend(properties);
    Ok(())
}

/// Errors unless a table may bear this name.
pub fn check_table_name(name: &str) -> Result<()> {
    check_name(name, TABLE_NAME_LENGTH_MAX, "table")
}

/// Errors unless a partition or an index may bear this name.
pub fn check_other_name(name: &str) -> Result<()> {
    check_name(name, OTHER_NAME_LENGTH_MAX, "partition")
}

fn check_name(name: &str, length_max: usize, kind: &str) -> Result<()> {
    let bad = name.is_empty()
        || name.chars().count() > length_max
        || name.chars().any(|letter| letter.is_control() || matches!(letter, '/' | '\\' | '`'));
    if bad {
        return Err(Error::analysis(format!(
            "Incorrect {kind} name '{name}': use 1 to {length_max} characters without slash, backslash or backquote"
        )));
    }
    Ok(())
}

/// How rows get new values without a key that replaces them.
const REPLACES: &str = "DELETE a row before its new version is inserted";

fn not_yet_model(model: &str, instead: &str) -> Error {
    Error::not_yet(format!("The {model} table model (use DUPLICATE KEY for now, and {instead})"))
}

/// Errors unless a partition may have this many buckets.
pub fn check_buckets(buckets: u32) -> Result<u32> {
    if buckets == 0 || buckets > BUCKETS_MAX {
        return Err(Error::analysis(format!("BUCKETS is {buckets}: it must be 1 to {BUCKETS_MAX}")));
    }
    Ok(buckets)
}

/// Reads `replication_num`.
pub fn parse_replication_num(text: &str) -> Result<u32> {
    text.trim()
        .parse::<u32>()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| Error::analysis(format!("replication_num is '{text}': it must be a positive whole number")))
}

fn resolve_columns(columns: &[ColumnDef]) -> Result<Vec<Column>> {
    if columns.is_empty() || columns.len() > COLUMNS_MAX {
        return Err(Error::analysis(format!("A table has 1 to {COLUMNS_MAX} columns, not {}", columns.len())));
    }
    let mut resolved: Vec<Column> = Vec::with_capacity(columns.len());
    for (position, column) in columns.iter().enumerate() {
        check_name(&column.name, COLUMN_NAME_LENGTH_MAX, "column")?;
        let lower = column.name.to_lowercase();
        if lower.starts_with("__op") || lower.starts_with("__row") {
            return Err(Error::analysis(format!("Column name '{}' begins with a reserved prefix", column.name)));
        }
        if resolved.iter().any(|other| other.is_named(&column.name)) {
            return Err(Error::analysis(format!("Duplicate column name '{}'", column.name)));
        }
        resolved.push(resolve_column(column, ColumnId(position as u32 + 1))?);
    }
    if resolved.iter().filter(|column| column.auto_increment).count() > 1 {
        return Err(Error::analysis("More than one AUTO_INCREMENT column in the table"));
    }
    Ok(resolved)
}

fn resolve_column(column: &ColumnDef, id: ColumnId) -> Result<Column> {
    let name = &column.name;
    if column.generated.is_some() {
        return Err(Error::not_yet(format!(
            "Generated column '{name}' (write the expression in the query or the INSERT)"
        )));
    }
    if column.aggregation.is_some() {
        return Err(Error::analysis(format!(
            "Column '{name}' has an aggregate function, which only an AGGREGATE KEY table may have"
        )));
    }
    let data_type = resolve_type(&column.data_type)?;
    if column.auto_increment && data_type != DataType::BigInt {
        return Err(Error::analysis(format!("The AUTO_INCREMENT column '{name}' must be BIGINT")));
    }
    let nullable = if column.auto_increment { false } else { column.nullable.unwrap_or(true) };
    if column.auto_increment && (column.nullable == Some(true) || column.default.is_some()) {
        return Err(Error::analysis(format!(
            "The AUTO_INCREMENT column '{name}' can be neither NULL nor have a DEFAULT"
        )));
    }
    let default = match &column.default {
        None => None,
        Some(AstDefault::Null) if !nullable => {
            return Err(Error::analysis(format!("Invalid default value for '{name}': the column is NOT NULL")));
        }
        Some(AstDefault::Null) => None,
        Some(AstDefault::Literal(text)) => {
            Value::parse(text, &data_type)
                .map_err(|error| Error::analysis(format!("Invalid default value for '{name}': {error}")))?;
            Some(DefaultValue::Constant(text.clone()))
        }
        Some(AstDefault::CurrentTimestamp { precision: Some(1..) }) => {
            return Err(Error::not_yet(format!(
                "CURRENT_TIMESTAMP with digits as the default of '{name}' (a default keeps whole seconds; INSERT now(6) where more is wanted)"
            )));
        }
        Some(AstDefault::CurrentTimestamp { .. }) => match data_type {
            DataType::DateTime | DataType::Date => Some(DefaultValue::CurrentTimestamp),
            _ => {
                return Err(Error::analysis(format!(
                    "Invalid default value for '{name}': CURRENT_TIMESTAMP needs a DATETIME or DATE column"
                )));
            }
        },
        Some(AstDefault::Function(function)) => match (function.as_str(), &data_type) {
            ("uuid", DataType::Varchar { .. } | DataType::Char { .. }) => Some(DefaultValue::Uuid),
            ("uuid_numeric", DataType::LargeInt) => Some(DefaultValue::UuidNumeric),
            _ => {
                return Err(Error::analysis(format!(
                    "Invalid default value for '{name}': use uuid() for VARCHAR or uuid_numeric() for LARGEINT"
                )));
            }
        },
    };
    Ok(Column {
        id,
        name: name.clone(),
        data_type,
        nullable,
        key: column.is_key,
        aggregation: None,
        default,
        auto_increment: column.auto_increment,
        comment: column.comment.clone().unwrap_or_default(),
    })
}

/// Works out a column type and checks its limits.
pub fn resolve_type(data_type: &AstType) -> Result<DataType> {
    let length = |given: Option<u32>, default: u32, max: u32, name: &str| {
        let length = given.unwrap_or(default);
        if length == 0 || length > max {
            return Err(Error::analysis(format!("{name} length is {length}: it must be 1 to {max}")));
        }
        Ok(length)
    };
    Ok(match data_type {
        AstType::Boolean => DataType::Boolean,
        AstType::TinyInt => DataType::TinyInt,
        AstType::SmallInt => DataType::SmallInt,
        AstType::Int => DataType::Int,
        AstType::BigInt => DataType::BigInt,
        AstType::LargeInt => DataType::LargeInt,
        AstType::Float => DataType::Float,
        AstType::Double => DataType::Double,
        AstType::Decimal { precision, scale } => {
            let (precision, scale) = (precision.unwrap_or(10), scale.unwrap_or(0));
            let max = DataType::DECIMAL_PRECISION_MAX;
            if precision == 0 || precision > max || scale > precision {
                return Err(Error::analysis(format!(
                    "DECIMAL({precision},{scale}): precision must be 1 to {max}, and scale at most the precision"
                )));
            }
            DataType::Decimal { precision, scale }
        }
        AstType::Date => DataType::Date,
        AstType::DateTime => DataType::DateTime,
        AstType::Char(given) => DataType::Char { length: length(*given, 1, DataType::CHAR_LENGTH_MAX, "CHAR")? },
        AstType::Varchar(given) => {
            DataType::Varchar { length: length(*given, 1, DataType::VARCHAR_LENGTH_MAX, "VARCHAR")? }
        }
        AstType::String => DataType::Varchar { length: DataType::STRING_LENGTH },
        AstType::Binary(given) | AstType::Varbinary(given) => DataType::Varbinary {
            length: length(*given, DataType::VARCHAR_LENGTH_MAX, DataType::VARCHAR_LENGTH_MAX, "VARBINARY")?,
        },
        AstType::Json => DataType::Json,
        AstType::Array(element) => DataType::Array { element: Box::new(resolve_type(element)?) },
        AstType::Map(key, value) => {
            let key = resolve_type(key)?;
            if key.is_nested() || key == DataType::Json {
                return Err(Error::analysis("The keys of a MAP must be of a plain type"));
            }
            DataType::Map { key: Box::new(key), value: Box::new(resolve_type(value)?) }
        }
        AstType::Struct(fields) => DataType::Struct {
            fields: fields
                .iter()
                .map(|field| Ok(StructField { name: field.name.clone(), data_type: resolve_type(&field.data_type)? }))
                .collect::<Result<_>>()?,
        },
        other => return Err(Error::not_yet(format!("Column type {other}"))),
    })
}

/// Marks the key columns and returns the sort key.
fn resolve_keys(columns: &mut [Column], options: &TableOptions) -> Result<Vec<ColumnId>> {
    let named: Vec<String> = match &options.keys {
        Some(keys) => keys.columns.clone(),
        None => columns.iter().filter(|column| column.key).map(|column| column.name.clone()).collect(),
    };
    let key_count = if named.is_empty() { implied_key_count(columns) } else { named.len() };
    for (position, name) in named.iter().enumerate() {
        match columns.get(position) {
            Some(column) if column.is_named(name) => {}
            _ if !columns.iter().any(|column| column.is_named(name)) => {
                return Err(Error::analysis(format!("Key column '{name}' does not exist in the table")));
            }
            _ => {
                return Err(Error::analysis(format!(
                    "Key columns must be the first columns of the table, in the same order: '{name}' is not at its place"
                )));
            }
        }
    }
    for (position, column) in columns.iter_mut().enumerate() {
        column.key = position < key_count;
        if column.key && !column.data_type.can_be_key() {
            return Err(Error::analysis(format!(
                "Column '{}' of type {} cannot be a key column",
                column.name, column.data_type
            )));
        }
    }
    if options.order_by.is_empty() {
        return Ok(columns[..key_count].iter().map(|column| column.id).collect());
    }
    options
        .order_by
        .iter()
        .map(|name| {
            let column = columns
                .iter()
                .find(|column| column.is_named(name))
                .ok_or_else(|| Error::analysis(format!("Sort key column '{name}' does not exist in the table")))?;
            if !column.data_type.can_be_key() {
                return Err(Error::analysis(format!(
                    "Column '{name}' of type {} cannot be a sort key column",
                    column.data_type
                )));
            }
            Ok(column.id)
        })
        .collect()
}

/// How many leading columns are the key when nothing names it: up to three, up to the first long one, at least one if
/// the first can be a key at all.
fn implied_key_count(columns: &[Column]) -> usize {
    let mut bytes = 0;
    let mut count = 0;
    for column in columns.iter().take(IMPLIED_KEY_COLUMNS_MAX) {
        if !column.data_type.can_be_key() {
            break;
        }
        let is_varchar = matches!(column.data_type, DataType::Varchar { .. });
        bytes += match &column.data_type {
            DataType::Char { length } | DataType::Varchar { length } => *length,
            DataType::LargeInt | DataType::Decimal { .. } => 16,
            _ => 8,
        };
        if count > 0 && bytes > IMPLIED_KEY_BYTES_MAX {
            break;
        }
        count += 1;
        if is_varchar {
            // A text of any length ends the prefix.
            break;
        }
    }
    count
}

fn partition_column(column: &Column) -> Result<ColumnId> {
    let fits = column.data_type.is_integer() || matches!(column.data_type, DataType::Date | DataType::DateTime);
    if !fits {
        return Err(Error::analysis(format!(
            "Column '{}' of type {} cannot be a range partition column: use a date or an integer",
            column.name, column.data_type
        )));
    }
    Ok(column.id)
}

fn distribution_column(column: &Column) -> Result<ColumnId> {
    if !column.data_type.can_be_key() {
        return Err(Error::analysis(format!(
            "Column '{}' of type {} cannot be a distribution column",
            column.name, column.data_type
        )));
    }
    Ok(column.id)
}

/// Checks table properties. Unknown ones are refused with the nearest known name.
fn resolve_properties(properties: &Properties, columns: &[Column]) -> Result<BTreeMap<String, String>> {
    let mut resolved = BTreeMap::new();
    for (key, value) in properties.iter() {
        let key = key.to_ascii_lowercase();
        match key.as_str() {
            "replication_num" => {
                parse_replication_num(value)?;
            }
            "compression" => {
                check_compression(value)?;
            }
            "bloom_filter_columns" => {
                for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                    let column = columns.iter().find(|column| column.is_named(name)).ok_or_else(|| {
                        Error::analysis(format!("Bloom filter column '{name}' does not exist in the table"))
                    })?;
                    if column.data_type.is_nested() || column.data_type == DataType::Json {
                        return Err(Error::analysis(format!(
                            "Column '{name}' of type {} cannot have a bloom filter",
                            column.data_type
                        )));
                    }
                }
            }
            "bloom_filter_fpp" => {
                value
                    .parse::<f64>()
                    .ok()
                    .filter(|fpp| (0.0001..=0.05).contains(fpp))
                    .ok_or_else(|| Error::analysis("bloom_filter_fpp must be 0.0001 to 0.05"))?;
            }
            _ if key.starts_with(DYNAMIC_PARTITION) => check_not_dynamic(&key, value)?,
            _ if NOT_YET_PROPERTIES.contains(&key.as_str()) => {
                return Err(Error::not_yet(format!("Property '{key}'")));
            }
            _ if KEPT_PROPERTIES.contains(&key.as_str()) => check_kept(&key, value)?,
            _ => {
                let shown = if is_secret_key(&key) { MASK } else { value };
                return Err(Error::analysis(format!("Unknown properties: {{{key}={shown}}}")));
            }
        }
        resolved.insert(key, value.to_owned());
    }
    Ok(resolved)
}

/// What properties of dynamic partitioning begin with.
pub const DYNAMIC_PARTITION: &str = "dynamic_partition.";

/// Errors unless a property of dynamic partitioning says that there is none, which is how it is.
pub fn check_not_dynamic(key: &str, value: &str) -> Result<()> {
    match key.strip_prefix(DYNAMIC_PARTITION) {
        Some("enable") if value.eq_ignore_ascii_case("false") => Ok(()),
        Some("enable") if !value.eq_ignore_ascii_case("true") => {
            Err(Error::analysis(format!("{key} is '{value}': it must be true or false")))
        }
        _ => Err(Error::not_yet(format!(
            "Property '{key}' (dynamic partitioning; ADD PARTITION and DROP PARTITION from a scheduler do the same)"
        ))),
    }
}

/// Errors unless a property that is kept and shown back may have this value: what is shown is taken for true.
pub fn check_kept(key: &str, value: &str) -> Result<()> {
    let (fits, wanted) = match key {
        "storage_medium" => (["HDD", "SSD"].iter().any(|medium| value.eq_ignore_ascii_case(medium)), "HDD or SSD"),
        "in_memory"
        | "enable_persistent_index"
        | "replicated_storage"
        | "fast_schema_evolution"
        | "light_schema_change"
        | "datacache.enable" => {
            (["true", "false"].iter().any(|flag| value.eq_ignore_ascii_case(flag)), "true or false")
        }
        "bucket_size" => (value.parse::<u64>().is_ok(), "a number of bytes, or 0"),
        _ => return Ok(()),
    };
    if fits { Ok(()) } else { Err(Error::analysis(format!("{key} is '{value}': it must be {wanted}"))) }
}

/// Errors unless `value` names a compression, with a level for ZSTD if wanted.
pub fn check_compression(value: &str) -> Result<()> {
    let upper = value.to_ascii_uppercase();
    let name = upper.split('(').next().unwrap_or_default();
    if !COMPRESSIONS.contains(&name) {
        return Err(Error::analysis(format!(
            "Unknown compression '{value}': use LZ4, ZSTD, ZSTD(level), SNAPPY, ZLIB or NO_COMPRESSION"
        )));
    }
    if let Some(level) = upper.strip_prefix("ZSTD(").and_then(|rest| rest.strip_suffix(')')) {
        level
            .parse::<u8>()
            .ok()
            .filter(|level| (1..=22).contains(level))
            .ok_or_else(|| Error::analysis(format!("ZSTD level '{level}': use 1 to 22")))?;
    }
    Ok(())
}
