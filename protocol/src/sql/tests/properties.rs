//! For any statement of these families: what is printed reads back as the same. For any text: no panic, no secret.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::round_trip;
use crate::sql::ast::Statement;
use crate::sql::ast::alter::{AlterAction, AlterTable, ColumnPosition};
use crate::sql::ast::backup::{
    Backup, DropSnapshot, DropSnapshotTarget, ObjectKind, ObjectRef, ObjectScope, RelationKind, RelationRef, Restore,
    SnapshotFilter, VerifySnapshot,
};
use crate::sql::ast::name::{Properties, TableName};
use crate::sql::ast::partition::{
    Distribution, DistributionKind, IntervalUnit, PartitionBatch, PartitionBy, PartitionDef, PartitionStep,
    PartitionValue, PartitionValues,
};
use crate::sql::ast::repository::{AlterRepository, CreateRepository, RepositoryStorage};
use crate::sql::ast::table::{
    Aggregation, ColumnDef, CreateTable, DefaultValue, IndexDef, Keys, RollupDef, TableModel, TableOptions,
};
use crate::sql::ast::types::{DataType, StructField};
use crate::sql::lex::is_misprinted;
use crate::sql::parse::{ParseOptions, parse};
use crate::sql::redact::redact;
use crate::sql::template::prepare;

/// Words of the grammar, plain words and symbols, for texts that are nearly statements.
const WORDS: &[&str] = &[
    "BACKUP",
    "RESTORE",
    "SNAPSHOT",
    "TO",
    "FROM",
    "ON",
    "PARTITION",
    "PARTITIONS",
    "AS",
    "PROPERTIES",
    "DATABASE",
    "TABLE",
    "VIEW",
    "MATERIALIZED",
    "FUNCTION",
    "ALL",
    "EXTERNAL",
    "CATALOG",
    "CATALOGS",
    "CREATE",
    "READ",
    "ONLY",
    "REPOSITORY",
    "WITH",
    "BROKER",
    "S3",
    "LOCATION",
    "DROP",
    "ALTER",
    "SHOW",
    "CANCEL",
    "FOR",
    "IF",
    "NOT",
    "EXISTS",
    "FORCE",
    "WHERE",
    "TIMESTAMP",
    "IN",
    "AND",
    "OR",
    "SELECT",
    "INSERT",
    "INTO",
    "VALUES",
    "OVERWRITE",
    "LABEL",
    "DELETE",
    "UPDATE",
    "SET",
    "GRANT",
    "REVOKE",
    "USER",
    "ROLE",
    "IDENTIFIED",
    "BY",
    "PASSWORD",
    "DEFAULT",
    "NULL",
    "INT",
    "VARCHAR",
    "ARRAY",
    "MAP",
    "STRUCT",
    "KEY",
    "PRIMARY",
    "DUPLICATE",
    "RANGE",
    "LIST",
    "LESS",
    "THAN",
    "MAXVALUE",
    "START",
    "END",
    "EVERY",
    "INTERVAL",
    "DAY",
    "DISTRIBUTED",
    "HASH",
    "RANDOM",
    "BUCKETS",
    "ORDER",
    "LIMIT",
    "LIKE",
    "COLUMNS",
    "FULL",
    "GLOBAL",
    "VARIABLES",
    "EXPLAIN",
    "DESC",
    "USE",
    "KILL",
    "QUERY",
    "BEGIN",
    "COMMIT",
    "LOCK",
    "TABLES",
    "ADMIN",
    "CONFIG",
    "FRONTEND",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "BETWEEN",
    "IS",
    "UNION",
    "JOIN",
    "USING",
    "GROUP",
    "HAVING",
    "DISTINCT",
    "CAST",
    "DIV",
    "MOD",
    "BINARY",
    "ADD",
    "COLUMN",
    "RENAME",
    "TEMPORARY",
    "EXCLUDE",
    "VERIFY",
    "PREPARE",
    "EXECUTE",
    "REPLACE",
    "TRUNCATE",
    "ROLLUP",
    "INDEX",
    "COMMENT",
    "ENGINE",
    "SYSTEM",
    "OVER",
    "t",
    "a",
    "b",
    "`q`",
    "'s'",
    "\"d\"",
    "1",
    "2.5",
    "1e5",
    "?",
    "@v",
    "@@v",
    "@",
    "u@h",
    "(",
    ")",
    "(",
    ")",
    ",",
    ",",
    ".",
    ";",
    "=",
    "<",
    ">",
    "[",
    "]",
    "{",
    "}",
    "*",
    "+",
    "-",
    "/",
    "%",
    ":=",
    "<=>",
    "||",
    "&&",
    "!",
    "~",
    "^",
    ":",
    "::",
    "->",
    ">>",
    "<<",
    "--",
    "#",
    "/*",
    "*/",
    "/*!50000",
    "/*+",
    "'",
    "\"",
    "`",
    "\\",
    "$",
    "0x1F",
    "x'1F'",
    "_utf8'x'",
    "é",
    "\u{1f600}",
    "\0",
];

