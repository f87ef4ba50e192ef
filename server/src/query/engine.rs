//! The query engine: one per server, shared by all connections.
//!
//! It owns what is scarce: the memory that queries may use together, the directory they spill to, and the threads they
//! run on, which are not the threads that serve sockets. A statement costs a plan, nothing more: functions, rules and
//! options are set up once.
//!
//! Order of events: [`QueryEngine::plan`] rewrites, binds and types a query (it touches no file);
//! [`QueryEngine::execute`] optimises it, prunes, and starts it; the stream delivers batches. Dropping the stream stops
//! the work at the next batch boundary of every operator.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::registry::FunctionRegistry as _;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, SessionStateDefaults, TaskContext};
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use datafusion::sql::planner::SqlToRel;
use sqlparser::ast::{Query, Statement};

use super::binder::Binder;
use super::coerce::MySqlCoercion;
use super::context::{StatementContext, VariableScope};
use super::dependencies;
use super::effort;
use super::error::QueryError;
use super::filters;
use super::functions;
use super::groups::{self, SameInput};
use super::interrupt::{self, Interrupt};
use super::joins::{self, KeepSides};
use super::lists;
use super::operators::MySqlOperators;
use super::orders::KeepOrders;
use super::padding::PaddedConstants;
use super::recursion;
use super::rewrite::{self, FunctionNames, Grouping};
use super::scan::Reports;
use super::stream::{QueryStream, output_type};
use super::subqueries::{ApartColumns, PlacedSubqueries, ThreeValuedIn, levels};
use super::value::Value;

/// Rows in a batch.
const BATCH_ROWS: usize = 8192;
/// A constant in every row of a batch takes at most this much.
const CONSTANT_COLUMN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Parquet footers kept in memory, so that a hot table's files are opened without reading their ends again.
const FOOTER_CACHE_BYTES: usize = 128 * 1024 * 1024;
/// How many of the largest memory users an out-of-memory error looks at.
const MEMORY_CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::new(3).expect("3 is not zero");
/// The part of each thread's memory that a sort keeps for merging is one in so many.
const MERGE_SHARE: usize = 16;
/// Rows that a sort has gathered, up to this much, are sorted as one batch before they are spilled. Sorting them batch by
/// batch and merging takes memory for the keys beside the rows, which is not there when the limit is why they are
/// spilled. A sort reserves twice what it holds, so no column of the batch passes the 2 GiB that its offsets can count.
const SORT_IN_PLACE_BYTES_MAX: usize = 3 << 30;
/// The engine's rule that is the first to ask what is known of columns.
const DISTRIBUTION_RULE: &str = "EnforceDistribution";
/// The engine's rule by which operators get the orders that they ask for.
const ORDERING_RULE: &str = "EnforceSorting";
/// Files smaller than this are not split between threads.
const SPLIT_BYTES_MIN: usize = 4 * 1024 * 1024;

/// Functions of the engine that are not of the dialect: they show its inner types, or make arrays of any length out of
/// two numbers, whose memory nobody counts.
const HIDDEN_FUNCTIONS: [&str; 23] = [
    "arrow_cast",
    "arrow_field",
    "arrow_metadata",
    "arrow_try_cast",
    "arrow_typeof",
    "array_repeat",
    "array_replace",
    "array_replace_all",
    "array_replace_n",
    "array_resize",
    "generate_series",
    "get_field",
    "list_join",
    "list_repeat",
    "list_replace",
    "list_replace_all",
    "list_replace_n",
    "list_resize",
    "list_to_string",
    "range",
    "union_extract",
    "union_tag",
    "with_metadata",
];

/// What the engine may use.
#[derive(Debug, Clone)]
pub struct QueryConfig {
    /// Memory of all queries together.
    pub memory_bytes: usize,
    /// Where they spill to.
    pub spill_dir: PathBuf,
    /// How much they may spill.
    pub spill_bytes_max: u64,
    /// Threads, and the partitions a plan is split into.
    pub threads: usize,
}

