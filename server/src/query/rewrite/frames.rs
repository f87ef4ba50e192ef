//! Frames of windows: lengths of time in the one form that the engine reads, `INTERVAL '1' DAY`.

use sqlparser::ast::{DateTimeField, Expr, Value, WindowFrameBound, WindowSpec};

use crate::query::error::QueryError;

/// Rewrites the bounds of a window's frame.
pub(super) fn plain(window: &mut WindowSpec) -> Result<(), QueryError> {
    let Some(frame) = &mut window.window_frame else { return Ok(()) };
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

/// A whole number, written as a number or as a text.
fn whole(value: &Expr) -> Option<u64> {
    let Expr::Value(value) = value else { return None };
    match &value.value {
        Value::Number(digits, _) | Value::SingleQuotedString(digits) => digits.parse().ok(),
        _ => None,
    }
}
