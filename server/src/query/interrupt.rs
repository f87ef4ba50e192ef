//! Stops a query in the middle of a batch.
//!
//! Operators give up their thread between batches of their input, and a task that is aborted ends there. A join can make
//! millions of rows out of one batch before that. So every join of a running plan is watched: its output, batch by
//! batch, and the filter of a nested loop, which is asked once a row of the other side. When the query's stream is
//! dropped, the next look ends the work with [`QueryError::Cancelled`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, PiecewiseMergeJoinExec,
    SortMergeJoinExec,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt as _;

use super::around::{Around, AroundExec};
use super::error::QueryError;

/// Whether a query shall stop.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Asks the query to stop.
    pub(super) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(QueryError::Cancelled.wrap());
        }
        Ok(())
    }
}

/// The plan with its joins watched.
pub(super) fn watch(plan: Arc<dyn ExecutionPlan>, interrupt: &Interrupt) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
            let join = watch_filter(join, interrupt)?;
            return Ok(Transformed::yes(AroundExec::put(join, interrupt.clone())));
        }
        let is_join = node.is::<CrossJoinExec>()
            || node.is::<HashJoinExec>()
            || node.is::<SortMergeJoinExec>()
            || node.is::<PiecewiseMergeJoinExec>();
        Ok(if is_join { Transformed::yes(AroundExec::put(node, interrupt.clone())) } else { Transformed::no(node) })
    })
    .data()
}

fn watch_filter(join: &NestedLoopJoinExec, interrupt: &Interrupt) -> Result<Arc<dyn ExecutionPlan>> {
    let filter = join.filter().map(|filter| {
        let watched = WatchedExpr { inner: Arc::clone(filter.expression()), interrupt: interrupt.clone() };
        JoinFilter::new(Arc::new(watched), filter.column_indices().to_vec(), Arc::clone(filter.schema()))
    });
    let join = NestedLoopJoinExecBuilder::from(join).with_filter(filter).build()?;
    Ok(Arc::new(join))
}

/// Looks at the interrupt before every batch.
impl Around for Interrupt {
    const NAME: &'static str = "WatchedExec";

    fn around(&self, stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let interrupt = self.clone();
        let schema = stream.schema();
        let watched = stream.map(move |batch| interrupt.check().and(batch));
        make_cooperative(Box::pin(RecordBatchStreamAdapter::new(schema, watched)))
    }
}

/// Looks at the interrupt before every evaluation.
#[derive(Debug)]
struct WatchedExpr {
    inner: Arc<dyn PhysicalExpr>,
    interrupt: Interrupt,
}

impl PartialEq for WatchedExpr {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for WatchedExpr {}

impl Hash for WatchedExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for WatchedExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for WatchedExpr {
    fn data_type(&self, input: &Schema) -> Result<DataType> {
        self.inner.data_type(input)
    }

    fn nullable(&self, input: &Schema) -> Result<bool> {
        self.inner.nullable(input)
    }

    fn return_field(&self, input: &Schema) -> Result<FieldRef> {
        self.inner.return_field(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.interrupt.check()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(match children.pop() {
            Some(inner) => Arc::new(Self { inner, interrupt: self.interrupt.clone() }),
            None => self,
        })
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
