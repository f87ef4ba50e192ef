//! The engine's own functions that make lists out of lists: they may take no more memory than queries have.
//!
//! An array of arrays, or a concatenation, holds as much as its arguments together, so a few nested ones hold more than any
//! machine has. [`bound`] puts each such call of a plan behind a look at the arguments: there must be room for as much
//! again before the call is made. Texts are counted where they are made ([`super::text`]).

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::Array as _;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::text::{Memory, Room, constant};

/// The functions.
const GROWING: [&str; 11] = [
    "array_append",
    "array_concat",
    "array_prepend",
    "array_union",
    "arrays_zip",
    "make_array",
    "map",
    "named_struct",
    "overlay",
    "string_to_array",
    "struct",
];

/// The plan with its calls of these functions bounded.
pub(crate) fn bound(plan: LogicalPlan, memory: &Memory) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform_up(|expr| match expr {
                Expr::ScalarFunction(call) if GROWING.contains(&call.func.name()) => {
                    let bounded = Bounded { inner: call.func, memory: memory.clone() };
                    let func = Arc::new(ScalarUDF::from(bounded));
                    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args: call.args })))
                }
                other => Ok(Transformed::no(other)),
            })
        })
    })
    .data()
}

/// A function that asks for room first.
#[derive(Debug)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    memory: Memory,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = self.inner.name();
        let single = args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let times = if single { 1 } else { args.number_rows };
        let bytes = args.args.iter().map(|value| match value {
            // A slice of a large array counts for what is in it.
            ColumnarValue::Array(array) => array.to_data().get_slice_memory_size().unwrap_or(0),
            ColumnarValue::Scalar(scalar) => scalar.size().saturating_mul(times),
        });
        let _room = Room::for_bytes(name, &self.memory, bytes.fold(0, usize::saturating_add))?;
        let result = self.inner.invoke_with_args(args)?;
        if let ColumnarValue::Scalar(scalar) = &result {
            constant(name, scalar.size())?;
        }
        Ok(result)
    }
}
