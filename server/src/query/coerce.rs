//! One type for both sides of a comparison, and casts that answer NULL instead of failing.
//!
//! Runs before the engine's own type coercion, on the whole plan and on single expressions alike. A number beside a text
//! makes it a number, a date makes it a date; a literal is converted here and now, to the column's own type, so that
//! pruning by zone maps still sees `column op literal`. A decimal beside a DOUBLE is a DOUBLE, everywhere.
//!
//! Where values become one column (CASE, COALESCE, UNION, VALUES, arrays, LAG's default), they take one type: a text if
//! there is one or dates stand among numbers, DATETIME of dates and times, DOUBLE if there is a FLOAT or DOUBLE among
//! numbers; TRUE and FALSE are 1 and 0 among them. The planner asked for types before this; arithmetic it chose for exact
//! numbers is changed here to that of DOUBLE where it turns out to be about one, and a truth value that has become a
//! number is taken for its truth where one is wanted.

mod columns;
mod frames;
mod literals;

use std::sync::Arc;

use datafusion::arrow::array::Array as _;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRewriter};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{
    AggregateFunction, Between, Case, InList, InSubquery, Like, ScalarFunction, SetComparison, WindowFunction,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, TryCast, lit,
};
use datafusion::optimizer::AnalyzerRule;

use literals::{is_constant, literal, meet};

use super::convert::{self, DATETIME};
use super::error::{QueryError, of_type};
use super::functions;
use super::functions::conditional::{self, COALESCE};
use super::operators;

/// Functions whose arguments take one type.
const OF_ONE_TYPE: [&str; 2] = [COALESCE, "make_array"];
/// Window functions with a value for rows that are not there.
const WITH_DEFAULT: [&str; 2] = ["lag", "lead"];
/// What the rows that ANY and ALL look at, and the column of these, are called inside the engine, lest they be taken for
/// something of the query's own.
const COMPARED: (&str, &str) = ("ebla_compared", "ebla_item");

/// The analyzer rule.
#[derive(Debug)]
pub(crate) struct MySqlCoercion;

impl AnalyzerRule for MySqlCoercion {
    fn name(&self) -> &str {
        "mysql_coercion"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let plan = match plan {
                LogicalPlan::Union(union) => LogicalPlan::Union(columns::columns_of_one_type(union)?),
                LogicalPlan::Join(join) => LogicalPlan::Join(columns::keys_of_one_type(join)?),
                LogicalPlan::Values(rows) => LogicalPlan::Values(columns::rows_of_one_type(rows)?),
                plan => plan,
            };
            let mut schema = merge_schema(&plan.inputs());
            if let LogicalPlan::TableScan(scan) = &plan {
                let source = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?;
                schema.merge(&source);
            }
            let names = NamePreserver::new(&plan);
            let is_filter = matches!(plan, LogicalPlan::Filter(_));
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let coerced = coerce(expr, &schema)?;
                let coerced = if is_filter { coerced.map_data(|expr| condition(expr, &schema))? } else { coerced };
                Ok(coerced.update_data(|expr| name.restore(expr)))
            })?
            .map_data(LogicalPlan::recompute_schema)
        })
        .map(|transformed| transformed.data)
    }
}

/// Coerces one expression over the columns of `schema`.
pub(crate) fn coerce(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.rewrite(&mut Coercion { schema })
}

/// A comparison while planning: sides of different types are brought together at once, because the planner asks for the
/// type of what it has.
pub(crate) fn comparison(left: Expr, op: Operator, right: Expr, schema: &DFSchema) -> Result<Expr> {
    let coercion = Coercion { schema };
    if left.get_type(schema)? == right.get_type(schema)? {
        return Ok(binary(left, op, right));
    }
    // Literals first take their types, so that a column beside one stays bare. Nothing else may change: an aggregate here
    // must remain equal to the same aggregate of the select list.
    let left = if is_constant(&left) { coerce(left, schema)?.data } else { left };
    let right = if is_constant(&right) { coerce(right, schema)?.data } else { right };
    let (left, right) = coercion.pair(left, right)?;
    Ok(binary(left, op, right))
}

/// The type that an expression has when this rule is through with it, as far as the planner can already tell.
pub(crate) fn settled_type(expr: &Expr, schema: &DFSchema) -> Result<DataType> {
    let Expr::Case(case) = expr else {
        return expr.get_type(schema);
    };
    let results = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
    let types: Result<Vec<DataType>> = results.map(|result| settled_type(result, schema)).collect();
    match result_type(&types?) {
        Some(data_type) => Ok(data_type),
        None => expr.get_type(schema),
    }
}

