//! Lone expressions over batches: values of INSERT, predicates of DELETE, columns and filters of loads, SHOW ... WHERE.

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::logical_expr::Expr as LogicalExpr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use sqlparser::ast::Expr;

use super::coerce;
use super::context::StatementContext;
use super::convert;
use super::engine::QueryEngine;
use super::error::QueryError;
use super::functions;
use super::lists;
use super::rewrite;
use super::scan::{Reports, lower_case_schema};
use super::stream::output_type;
use super::value::Value;

/// An expression ready to be evaluated on any number of batches.
#[derive(Debug, Clone)]
pub struct CompiledExpr {
    expr: Arc<dyn PhysicalExpr>,
    /// The columns as the expression knows them.
    input: SchemaRef,
    data_type: DataType,
}

impl CompiledExpr {
    /// The type of the results.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// One result a row. The batch has the columns the expression was compiled for, in their order.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, QueryError> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.input), batch.columns().to_vec(), &options)?;
        let values = self.expr.evaluate(&batch)?.into_array(batch.num_rows())?;
        Ok(convert::cast(&values, &self.data_type)?)
    }

    /// The results as a condition: TRUE, FALSE or NULL a row.
    pub fn evaluate_predicate(&self, batch: &RecordBatch) -> Result<BooleanArray, QueryError> {
        Ok(convert::to_booleans(&self.evaluate(batch)?)?)
    }
}

impl QueryEngine {
    /// Compiles an expression over the columns of `schema`, whose names match in any case.
    pub fn compile_expr(
        &self,
        expr: &Expr,
        schema: &Schema,
        context: &StatementContext,
    ) -> Result<CompiledExpr, QueryError> {
        let mut expr = expr.clone();
        rewrite::rewrite_expr(&mut expr, context, self.names())?;
        let input = lower_case_schema(schema);
        // Nullable, because the caller's batches may hold NULL where the table would not.
        let input: SchemaRef = Arc::new(Schema::new(
            input.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>(),
        ));
        let df_schema = Arc::new(DFSchema::try_from(Arc::clone(&input))?);
        let binder = self.binder(context, &Reports::default());
        let expr = SqlToRel::new(&binder).sql_to_expr(expr, &df_schema, &mut PlannerContext::new())?;
        check_lone(&expr)?;
        let expr = coerce::coerce(expr, &df_schema)?.data;
        let simplifier = ExprSimplifier::new(
            SimplifyContext::builder()
                .with_schema(Arc::clone(&df_schema))
                .with_config_options(Arc::clone(self.state().config_options()))
                .build(),
        );
        let expr = simplifier.coerce(expr, &df_schema)?;
        let expr = lists::apart(expr)?.data;
        let expr = functions::text::plan_at_once_with_budget(|| simplifier.simplify(expr))?;
        let expr = lists::together(expr)?.data;
        let expr = self.state().create_physical_expr(expr, &df_schema)?;
        let data_type = output_type(&expr.data_type(&input)?);
        Ok(CompiledExpr { expr, input, data_type })
    }

    /// The value of an expression without columns: a default, a bound, a variable's new value.
    pub fn constant(&self, expr: &Expr, context: &StatementContext) -> Result<Value, QueryError> {
        let compiled = self.compile_expr(expr, &Schema::empty(), context)?;
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
        let array = compiled.evaluate(&row)?;
        let scalar = datafusion::common::ScalarValue::try_from_array(&array, 0)?;
        Value::from_scalar(&scalar)
            .ok_or_else(|| QueryError::Semantic("A single value is wanted, not an ARRAY, MAP or STRUCT".to_owned()))
    }
}

/// Refuses what needs more than the row it stands in.
fn check_lone(expr: &LogicalExpr) -> Result<(), QueryError> {
    let mut refused = None;
    expr.apply(|inner| {
        refused = match inner {
            LogicalExpr::ScalarSubquery(_)
            | LogicalExpr::InSubquery(_)
            | LogicalExpr::Exists(_)
            | LogicalExpr::SetComparison(_) => Some(QueryError::Unsupported(
                "A subquery is not supported here: run it first and write its result in its place \
                 (INSERT takes whole rows from a SELECT)"
                    .to_owned(),
            )),
            LogicalExpr::AggregateFunction(_) => Some(QueryError::MisplacedAggregate),
            LogicalExpr::WindowFunction(call) => Some(QueryError::Semantic(format!(
                "You cannot use the window function '{}' in this context: it needs the rows of a SELECT",
                call.fun.name()
            ))),
            _ => None,
        };
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    refused.map_or(Ok(()), Err)
}

/// An array in the type of a column it shall be stored in, as INSERT converts it: what does not convert is NULL. The
/// caller tells a failed conversion from a NULL by comparing the two arrays' nulls.
pub fn convert_array(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, QueryError> {
    let converted = convert::cast(array, target)?;
    debug_assert_eq!(converted.len(), array.len(), "a conversion keeps the rows");
    Ok(converted)
}
