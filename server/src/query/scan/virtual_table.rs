//! Virtual tables: their rows are made once, when the plan is.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;

use super::lower_case_schema;
use crate::query::error::QueryError;
use crate::query::source::VirtualTable;

/// A virtual table as the engine sees it.
#[derive(Debug)]
pub(crate) struct VirtualProvider {
    table: VirtualTable,
    schema: SchemaRef,
}

impl VirtualProvider {
    pub(crate) fn new(table: VirtualTable) -> Self {
        Self { schema: lower_case_schema(&table.schema), table }
    }
}

#[async_trait]
impl TableProvider for VirtualProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = Arc::clone(&self.table.rows);
        let batch = tokio::task::spawn_blocking(move || rows())
            .await
            .map_err(|error| QueryError::Internal(format!("making the rows of a table: {error}")).wrap())?
            .map_err(QueryError::wrap)?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec())?;
        let plan = MemorySourceConfig::try_new_exec(&[vec![batch]], Arc::clone(&self.schema), projection.cloned())?;
        Ok(plan)
    }
}