/// The type of values that become one column; `None` to leave it to the engine.
pub(crate) fn result_type(types: &[DataType]) -> Option<DataType> {
    let mut known = types.iter().filter(|data_type| !data_type.is_null());
    let first = known.next()?;
    if known.all(|data_type| data_type == first) {
        return None;
    }
    let mut known = types.iter().filter(|data_type| !data_type.is_null());
    let plain = |data_type: &DataType| {
        convert::is_string(data_type)
            || convert::is_number(data_type)
            || convert::is_temporal(data_type)
            || *data_type == DataType::Boolean
    };
    let beside_numbers = |data_type: &DataType| convert::is_temporal(data_type) || *data_type == DataType::Boolean;
    if types.iter().any(|data_type| convert::is_string(data_type) || beside_numbers(data_type)) {
        return known.all(plain).then(|| conditional::common_type(types));
    }
    (types.iter().any(DataType::is_floating) && known.all(convert::is_number)).then_some(DataType::Float64)
}

/// A condition that was a truth value while planning, whatever it has become.
fn condition(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    match &expr {
        Expr::BinaryExpr(binary) if is_comparison(binary.op) || matches!(binary.op, Operator::And | Operator::Or) => {
            Ok(expr)
        }
        Expr::Not(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::InList(_)
        | Expr::InSubquery(_)
        | Expr::SetComparison(_)
        | Expr::Exists(_)
        | Expr::Between(_)
        | Expr::Like(_) => Ok(expr),
        _ => operators::truth(expr, schema),
    }
}

struct Coercion<'a> {
    schema: &'a DFSchema,
}

impl TreeNodeRewriter for Coercion<'_> {
    type Node = Expr;

    fn f_up(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(binary) if is_comparison(binary.op) => self.comparison(binary),
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let (left, right) = (condition(*left, self.schema)?, condition(*right, self.schema)?);
                Ok(Transformed::yes(binary(left, op, right)))
            }
            Expr::Not(inner) => Ok(Transformed::yes(Expr::Not(Box::new(condition(*inner, self.schema)?)))),
            Expr::InList(list) => self.in_list(list),
            Expr::Between(between) => self.between(between),
            Expr::Case(case) => {
                let case = if case.expr.is_some() { self.case(case)? } else { self.conditions(case)? };
                self.results(case)
            }
            Expr::InSubquery(test) => self.in_subquery(test),
            Expr::SetComparison(test) => self.set_comparison(test),
            Expr::WindowFunction(call) if WITH_DEFAULT.contains(&call.fun.name()) => self.shifted(call),
            Expr::WindowFunction(call) => {
                Ok(Transformed::yes(Expr::WindowFunction(frames::measured(call, self.schema)?)))
            }
            Expr::ScalarFunction(call) if OF_ONE_TYPE.contains(&call.func.name()) => self.of_one_type(call),
            Expr::ScalarFunction(call) => self.exact_arithmetic(call),
            Expr::Like(like) => self.like(like),
            Expr::Cast(cast) => self.cast(*cast.expr, cast.field.data_type().clone()),
            Expr::TryCast(cast) => self.cast(*cast.expr, cast.field.data_type().clone()),
            Expr::AggregateFunction(call) if matches!(call.func.name(), "sum" | "avg") => self.sum(call),
            other => Ok(Transformed::no(other)),
        }
    }
}