/// Plans and runs queries.
pub struct QueryEngine {
    state: Arc<SessionState>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    names: FunctionNames,
    /// Of all queries together.
    memory: functions::text::Memory,
    /// `None` only while dropping.
    runtime: Option<tokio::runtime::Runtime>,
}

/// A query that is bound and typed, ready to run.
#[derive(Clone)]
pub struct PlannedQuery {
    pub(super) logical: LogicalPlan,
    pub(super) reports: Reports,
    columns: SchemaRef,
    tables: Vec<(String, String)>,
    /// How often a recursive query may read its own rows again.
    pub(super) recursion_max: u64,
}

impl PlannedQuery {
    /// The result's columns: headers as the user shall see them, and types as batches will have them. A field's
    /// metadata may carry `ebla.mysql_type`.
    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// The tables it reads, as (database, table).
    pub fn tables(&self) -> &[(String, String)] {
        &self.tables
    }
}

/// What a prepared statement will answer.
#[derive(Debug, Clone)]
pub struct Description {
    /// The result's columns. What depends on a parameter alone has type NULL.
    pub columns: SchemaRef,
    /// How many `?` there are.
    pub parameters: usize,
}

impl QueryEngine {
    /// Starts the engine: makes the spill directory and the threads.
    pub fn new(config: &QueryConfig) -> Result<Self, QueryError> {
        #[expect(clippy::disallowed_methods, reason = "what spills is not kept")]
        std::fs::create_dir_all(&config.spill_dir).map_err(|error| {
            QueryError::Internal(format!("create spill directory {}: {error}", config.spill_dir.display()))
        })?;
        let threads = config.threads.max(1);
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![config.spill_dir.clone()]))
            .with_max_temp_directory_size(config.spill_bytes_max);
        let pool = TrackConsumersPool::new(FairSpillPool::new(config.memory_bytes), MEMORY_CONSUMERS_NAMED);
        let env = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(disk)
            .with_metadata_cache_limit(FOOTER_CACHE_BYTES)
            .build_arc()?;
        let mut state = SessionStateBuilder::new()
            .with_config(SessionConfig::from(options(threads, config.memory_bytes)))
            .with_runtime_env(env)
            .with_default_features()
            .with_analyzer_rules(vec![
                Arc::new(ResolveGroupingFunction::new()),
                Arc::new(MySqlCoercion),
                Arc::new(TypeCoercion::new()),
                Arc::new(PlacedSubqueries),
                Arc::new(ThreeValuedIn),
                Arc::new(ApartColumns),
            ])
            .with_optimizer_rules(logical_rules())
            .with_physical_optimizer_rules(physical_rules())
            .build();
        let memory = functions::text::Memory(Arc::clone(&state.runtime_env().memory_pool));
        for function in functions::scalars(&memory) {
            state.register_udf(function)?;
        }
        for function in functions::aggregates() {
            state.register_udaf(function)?;
        }
        let names: HashSet<String> = state
            .scalar_functions()
            .keys()
            .chain(state.aggregate_functions().keys())
            .chain(state.window_functions().keys())
            .chain(state.higher_order_functions().keys())
            .cloned()
            .chain(["unnest", "map", "make_map"].map(str::to_owned))
            .filter(|name| !HIDDEN_FUNCTIONS.contains(&name.as_str()))
            .collect();
        let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(MySqlOperators::new())];
        planners.extend(SessionStateDefaults::default_expr_planners());
        let runtime = crate::threads::runtime("ebla-query", Some(threads))
            .map_err(|error| QueryError::Internal(format!("start query threads: {error}")))?;
        Ok(Self { state: Arc::new(state), planners, names, memory, runtime: Some(runtime) })
    }

    /// Plans a query. No file is touched; the catalog is asked for each table once.
    pub fn plan(&self, query: &Query, context: &StatementContext) -> Result<PlannedQuery, QueryError> {
        let planned = self.plan_grouping(query, Grouping::Full, context);
        if matches!(&planned, Err(QueryError::NotGrouped(_))) && !full_group_by(context) {
            return self.plan_grouping(query, Grouping::Relaxed, context);
        }
        planned
    }

    fn plan_grouping(
        &self,
        query: &Query,
        grouping: Grouping,
        context: &StatementContext,
    ) -> Result<PlannedQuery, QueryError> {
        let mut query = query.clone();
        let unlimited = query.limit_clause.is_none() && query.fetch.is_none();
        let headers = rewrite::rewrite_query(&mut query, grouping, context, &self.names)?;
        let reports = Reports::default();
        let binder = self.binder(context, &reports);
        let statement = Statement::Query(Box::new(query));
        let mut logical = SqlToRel::new(&binder).sql_statement_to_plan(statement)?;
        effort::check(&logical)?;
        levels::check(&logical)?;
        // Analysed at once: types are final only now, and what cannot be typed shall fail here.
        logical = self.state.analyzer().execute_and_check(logical, self.state.config_options(), |_, _| {})?;
        logical = functions::bounded::bound(logical, &self.memory)?;
        logical = recursion::keep_columns(logical)?;
        if let Some(limit) = context.select_limit.filter(|_| unlimited) {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            logical = LogicalPlanBuilder::from(logical).limit(0, Some(limit))?.build()?;
        }
        let columns: Vec<Field> = logical
            .schema()
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| {
                Field::new(headers.of(index, field), output_type(field.data_type()), true)
                    .with_metadata(field.metadata().clone())
            })
            .collect();
        Ok(PlannedQuery {
            columns: Arc::new(Schema::new(columns)),
            tables: binder.tables(),
            logical,
            reports,
            recursion_max: recursion::rounds_max(context),
        })
    }

    /// Plans a query whose parameters are given.
    pub fn plan_with(
        &self,
        query: &Query,
        parameters: &[Value],
        context: &StatementContext,
    ) -> Result<PlannedQuery, QueryError> {
        let mut query = query.clone();
        rewrite::bind(&mut query, parameters)?;
        self.plan(&query, context)
    }

    /// What a query with `?` in it will answer.
    pub fn describe(&self, query: &Query, context: &StatementContext) -> Result<Description, QueryError> {
        let parameters = rewrite::count_placeholders(query);
        let mut bound = query.clone();
        rewrite::bind(&mut bound, &vec![Value::Null; parameters])?;
        let planned = self.plan(&bound, context)?;
        Ok(Description { columns: planned.columns, parameters })
    }

    /// Starts a query. Errors of optimising and pruning come at once, those of reading through the stream.
    pub async fn execute(&self, planned: PlannedQuery) -> Result<QueryStream, QueryError> {
        let state = Arc::clone(&self.state);
        let PlannedQuery { logical, columns, recursion_max, .. } = planned;
        let interrupt = Interrupt::default();
        let watching = interrupt.clone();
        let task = self.runtime()?.spawn(async move {
            let (plan, context) = physical_plan(&state, &logical, recursion_max).await?;
            let plan = interrupt::watch(plan, &watching)?;
            let stream = datafusion::physical_plan::execute_stream(plan, context)?;
            Ok::<_, QueryError>(stream)
        });
        // Aborted with the caller: planning may read footers of many files.
        let stream = AbortOnDrop(task).join().await?;
        Ok(QueryStream::start(self.runtime()?, stream, columns, interrupt))
    }

    pub(super) fn binder<'a>(&'a self, context: &'a StatementContext, reports: &Reports) -> Binder<'a> {
        Binder::new(context, &self.state, &self.planners, Arc::clone(reports))
    }

    pub(super) fn state(&self) -> &Arc<SessionState> {
        &self.state
    }

    pub(super) fn names(&self) -> &FunctionNames {
        &self.names
    }

    pub(super) fn runtime(&self) -> Result<&tokio::runtime::Handle, QueryError> {
        self.runtime.as_ref().map(tokio::runtime::Runtime::handle).ok_or(QueryError::Cancelled)
    }
}

