//! A node around another one of a running plan: what its stream gives is looked at on the way out, and nothing else about
//! the node changes.

use std::fmt;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

/// What is done to a node's streams.
pub(super) trait Around: fmt::Debug + Clone + Send + Sync + 'static {
    /// What EXPLAIN calls the node.
    const NAME: &'static str;

    /// What EXPLAIN prints of the node.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAME)
    }

    /// The stream as it is handed on. Called each time the node is run.
    fn around(&self, stream: SendableRecordBatchStream) -> SendableRecordBatchStream;
}

/// The node.
#[derive(Debug)]
pub(super) struct AroundExec<A> {
    input: Arc<dyn ExecutionPlan>,
    around: A,
}

impl<A: Around> AroundExec<A> {
    /// Puts a node around another.
    pub(super) fn put(input: Arc<dyn ExecutionPlan>, around: A) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self { input, around })
    }
}

impl<A: Around> DisplayAs for AroundExec<A> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.around.describe(f)
    }
}

impl<A: Around> ExecutionPlan for AroundExec<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(match children.pop() {
            Some(input) => Self::put(input, self.around.clone()),
            None => self,
        })
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(self.around.around(self.input.execute(partition, context)?))
    }
}