impl Coercion<'_> {
    fn comparison(&self, binary: BinaryExpr) -> Result<Transformed<Expr>> {
        let (left, right) = self.pair(*binary.left, *binary.right)?;
        Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), binary.op, Box::new(right)))))
    }

    /// `x IN (...)` stays a list when every item takes x's type; else it becomes a chain of comparisons.
    fn in_list(&self, list: InList) -> Result<Transformed<Expr>> {
        let expr = *list.expr;
        let mut items = Vec::with_capacity(list.list.len());
        let mut uniform = true;
        for item in list.list {
            let (left, item) = self.pair(expr.clone(), item)?;
            uniform &= left == expr;
            items.push((left, item));
        }
        if uniform {
            let items = items.into_iter().map(|(_, item)| item).collect();
            return Ok(Transformed::yes(Expr::InList(InList::new(Box::new(expr), items, list.negated))));
        }
        let (op, join) = if list.negated { (Operator::NotEq, Operator::And) } else { (Operator::Eq, Operator::Or) };
        let chain = items
            .into_iter()
            .map(|(left, item)| binary(left, op, item))
            .reduce(|chain, next| binary(chain, join, next));
        Ok(Transformed::yes(chain.unwrap_or_else(|| lit(list.negated))))
    }

    fn between(&self, between: Between) -> Result<Transformed<Expr>> {
        let expr = *between.expr;
        let (low_side, low) = self.pair(expr.clone(), *between.low)?;
        let (high_side, high) = self.pair(expr.clone(), *between.high)?;
        if low_side == expr && high_side == expr {
            return Ok(Transformed::yes(Expr::Between(Between::new(
                Box::new(expr),
                between.negated,
                Box::new(low),
                Box::new(high),
            ))));
        }
        Ok(Transformed::yes(if between.negated {
            binary(binary(low_side, Operator::Lt, low), Operator::Or, binary(high_side, Operator::Gt, high))
        } else {
            binary(binary(low_side, Operator::GtEq, low), Operator::And, binary(high_side, Operator::LtEq, high))
        }))
    }

    /// `CASE x WHEN y` compares; where the types differ it is spelled out as `CASE WHEN x = y`.
    fn case(&self, case: Case) -> Result<Case> {
        let Some(operand) = case.expr else {
            return Ok(case);
        };
        let operand = *operand;
        let mut whens = Vec::with_capacity(case.when_then_expr.len());
        let mut uniform = true;
        for (when, then) in case.when_then_expr {
            let (left, when) = self.pair(operand.clone(), *when)?;
            uniform &= left == operand;
            whens.push((left, when, then));
        }
        Ok(if uniform {
            Case::new(
                Some(Box::new(operand)),
                whens.into_iter().map(|(_, when, then)| (Box::new(when), then)).collect(),
                case.else_expr,
            )
        } else {
            Case::new(
                None,
                whens
                    .into_iter()
                    .map(|(left, when, then)| (Box::new(binary(left, Operator::Eq, when)), then))
                    .collect(),
                case.else_expr,
            )
        })
    }

    /// What a CASE without a value to compare asks.
    fn conditions(&self, mut case: Case) -> Result<Case> {
        for (when, _) in &mut case.when_then_expr {
            let taken = std::mem::replace(when.as_mut(), lit(ScalarValue::Null));
            **when = condition(taken, self.schema)?;
        }
        Ok(case)
    }

    /// What a CASE may answer, in one type.
    fn results(&self, mut case: Case) -> Result<Transformed<Expr>> {
        let mut results: Vec<&mut Box<Expr>> =
            case.when_then_expr.iter_mut().map(|(_, then)| then).chain(&mut case.else_expr).collect();
        let types: Result<Vec<DataType>> = results.iter().map(|result| result.get_type(self.schema)).collect();
        let types = types?;
        if let Some(target) = result_type(&types) {
            for (result, data_type) in results.iter_mut().zip(&types).filter(|(_, data_type)| !data_type.is_null()) {
                let taken = std::mem::replace(result.as_mut(), lit(ScalarValue::Null));
                ***result = cast_expr(taken, data_type, &target);
            }
        }
        Ok(Transformed::yes(Expr::Case(case)))
    }

    /// The arguments of COALESCE and the items of an array, in one type.
    fn of_one_type(&self, mut call: ScalarFunction) -> Result<Transformed<Expr>> {
        let types: Result<Vec<DataType>> = call.args.iter().map(|arg| arg.get_type(self.schema)).collect();
        let types = types?;
        if let Some(target) = result_type(&types) {
            let args = call.args.into_iter().zip(&types);
            call.args = args
                .map(|(arg, data_type)| if data_type.is_null() { arg } else { cast_expr(arg, data_type, &target) })
                .collect();
        }
        Ok(Transformed::yes(Expr::ScalarFunction(call)))
    }

    /// Arithmetic chosen for exact numbers, one of which has become a DOUBLE or a text.
    fn exact_arithmetic(&self, call: ScalarFunction) -> Result<Transformed<Expr>> {
        let Some(op) = functions::arithmetic::checked::operator(&call.func) else {
            return Ok(Transformed::no(Expr::ScalarFunction(call)));
        };
        let types: Result<Vec<DataType>> = call.args.iter().map(|arg| arg.get_type(self.schema)).collect();
        let types = types?;
        if !types.iter().any(|data_type| data_type.is_floating() || convert::is_string(data_type)) {
            return Ok(Transformed::no(Expr::ScalarFunction(call)));
        }
        let sides = call.args.into_iter().zip(&types);
        let mut sides = sides.map(|(side, data_type)| cast_expr(side, data_type, &DataType::Float64));
        let (Some(left), Some(right)) = (sides.next(), sides.next()) else {
            return Err(QueryError::Internal(format!("operator {op} without two sides")).wrap());
        };
        Ok(Transformed::yes(functions::arithmetic::on_doubles(left, op, right)))
    }

    /// `x IN (SELECT y)` compares like `x = y`.
    fn in_subquery(&self, test: InSubquery) -> Result<Transformed<Expr>> {
        let (qualifier, field) = test.subquery.subquery.schema().qualified_field(0);
        let (left_type, right_type) = (test.expr.get_type(self.schema)?, field.data_type());
        let Some(common) = common_type(&left_type, right_type) else {
            return Ok(Transformed::no(Expr::InSubquery(test)));
        };
        let expr = cast_expr(*test.expr, &left_type, &common);
        let item = cast_expr(Expr::Column(Column::from((qualifier, field))), right_type, &common)
            .alias_qualified(qualifier.cloned(), field.name());
        let plan = LogicalPlanBuilder::from(Arc::clone(&test.subquery.subquery)).project(vec![item])?.build()?;
        let subquery = test.subquery.with_plan(Arc::new(plan));
        Ok(Transformed::yes(Expr::InSubquery(InSubquery::new(Box::new(expr), subquery, test.negated))))
    }

    /// `x > ANY (SELECT y)` and the like compare like `x > y`.
    fn set_comparison(&self, mut test: SetComparison) -> Result<Transformed<Expr>> {
        let (qualifier, field) = test.subquery.subquery.schema().qualified_field(0);
        let (left_type, right_type) = (test.expr.get_type(self.schema)?, field.data_type().clone());
        let common = common_type(&left_type, &right_type);
        if let Some(common) = &common {
            *test.expr = cast_expr(*test.expr, &left_type, common);
        }
        let common = common.unwrap_or_else(|| right_type.clone());
        // Under a name of its own also where the types are one: the subquery's table may be named like one around it.
        let item = cast_expr(Expr::Column(Column::from((qualifier, field))), &right_type, &common).alias(COMPARED.1);
        let rows = LogicalPlanBuilder::from(Arc::clone(&test.subquery.subquery)).project(vec![item])?;
        // A correlated subquery's conditions read columns that a name of its own would hide.
        let rows = if test.subquery.outer_ref_columns.is_empty() { rows.alias(COMPARED.0)? } else { rows };
        test.subquery = test.subquery.with_plan(Arc::new(rows.build()?));
        Ok(Transformed::yes(Expr::SetComparison(test)))
    }

    /// LAG and LEAD: the default in the type of the values, or both in one that holds them.
    fn shifted(&self, mut call: Box<WindowFunction>) -> Result<Transformed<Expr>> {
        let [value, _, default] = call.params.args.as_mut_slice() else {
            return Ok(Transformed::no(Expr::WindowFunction(call)));
        };
        let types = [value.get_type(self.schema)?, default.get_type(self.schema)?];
        if types[0] == types[1] || types.iter().any(DataType::is_null) {
            return Ok(Transformed::no(Expr::WindowFunction(call)));
        }
        if let Some(met) = literal(default).and_then(|default| meet(&default, &types[0])) {
            *default = Expr::Literal(met, None);
            return Ok(Transformed::yes(Expr::WindowFunction(call)));
        }
        let exact = types.iter().any(convert::is_decimal) && types.iter().all(convert::is_number);
        if let Some(target) = result_type(&types).or_else(|| exact.then(|| conditional::common_type(&types))) {
            *value = cast_expr(value.clone(), &types[0], &target);
            *default = cast_expr(default.clone(), &types[1], &target);
        }
        Ok(Transformed::yes(Expr::WindowFunction(call)))
    }

    /// LIKE compares texts.
    fn like(&self, like: Like) -> Result<Transformed<Expr>> {
        let expr = self.text(*like.expr)?;
        let pattern = self.text(*like.pattern)?;
        Ok(Transformed::yes(Expr::Like(Like::new(
            like.negated,
            Box::new(expr),
            Box::new(pattern),
            like.escape_char,
            like.case_insensitive,
        ))))
    }

    fn text(&self, expr: Expr) -> Result<Expr> {
        let data_type = expr.get_type(self.schema)?;
        if convert::is_string(&data_type) || data_type.is_null() {
            return Ok(expr);
        }
        Ok(cast_expr(expr, &data_type, &DataType::Utf8))
    }

    fn cast(&self, expr: Expr, target: DataType) -> Result<Transformed<Expr>> {
        let from = expr.get_type(self.schema)?;
        if matches!(target, DataType::List(_)) && !(from.is_nested() || from.is_null() || convert::is_string(&from)) {
            let text = format!("Invalid type cast from {} to {}", of_type(&from), of_type(&target));
            return Err(QueryError::Semantic(text).wrap());
        }
        Ok(Transformed::yes(cast_expr(expr, &from, &target)))
    }

    /// SUM and AVG of texts add up the numbers they read as; the others count for nothing.
    fn sum(&self, mut call: AggregateFunction) -> Result<Transformed<Expr>> {
        for arg in &mut call.params.args {
            let data_type = arg.get_type(self.schema)?;
            if convert::is_string(&data_type) {
                *arg = cast_expr(arg.clone(), &data_type, &DataType::Float64);
            }
        }
        Ok(Transformed::yes(Expr::AggregateFunction(call)))
    }

    /// Both sides in one type, or as they are when the engine knows what to do with them.
    fn pair(&self, left: Expr, right: Expr) -> Result<(Expr, Expr)> {
        let left_type = left.get_type(self.schema)?;
        let right_type = right.get_type(self.schema)?;
        if left_type == right_type || left_type.is_null() || right_type.is_null() {
            return Ok((left, right));
        }
        if let Some(right) = literal(&right).and_then(|literal| meet(&literal, &left_type)) {
            return Ok((left, Expr::Literal(right, None)));
        }
        if let Some(left) = literal(&left).and_then(|literal| meet(&literal, &right_type)) {
            return Ok((Expr::Literal(left, None), right));
        }
        Ok(match common_type(&left_type, &right_type) {
            Some(common) => (cast_expr(left, &left_type, &common), cast_expr(right, &right_type, &common)),
            None => (left, right),
        })
    }
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// The type in which values of two types are compared; `None` to leave it to the engine.
fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    let either = |test: fn(&DataType) -> bool| test(left) || test(right);
    let is_bool = |data_type: &DataType| *data_type == DataType::Boolean;
    if either(convert::is_string) {
        let other = if convert::is_string(left) { right } else { left };
        return match other {
            other if convert::is_string(other) => None,
            other if convert::is_temporal(other) => Some(DATETIME),
            other if convert::is_number(other) || is_bool(other) => Some(DataType::Float64),
            _ => None,
        };
    }
    if either(convert::is_temporal) {
        let other = if convert::is_temporal(left) { right } else { left };
        return match other {
            other if convert::is_temporal(other) => Some(DATETIME),
            other if convert::is_number(other) || is_bool(other) => Some(DataType::Float64),
            _ => None,
        };
    }
    if is_bool(left) != is_bool(right) {
        let other = if is_bool(left) { right } else { left };
        if other.is_integer() {
            return Some(DataType::Int64);
        }
        return convert::is_number(other).then_some(DataType::Float64);
    }
    if convert::is_decimal(left) && convert::is_decimal(right) {
        return None;
    }
    // The engine would take a decimal for it, in which most doubles have no room.
    if left != right && either(DataType::is_floating) && convert::is_number(left) && convert::is_number(right) {
        return Some(DataType::Float64);
    }
    // An integer beside a decimal wider than 38 digits would not fit the engine's common type.
    let wide = |data_type: &DataType| matches!(data_type, DataType::Decimal256(..));
    if either(wide) && (left.is_integer() || right.is_integer()) {
        return Some(if wide(left) { left.clone() } else { right.clone() });
    }
    None
}

/// A cast as MySQL casts; literals are cast at once.
pub(crate) fn cast_expr(expr: Expr, from: &DataType, target: &DataType) -> Expr {
    if from == target {
        return expr;
    }
    if let Expr::Literal(scalar, metadata) = &expr
        && metadata.is_none()
        && let Some(cast) = cast_scalar(scalar, target)
    {
        return Expr::Literal(cast, None);
    }
    if convert::is_native(from, target) {
        return Expr::TryCast(TryCast::new(Box::new(expr), target.clone()));
    }
    functions::cast::function(target).call(vec![expr])
}

/// A scalar as another type, NULL when it does not convert.
pub(crate) fn cast_scalar(scalar: &ScalarValue, target: &DataType) -> Option<ScalarValue> {
    let array = scalar.to_array().ok()?;
    let cast = convert::cast(&array, target).ok()?;
    if cast.is_null(0) {
        return ScalarValue::try_from(target).ok();
    }
    ScalarValue::try_from_array(&cast, 0).ok()
}
