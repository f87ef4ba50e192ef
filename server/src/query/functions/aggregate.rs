//! Aggregates that take what MySQL lets them take: SUM and AVG of booleans and texts. Those of exact numbers are exact or
//! an error ([`exact`]); those of DOUBLE are the engine's.

mod exact;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    Volatility,
};

use self::exact::{Exact, Finish};
use crate::query::convert;

pub(super) fn functions() -> Vec<Arc<AggregateUDF>> {
    vec![lenient(&sum_udaf()), lenient(&avg_udaf())]
}

fn lenient(inner: &Arc<AggregateUDF>) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(Lenient {
        inner: Arc::clone(inner),
        signature: Signature::user_defined(Volatility::Immutable),
    }))
}

/// An aggregate of the engine whose argument is first made a number.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Lenient {
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

impl Lenient {
    /// The rules for adding up exact numbers of this type; `None` to leave it to the engine.
    fn exact(&self, input: Option<&FieldRef>, output: &DataType) -> Option<Exact> {
        let input = input?.data_type();
        let finish = if self.inner.name() == "avg" { Finish::Average } else { Finish::Sum };
        Exact::covers(finish, input).then(|| Exact { finish, input: input.clone(), output: output.clone() })
    }
}

impl AggregateUDFImpl for Lenient {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [data_type] = types else {
            return Err(crate::query::error::QueryError::Semantic(format!(
                "Function {} takes 1 argument, {} given",
                self.name(),
                types.len()
            ))
            .wrap());
        };
        let average = self.name() == "avg";
        Ok(vec![match data_type {
            DataType::Boolean | DataType::Null => {
                if average {
                    DataType::Float64
                } else {
                    DataType::Int64
                }
            }
            integer if integer.is_integer() => {
                if average {
                    DataType::Float64
                } else {
                    DataType::Int64
                }
            }
            DataType::Decimal128(precision, scale) => DataType::Decimal128(*precision, *scale),
            DataType::Decimal256(precision, scale) => DataType::Decimal256(*precision, *scale),
            other if convert::is_decimal(other) => DataType::Decimal128(38, 0),
            _ => DataType::Float64,
        }])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.exact(args.expr_fields.first(), args.return_type()) {
            Some(exact) => Ok(exact.accumulator(args.is_distinct)),
            None => self.inner.accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match self.exact(args.input_fields.first(), args.return_type()) {
            Some(exact) => Ok(exact.state_fields(args.name, args.is_distinct)),
            None => self.inner.state_fields(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match self.exact(args.expr_fields.first(), args.return_type()) {
            Some(_) => !args.is_distinct,
            None => self.inner.groups_accumulator_supported(args),
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match self.exact(args.expr_fields.first(), args.return_type()) {
            Some(exact) => Ok(exact.groups()),
            None => self.inner.create_groups_accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.exact(args.expr_fields.first(), args.return_type()) {
            Some(exact) if !args.is_distinct => Ok(exact.accumulator(false)),
            _ => self.inner.create_sliding_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(data_type)
    }
}
