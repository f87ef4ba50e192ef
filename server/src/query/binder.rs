//! Answers the planner's questions: what a table name stands for, which functions there are.
//!
//! One binder serves one statement. A table is asked for once and the answer kept, so that a table named twice is the
//! same version twice.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::config::ConfigOptions;
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};

use super::context::StatementContext;
use super::dependencies::TrueDependencies;
use super::error::QueryError;
use super::rewrite::split_partitions;
use super::scan::{Reports, SegmentTable, VirtualProvider};
use super::source::{INFORMATION_SCHEMA, Relation};
use super::types::MySqlTypes;

/// Binds the names of one statement.
pub(crate) struct Binder<'a> {
    context: &'a StatementContext,
    state: &'a SessionState,
    planners: &'a [Arc<dyn ExprPlanner>],
    relation_planners: [Arc<dyn RelationPlanner>; 1],
    known: RefCell<HashMap<(String, String), Relation>>,
    reports: Reports,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(
        context: &'a StatementContext,
        state: &'a SessionState,
        planners: &'a [Arc<dyn ExprPlanner>],
        reports: Reports,
    ) -> Self {
        let relation_planners: [Arc<dyn RelationPlanner>; 1] = [Arc::new(TrueDependencies::default())];
        Self { context, state, planners, relation_planners, known: RefCell::new(HashMap::new()), reports }
    }

    /// The tables that were asked for, as (database, table).
    pub(crate) fn tables(&self) -> Vec<(String, String)> {
        let mut tables: Vec<_> = self.known.borrow().keys().cloned().collect();
        tables.sort();
        tables
    }

    fn provider(&self, name: &TableReference) -> Result<Arc<dyn TableProvider>, QueryError> {
        let database = match name.schema() {
            Some(database) if database.eq_ignore_ascii_case(INFORMATION_SCHEMA) => INFORMATION_SCHEMA,
            Some(database) => database,
            None => self.context.database.as_deref().ok_or(QueryError::NoDatabase)?,
        };
        let (table, partitions) = split_partitions(name.table());
        match self.relation(database, table)? {
            Relation::Table(view) => {
                let provider = SegmentTable::try_new(view, partitions, Arc::clone(&self.reports))?;
                Ok(Arc::new(provider))
            }
            Relation::Virtual(_) if !partitions.is_empty() => {
                Err(QueryError::Semantic(format!("'{database}.{table}' has no partitions")))
            }
            Relation::Virtual(table) => Ok(Arc::new(VirtualProvider::new(table))),
        }
    }

    fn relation(&self, database: &str, table: &str) -> Result<Relation, QueryError> {
        let key = (database.to_owned(), table.to_owned());
        if let Some(relation) = self.known.borrow().get(&key) {
            return Ok(relation.clone());
        }
        let Some(relation) = self.context.catalog.relation(database, table)? else {
            if !self.context.catalog.has_database(database)? {
                return Err(QueryError::UnknownDatabase(database.to_owned()));
            }
            return Err(QueryError::UnknownTable(format!("{database}.{table}")));
        };
        self.known.borrow_mut().insert(key, relation.clone());
        Ok(relation)
    }
}

impl ContextProvider for Binder<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let provider = self.provider(&name).map_err(QueryError::wrap)?;
        Ok(provider_as_source(provider))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_table_function_source(
        &self,
        name: &str,
        _args: Vec<datafusion::logical_expr::Expr>,
    ) -> Result<Arc<dyn TableSource>> {
        Err(QueryError::no_table_function(name).wrap())
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(MySqlTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    /// Variables are literals by the time the planner runs.
    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}
