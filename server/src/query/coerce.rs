//! One type for both sides of a comparison, and casts that answer NULL instead of failing.
//!
//! Runs before the engine's own type coercion, on the whole plan and on single expressions alike. A number beside a text
//! makes it a number, a date makes it a date; a literal is converted here and now, to the column's own type, so that
//! pruning by zone maps still sees `column op literal`. Types of outputs never change.

use datafusion::arrow::array::Array as _;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRewriter};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{AggregateFunction, Between, Case, InList, Like};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, TryCast, lit};
use datafusion::optimizer::AnalyzerRule;

use super::convert::{self, DATETIME, datetime, number};
use super::functions;

/// The analyzer rule.
#[derive(Debug)]
pub(crate) struct MySqlCoercion;

impl AnalyzerRule for MySqlCoercion {
    fn name(&self) -> &str {
        "mysql_coercion"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let mut schema = merge_schema(&plan.inputs());
            if let LogicalPlan::TableScan(scan) = &plan {
                let source = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?;
                schema.merge(&source);
            }
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                coerce(expr, &schema).map(|coerced| coerced.update_data(|expr| name.restore(expr)))
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

struct Coercion<'a> {
    schema: &'a DFSchema,
}

impl TreeNodeRewriter for Coercion<'_> {
    type Node = Expr;

    fn f_up(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(binary) if is_comparison(binary.op) => self.comparison(binary),
            Expr::InList(list) => self.in_list(list),
            Expr::Between(between) => self.between(between),
            Expr::Case(case) if case.expr.is_some() => self.case(case),
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
    fn case(&self, case: Case) -> Result<Transformed<Expr>> {
        let Some(operand) = case.expr else {
            return Ok(Transformed::no(Expr::Case(case)));
        };
        let operand = *operand;
        let mut whens = Vec::with_capacity(case.when_then_expr.len());
        let mut uniform = true;
        for (when, then) in case.when_then_expr {
            let (left, when) = self.pair(operand.clone(), *when)?;
            uniform &= left == operand;
            whens.push((left, when, then));
        }
        Ok(Transformed::yes(Expr::Case(if uniform {
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
        })))
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

/// A literal, perhaps cast or negated.
fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) => true,
        Expr::Cast(cast) => is_constant(&cast.expr),
        Expr::TryCast(cast) => is_constant(&cast.expr),
        Expr::Negative(inner) => is_constant(inner),
        Expr::Alias(alias) => is_constant(&alias.expr),
        _ => false,
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

fn literal(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(scalar, _) if !scalar.is_null() => Some(scalar.clone()),
        Expr::Alias(alias) => literal(&alias.expr),
        _ => None,
    }
}

/// The literal in the type of the other side, if it is there exactly what it was.
fn meet(scalar: &ScalarValue, target: &DataType) -> Option<ScalarValue> {
    let from = scalar.data_type();
    match target {
        DataType::Boolean => match text_or_number(scalar)? {
            0.0 => Some(ScalarValue::Boolean(Some(false))),
            1.0 => Some(ScalarValue::Boolean(Some(true))),
            _ => None,
        },
        integer if integer.is_integer() && convert::is_string(&from) => {
            let (digits, scale) = number::plain_decimal(scalar.try_as_str()??)?;
            if scale != 0 {
                return None;
            }
            cast_scalar(&ScalarValue::Decimal256(Some(digits), 76, 0), integer).filter(|scalar| !scalar.is_null())
        }
        decimal if convert::is_decimal(decimal) && convert::is_string(&from) => {
            let (digits, scale) = number::plain_decimal(scalar.try_as_str()??)?;
            let exact = ScalarValue::Decimal256(Some(digits), 76, scale);
            let cast = exact.cast_to(decimal).ok().filter(|scalar| !scalar.is_null())?;
            (cast.cast_to(&exact.data_type()).ok()? == exact).then_some(cast)
        }
        float if float.is_floating() && convert::is_string(&from) => {
            let value = number::parse_double(scalar.try_as_str()??)?;
            ScalarValue::Float64(Some(value)).cast_to(float).ok()
        }
        DataType::Date32 => {
            let micros = moment(scalar)?;
            (micros.rem_euclid(datetime::DAY) == 0).then(|| ScalarValue::Date32(Some(datetime::days_of(micros))))
        }
        DataType::Timestamp(..) => ScalarValue::TimestampMicrosecond(Some(moment(scalar)?), None).cast_to(target).ok(),
        _ => None,
    }
}

fn text_or_number(scalar: &ScalarValue) -> Option<f64> {
    if let Some(text) = scalar.try_as_str() {
        return convert::text::parse_bool(text?).map(f64::from);
    }
    match scalar.cast_to(&DataType::Float64).ok()? {
        ScalarValue::Float64(value) => value,
        _ => None,
    }
}

/// The literal read as a DATETIME.
fn moment(scalar: &ScalarValue) -> Option<i64> {
    if let Some(text) = scalar.try_as_str() {
        return datetime::parse_datetime(text?);
    }
    match scalar {
        ScalarValue::Date32(Some(days)) => Some(datetime::micros_of_days(*days)),
        scalar if convert::is_temporal(&scalar.data_type()) => match scalar.cast_to(&DATETIME).ok()? {
            ScalarValue::TimestampMicrosecond(micros, _) => micros,
            _ => None,
        },
        scalar if scalar.data_type().is_integer() => match scalar.cast_to(&DataType::Int64).ok()? {
            ScalarValue::Int64(value) => datetime::datetime_of_number(value?),
            _ => None,
        },
        _ => None,
    }
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
            other if convert::is_number(other) => Some(DataType::Float64),
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
