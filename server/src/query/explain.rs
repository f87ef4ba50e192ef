//! EXPLAIN: the plan as lines, each scan with what it was spared.

use std::fmt::Write as _;
use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use futures::StreamExt as _;

use super::engine::{AbortOnDrop, PlannedQuery, QueryEngine, physical_plan};
use super::error::QueryError;
use super::rewrite::without_marks;
use super::scan::{self, ScanReport};

/// How much EXPLAIN shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainMode {
    /// The operators that would run.
    Plan,
    /// These, and the logical plan they came from.
    Verbose,
    /// The operators, with what they counted while running.
    Analyze,
}

impl QueryEngine {
    /// The lines of EXPLAIN.
    pub async fn explain(&self, planned: &PlannedQuery, mode: ExplainMode) -> Result<Vec<String>, QueryError> {
        let state = Arc::clone(self.state());
        let logical = planned.logical.clone();
        let recursion_max = planned.recursion_max;
        let reports = Arc::clone(&planned.reports);
        reports.lock().clear();
        let task = self.runtime()?.spawn(async move {
            let (plan, context) = physical_plan(&state, &logical, recursion_max).await?;
            if mode == ExplainMode::Analyze {
                let mut stream = datafusion::physical_plan::execute_stream(Arc::clone(&plan), context)?;
                while let Some(batch) = stream.next().await {
                    batch?;
                }
            }
            let mut lines = Vec::new();
            if mode == ExplainMode::Verbose {
                let optimized = state.optimizer().optimize(logical.clone(), state.as_ref(), |_, _| {})?;
                lines.push("LOGICAL PLAN".to_owned());
                lines.extend(optimized.display_indent().to_string().lines().map(|line| format!("  {line}")));
                lines.push("PHYSICAL PLAN".to_owned());
            }
            push_plan(&plan, 0, mode, &mut lines);
            Ok(lines)
        });
        let mut lines = AbortOnDrop(task).join().await?;
        let reports: Vec<ScanReport> = reports.lock().clone();
        if !reports.is_empty() {
            lines.push("SCANS".to_owned());
            lines.extend(reports.iter().map(|report| format!("  {report}")));
        }
        Ok(lines.iter().map(|line| without_marks(line)).collect())
    }
}

fn push_plan(plan: &Arc<dyn ExecutionPlan>, depth: usize, mode: ExplainMode, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    let line = match scan_line(plan, mode) {
        Some(line) => line,
        None => one_line(plan, mode),
    };
    lines.push(format!("{indent}{line}"));
    for child in plan.children() {
        push_plan(child, depth + 1, mode, lines);
    }
}

fn one_line(plan: &Arc<dyn ExecutionPlan>, mode: ExplainMode) -> String {
    let shown = if mode == ExplainMode::Analyze {
        DisplayableExecutionPlan::with_metrics(plan.as_ref()).one_line().to_string()
    } else {
        displayable(plan.as_ref()).one_line().to_string()
    };
    shown.trim_end().to_owned()
}

/// A scan of ours, without the files' names.
fn scan_line(plan: &Arc<dyn ExecutionPlan>, mode: ExplainMode) -> Option<String> {
    let source = plan.downcast_ref::<DataSourceExec>()?;
    let config = source.data_source().downcast_ref::<FileScanConfig>()?;
    let tag = config.file_groups.iter().flat_map(|group| group.iter()).find_map(scan::scan_tag)?;
    let mut line = format!("OlapScan: {}", tag.report);
    let columns: Vec<String> = config
        .projected_schema()
        .map(|schema| schema.fields().iter().map(|field| field.name().clone()).collect())
        .unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = write!(line, ", columns=[{}]", columns.join(", "));
    if let Some(filter) = config.file_source().filter() {
        let _ = write!(line, ", predicate={filter}");
    }
    if let Some(limit) = config.limit {
        let _ = write!(line, ", limit={limit}");
    }
    if mode == ExplainMode::Analyze
        && let Some(metrics) = plan.metrics()
    {
        let _ = write!(line, ", metrics=[{}]", metrics.aggregate_by_name().sorted_for_display());
    }
    Some(line)
}