/// A name: any text, with a preference for what is a word of the grammar.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z][a-z0-9_]{0,8}",
        2 => prop::sample::select(WORDS).prop_map(|word| word.trim_matches(['`', '\'', '"']).to_owned()),
        1 => "[ -~é状]{1,10}",
    ]
    .prop_filter("a name has a character, and is printed as it is", |name| !name.is_empty() && !is_misprinted(name))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[ -~]{0,12}", 1 => any::<String>(), 1 => "['\"\\\\%_`]{0,6}"]
}

fn properties() -> impl Strategy<Value = Properties> {
    vec((text(), text()), 0..4).prop_map(Properties)
}

/// Names that differ, also when case is disregarded.
fn names(least: usize, most: usize) -> impl Strategy<Value = Vec<String>> {
    vec(name(), least..most).prop_map(|mut names| {
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.to_lowercase()));
        names
    })
}

fn table_name() -> impl Strategy<Value = TableName> {
    (option::of(name()), name()).prop_map(|(database, table)| TableName { catalog: None, database, table })
}

fn relation(aliases: bool) -> impl Strategy<Value = ObjectRef> {
    let kind = prop::sample::select(vec![
        None,
        Some(RelationKind::Table),
        Some(RelationKind::View),
        Some(RelationKind::MaterializedView),
    ]);
    let alias = if aliases { option::of(name()).boxed() } else { Just(None).boxed() };
    let name = (option::weighted(0.1, name()), name());
    (kind, name, names(0, 3), any::<bool>(), alias).prop_map(|(kind, name, partitions, temporary, alias)| {
        let temporary_partitions = temporary && !partitions.is_empty();
        let (database, name) = name;
        ObjectRef::Relation(RelationRef { kind, database, name, partitions, temporary_partitions, alias })
    })
}

fn object(aliases: bool) -> impl Strategy<Value = ObjectRef> {
    let alias = if aliases { option::of(name()).boxed() } else { Just(None).boxed() };
    let kinds = vec![ObjectKind::Tables, ObjectKind::Views, ObjectKind::MaterializedViews, ObjectKind::Functions];
    prop_oneof![
        5 => relation(aliases),
        1 => (option::weighted(0.1, name()), name(), alias)
            .prop_map(|(database, name, alias)| ObjectRef::Function { database, name, alias }),
        1 => prop::sample::select(kinds).prop_map(ObjectRef::All),
    ]
}

fn scope(aliases: bool) -> impl Strategy<Value = ObjectScope> {
    let objects = |aliases| vec(object(aliases), 1..4);
    prop_oneof![
        Just(ObjectScope::Everything),
        objects(aliases).prop_map(ObjectScope::On),
        objects(false).prop_map(ObjectScope::Exclude),
    ]
}

fn backup() -> impl Strategy<Value = Statement> {
    (option::of(name()), name(), name(), scope(false), properties()).prop_map(
        |(database, label, repository, scope, properties)| {
            Statement::Backup(Backup { database, label, repository, catalogs: None, scope, properties })
        },
    )
}

