//! Bits of BIGINT.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use super::support::{Args, Scalar};

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        Scalar::int("bitand", 2, 2, |args| two(args, |a, b| a & b)),
        Scalar::int("bitor", 2, 2, |args| two(args, |a, b| a | b)),
        Scalar::int("bitxor", 2, 2, |args| two(args, |a, b| a ^ b)),
        Scalar::int("bitnot", 1, 1, |args| one(args, |a| !a)),
        Scalar::int("bit_count", 1, 1, |args| one(args, |a| i64::from(a.count_ones()))),
        shift_left_entry(),
        shift_right_entry(),
        Scalar::int("bit_shift_right_logical", 2, 2, |args| {
            two(args, |a, b| shift(b).map_or(0, |b| (a as u64 >> b) as i64))
        }),
    ]
}

/// `a << b`.
pub(crate) fn shift_left() -> Arc<ScalarUDF> {
    shift_left_entry().into_udf()
}

/// `a >> b`.
pub(crate) fn shift_right() -> Arc<ScalarUDF> {
    shift_right_entry().into_udf()
}

fn shift_left_entry() -> Scalar {
    Scalar::int("bit_shift_left", 2, 2, |args| two(args, |a, b| shift(b).map_or(0, |b| a << b)))
}

fn shift_right_entry() -> Scalar {
    Scalar::int("bit_shift_right", 2, 2, |args| two(args, |a, b| shift(b).map_or(0, |b| a >> b)))
}

/// A shift by 64 bits or more leaves nothing.
fn shift(count: i64) -> Option<u32> {
    u32::try_from(count).ok().filter(|count| *count < 64)
}

fn one(args: &Args<'_>, of: impl Fn(i64) -> i64) -> Result<ArrayRef> {
    let values = args.ints(0)?;
    Ok(args.build::<Int64Type>(|row| values.get(row).map(&of)))
}

fn two(args: &Args<'_>, of: impl Fn(i64, i64) -> i64) -> Result<ArrayRef> {
    let (left, right) = (args.ints(0)?, args.ints(1)?);
    Ok(args.build::<Int64Type>(|row| Some(of(left.get(row)?, right.get(row)?))))
}
