//! The functions of the dialect, one family a file.
//!
//! A family is a table of [`support::Scalar`] entries: name, other names, how many arguments, what type comes out, and a
//! vectorised body. Arguments may be of any type; bodies read them through [`support::Args`], which converts as MySQL
//! does and answers NULL where nothing sensible can be read. Where the engine's own function means the same, it serves.

pub(crate) mod aggregate;
pub(crate) mod arithmetic;
pub(crate) mod arrays;
pub(crate) mod bits;
pub(crate) mod bounded;
pub(crate) mod bytes;
pub(crate) mod cast;
pub(crate) mod conditional;
pub(crate) mod date_arith;
pub(crate) mod date_format;
pub(crate) mod date_parts;
pub(crate) mod hashes;
pub(crate) mod json;
pub(crate) mod math;
pub(crate) mod misc;
pub(crate) mod regexp;
pub(crate) mod strings;
pub(crate) mod support;
pub(crate) mod text;

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

/// All scalar functions of the dialect, their texts counted against this memory.
pub(crate) fn scalars(memory: &text::Memory) -> Vec<Arc<ScalarUDF>> {
    let tables = [
        arithmetic::functions(),
        arrays::functions(),
        bits::functions(),
        conditional::functions(),
        date_arith::functions(),
        date_format::functions(),
        date_parts::functions(),
        hashes::functions(),
        json::functions(),
        math::functions(),
        misc::functions(),
        regexp::functions(),
        strings::functions(),
    ];
    let mut functions: Vec<Arc<ScalarUDF>> =
        tables.into_iter().flatten().map(|function| function.counted(memory).into_udf()).collect();
    functions.push(misc::sleep());
    functions.push(conditional::coalesce());
    functions
}

/// All aggregate functions of the dialect.
pub(crate) fn aggregates() -> Vec<Arc<AggregateUDF>> {
    aggregate::functions()
}