fn restore() -> impl Strategy<Value = Statement> {
    (option::of(name()), option::of(name()), name(), name(), scope(true), properties()).prop_map(
        |(target_database, source_database, label, repository, scope, properties)| {
            let catalogs = None;
            Statement::Restore(Restore {
                target_database,
                source_database,
                label,
                repository,
                catalogs,
                scope,
                properties,
            })
        },
    )
}

fn repository() -> impl Strategy<Value = Statement> {
    let storage = prop_oneof![
        Just(RepositoryStorage::S3),
        Just(RepositoryStorage::Hdfs),
        option::of(name()).prop_map(RepositoryStorage::Broker)
    ];
    let create = (any::<bool>(), any::<bool>(), name(), storage, text(), properties()).prop_map(
        |(read_only, if_not_exists, name, storage, location, properties)| {
            let create = CreateRepository { read_only, if_not_exists, name, storage, location, properties };
            Statement::CreateRepository(create)
        },
    );
    let alter = (name(), vec((text(), text()), 1..4)).prop_map(|(name, properties)| {
        Statement::AlterRepository(AlterRepository { name, properties: Properties(properties) })
    });
    prop_oneof![create, alter]
}

fn snapshot() -> impl Strategy<Value = Statement> {
    let filled = || "[ -~]{1,12}";
    let filter = (vec(filled(), 0..3), option::of(filled()), option::of(filled()), option::of(filled()));
    let filter = filter.prop_map(|(labels, timestamp, not_before, not_after)| SnapshotFilter {
        labels,
        timestamp,
        not_before,
        not_after,
    });
    let filter = filter.prop_filter("at least one condition", |filter| *filter != SnapshotFilter::default());
    let target = prop_oneof![name().prop_map(DropSnapshotTarget::Label), filter.prop_map(DropSnapshotTarget::Where)];
    let drop = (name(), target, any::<bool>())
        .prop_map(|(repository, target, force)| Statement::DropSnapshot(DropSnapshot { repository, target, force }));
    let verify =
        (name(), name(), option::of(filled()), properties()).prop_map(|(label, repository, timestamp, properties)| {
            Statement::VerifySnapshot(VerifySnapshot { label, repository, timestamp, properties })
        });
    prop_oneof![drop, verify, name().prop_map(Statement::CancelVerify)]
}

fn data_type() -> impl Strategy<Value = DataType> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            DataType::Boolean,
            DataType::TinyInt,
            DataType::SmallInt,
            DataType::Int,
            DataType::BigInt,
            DataType::LargeInt,
            DataType::Float,
            DataType::Double,
            DataType::Date,
            DataType::DateTime,
            DataType::Time,
            DataType::String,
            DataType::Json,
            DataType::Bitmap,
            DataType::Hll,
            DataType::Percentile,
        ]),
        option::of(any::<u32>()).prop_map(DataType::Char),
        option::of(any::<u32>()).prop_map(DataType::Varchar),
        option::of(any::<u32>()).prop_map(DataType::Varbinary),
        (option::of((any::<u8>(), option::of(any::<u8>())))).prop_map(|digits| match digits {
            Some((precision, scale)) => DataType::Decimal { precision: Some(precision), scale },
            None => DataType::Decimal { precision: None, scale: None },
        }),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|element| DataType::Array(Box::new(element))),
            (inner.clone(), inner.clone()).prop_map(|(key, value)| DataType::Map(Box::new(key), Box::new(value))),
            vec((name(), inner), 1..3).prop_map(|fields| {
                DataType::Struct(fields.into_iter().map(|(name, data_type)| StructField { name, data_type }).collect())
            }),
        ]
    })
}

