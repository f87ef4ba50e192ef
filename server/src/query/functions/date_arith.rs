//! Moving dates, measuring between them, and cutting them to a unit.
//!
//! `DATE_ADD(x, INTERVAL n DAY)` arrives here as `days_add(x, n)`. A DATE moved by days or more stays a DATE; by less it
//! becomes a DATETIME. What leaves the years 0 to 9999 is NULL.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType};
use datafusion::error::Result;

use super::date_parts::{duration_of, push_duration};
use super::support::{Args, Returns, Scalar};
use crate::query::context::TimeZone;
use crate::query::convert::datetime::{self, DAY, HOUR, MINUTE, SECOND, civil};
use crate::query::convert::{self, DATETIME};

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Months(i64),
    Micros(i64),
}

pub(super) fn functions() -> Vec<Scalar> {
    let mut functions = vec![
        shift("years_add", |args| moved(args, Unit::Months(12), 1)),
        shift("years_sub", |args| moved(args, Unit::Months(12), -1)),
        shift("quarters_add", |args| moved(args, Unit::Months(3), 1)),
        shift("quarters_sub", |args| moved(args, Unit::Months(3), -1)),
        shift("months_add", |args| moved(args, Unit::Months(1), 1)).alias(&["add_months"]),
        shift("months_sub", |args| moved(args, Unit::Months(1), -1)),
        shift("weeks_add", |args| moved(args, Unit::Micros(7 * DAY), 1)),
        shift("weeks_sub", |args| moved(args, Unit::Micros(7 * DAY), -1)),
        shift("days_add", |args| moved(args, Unit::Micros(DAY), 1)),
        shift("days_sub", |args| moved(args, Unit::Micros(DAY), -1)),
        Scalar::datetime("hours_add", 2, 2, |args| moved(args, Unit::Micros(HOUR), 1)),
        Scalar::datetime("hours_sub", 2, 2, |args| moved(args, Unit::Micros(HOUR), -1)),
        Scalar::datetime("minutes_add", 2, 2, |args| moved(args, Unit::Micros(MINUTE), 1)),
        Scalar::datetime("minutes_sub", 2, 2, |args| moved(args, Unit::Micros(MINUTE), -1)),
        Scalar::datetime("seconds_add", 2, 2, |args| moved(args, Unit::Micros(SECOND), 1)),
        Scalar::datetime("seconds_sub", 2, 2, |args| moved(args, Unit::Micros(SECOND), -1)),
        Scalar::datetime("milliseconds_add", 2, 2, |args| moved(args, Unit::Micros(1000), 1)),
        Scalar::datetime("milliseconds_sub", 2, 2, |args| moved(args, Unit::Micros(1000), -1)),
        Scalar::datetime("microseconds_add", 2, 2, |args| moved(args, Unit::Micros(1), 1)),
        Scalar::datetime("microseconds_sub", 2, 2, |args| moved(args, Unit::Micros(1), -1)),
    ];
    functions.extend([
        Scalar::int("years_diff", 2, 2, |args| between(args, Unit::Months(12))),
        Scalar::int("quarters_diff", 2, 2, |args| between(args, Unit::Months(3))),
        Scalar::int("months_diff", 2, 2, |args| between(args, Unit::Months(1))),
        Scalar::int("weeks_diff", 2, 2, |args| between(args, Unit::Micros(7 * DAY))),
        Scalar::int("days_diff", 2, 2, |args| between(args, Unit::Micros(DAY))),
        Scalar::int("hours_diff", 2, 2, |args| between(args, Unit::Micros(HOUR))),
        Scalar::int("minutes_diff", 2, 2, |args| between(args, Unit::Micros(MINUTE))),
        Scalar::int("seconds_diff", 2, 2, |args| between(args, Unit::Micros(SECOND))),
        Scalar::int("milliseconds_diff", 2, 2, |args| between(args, Unit::Micros(1000))),
        Scalar::int("microseconds_diff", 2, 2, |args| between(args, Unit::Micros(1))),
        Scalar::int("datediff", 2, 2, |args| {
            let (left, right) = (args.dates(0)?, args.dates(1)?);
            Ok(args.build::<Int64Type>(|row| Some(i64::from(left.get(row)?) - i64::from(right.get(row)?))))
        }),
        Scalar::text("timediff", 2, 2, timediff),
        Scalar::new("date_trunc", 2, 2, Returns::Of(|types| kept_type(types.get(1))), |args| truncated(args, 0, 1)),
        Scalar::datetime("time_slice", 3, 4, time_slice),
        Scalar::datetime("convert_tz", 3, 3, convert_tz),
        Scalar::int("unix_timestamp", 2, 3, unix_timestamp),
        Scalar::text("from_unixtime", 3, 3, from_unixtime),
    ]);
    functions
}

/// A function that moves a date by days or more.
fn shift(name: &'static str, body: super::support::Body) -> Scalar {
    Scalar::new(name, 2, 2, Returns::Of(|types| kept_type(types.first())), body)
}

fn kept_type(data_type: Option<&DataType>) -> DataType {
    match data_type {
        Some(DataType::Date32) => DataType::Date32,
        _ => DATETIME,
    }
}

