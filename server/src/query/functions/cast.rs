//! CAST between types on which MySQL and the engine disagree; everything else is the engine's own cast.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::support::run;
use super::text::Memory;
use crate::query::convert;

/// The cast to a type.
pub(crate) fn function(target: &DataType) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(CastTo {
        name: format!("cast_{target}").to_lowercase(),
        target: Some(target.clone()),
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

/// A text or date as the number that arithmetic uses: DOUBLE for texts, BIGINT for dates.
pub(crate) fn to_number() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(CastTo {
        name: "to_number".to_owned(),
        target: None,
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

#[derive(Debug)]
struct CastTo {
    name: String,
    /// `None` for the natural number of the argument.
    target: Option<DataType>,
    signature: Signature,
}

impl PartialEq for CastTo {
    fn eq(&self, other: &Self) -> bool {
        self.target == other.target
    }
}

impl Eq for CastTo {}

impl Hash for CastTo {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.target.hash(state);
    }
}

impl ScalarUDFImpl for CastTo {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match (&self.target, types.first()) {
            (Some(target), _) => target.clone(),
            (None, Some(from)) if convert::is_temporal(from) => DataType::Int64,
            (None, _) => DataType::Float64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        run(&args, self.name(), false, &Memory::uncounted(), |args| {
            Ok(convert::cast(&args.raw(0)?, args.return_type())?)
        })
    }
}
