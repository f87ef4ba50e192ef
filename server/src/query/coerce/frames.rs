//! Frames of windows with lengths: RANGE measures the order of the rows.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{ExprSchemable, WindowFrameBound, WindowFrameUnits};

use super::cast_expr;
use crate::query::convert;
use crate::query::error::{FRAME_ORDER, QueryError, Reason};

/// RANGE with lengths is over one order, of numbers where a length is a number and of times where it is an INTERVAL.
/// Of texts and truth values the engine would take any length for an endless one.
pub(super) fn measured(mut call: Box<WindowFunction>, schema: &DFSchema) -> Result<Box<WindowFunction>> {
    let frame = &call.params.window_frame;
    let bounds = [&frame.start_bound, &frame.end_bound];
    let lengths: Vec<&str> = bounds.into_iter().filter_map(length).collect();
    if frame.units != WindowFrameUnits::Range || lengths.is_empty() {
        return Ok(call);
    }
    let refused = |reason, text: &str| Err(QueryError::Refused(reason, text.to_owned()).wrap());
    // A unit stands behind the number of an INTERVAL.
    let of_time = lengths.iter().filter(|length| length.contains(' ')).count();
    let [by] = call.params.order_by.as_mut_slice() else {
        return not_measured();
    };
    let data_type = by.expr.get_type(schema)?;
    if convert::is_temporal(&data_type) && of_time < lengths.len() {
        return refused(
            Reason::FrameOfTimes,
            "Window with RANGE n PRECEDING or FOLLOWING has an ORDER BY of dates: write the length as INTERVAL n DAY",
        );
    }
    if (convert::is_number(&data_type) || data_type == DataType::Boolean) && of_time > 0 {
        return refused(
            Reason::FrameOfNumbers,
            "Window with RANGE n PRECEDING or FOLLOWING has an ORDER BY of numbers: write the length as a number",
        );
    }
    if data_type == DataType::Boolean {
        let truth = std::mem::replace(&mut by.expr, datafusion::logical_expr::lit(ScalarValue::Null));
        by.expr = cast_expr(truth, &data_type, &DataType::Int32);
    } else if !convert::is_number(&data_type) && !convert::is_temporal(&data_type) {
        return not_measured();
    }
    Ok(call)
}

/// A bound's length as it was written, `None` where it has none.
fn length(bound: &WindowFrameBound) -> Option<&str> {
    match bound {
        WindowFrameBound::Preceding(ScalarValue::Utf8(length))
        | WindowFrameBound::Following(ScalarValue::Utf8(length)) => length.as_deref(),
        _ => None,
    }
}

fn not_measured<T>() -> Result<T> {
    Err(QueryError::Refused(Reason::FrameOrder, FRAME_ORDER.to_owned()).wrap())
}