fn column() -> impl Strategy<Value = ColumnDef> {
    let aggregations = vec![
        Aggregation::Sum,
        Aggregation::Min,
        Aggregation::Max,
        Aggregation::Replace,
        Aggregation::ReplaceIfNotNull,
        Aggregation::HllUnion,
        Aggregation::BitmapUnion,
        Aggregation::PercentileUnion,
    ];
    let default = prop_oneof![
        text().prop_map(DefaultValue::Literal),
        Just(DefaultValue::Null),
        option::of(0..7_u8).prop_map(|precision| DefaultValue::CurrentTimestamp { precision }),
        "[a-z_]{1,8}".prop_map(DefaultValue::Function),
    ];
    let flags = (any::<bool>(), option::of(any::<bool>()), any::<bool>());
    (
        name(),
        data_type(),
        option::of(prop::sample::select(aggregations)),
        option::of(default),
        flags,
        option::of(text()),
    )
        .prop_map(|(name, data_type, aggregation, default, (is_key, nullable, auto_increment), comment)| {
            ColumnDef {
                name,
                data_type,
                is_key,
                aggregation,
                nullable,
                default,
                auto_increment,
                generated: None,
                comment,
            }
        })
}

fn value() -> impl Strategy<Value = PartitionValue> {
    prop_oneof![
        4 => text().prop_map(PartitionValue::Value),
        1 => Just(PartitionValue::MinValue),
        1 => Just(PartitionValue::MaxValue),
        1 => Just(PartitionValue::Null),
    ]
}

fn partition() -> impl Strategy<Value = PartitionDef> {
    let units =
        vec![IntervalUnit::Hour, IntervalUnit::Day, IntervalUnit::Week, IntervalUnit::Month, IntervalUnit::Year];
    let step = prop_oneof![
        any::<u64>().prop_map(PartitionStep::Number),
        (any::<u64>(), prop::sample::select(units)).prop_map(|(count, unit)| PartitionStep::Interval { count, unit }),
    ];
    let values = || vec(value(), 1..3);
    let of_one = prop_oneof![
        values().prop_map(PartitionValues::LessThan),
        (values(), values()).prop_map(|(lower, upper)| PartitionValues::Fixed { lower, upper }),
        vec(values(), 1..3).prop_map(PartitionValues::In),
    ];
    prop_oneof![
        (any::<bool>(), name(), of_one, properties()).prop_map(|(if_not_exists, name, values, properties)| {
            PartitionDef::Single { if_not_exists, name, values, properties }
        }),
        (text(), text(), step).prop_map(|(start, end, step)| PartitionDef::Batch(PartitionBatch { start, end, step })),
    ]
}

fn distribution() -> impl Strategy<Value = Distribution> {
    let kind = prop_oneof![Just(DistributionKind::Random), names(1, 3).prop_map(DistributionKind::Hash)];
    (kind, option::of(any::<u32>())).prop_map(|(kind, buckets)| Distribution { kind, buckets })
}

fn table_options() -> impl Strategy<Value = TableOptions> {
    let index = (name(), names(1, 3), option::of("[A-Z]{1,6}"), option::of(text())).prop_map(
        |(name, columns, index_type, comment)| IndexDef {
            name,
            columns,
            index_type,
            properties: Properties::default(),
            comment,
        },
    );
    let models = vec![TableModel::Duplicate, TableModel::Aggregate, TableModel::Unique, TableModel::Primary];
    let keys = (prop::sample::select(models), names(1, 3)).prop_map(|(model, columns)| Keys { model, columns });
    let partition_by = prop_oneof![
        (names(1, 3), vec(partition(), 0..3))
            .prop_map(|(columns, partitions)| PartitionBy::Range { columns, partitions }),
        (names(1, 3), vec(partition(), 0..3))
            .prop_map(|(columns, partitions)| PartitionBy::List { columns, partitions }),
    ];
    let rollup = (name(), names(1, 3), names(0, 2), option::of(name()), properties()).prop_map(
        |(name, columns, duplicate_key, from, properties)| RollupDef { name, columns, duplicate_key, from, properties },
    );
    let first = (vec(index, 0..2), option::of(name()), option::of(keys), option::of(text()));
    let second = (option::of(partition_by), option::of(distribution()), vec(rollup, 0..2), names(0, 2), properties());
    (first, second).prop_map(
        |((indexes, engine, keys, comment), (partition_by, distribution, rollups, order_by, properties))| {
            TableOptions { indexes, engine, keys, comment, partition_by, distribution, rollups, order_by, properties }
        },
    )
}

