//! SELECT and EXPLAIN, and what other statements ask of the query engine: a value, a filter, the columns of a query.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use ebla_protocol::sql;
use ebla_protocol::sql::ast::Statement;
use ebla_protocol::sql::ast::dml::Delete;
use ebla_protocol::sql::ast::query::{Explain, ExplainLevel};
use ebla_protocol::wire::{Outcome, Rows};
use futures::StreamExt;
use sqlparser::ast::{self, Expr, OrderByExpr, Query, Value as AstValue};

use super::resolve_own_table;
use super::rows::single_column;
use super::show_create::identifier;
use super::tables::SessionTables;
use crate::error::{Error, Result};
use crate::query::source::{Relation, VirtualTable};
use crate::query::{
    ExplainMode, PlannedQuery, QueryError, QueryStream, StatementContext, Value, VariableScope, Variables,
};
use crate::session::Session;
use crate::session::variables::Variables as SessionVariables;

/// SELECT.
pub async fn execute(session: &Session, query: Query) -> Result<Outcome> {
    Ok(Outcome::Rows(rows(session, query).await?))
}

/// The rows of a query, as they come.
pub async fn rows(session: &Session, query: Query) -> Result<Rows> {
    let stream = stream(session, query).await?;
    let schema = Arc::clone(stream.columns());
    Ok(Rows::new(schema, stream.map(|batch| batch.map_err(Into::into)).boxed()))
}

/// The batches of a query, as they come.
pub async fn stream(session: &Session, query: Query) -> Result<QueryStream> {
    let planned = plan(session, query).await?;
    Ok(session.server.engine.execute(planned).await?)
}

/// The columns a query returns.
pub async fn output_schema(session: &Session, query: &Query) -> Result<SchemaRef> {
    let context = context(session)?;
    let (engine, query) = (Arc::clone(&session.server.engine), query.clone());
    let description = blocking(move || engine.describe(&query, &context)).await?;
    Ok(description.columns)
}

/// EXPLAIN.
pub async fn explain(session: &Session, statement: Explain) -> Result<Outcome> {
    let mut heading = None;
    let query = match *statement.statement {
        Statement::Query(query) => *query,
        Statement::CreateTableAs(create) => *create.query,
        Statement::Delete(_) if statement.level == ExplainLevel::Analyze => {
            return Err(Error::refused("EXPLAIN ANALYZE runs its statement: of DELETE only EXPLAIN shows the plan"));
        }
        Statement::Delete(delete) => {
            let (database, table) = resolve_own_table(session, &delete.table)?;
            heading = Some(format!("DELETE FROM {database}.{table}"));
            rows_of(&database, &table, *delete)?
        }
        Statement::Insert(insert) => match insert.source {
            ebla_protocol::sql::ast::dml::InsertSource::Query(query) => *query,
            ebla_protocol::sql::ast::dml::InsertSource::Values(_) => {
                return single_column("Explain String", vec!["VALUES".to_owned()]);
            }
        },
        other => return Err(Error::not_yet(format!("EXPLAIN of {}", other.kind()))),
    };
    let mode = match statement.level {
        ExplainLevel::Normal | ExplainLevel::Costs => ExplainMode::Plan,
        ExplainLevel::Logical | ExplainLevel::Verbose => ExplainMode::Verbose,
        ExplainLevel::Analyze => ExplainMode::Analyze,
    };
    let planned = plan(session, query).await?;
    let plan = session.server.engine.explain(&planned, mode).await?;
    single_column("Explain String", heading.into_iter().chain(plan).collect())
}

/// The query for the rows that a DELETE is about.
fn rows_of(database: &str, table: &str, delete: Delete) -> Result<Query> {
    let text = format!("SELECT 1 FROM {}.{} WHERE true", identifier(database), identifier(table));
    let mut query = parsed_query(&text)?;
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        select.selection = Some(delete.selection);
        if let Some(ast::TableFactor::Table { partitions, .. }) = select.from.first_mut().map(|from| &mut from.relation)
        {
            *partitions = delete.partitions.into_iter().map(|name| ast::Ident::with_quote('`', name)).collect();
        }
    }
    Ok(query)
}

/// A query whose text is ours.
fn parsed_query(text: &str) -> Result<Query> {
    match sql::parse(text)?.pop() {
        Some(Statement::Query(query)) => Ok(*query),
        _ => Err(Error::Internal("a plain SELECT did not parse".to_owned())),
    }
}

/// The value of an expression without columns.
pub async fn scalar(session: &Session, expr: &Expr) -> Result<Value> {
    let context = context(session)?;
    let (engine, expr) = (Arc::clone(&session.server.engine), expr.clone());
    blocking(move || engine.constant(&expr, &context)).await
}