fn moved(args: &Args<'_>, unit: Unit, direction: i64) -> Result<ArrayRef> {
    let counts = counts(args, 1, unit)?;
    if *args.return_type() == DataType::Date32 {
        let dates = args.dates(0)?;
        return Ok(args.build::<Date32Type>(|row| {
            let days = i64::from(dates.get(row)?);
            let count = counts(row)?.checked_mul(direction)?;
            match unit {
                Unit::Months(months) => {
                    datetime::in_range_days(datetime::add_months(days, count.checked_mul(months)?)?)
                }
                // The count is in microseconds here, whole days of them.
                Unit::Micros(_) => datetime::in_range_days(days.checked_add(count / DAY)?),
            }
        }));
    }
    let times = args.datetimes(0)?;
    Ok(args.build::<TimestampMicrosecondType>(|row| {
        let micros = times.get(row)?;
        let count = counts(row)?.checked_mul(direction)?;
        match unit {
            Unit::Months(months) => {
                let days = datetime::add_months(micros.div_euclid(DAY), count.checked_mul(months)?)?;
                datetime::in_range_micros(days * DAY + micros.rem_euclid(DAY))
            }
            Unit::Micros(_) => datetime::in_range_micros(micros.checked_add(count)?),
        }
    }))
}

/// How far to move: months as they are counted, everything shorter in microseconds, fractions of a second included.
fn counts(args: &Args<'_>, index: usize, unit: Unit) -> Result<Box<dyn Fn(usize) -> Option<i64>>> {
    let fractional = matches!(unit, Unit::Micros(size) if size <= SECOND)
        && !args.data_type(index).is_integer()
        && !args.data_type(index).is_null();
    if let (Unit::Micros(size), true) = (unit, fractional) {
        let values = args.doubles(index)?;
        return Ok(Box::new(move |row| convert::number::double_to_int((values.get(row)? * size as f64).round())));
    }
    let rounded = args.data_type(index).is_floating() || convert::is_decimal(&args.data_type(index));
    if rounded {
        let values = args.doubles(index)?;
        return Ok(Box::new(move |row| {
            let count = convert::number::double_to_int(values.get(row)?.round())?;
            match unit {
                Unit::Months(_) => Some(count),
                Unit::Micros(size) => count.checked_mul(size),
            }
        }));
    }
    let values = args.ints(index)?;
    Ok(Box::new(move |row| match unit {
        Unit::Months(_) => values.get(row),
        Unit::Micros(size) => values.get(row)?.checked_mul(size),
    }))
}

/// Whole units from the second argument to the first.
fn between(args: &Args<'_>, unit: Unit) -> Result<ArrayRef> {
    let (left, right) = (args.datetimes(0)?, args.datetimes(1)?);
    Ok(args.build::<Int64Type>(|row| {
        let (left, right) = (left.get(row)?, right.get(row)?);
        Some(match unit {
            Unit::Micros(size) => left.checked_sub(right)? / size,
            Unit::Months(months) => whole_months(left, right) / months,
        })
    }))
}

fn whole_months(left: i64, right: i64) -> i64 {
    let position = |micros: i64| {
        let date = civil(micros.div_euclid(DAY));
        let month = date.year * 12 + i64::from(date.month);
        (month, i64::from(date.day) * DAY + micros.rem_euclid(DAY))
    };
    let ((left_month, left_rest), (right_month, right_rest)) = (position(left), position(right));
    let months = left_month - right_month;
    if months > 0 && left_rest < right_rest {
        months - 1
    } else if months < 0 && left_rest > right_rest {
        months + 1
    } else {
        months
    }
}

/// TIMEDIFF(a, b), as text.
fn timediff(args: &Args<'_>) -> Result<ArrayRef> {
    let both_text = convert::is_string(&args.data_type(0)) && convert::is_string(&args.data_type(1));
    if both_text {
        let (left, right) = (args.strings(0)?, args.strings(1)?);
        let moment = |text: &str| datetime::parse_datetime(text).or_else(|| duration_of(text));
        return args.build_strings(|row, out| {
            push_duration(moment(left.get(row)?)?.checked_sub(moment(right.get(row)?)?)?, out.short());
            Some(())
        });
    }
    let (left, right) = (args.datetimes(0)?, args.datetimes(1)?);
    args.build_strings(|row, out| {
        push_duration(left.get(row)?.checked_sub(right.get(row)?)?, out.short());
        Some(())
    })
}

/// The start of the unit a DATETIME lies in.
fn floor_to(micros: i64, unit: &str) -> Option<i64> {
    let days = micros.div_euclid(DAY);
    let date = civil(days);
    let first_of = |month: u32| datetime::days_of_civil(date.year, month, 1) * DAY;
    Some(match unit {
        "microsecond" => micros,
        "millisecond" => micros - micros.rem_euclid(1000),
        "second" => micros - micros.rem_euclid(SECOND),
        "minute" => micros - micros.rem_euclid(MINUTE),
        "hour" => micros - micros.rem_euclid(HOUR),
        "day" => days * DAY,
        "week" => (days - datetime::weekday(days)) * DAY,
        "month" => first_of(date.month),
        "quarter" => first_of((date.month - 1) / 3 * 3 + 1),
        "year" => first_of(1),
        _ => return None,
    })
}

