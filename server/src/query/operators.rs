//! Operators as MySQL means them, decided while planning, when the types of both sides are known.
//!
//! Arithmetic on integers is BIGINT, `/` on integers DOUBLE, on decimals DECIMAL; a division by zero is NULL, a result
//! out of its type's range an error. Texts,
//! dates and booleans count as the numbers they read as. AND, OR, NOT and XOR take any value for its truth. Comparisons
//! are `coerce`'s.
//!
//! The rewriter leaves the operators that are not MySQL's own ([`TRUTH`], ...) in the tree for this planner to find.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, DFSchema, ScalarValue, TableReference};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, Operator, ScalarUDF, TryCast, lit};
use sqlparser::ast::BinaryOperator;

use super::coerce;
use super::convert;
use super::error::{QueryError, of_type};
use super::functions;
use super::functions::arithmetic::checked::{Operation, checked};

/// Operator of the rewriter: the truth of the left side; the right side is ignored.
pub(crate) const TRUTH: &str = "ebla_truth";
/// The operator that gives a cell of VALUES this name, by which it is found again within what the planner puts around it.
pub(crate) const CELL: &str = "ebla_cell";

/// Plans binary operators.
#[derive(Debug)]
pub(crate) struct MySqlOperators {
    add: Arc<ScalarUDF>,
    subtract: Arc<ScalarUDF>,
    multiply: Arc<ScalarUDF>,
    divide: Arc<ScalarUDF>,
    integer_divide: Arc<ScalarUDF>,
    modulo: Arc<ScalarUDF>,
    to_number: Arc<ScalarUDF>,
    json_query: Arc<ScalarUDF>,
    json_string: Arc<ScalarUDF>,
    shift_left: Arc<ScalarUDF>,
    shift_right: Arc<ScalarUDF>,
}

impl MySqlOperators {
    pub(crate) fn new() -> Self {
        Self {
            add: checked(Operation::Add),
            subtract: checked(Operation::Subtract),
            multiply: checked(Operation::Multiply),
            divide: functions::arithmetic::divide(),
            integer_divide: functions::arithmetic::integer_divide(),
            modulo: functions::arithmetic::modulo(),
            to_number: functions::cast::to_number(),
            json_query: functions::json::query(),
            json_string: functions::json::string(),
            shift_left: functions::bits::shift_left(),
            shift_right: functions::bits::shift_right(),
        }
    }
}

