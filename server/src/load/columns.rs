//! The `columns` and `where` headers of a load: `a, b, tmp, c = tmp + 1` and `c > 10`.
//!
//! A bare name says what the next column of the input is called. It goes into the table's column of that name, or
//! nowhere when there is none, and expressions may use it. `name = expression` computes a column of the table. What a
//! header says is checked and compiled before the first byte of the input is read.
//!
//! Expressions are evaluated behind [`Expressions`], which the query engine implements.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use ebla_storage::schema::{DataType, TableDefinition};
use sqlparser::ast::Expr;
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::LoadError;

/// Longest `columns` or `where` header, in bytes. It bounds the work of the parser before anything is checked.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// Compiles expressions of one load.
pub trait Expressions: Send + Sync {
    /// Compiles an expression over columns of these names and types. Column names match in any case.
    fn compile(&self, expression: &Expr, input: &SchemaRef) -> Result<Box<dyn Expression>, LoadError>;
}

/// A compiled expression.
pub trait Expression: Send + Sync {
    /// Its value for every row of a batch of the schema it was compiled for.
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, LoadError>;
}

/// Who loads, where and when: what the expressions of a load may depend on.
#[derive(Debug, Clone)]
pub struct LoadSession {
    /// The database of the table.
    pub database: String,
    /// The account, as `'user'@'host'`.
    pub user: String,
    /// The time zone the load asks for; the server's when `None`.
    pub time_zone: Option<String>,
    /// When the load began, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// What a load is evaluated in.
pub struct LoadEnvironment {
    /// Compiles its expressions.
    pub expressions: Box<dyn Expressions>,
    /// CURRENT_TIMESTAMP: microseconds since 1970-01-01 00:00:00 in the load's time zone.
    pub now_micros: i64,
}

/// Opens an environment for each load. Implemented over the query engine.
pub trait LoadEnvironments: Send + Sync + 'static {
    /// An environment for this load. Errors when its time zone is not known.
    fn open(&self, session: &LoadSession) -> Result<LoadEnvironment, LoadError>;
}

/// One item of a `columns` header.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnItem {
    /// The name of the next column of the input.
    Source(String),
    /// A column of the table, computed.
    Computed {
        /// The table's column.
        name: String,
        /// Its value.
        expression: Box<Expr>,
    },
}

/// A column of the input.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceColumn {
    /// What it is called.
    pub name: String,
    /// The type of the table's column that it becomes, where it does so as it is.
    pub data_type: Option<DataType>,
}

/// From columns of the input to columns of the table.
pub struct ColumnPlan {
    sources: Vec<SourceColumn>,
    schema: SchemaRef,
    names: Vec<String>,
    values: Vec<ColumnValue>,
}

enum ColumnValue {
    Source(usize),
    Computed(Box<dyn Expression>),
}

/// Reads a `columns` header.
pub fn parse_columns(text: &str) -> Result<Vec<ColumnItem>, LoadError> {
    let mut items = Vec::new();
    with_parser("columns", text, |parser| {
        loop {
            let name = parser.parse_identifier()?.value;
            if parser.consume_token(&Token::Eq) {
                items.push(ColumnItem::Computed { name, expression: Box::new(parser.parse_expr()?) });
            } else {
                items.push(ColumnItem::Source(name));
            }
            if !parser.consume_token(&Token::Comma) {
                return Ok(());
            }
        }
    })?;
    Ok(items)
}

/// Reads a `where` header.
pub fn parse_condition(text: &str) -> Result<Expr, LoadError> {
    with_parser("where", text, |parser| parser.parse_expr())
}

fn with_parser<T>(
    header: &str,
    text: &str,
    read: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T, LoadError> {
    if text.len() > HEADER_BYTES_MAX {
        return Err(LoadError::invalid(format!("the {header} header is longer than {HEADER_BYTES_MAX} bytes")));
    }
    let dialect = MySqlDialect {};
    let parse = || {
        let mut parser = Parser::new(&dialect).try_with_sql(text)?;
        let value = read(&mut parser)?;
        parser.expect_token(&Token::EOF)?;
        Ok(value)
    };
    parse().map_err(|error: ParserError| {
        LoadError::invalid(format!("the {header} header '{}' is not valid: {error}", super::excerpt(text)))
    })
}

impl ColumnPlan {
    /// A plan for this table. Without a header the input has all its columns, in order.
    pub fn new(
        definition: &TableDefinition,
        header: Option<Vec<ColumnItem>>,
        expressions: &dyn Expressions,
    ) -> Result<ColumnPlan, LoadError> {
        let items = header.unwrap_or_else(|| {
            definition.columns.iter().map(|column| ColumnItem::Source(column.name.clone())).collect()
        });
        let mut source_names: Vec<&str> = Vec::new();
        let mut computed: Vec<(&str, &Expr)> = Vec::new();
        for item in &items {
            match item {
                ColumnItem::Source(name) => {
                    if source_names.iter().any(|other| same(other, name)) {
                        return Err(LoadError::invalid(format!("Duplicate column '{name}' in columns")));
                    }
                    source_names.push(name);
                }
                ColumnItem::Computed { name, expression } => {
                    if definition.column(name).is_none() {
                        return Err(LoadError::invalid(format!("Unknown column '{name}' in columns")));
                    }
                    if computed.iter().any(|(other, _)| same(other, name)) {
                        return Err(LoadError::invalid(format!("Column '{name}' specified twice")));
                    }
                    computed.push((name, expression));
                }
            }
        }
        let is_computed = |name: &str| computed.iter().any(|(other, _)| same(other, name));
        let sources: Vec<SourceColumn> = source_names
            .iter()
            .map(|name| SourceColumn {
                name: (*name).to_owned(),
                data_type: definition
                    .column(name)
                    .filter(|_| !is_computed(name))
                    .map(|column| column.data_type.clone()),
            })
            .collect();
        let fields: Vec<Field> = sources.iter().map(|source| Field::new(&source.name, ArrowType::Utf8, true)).collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let mut names = Vec::new();
        let mut values = Vec::new();
        for (position, source) in sources.iter().enumerate().filter(|(_, source)| source.data_type.is_some()) {
            names.push(source.name.clone());
            values.push(ColumnValue::Source(position));
        }
        for (name, expression) in &computed {
            names.push((*name).to_owned());
            values.push(ColumnValue::Computed(expressions.compile(expression, &schema)?));
        }
        if names.is_empty() {
            return Err(LoadError::invalid("columns names no column of the table"));
        }
        Ok(ColumnPlan { sources, schema, names, values })
    }

    /// The columns of the input, in order.
    pub fn sources(&self) -> &[SourceColumn] {
        &self.sources
    }

    /// The columns of the table that are given a value, in the order of the batches that [`ColumnPlan::apply`] makes.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Makes the table's columns of a batch of the input's.
    pub fn apply(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, LoadError> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec())?;
        self.values
            .iter()
            .map(|value| match value {
                ColumnValue::Source(position) => Ok(Arc::clone(batch.column(*position))),
                ColumnValue::Computed(expression) => expression.evaluate(&batch),
            })
            .collect()
    }
}

fn same(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || left.to_lowercase() == right.to_lowercase()
}

#[cfg(test)]
mod tests;
