//! Frames of windows: lengths of time in the one form that the engine reads, `INTERVAL '1' DAY`.
//!
//! And frames without bounds, which hold the whole partition however they are written. The engine takes `PARTITION BY a`
//! and `ORDER BY a` for the same when nothing else differs; so a window with an order has RANGE there and one without an
//! order no frame, which is ROWS to the engine.

use sqlparser::ast::{DateTimeField, Expr, Value, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec};

use crate::query::error::QueryError;

/// Rewrites the bounds of a window's frame.
pub(super) fn plain(window: &mut WindowSpec) -> Result<(), QueryError> {
    if window.window_frame.as_ref().is_some_and(is_whole) && window.order_by.is_empty() && window.window_name.is_none()
    {
        window.window_frame = None;
    }
    let Some(frame) = &mut window.window_frame else { return Ok(()) };
    if is_whole(frame) {
        frame.units = WindowFrameUnits::Range;
    }
    for bound in [Some(&mut frame.start_bound), frame.end_bound.as_mut()].into_iter().flatten() {
        if let WindowFrameBound::Preceding(Some(length)) | WindowFrameBound::Following(Some(length)) = bound
            && let Expr::Interval(interval) = length.as_mut()
        {
            let count = whole(&interval.value).ok_or_else(|| {
                QueryError::Unsupported(
                    "In RANGE BETWEEN INTERVAL … the length must be a whole number, as in INTERVAL 7 DAY".to_owned(),
                )
            })?;
            let (count, unit) = match &interval.leading_field {
                Some(DateTimeField::Quarter) => (count.saturating_mul(3), DateTimeField::Month),
                Some(
                    unit @ (DateTimeField::Year
                    | DateTimeField::Month
                    | DateTimeField::Week(None)
                    | DateTimeField::Day
                    | DateTimeField::Hour
                    | DateTimeField::Minute
                    | DateTimeField::Second
                    | DateTimeField::Microsecond),
                ) => (count, unit.clone()),
                _ => {
                    return Err(QueryError::Unsupported(
                        "In RANGE BETWEEN INTERVAL … the unit must be YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND \
                         or MICROSECOND"
                            .to_owned(),
                    ));
                }
            };
            *interval.value = Expr::value(Value::SingleQuotedString(count.to_string()));
            interval.leading_field = Some(unit);
        }
    }
    Ok(())
}

/// Whether a frame holds all rows of the partition.
fn is_whole(frame: &WindowFrame) -> bool {
    matches!(
        (&frame.start_bound, &frame.end_bound),
        (WindowFrameBound::Preceding(None), Some(WindowFrameBound::Following(None)))
    )
}

/// A whole number, written as a number or as a text.
fn whole(value: &Expr) -> Option<u64> {
    let Expr::Value(value) = value else { return None };
    match &value.value {
        Value::Number(digits, _) | Value::SingleQuotedString(digits) => digits.parse().ok(),
        _ => None,
    }
}