impl std::fmt::Debug for QueryEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryEngine").finish_non_exhaustive()
    }
}

impl Drop for QueryEngine {
    fn drop(&mut self) {
        // Dropping a runtime waits for its threads, which is not allowed where futures run.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The engine's rules by which plans are made better, kept from changing an answer.
fn logical_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let rules = Optimizer::new().rules.into_iter();
    let rules = rules.map(groups::keep_last).map(joins::keep_not_in).map(lists::keep_apart);
    rules.flat_map(dependencies::forget_before).collect()
}

/// The engine's rules that plans go through before they run, with those among them that mend what it does. They stand
/// where orders are settled and projections are not moved yet.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules: Vec<_> = PhysicalOptimizer::new().rules.into_iter().map(filters::keep_to_names).collect();
    rules.insert(0, Arc::new(SameInput));
    let before = rules.iter().position(|rule| rule.name() == DISTRIBUTION_RULE).unwrap_or(0);
    rules.insert(before, Arc::new(PaddedConstants));
    let behind = rules.iter().position(|rule| rule.name() == ORDERING_RULE).map_or(0, |place| place + 1);
    rules.insert(behind, Arc::new(KeepOrders));
    rules.insert(behind + 1, Arc::new(KeepSides));
    rules
}

/// From an analysed plan to one that runs, and what it runs with.
pub(super) async fn physical_plan(
    state: &SessionState,
    logical: &LogicalPlan,
    recursion_max: u64,
) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>), QueryError> {
    functions::text::plan_with_budget(async {
        let optimized = state.optimizer().optimize(logical.clone(), state, |_, _| {})?;
        let context = task_context(state, longest_constant(&optimized)?);
        let plan = state.query_planner().create_physical_plan(&optimized, state).await?;
        let plan = joins::keep_nulls(plan)?;
        Ok((recursion::limit(plan, recursion_max)?, context))
    })
    .await
}

