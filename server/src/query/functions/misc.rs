//! SLEEP and other functions that belong to no family.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::support::{Returns, Scalar};
use crate::query::convert;
use crate::query::error::{QueryError, of_type};
use crate::query::rewrite::PLAIN;

/// The longest one row may sleep.
const SLEEP_SECONDS_MAX: f64 = 86_400.0;

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        Scalar::text("typeof", 1, 1, |args| {
            let name = of_type(&args.data_type(0)).to_lowercase();
            args.build_strings(|_, out| {
                out.push_str(&name);
                Some(())
            })
        }),
        Scalar::new(PLAIN, 1, 1, Returns::Of(|types| plain(types.first())), |args| {
            let values = args.raw(0)?;
            let data_type = plain(Some(values.data_type()));
            Ok(if *values.data_type() == data_type { values } else { cast(&values, &data_type)? })
        }),
    ]
}

/// The type of a recursive query's column. TRUE is the number 1 there, for what is counted up from it.
fn plain(data_type: Option<&DataType>) -> DataType {
    match data_type {
        None => DataType::Null,
        Some(DataType::Boolean) => DataType::Int64,
        Some(data_type) => data_type.clone(),
    }
}

/// SLEEP(seconds): waits once a row, without holding a thread, and answers TRUE. Dropping the query ends the wait.
pub(super) fn sleep() -> Arc<ScalarUDF> {
    Arc::new(
        AsyncScalarUDF::new(Arc::new(Sleep { signature: Signature::any(1, Volatility::Volatile) })).into_scalar_udf(),
    )
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep {
    signature: Signature,
}

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &str {
        "sleep"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(QueryError::Unsupported("SLEEP cannot be used here".to_owned()).wrap())
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let waits = match args.args.first() {
            Some(value) => convert::to_doubles(&value.to_array(rows)?)?,
            None => return Err(QueryError::Semantic("SLEEP takes 1 argument".to_owned()).wrap()),
        };
        let seconds: Vec<f64> = waits.iter().map(|wait| wait.unwrap_or(0.0).clamp(0.0, SLEEP_SECONDS_MAX)).collect();
        for wait in seconds {
            tokio::time::sleep(Duration::from_secs_f64(wait)).await;
        }
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::from(vec![true; rows])) as ArrayRef))
    }
}