impl ExprPlanner for MySqlOperators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = expr;
        let planned = match &op {
            BinaryOperator::Plus => self.arithmetic(Operator::Plus, &self.add, left, right, schema)?,
            BinaryOperator::Minus => self.arithmetic(Operator::Minus, &self.subtract, left, right, schema)?,
            BinaryOperator::Multiply => self.arithmetic(Operator::Multiply, &self.multiply, left, right, schema)?,
            BinaryOperator::Divide => self.call_on_numbers(&self.divide, left, right, schema)?,
            BinaryOperator::Modulo => self.call_on_numbers(&self.modulo, left, right, schema)?,
            BinaryOperator::MyIntegerDivide | BinaryOperator::DuckIntegerDivide => {
                self.call_on_numbers(&self.integer_divide, left, right, schema)?
            }
            BinaryOperator::And | BinaryOperator::PGOverlap => logic(Operator::And, left, right, schema)?,
            BinaryOperator::Or | BinaryOperator::StringConcat => logic(Operator::Or, left, right, schema)?,
            BinaryOperator::Xor => logic(Operator::NotEq, left, right, schema)?,
            BinaryOperator::Spaceship => coerce::comparison(left, Operator::IsNotDistinctFrom, right, schema)?,
            BinaryOperator::BitwiseAnd => self.bits(Operator::BitwiseAnd, left, right, schema)?,
            BinaryOperator::BitwiseOr => self.bits(Operator::BitwiseOr, left, right, schema)?,
            BinaryOperator::BitwiseXor | BinaryOperator::PGBitwiseXor => {
                self.bits(Operator::BitwiseXor, left, right, schema)?
            }
            BinaryOperator::PGBitwiseShiftLeft => self.shift_left.call(vec![left, right]),
            BinaryOperator::PGBitwiseShiftRight => self.shift_right.call(vec![left, right]),
            BinaryOperator::Arrow => self.json_query.call(vec![left, right]),
            BinaryOperator::LongArrow => self.json_string.call(vec![left, right]),
            BinaryOperator::Custom(name) if name == TRUTH => truth(left, schema)?,
            BinaryOperator::Custom(name) if name == CELL => cell(left, schema)?,
            BinaryOperator::Eq => coerce::comparison(left, Operator::Eq, right, schema)?,
            BinaryOperator::NotEq => coerce::comparison(left, Operator::NotEq, right, schema)?,
            BinaryOperator::Lt => coerce::comparison(left, Operator::Lt, right, schema)?,
            BinaryOperator::LtEq => coerce::comparison(left, Operator::LtEq, right, schema)?,
            BinaryOperator::Gt => coerce::comparison(left, Operator::Gt, right, schema)?,
            BinaryOperator::GtEq => coerce::comparison(left, Operator::GtEq, right, schema)?,
            other => return Err(QueryError::Unsupported(format!("Operator '{other}' is not supported")).wrap()),
        };
        Ok(PlannerResult::Planned(planned))
    }

    /// `t.c` where there is a column `t`: its field `c`, or else the column `c` of a table `t` that nobody knows here, which is
    /// said in the words for that.
    fn plan_compound_identifier(
        &self,
        field: &Field,
        _qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> Result<PlannerResult<Vec<Expr>>> {
        if field.data_type().is_nested() {
            return Ok(PlannerResult::Original(Vec::new()));
        }
        let table = TableReference::bare(field.name().as_str());
        Ok(PlannerResult::Planned(Expr::Column(Column::new(Some(table), nested_names.join(".")))))
    }

    /// The items of `[a, b]`, in one type.
    fn plan_array_literal(&self, items: Vec<Expr>, schema: &DFSchema) -> Result<PlannerResult<Vec<Expr>>> {
        let types: Result<Vec<DataType>> = items.iter().map(|item| coerce::settled_type(item, schema)).collect();
        let types = types?;
        let Some(target) = coerce::result_type(&types) else {
            return Ok(PlannerResult::Original(items));
        };
        let items = items.into_iter().zip(&types);
        let items =
            items.map(|(item, from)| if from.is_null() { item } else { coerce::cast_expr(item, from, &target) });
        Ok(PlannerResult::Original(items.collect()))
    }
}

/// A cell of VALUES under its name. The planner knows no type for truth values beside numbers, so it is shown a number.
fn cell(written: Expr, schema: &DFSchema) -> Result<Expr> {
    let is_truth = written.get_type(schema)? == DataType::Boolean;
    let named = written.alias(CELL);
    Ok(if is_truth { Expr::Cast(Cast::new(Box::new(named), DataType::Int8)) } else { named })
}

impl MySqlOperators {
    /// `+`, `-`, `*`: that of doubles, or the checked function on exact numbers.
    fn arithmetic(
        &self,
        op: Operator,
        checked: &Arc<ScalarUDF>,
        left: Expr,
        right: Expr,
        schema: &DFSchema,
    ) -> Result<Expr> {
        let (left, left_type) = self.number(left, schema)?;
        let (right, right_type) = self.number(right, schema)?;
        if left_type.is_null() || right_type.is_null() {
            // NULL has no type of its own; the result takes the other side's.
            let other = if left_type.is_null() { right_type } else { left_type };
            let data_type = if other.is_null() { DataType::Int64 } else { other };
            return Ok(Expr::Literal(ScalarValue::try_from(&data_type)?, None));
        }
        if left_type.is_floating() || right_type.is_floating() {
            let (left, right) = (double(left, &left_type), double(right, &right_type));
            return Ok(functions::arithmetic::on_doubles(left, op, right));
        }
        let left = tighten(left, &right_type);
        let right = tighten(right, &left_type);
        Ok(checked.call(vec![left, right]))
    }

    /// A function of two numbers.
    fn call_on_numbers(&self, function: &Arc<ScalarUDF>, left: Expr, right: Expr, schema: &DFSchema) -> Result<Expr> {
        let (left, left_type) = self.number(left, schema)?;
        let (right, right_type) = self.number(right, schema)?;
        if left_type.is_floating() || right_type.is_floating() {
            return Ok(function.call(vec![double(left, &left_type), double(right, &right_type)]));
        }
        let left = tighten(left, &right_type);
        let right = tighten(right, &left_type);
        Ok(function.call(vec![left, right]))
    }