/// The bytes of the longest text among a plan's constants.
fn longest_constant(plan: &LogicalPlan) -> Result<usize, QueryError> {
    let mut longest = 0;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Literal(value, _) = expr {
                    let text = value.try_as_str().flatten().map_or(0, str::len);
                    longest = longest.max(text);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(longest)
}

/// What a plan runs with. A long constant is copied into every row of a batch, so batches have fewer rows then.
fn task_context(state: &SessionState, constant_bytes: usize) -> Arc<TaskContext> {
    let rows = (CONSTANT_COLUMN_BYTES_MAX / constant_bytes.max(1)).clamp(1, BATCH_ROWS);
    if rows == BATCH_ROWS {
        return state.task_ctx();
    }
    let config = state.config().clone().with_batch_size(rows);
    Arc::new(TaskContext::from(state).with_session_config(config))
}

/// A task that ends with the one who waits for it.
pub(super) struct AbortOnDrop<T>(pub(super) tokio::task::JoinHandle<Result<T, QueryError>>);

impl<T> AbortOnDrop<T> {
    pub(super) async fn join(mut self) -> Result<T, QueryError> {
        match (&mut self.0).await {
            Ok(result) => result,
            Err(error) => Err(QueryError::from_join(&error)),
        }
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether the session insists on ONLY_FULL_GROUP_BY.
fn full_group_by(context: &StatementContext) -> bool {
    let mode = context.variables.system(VariableScope::Session, "sql_mode");
    mode.is_some_and(|mode| mode.to_string().to_uppercase().contains("ONLY_FULL_GROUP_BY"))
}

fn options(threads: usize, memory_bytes: usize) -> ConfigOptions {
    let mut options = ConfigOptions::new();
    // What a sort keeps back for merging its spilled runs; with little memory it must not be all there is.
    let merge_bytes = memory_bytes / (MERGE_SHARE * threads);
    options.execution.sort_spill_reservation_bytes = merge_bytes.min(options.execution.sort_spill_reservation_bytes);
    options.execution.sort_in_place_threshold_bytes = SORT_IN_PLACE_BYTES_MAX;
    options.execution.target_partitions = threads;
    options.execution.batch_size = BATCH_ROWS;
    // `SameInput` checks it instead.
    options.execution.skip_physical_aggregate_schema_check = true;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    options.execution.parquet.schema_force_view_types = false;
    options.optimizer.repartition_file_min_size = SPLIT_BYTES_MIN;
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    // NULL is smaller than everything: first ascending, last descending.
    options.sql_parser.default_null_ordering = "nulls_min".to_owned();
    options
}
