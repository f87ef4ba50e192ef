//! GREATEST and LEAST: NULL as soon as one argument is. INTERVAL: where a number stands among others. COALESCE: the
//! engine's, with arguments of types that MySQL brings together.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::compute::can_cast_types;
use datafusion::arrow::compute::kernels::cmp;
use datafusion::arrow::compute::kernels::zip::zip;
use datafusion::arrow::compute::{is_not_null, nullif};
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::error::Result;
use datafusion::functions::core::coalesce::CoalesceFunc;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::support::{Args, MANY, Returns, Scalar};
use crate::query::coerce;
use crate::query::convert::{self, DATETIME};

/// The name of COALESCE.
pub(crate) const COALESCE: &str = "coalesce";

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        Scalar::new("greatest", 1, MANY, Returns::Of(common_type), |args| extreme(args, true)),
        Scalar::new("least", 1, MANY, Returns::Of(common_type), |args| extreme(args, false)),
        // How many of the others, which are in ascending order, are not greater; -1 for NULL.
        Scalar::int("interval", 2, MANY, |args| {
            let numbers: Result<Vec<_>> = (0..args.len()).map(|index| args.doubles(index)).collect();
            let numbers = numbers?;
            Ok(args.build::<Int64Type>(|row| {
                let Some(number) = numbers[0].get(row) else { return Some(-1) };
                let greater = numbers[1..].iter().position(|other| other.get(row).is_some_and(|other| number < other));
                i64::try_from(greater.unwrap_or(numbers.len() - 1)).ok()
            }))
        }),
    ]
}

/// COALESCE, which IFNULL and NVL are as well.
pub(super) fn coalesce() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Coalesce(CoalesceFunc::new())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Coalesce(CoalesceFunc);

impl ScalarUDFImpl for Coalesce {
    fn name(&self) -> &str {
        COALESCE
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match coerce::result_type(types) {
            Some(data_type) if types.iter().all(|from| can_cast_types(from, &data_type)) => {
                Ok(vec![data_type; types.len()])
            }
            // Truth values beside DECIMALs: the engine has no such cast, and would refuse the call. The arguments take
            // their type after planning, by the rule that runs before the engine's.
            Some(_) => Ok(types.to_vec()),
            None => self.0.coerce_types(types),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let field = self.0.return_field_from_args(args)?;
        Ok(match coerce::result_type(&types) {
            Some(data_type) => Arc::new(field.as_ref().clone().with_data_type(data_type)),
            None => field,
        })
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.0.simplify(args, info)
    }

    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.0.conditional_arguments(args)
    }

    fn short_circuits(&self) -> bool {
        self.0.short_circuits()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.0.invoke_with_args(args)
    }
}

/// The type in which all arguments can be compared.
pub(crate) fn common_type(types: &[DataType]) -> DataType {
    types
        .iter()
        .filter(|data_type| !data_type.is_null())
        .cloned()
        .reduce(|left, right| wider(&left, &right))
        .unwrap_or(DataType::Null)
}

fn wider(left: &DataType, right: &DataType) -> DataType {
    let number = |data_type: &DataType| convert::is_number(data_type) || *data_type == DataType::Boolean;
    if left == right {
        left.clone()
    } else if convert::is_string(left) || convert::is_string(right) {
        DataType::Utf8
    } else if convert::is_temporal(left) && convert::is_temporal(right) {
        DATETIME
    } else if number(left) && number(right) {
        let whole = |data_type: &DataType| data_type.is_integer() || *data_type == DataType::Boolean;
        if whole(left) && whole(right) {
            DataType::Int64
        } else if left.is_floating() || right.is_floating() {
            DataType::Float64
        } else {
            wider_decimal(left, right)
        }
    } else {
        DataType::Utf8
    }
}

fn wider_decimal(left: &DataType, right: &DataType) -> DataType {
    let digits = |data_type: &DataType| match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            (i16::from(*precision) - i16::from(*scale), *scale)
        }
        DataType::Boolean => (1, 0),
        _ => (19, 0),
    };
    let ((left_whole, left_scale), (right_whole, right_scale)) = (digits(left), digits(right));
    let scale = left_scale.max(right_scale);
    let precision = left_whole.max(right_whole) + i16::from(scale);
    match u8::try_from(precision) {
        Ok(precision) if precision <= 38 => DataType::Decimal128(precision, scale),
        Ok(precision) if precision <= 76 => DataType::Decimal256(precision, scale),
        _ => DataType::Float64,
    }
}

fn extreme(args: &Args<'_>, greatest: bool) -> Result<ArrayRef> {
    let mut best = convert::cast(&args.array(0)?, args.return_type())?;
    for index in 1..args.len() {
        let next = convert::cast(&args.array(index)?, args.return_type())?;
        let keep = if greatest { cmp::gt_eq(&best, &next)? } else { cmp::lt_eq(&best, &next)? };
        // Where either side is NULL the comparison is too, and the result must be.
        let unknown = not(&is_not_null(&keep)?);
        let chosen = zip(&keep, &best, &next)?;
        best = nullif(&chosen, &unknown)?;
    }
    Ok(best)
}

fn not(mask: &BooleanArray) -> BooleanArray {
    mask.iter().map(|value| value.map(|value| !value)).collect()
}