    fn bits(&self, op: Operator, left: Expr, right: Expr, schema: &DFSchema) -> Result<Expr> {
        let as_int = |expr: Expr, data_type: DataType| match data_type {
            DataType::Int64 => expr,
            DataType::Null => Expr::Literal(ScalarValue::Int64(None), None),
            _ => Expr::TryCast(TryCast::new(Box::new(expr), DataType::Int64)),
        };
        let (left, left_type) = self.number(left, schema)?;
        let (right, right_type) = self.number(right, schema)?;
        Ok(binary(op, as_int(left, left_type), as_int(right, right_type)))
    }

    /// The expression as BIGINT, DOUBLE or a decimal: the three kinds arithmetic is done in.
    fn number(&self, expr: Expr, schema: &DFSchema) -> Result<(Expr, DataType)> {
        let data_type = coerce::settled_type(&expr, schema)?;
        let expr = if data_type == expr.get_type(schema)? {
            expr
        } else {
            Expr::Cast(Cast::new(Box::new(expr), data_type.clone()))
        };
        let target = match &data_type {
            DataType::Int64 | DataType::Float64 | DataType::Null => return Ok((expr, data_type)),
            decimal if convert::is_decimal(decimal) => return Ok((expr, data_type)),
            DataType::Boolean => DataType::Int64,
            // Literals beyond BIGINT; 20 digits hold them all.
            DataType::UInt64 => DataType::Decimal128(20, 0),
            integer if integer.is_integer() => DataType::Int64,
            float if float.is_floating() => DataType::Float64,
            text if convert::is_string(text) => {
                return Ok((self.to_number.call(vec![expr]), DataType::Float64));
            }
            date if convert::is_temporal(date) => return Ok((self.to_number.call(vec![expr]), DataType::Int64)),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                let text = Expr::TryCast(TryCast::new(Box::new(expr), DataType::Utf8));
                return Ok((self.to_number.call(vec![text]), DataType::Float64));
            }
            other => {
                let text = format!("Arithmetic on a value of type {} is not possible", of_type(other));
                return Err(QueryError::Semantic(text).wrap());
            }
        };
        let expr = match &expr {
            Expr::Literal(scalar, _) => match scalar.cast_to(&target) {
                Ok(scalar) => Expr::Literal(scalar, None),
                Err(_) => Expr::Cast(Cast::new(Box::new(expr), target.clone())),
            },
            _ => Expr::Cast(Cast::new(Box::new(expr), target.clone())),
        };
        Ok((expr, target))
    }
}

/// A number as DOUBLE; NULL stays NULL.
fn double(expr: Expr, data_type: &DataType) -> Expr {
    if data_type.is_null() { expr } else { coerce::cast_expr(expr, data_type, &DataType::Float64) }
}

/// An integer literal beside a decimal becomes a decimal of its own few digits, lest BIGINT's 20 digits inflate the
/// result's precision.
fn tighten(expr: Expr, other: &DataType) -> Expr {
    match &expr {
        Expr::Literal(ScalarValue::Int64(Some(value)), _) if matches!(other, DataType::Decimal128(..)) => {
            let digits = value.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
            // A BIGINT has at most 19 digits.
            let precision = u8::try_from(digits).unwrap_or(19);
            lit(ScalarValue::Decimal128(Some(i128::from(*value)), precision, 0))
        }
        _ => expr,
    }
}

fn logic(op: Operator, left: Expr, right: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(binary(op, truth(left, schema)?, truth(right, schema)?))
}

/// The value as TRUE, FALSE or NULL.
pub(crate) fn truth(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let data_type = coerce::settled_type(&expr, schema)?;
    Ok(match &data_type {
        DataType::Boolean => expr,
        DataType::Null => Expr::Literal(ScalarValue::Boolean(None), None),
        integer if integer.is_integer() => binary(Operator::NotEq, expr, lit(ScalarValue::new_zero(integer)?)),
        number if convert::is_number(number) => binary(Operator::NotEq, expr, lit(0i64)),
        text if convert::is_string(text) => functions::cast::function(&DataType::Boolean).call(vec![expr]),
        date if convert::is_temporal(date) => functions::cast::function(&DataType::Boolean).call(vec![expr]),
        other => {
            let text = format!("A value of type {} is neither true nor false", of_type(other));
            return Err(QueryError::Semantic(text).wrap());
        }
    })
}

fn binary(op: Operator, left: Expr, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}
