//! Files of older schemas: columns are matched by field id, else by name in any case; a column that a file is too old
//! to have reads as its default.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{self, Column};
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};

use crate::query::source::TableView;
use crate::query::value::Value;

/// Field metadata under which Parquet files and tables carry a column's id.
const FIELD_ID: &str = "PARQUET:field_id";

/// The defaults other than NULL, by lower-case column name.
pub(super) fn defaults(view: &TableView, schema: &Schema) -> HashMap<String, ScalarValue> {
    view.defaults
        .iter()
        .zip(schema.fields())
        .filter(|(value, _)| **value != Value::Null)
        .filter_map(|(value, field)| Some((field.name().clone(), value.to_scalar(field.data_type())?)))
        .collect()
}

/// Makes an adapter for each file as it is opened.
#[derive(Debug, Clone)]
pub(super) struct SegmentAdapterFactory {
    defaults: Arc<HashMap<String, ScalarValue>>,
}

impl SegmentAdapterFactory {
    pub(super) fn new(defaults: HashMap<String, ScalarValue>) -> Self {
        Self { defaults: Arc::new(defaults) }
    }
}

impl PhysicalExprAdapterFactory for SegmentAdapterFactory {
    fn create(
        &self,
        logical_file_schema: SchemaRef,
        physical_file_schema: SchemaRef,
    ) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let matched = match_columns(&logical_file_schema, &physical_file_schema);
        // The engine's own adapter works by name, so it is shown the file as if its columns had the table's names.
        let renamed: Vec<Field> = physical_file_schema
            .fields()
            .iter()
            .zip(&matched)
            .enumerate()
            .map(|(index, (field, name))| {
                let name = name.clone().unwrap_or_else(|| format!("\u{1}{index}"));
                field.as_ref().clone().with_name(name)
            })
            .collect();
        let missing: HashMap<String, ScalarValue> = self
            .defaults
            .iter()
            .filter(|(name, _)| !matched.iter().flatten().any(|present| present == *name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let nullable: Vec<Field> =
            logical_file_schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let inner = DefaultPhysicalExprAdapterFactory
            .create(Arc::new(Schema::new(nullable)), Arc::new(Schema::new(renamed)))?;
        Ok(Arc::new(SegmentAdapter { inner, missing, file: physical_file_schema }))
    }
}

/// For each column of the file the table's name for it; `None` for a column the table no longer has.
fn match_columns(table: &Schema, file: &Schema) -> Vec<Option<String>> {
    let id = |field: &Field| field.metadata().get(FIELD_ID).cloned();
    let mut matched: Vec<Option<String>> = vec![None; file.fields().len()];
    for column in table.fields() {
        let by_id = id(column)
            .and_then(|wanted| file.fields().iter().position(|field| id(field).is_some_and(|id| id == wanted)));
        let found = by_id.or_else(|| {
            file.fields().iter().position(|field| {
                let both_have_ids = id(column).is_some() && id(field).is_some();
                !both_have_ids && field.name().to_lowercase() == *column.name()
            })
        });
        if let Some(index) = found {
            matched[index] = Some(column.name().clone());
        }
    }
    matched
}

#[derive(Debug)]
struct SegmentAdapter {
    inner: Arc<dyn PhysicalExprAdapter>,
    missing: HashMap<String, ScalarValue>,
    file: SchemaRef,
}

impl PhysicalExprAdapter for SegmentAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let expr = if self.missing.is_empty() {
            expr
        } else {
            datafusion::physical_expr_adapter::replace_columns_with_literals(expr, &self.missing)?
        };
        let adapted = self.inner.rewrite(expr)?;
        adapted
            .transform(|expr| {
                let name = expr
                    .downcast_ref::<Column>()
                    .and_then(|column| Some((column, self.file.fields().get(column.index())?)))
                    .filter(|(column, field)| column.name() != field.name())
                    .map(|(column, field)| expressions::Column::new(field.name(), column.index()));
                Ok(match name {
                    Some(column) => Transformed::yes(Arc::new(column) as Arc<dyn PhysicalExpr>),
                    None => Transformed::no(expr),
                })
            })
            .data()
    }
}
