//! `+`, `-` and `*` of exact numbers: the exact result, or an error. BIGINT never wraps, and a DECIMAL never has more
//! digits than its type can hold.
//!
//! Only exact numbers come here; DOUBLE is the engine's own arithmetic. A result whose type has room for every result of
//! its operands is not looked at; one whose digits were cut to what a decimal can have is checked value by value.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Datum};
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Decimal128Type, Decimal256Type,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::{DECIMAL128_DIGITS, scale_of};
use crate::query::convert;
use crate::query::error::QueryError;

/// Digits that hold every BIGINT.
const BIGINT_DIGITS: u8 = 19;

/// One of the operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    /// `+`.
    Add,
    /// `-`.
    Subtract,
    /// `*`.
    Multiply,
}

/// The operator as a function of two exact numbers.
pub(crate) fn checked(operation: Operation) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Checked { operation, signature: Signature::user_defined(Volatility::Immutable) }))
}

/// The operator that a function of [`checked`] stands for.
pub(crate) fn operator(function: &ScalarUDF) -> Option<Operator> {
    let checked = function.inner().downcast_ref::<Checked>()?;
    Some(match checked.operation {
        Operation::Add => Operator::Plus,
        Operation::Subtract => Operator::Minus,
        Operation::Multiply => Operator::Multiply,
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "add",
            Operation::Subtract => "subtract",
            Operation::Multiply => "multiply",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !types.iter().any(convert::is_decimal) {
            return Ok(vec![DataType::Int64; types.len()]);
        }
        let wide = types.iter().any(|data_type| matches!(data_type, DataType::Decimal256(..)));
        Ok(types
            .iter()
            .map(|data_type| {
                let (precision, scale) = (digits_of(data_type), scale_of(data_type));
                if wide { DataType::Decimal256(precision, scale) } else { DataType::Decimal128(precision, scale) }
            })
            .collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let types = self.coerce_types(types)?;
        Ok(match types.as_slice() {
            [DataType::Decimal128(..), _] => {
                let (precision, scale) = self.digits(&types, DECIMAL128_DIGITS)?;
                DataType::Decimal128(precision.min(DECIMAL128_DIGITS), scale)
            }
            [DataType::Decimal256(..), _] => {
                let (precision, scale) = self.digits(&types, DECIMAL256_MAX_PRECISION)?;
                DataType::Decimal256(precision.min(DECIMAL256_MAX_PRECISION), scale)
            }
            _ => DataType::Int64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return Err(QueryError::Semantic(format!("{} takes 2 arguments", self.name())).wrap());
        };
        let types: Vec<DataType> = [left, right].iter().map(|value| value.data_type()).collect();
        let single = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let result = match (left, right) {
            (ColumnarValue::Array(left), ColumnarValue::Array(right)) => self.compute(left, right),
            (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => self.compute(left, &right.to_scalar()?),
            (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => self.compute(&left.to_scalar()?, right),
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                self.compute(&left.to_array()?, &right.to_array()?)
            }
        };
        let array = result.map_err(|error| self.out_of_range(error, args.return_field.data_type()))?;
        let array = self.fit(array, &types, args.return_field.data_type())?;
        Ok(if single {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
        } else {
            ColumnarValue::Array(array)
        })
    }
}

impl Checked {
    fn compute(&self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
        match self.operation {
            Operation::Add => numeric::add(left, right),
            Operation::Subtract => numeric::sub(left, right),
            Operation::Multiply => numeric::mul(left, right),
        }
    }

    /// Digits in all and after the point that hold every result, however many that is.
    fn digits(&self, types: &[DataType], most: u8) -> Result<(u8, i8)> {
        let [left, right] = types else {
            return Ok((most, 0));
        };
        let (left_scale, right_scale) = (scale_of(left), scale_of(right));
        let whole = |data_type: &DataType| i16::from(digits_of(data_type)) - i16::from(scale_of(data_type));
        let (whole, scale) = match self.operation {
            Operation::Add | Operation::Subtract => {
                (whole(left).max(whole(right)) + 1, i16::from(left_scale.max(right_scale)))
            }
            Operation::Multiply => (whole(left) + whole(right), i16::from(left_scale) + i16::from(right_scale)),
        };
        if scale > i16::from(most) {
            return Err(QueryError::Semantic(format!(
                "The product would have {scale} digits after the point, {most} is the most: \
                 CAST a factor to fewer digits, or to DOUBLE"
            ))
            .wrap());
        }
        // Two decimals have at most 152 digits and one more.
        Ok((u8::try_from(whole + scale).unwrap_or(u8::MAX), i8::try_from(scale).unwrap_or(i8::MAX)))
    }

    /// The result under its type, every value within it.
    fn fit(&self, array: ArrayRef, types: &[DataType], data_type: &DataType) -> Result<ArrayRef> {
        match data_type {
            DataType::Decimal128(precision, scale) => {
                let array = array.as_primitive::<Decimal128Type>().clone();
                let limit = 10u128.pow(u32::from(*precision));
                if self.digits(types, DECIMAL128_DIGITS)?.0 > DECIMAL128_MAX_PRECISION
                    && array.iter().flatten().any(|value| value.unsigned_abs() >= limit)
                {
                    return Err(self.too_many_digits(*precision));
                }
                Ok(Arc::new(array.with_precision_and_scale(*precision, *scale)?))
            }
            DataType::Decimal256(precision, scale) => {
                let array =
                    array.as_primitive::<Decimal256Type>().clone().with_precision_and_scale(*precision, *scale)?;
                if self.digits(types, DECIMAL256_MAX_PRECISION)?.0 > DECIMAL256_MAX_PRECISION
                    && array.validate_decimal_precision(*precision).is_err()
                {
                    return Err(self.too_many_digits(*precision));
                }
                Ok(Arc::new(array))
            }
            _ => Ok(array),
        }
    }

    fn symbol(&self) -> &'static str {
        match self.operation {
            Operation::Add => "+",
            Operation::Subtract => "-",
            Operation::Multiply => "*",
        }
    }

    fn too_many_digits(&self, precision: u8) -> datafusion::error::DataFusionError {
        QueryError::decimal_out_of_range(self.symbol(), precision).wrap()
    }

    fn out_of_range(&self, error: ArrowError, data_type: &DataType) -> datafusion::error::DataFusionError {
        match (error, data_type) {
            (
                ArrowError::ArithmeticOverflow(_),
                DataType::Decimal128(precision, _) | DataType::Decimal256(precision, _),
            ) => self.too_many_digits(*precision),
            (ArrowError::ArithmeticOverflow(text), _) => {
                // The engine names the two values after a colon.
                let values = text.rsplit_once(": ").map_or(self.symbol(), |(_, values)| values);
                QueryError::bigint_out_of_range(values).wrap()
            }
            (other, _) => other.into(),
        }
    }
}

/// Digits that hold every value of an exact type.
fn digits_of(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Decimal32(precision, _)
        | DataType::Decimal64(precision, _)
        | DataType::Decimal128(precision, _)
        | DataType::Decimal256(precision, _) => *precision,
        _ => BIGINT_DIGITS,
    }
}