fn create_table() -> impl Strategy<Value = Statement> {
    let flags = (any::<bool>(), any::<bool>());
    (flags, table_name(), vec(column(), 1..4), table_options()).prop_map(
        |((temporary, if_not_exists), table, columns, options)| {
            let create = CreateTable { temporary, external: false, if_not_exists, table, columns, options };
            Statement::CreateTable(Box::new(create))
        },
    )
}

fn alter_table() -> impl Strategy<Value = Statement> {
    let position = prop_oneof![Just(ColumnPosition::First), name().prop_map(ColumnPosition::After)];
    let action = prop_oneof![
        (any::<bool>(), partition(), option::of(distribution())).prop_map(|(temporary, partition, distribution)| {
            AlterAction::AddPartition { temporary, partition, distribution, properties: Properties::default() }
        }),
        (column(), option::of(position), option::of(name())).prop_map(|(column, position, rollup)| {
            AlterAction::AddColumns { columns: vec![column], position, rollup, properties: Properties::default() }
        }),
        name().prop_map(AlterAction::Rename),
        (name(), name()).prop_map(|(from, to)| AlterAction::RenamePartition { from, to }),
        (name(), name()).prop_map(|(from, to)| AlterAction::RenameColumn { from, to }),
        text().prop_map(AlterAction::Comment),
        vec((text(), text()), 1..3).prop_map(|pairs| AlterAction::Set(Properties(pairs))),
        names(1, 3).prop_map(AlterAction::TruncatePartition),
    ];
    (table_name(), vec(action, 1..3)).prop_map(|(table, actions)| Statement::AlterTable(AlterTable { table, actions }))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn backups_read_back(statement in prop_oneof![backup(), restore()]) {
        round_trip(&statement);
    }

    #[test]
    fn repositories_and_snapshots_read_back(statement in prop_oneof![repository(), snapshot()]) {
        round_trip(&statement);
    }

    #[test]
    fn tables_read_back(statement in prop_oneof![create_table(), alter_table()]) {
        round_trip(&statement);
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = parse(&text);
        redact(&text);
    }

    #[test]
    fn no_soup_of_words_panics_and_what_parses_reads_back(words in vec(prop::sample::select(WORDS), 0..40)) {
        check(&words.join(" "));
    }

    #[test]
    fn no_statement_with_a_change_panics(
        line in prop::sample::select(super::lines(include_str!("../../../testdata/sql/statements.sql"))),
        changes in vec((any::<prop::sample::Index>(), prop::sample::select(WORDS), 0..3_u8), 1..4),
    ) {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for (at, word, how) in changes {
            let at = at.index(words.len());
            match how {
                0 => words[at] = word.to_owned(),
                1 => words.insert(at, word.to_owned()),
                _ => drop(words.split_off(at + 1)),
            }
        }
        check(&words.join(" "));
    }
}

/// Parses, and what parses reads back. A text with a backslash need not: where sqlparser takes a string for a name, as in
/// `COLLATE 'x'`, it prints it without escaping it.
pub(super) fn check(text: &str) {
    redact(text);
    // As a template it may mean more; what its values make of it is a statement or an error.
    for template in prepare(text, ParseOptions::default()).unwrap_or_default() {
        let values = vec![sqlparser::ast::Value::Number("-1".to_owned(), false); template.parameter_count()];
        let _ = template.bind(&values).map(|statement| statement.to_string());
    }
    for statement in parse(text).unwrap_or_default() {
        let printed = statement.to_string();
        if text.contains('\\') {
            let _ = parse(&printed);
            continue;
        }
        match parse(&printed) {
            Ok(again) => assert_eq!(again, [statement], "{text}\nprints as {printed}"),
            Err(error) => panic!("{text}\nprints as {printed}\n{error}"),
        }
    }
}