/// The value of an expression without columns, as an array of one.
pub async fn scalar_array(session: &Session, expr: &Expr) -> Result<ArrayRef> {
    let context = context(session)?;
    let (engine, expr) = (Arc::clone(&session.server.engine), expr.clone());
    blocking(move || {
        let compiled = engine.compile_expr(&expr, &Schema::empty(), &context)?;
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
        compiled.evaluate(&row)
    })
    .await
}

/// A value as a literal of the dialect.
pub fn literal(value: &Value) -> AstValue {
    match value {
        Value::Null => AstValue::Null,
        Value::Boolean(flag) => AstValue::Boolean(*flag),
        Value::Int(_) | Value::UInt(_) | Value::Double(_) | Value::Decimal(..) => {
            AstValue::Number(value.to_string(), false)
        }
        other => AstValue::SingleQuotedString(other.to_string()),
    }
}

/// Name under which [`over_batch`] reads its rows.
const ROWS_TABLE: &str = "rows";

/// Filters and sorts rows that a statement has made: WHERE and ORDER BY of SHOW.
pub async fn over_batch(
    session: &Session,
    batch: RecordBatch,
    selection: Option<Expr>,
    order_by: Vec<OrderByExpr>,
) -> Result<Vec<RecordBatch>> {
    struct OneTable(RecordBatch);
    impl crate::query::source::Catalog for OneTable {
        fn has_database(&self, _: &str) -> Result<bool, QueryError> {
            Ok(true)
        }

        fn relation(&self, _: &str, name: &str) -> Result<Option<Relation>, QueryError> {
            let batch = self.0.clone();
            Ok((name == ROWS_TABLE)
                .then(|| Relation::Virtual(VirtualTable::new(batch.schema(), move || Ok(batch.clone())))))
        }
    }
    let mut query = parsed_query(&format!("SELECT * FROM {ROWS_TABLE}"))?;
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        select.selection = selection;
    }
    if !order_by.is_empty() {
        query.order_by = Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(order_by), interpolate: None });
    }
    let context =
        StatementContext { catalog: Arc::new(OneTable(batch)), database: Some("show".to_owned()), ..context(session)? };
    let engine = Arc::clone(&session.server.engine);
    let planned = blocking(move || engine.plan(&query, &context)).await?;
    Ok(session.server.engine.execute(planned).await?.collect_all().await?)
}

async fn plan(session: &Session, query: Query) -> Result<PlannedQuery> {
    let context = context_over(session, SessionTables::of_query(session, &query)?)?;
    let engine = Arc::clone(&session.server.engine);
    blocking(move || engine.plan(&query, &context)).await
}

/// Planning reads the catalog, so it runs off the threads that serve sockets.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, QueryError> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => {
            tracing::error!(%error, "planning a query failed");
            Err(Error::Internal("planning the query failed; see the log".to_owned()))
        }
    }
}

/// What a statement of this session may ask.
pub fn context(session: &Session) -> Result<StatementContext> {
    context_over(session, SessionTables::of(session)?)
}

fn context_over(session: &Session, tables: SessionTables) -> Result<StatementContext> {
    let globals = session.server.globals.read().clone();
    let access = session.access()?;
    let limit = session.variables.number("sql_select_limit").filter(|limit| *limit != u64::MAX);
    Ok(StatementContext {
        catalog: Arc::new(tables),
        variables: Arc::new(VariablesOf {
            session: session.variables.clone(),
            globals,
            user: session.user_variables.clone(),
        }),
        database: session.database.clone(),
        user: format!("'{}'@'{}'", session.identity.user, session.process.peer.ip()),
        current_user: session.identity.to_string(),
        current_role: match access.active_roles.as_slice() {
            [] => "NONE".to_owned(),
            roles => roles.join(", "),
        },
        connection_id: session.process.id.into(),
        version: crate::server::MYSQL_VERSION.to_owned(),
        current_version: format!("Ebla {}", crate::server::VERSION),
        last_insert_id: session.last_insert_id,
        now: chrono::DateTime::from_timestamp_millis(session.server.now_ms()).unwrap_or_default(),
        time_zone: session.time_zone(),
        select_limit: limit,
    })
}

struct VariablesOf {
    session: SessionVariables,
    globals: SessionVariables,
    user: std::collections::HashMap<String, Value>,
}

impl Variables for VariablesOf {
    fn system(&self, scope: VariableScope, name: &str) -> Option<Value> {
        let variables = if scope == VariableScope::Global { &self.globals } else { &self.session };
        let text = variables.get(name)?;
        // Clients read numbers as numbers: max_allowed_packet, auto_increment_increment.
        Some(match (text.parse::<i64>(), text.parse::<u64>()) {
            (Ok(number), _) => Value::Int(number),
            (_, Ok(number)) => Value::UInt(number),
            _ => Value::String(text.to_owned()),
        })
    }

    fn user(&self, name: &str) -> Value {
        self.user.get(name).cloned().unwrap_or(Value::Null)
    }
}