fn truncated(args: &Args<'_>, unit_at: usize, date_at: usize) -> Result<ArrayRef> {
    let units = args.strings(unit_at)?;
    let times = args.datetimes(date_at)?;
    let unit = units.single().flatten().map(str::to_ascii_lowercase);
    let floor = |row: usize| -> Option<i64> {
        let micros = times.get(row)?;
        match &unit {
            Some(unit) => floor_to(micros, unit),
            None => floor_to(micros, &units.get(row)?.to_ascii_lowercase()),
        }
    };
    Ok(if *args.return_type() == DataType::Date32 {
        args.build::<Date32Type>(|row| floor(row).map(datetime::days_of))
    } else {
        args.build::<TimestampMicrosecondType>(floor)
    })
}

/// TIME_SLICE(dt, INTERVAL n unit [, FLOOR | CEIL]): slices counted from 0001-01-01 00:00:00.
fn time_slice(args: &Args<'_>) -> Result<ArrayRef> {
    let times = args.datetimes(0)?;
    let counts = args.ints(1)?;
    let units = args.strings(2)?;
    let bounds = if args.len() > 3 { Some(args.strings(3)?) } else { None };
    let origin = datetime::days_of_civil(1, 1, 1) * DAY;
    Ok(args.build::<TimestampMicrosecondType>(|row| {
        let (micros, count) = (times.get(row)?, counts.get(row)?);
        if count <= 0 {
            return None;
        }
        let ceil = match &bounds {
            Some(bounds) => bounds.get(row)?.eq_ignore_ascii_case("ceil"),
            None => false,
        };
        let slices = i64::from(ceil);
        let months = match units.get(row)?.to_ascii_lowercase().as_str() {
            "year" => 12,
            "quarter" => 3,
            "month" => 1,
            unit => {
                let size = fixed_size(unit)?.checked_mul(count)?;
                let passed = micros - origin;
                return datetime::in_range_micros(origin + (passed.div_euclid(size) + slices).checked_mul(size)?);
            }
        };
        let date = civil(micros.div_euclid(DAY));
        let size = count.checked_mul(months)?;
        let month = (date.year - 1) * 12 + i64::from(date.month) - 1;
        let start = (month.div_euclid(size) + slices).checked_mul(size)?;
        let days = datetime::add_months(origin / DAY, start)?;
        datetime::in_range_micros(days * DAY)
    }))
}

fn fixed_size(unit: &str) -> Option<i64> {
    Some(match unit {
        "microsecond" => 1,
        "millisecond" => 1000,
        "second" => SECOND,
        "minute" => MINUTE,
        "hour" => HOUR,
        "day" => DAY,
        "week" => 7 * DAY,
        _ => return None,
    })
}

fn convert_tz(args: &Args<'_>) -> Result<ArrayRef> {
    let (times, from, to) = (args.datetimes(0)?, args.strings(1)?, args.strings(2)?);
    Ok(args.build::<TimestampMicrosecondType>(|row| {
        let from = TimeZone::parse(from.get(row)?).ok()?;
        let to = TimeZone::parse(to.get(row)?).ok()?;
        to.to_local(from.to_utc(times.get(row)?)?)
    }))
}

/// UNIX_TIMESTAMP(date [, format], time zone); the rewriter adds the zone.
fn unix_timestamp(args: &Args<'_>) -> Result<ArrayRef> {
    let zones = args.strings(args.len() - 1)?;
    let zone = zones.single().flatten().and_then(|zone| TimeZone::parse(zone).ok());
    let seconds = |local: i64| zone.and_then(|zone| zone.to_utc(local)).map(|utc| utc.div_euclid(SECOND).max(0));
    if args.len() == 3 {
        let (texts, formats) = (args.strings(0)?, args.strings(1)?);
        return Ok(
            args.build::<Int64Type>(|row| seconds(super::date_format::parse(texts.get(row)?, formats.get(row)?)?))
        );
    }
    let times = args.datetimes(0)?;
    Ok(args.build::<Int64Type>(|row| seconds(times.get(row)?)))
}

/// FROM_UNIXTIME(seconds, format or NULL, time zone); the rewriter fills in what was left out.
fn from_unixtime(args: &Args<'_>) -> Result<ArrayRef> {
    let (seconds, formats, zones) = (args.doubles(0)?, args.strings(1)?, args.strings(2)?);
    let zone = zones.single().flatten().and_then(|zone| TimeZone::parse(zone).ok());
    args.build_strings(|row, out| {
        let micros = convert::number::double_to_int((seconds.get(row)? * SECOND as f64).round())?;
        let local = zone?.to_local(micros)?;
        if micros < 0 || datetime::in_range_micros(local).is_none() {
            return None;
        }
        match formats.get(row) {
            Some(format) => super::date_format::push(local, format, out.short())?,
            None => datetime::push_datetime(local - local.rem_euclid(SECOND), out.short()),
        }
        Some(())
    })
}
