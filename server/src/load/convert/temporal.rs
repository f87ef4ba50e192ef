//! Dates, times and numbers to DATE and DATETIME columns, and dates as the numbers MySQL reads them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, TimestampMicrosecondArray};
use arrow::compute::cast_with_options;
use arrow::datatypes::{DataType as ArrowType, Date32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use ebla_storage::schema::DataType;

use super::text::{day_of_text, micros_of_text};
use super::{Converted, SAFE, impossible};
use crate::load::LoadError;

const MICROS_PER_DAY: i64 = 86_400_000_000;
const EPOCH_DAYS_FROM_CE: i32 = 719_163;

/// Converts a column of dates, times or numbers to DATE or DATETIME.
pub(super) fn convert(source: &ArrayRef, target: &DataType) -> Result<Converted, LoadError> {
    match source.data_type() {
        from if from == &target.to_arrow() => Ok(Converted::all(Arc::clone(source))),
        ArrowType::Date32 | ArrowType::Date64 | ArrowType::Timestamp(..) => {
            let times = micros(source)?;
            let Some(times) =
                times.array.as_primitive_opt::<TimestampMicrosecondType>().map(|array| (array, &times.failed))
            else {
                return Err(impossible(source, target));
            };
            let (array, failed) = times;
            let array: ArrayRef = match target {
                DataType::Date => {
                    let days: Date32Array =
                        array.unary_opt(|micros| i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok());
                    Arc::new(days)
                }
                _ => Arc::new(array.clone()),
            };
            Ok(Converted::of_kernel(source, array).after(failed.clone()))
        }
        from if from.is_numeric() => {
            let numbers = cast_with_options(source, &ArrowType::Int64, &SAFE)?;
            let numbers = numbers.as_primitive::<Int64Type>();
            // Eight digits are a day, fourteen a moment; no other number is a date.
            let array: ArrayRef = match target {
                DataType::Date => {
                    Arc::new(numbers.unary_opt::<_, Date32Type>(|number| day_of_text(&number.to_string())))
                }
                _ => Arc::new(
                    numbers.unary_opt::<_, TimestampMicrosecondType>(|number| micros_of_text(&number.to_string())),
                ),
            };
            Ok(Converted::of_kernel(source, array))
        }
        _ => Err(impossible(source, target)),
    }
}

/// Any dates or times as DATETIME.
fn micros(source: &ArrayRef) -> Result<Converted, LoadError> {
    let target = ArrowType::Timestamp(TimeUnit::Microsecond, None);
    if let Some(days) = source.as_primitive_opt::<Date32Type>() {
        let times: TimestampMicrosecondArray = days.unary(|day| i64::from(day) * MICROS_PER_DAY);
        return Ok(Converted::all(Arc::new(times)));
    }
    Ok(Converted::of_kernel(source, cast_with_options(source, &target, &SAFE)?))
}

/// Days as 20240131 and moments as 20240131120000.
pub(super) fn numbers(source: &ArrayRef) -> Result<Int64Array, LoadError> {
    let day_number = |date: NaiveDate| i64::from(date.year()) * 10_000 + i64::from(date.month() * 100 + date.day());
    if let Some(days) = source.as_primitive_opt::<Date32Type>() {
        return Ok(days.unary_opt(|day| {
            let date = NaiveDate::from_num_days_from_ce_opt(day.checked_add(EPOCH_DAYS_FROM_CE)?)?;
            Some(day_number(date))
        }));
    }
    let times = micros(source)?.array;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    Ok(times.unary_opt(|micros| {
        let moment = DateTime::from_timestamp_micros(micros)?.naive_utc();
        let clock = moment.hour() * 10_000 + moment.minute() * 100 + moment.second();
        Some(day_number(moment.date()) * 1_000_000 + i64::from(clock))
    }))
}
