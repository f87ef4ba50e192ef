//! Parts of dates and times, and dates put together from parts.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{Date32Type, Int64Type};
use datafusion::error::Result;

use super::support::{Args, Scalar};
use crate::query::convert::datetime::{self, DAY, HOUR, MINUTE, SECOND, civil, clock};

/// Names of the months, January first.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Names of the weekdays, Monday first.
pub(super) const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        Scalar::int("year", 1, 1, |args| part(args, |t| civil(day(t)).year)),
        Scalar::int("quarter", 1, 1, |args| part(args, |t| i64::from((civil(day(t)).month - 1) / 3 + 1))),
        Scalar::int("month", 1, 1, |args| part(args, |t| i64::from(civil(day(t)).month))),
        Scalar::int("day", 1, 1, |args| part(args, |t| i64::from(civil(day(t)).day))).alias(&["dayofmonth"]),
        Scalar::int("dayofyear", 1, 1, |args| part(args, |t| datetime::day_of_year(day(t)))),
        // Sunday is 1.
        Scalar::int("dayofweek", 1, 1, |args| part(args, |t| (datetime::weekday(day(t)) + 1) % 7 + 1)),
        // Monday is 1.
        Scalar::int("dayofweek_iso", 1, 1, |args| part(args, |t| datetime::weekday(day(t)) + 1)),
        // Monday is 0.
        Scalar::int("weekday", 1, 1, |args| part(args, |t| datetime::weekday(day(t)))),
        Scalar::int("week", 1, 2, |args| week(args, 0, false)),
        Scalar::int("weekofyear", 1, 1, |args| part(args, |t| datetime::week(day(t), 3, false))).alias(&["week_iso"]),
        Scalar::int("yearweek", 1, 2, |args| week(args, 0, true)),
        Scalar::int("hour", 1, 1, |args| part(args, |t| i64::from(clock(t).hour))),
        Scalar::int("minute", 1, 1, |args| part(args, |t| i64::from(clock(t).minute))),
        Scalar::int("second", 1, 1, |args| part(args, |t| i64::from(clock(t).second))),
        Scalar::int("microsecond", 1, 1, |args| part(args, |t| i64::from(clock(t).micro))),
        Scalar::int("year_month", 1, 1, |args| {
            part(args, |t| {
                let date = civil(day(t));
                date.year * 100 + i64::from(date.month)
            })
        }),
        Scalar::int("to_days", 1, 1, |args| part(args, |t| day(t) + datetime::TO_DAYS_EPOCH)),
        Scalar::int("time_to_sec", 1, 1, time_to_sec),
        Scalar::text("monthname", 1, 1, |args| name(args, |t| MONTHS.get(civil(day(t)).month as usize - 1).copied())),
        Scalar::text("dayname", 1, 1, |args| {
            name(args, |t| WEEKDAYS.get(usize::try_from(datetime::weekday(day(t))).ok()?).copied())
        }),
        Scalar::date("to_date", 1, 1, |args| {
            let dates = args.dates(0)?;
            Ok(args.build::<Date32Type>(|row| dates.get(row)))
        })
        .alias(&["date"]),
        Scalar::datetime("timestamp", 1, 1, |args| {
            let times = args.datetimes(0)?;
            Ok(args.build::<datafusion::arrow::datatypes::TimestampMicrosecondType>(|row| times.get(row)))
        })
        .alias(&["to_datetime"]),
        Scalar::text("time", 1, 1, time_of_day),
        Scalar::text("sec_to_time", 1, 1, |args| {
            let seconds = args.ints(0)?;
            args.build_strings(|row, out| {
                push_duration(seconds.get(row)?.checked_mul(SECOND)?, out.short());
                Some(())
            })
        }),
        Scalar::date("last_day", 1, 2, last_day),
        Scalar::date("makedate", 2, 2, |args| {
            let (years, days) = (args.ints(0)?, args.ints(1)?);
            Ok(args.build::<Date32Type>(|row| {
                let (year, day) = (years.get(row)?, days.get(row)?);
                if day < 1 || !(0..=9999).contains(&year) {
                    return None;
                }
                let year = if year < 100 { datetime::full_year(year) } else { year };
                datetime::in_range_days(datetime::days_of_civil(year, 1, 1).checked_add(day - 1)?)
            }))
        }),
        Scalar::date("from_days", 1, 1, |args| {
            let days = args.ints(0)?;
            Ok(args.build::<Date32Type>(|row| {
                datetime::in_range_days(days.get(row)?.checked_sub(datetime::TO_DAYS_EPOCH)?)
            }))
        }),
        Scalar::date("next_day", 2, 2, |args| neighbour(args, 1)),
        Scalar::date("previous_day", 2, 2, |args| neighbour(args, -1)),
    ]
}

/// The day number of a DATETIME.
fn day(micros: i64) -> i64 {
    micros.div_euclid(DAY)
}

fn part(args: &Args<'_>, of: impl Fn(i64) -> i64) -> Result<ArrayRef> {
    let times = args.datetimes(0)?;
    Ok(args.build::<Int64Type>(|row| times.get(row).map(&of)))
}

fn name(args: &Args<'_>, of: impl Fn(i64) -> Option<&'static str>) -> Result<ArrayRef> {
    let times = args.datetimes(0)?;
    args.build_strings(|row, out| {
        out.push_str(of(times.get(row)?)?);
        Some(())
    })
}

fn week(args: &Args<'_>, default_mode: i64, with_year: bool) -> Result<ArrayRef> {
    let times = args.datetimes(0)?;
    let modes = if args.len() > 1 { Some(args.ints(1)?) } else { None };
    Ok(args.build::<Int64Type>(|row| {
        let mode = modes.as_ref().map_or(Some(default_mode), |modes| modes.get(row))?;
        Some(datetime::week(day(times.get(row)?), mode, with_year))
    }))
}

/// Reads a time of the day out of a DATETIME or a text such as `12:30:00` or `-01:00`.
pub(super) fn duration_of(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    if let Some(time) =
        datetime::parse_datetime(text).filter(|_| text.contains(['-', '/', ' ', 'T']) && !text.starts_with('-'))
    {
        return Some(time.rem_euclid(DAY));
    }
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = [0i64; 3];
    let mut count = 0;
    for part in whole.split(':') {
        *parts.get_mut(count)? = part.parse().ok().filter(|number: &i64| *number >= 0)?;
        count += 1;
    }
    let (hours, minutes, seconds) = match count {
        1 => (parts[0] / 10_000, parts[0] / 100 % 100, parts[0] % 100),
        _ => (parts[0], parts[1], parts[2]),
    };
    if minutes > 59 || seconds > 59 || hours > 838 {
        return None;
    }
    let micros = if fraction.is_empty() {
        0
    } else if fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{fraction:0<6}").get(..6)?.parse::<i64>().ok()?
    } else {
        return None;
    };
    let total = hours * HOUR + minutes * MINUTE + seconds * SECOND + micros;
    Some(if negative { -total } else { total })
}

/// Appends `[-]HH:MM:SS[.ffffff]`.
pub(super) fn push_duration(micros: i64, out: &mut String) {
    if micros < 0 {
        out.push('-');
    }
    let micros = micros.unsigned_abs() as i64;
    datetime::push_padded(out, micros / HOUR, 2);
    out.push(':');
    datetime::push_padded(out, micros % HOUR / MINUTE, 2);
    out.push(':');
    datetime::push_padded(out, micros % MINUTE / SECOND, 2);
    if micros % SECOND != 0 {
        out.push('.');
        datetime::push_padded(out, micros % SECOND, 6);
    }
}

fn time_of_day(args: &Args<'_>) -> Result<ArrayRef> {
    if crate::query::convert::is_string(&args.data_type(0)) {
        let texts = args.strings(0)?;
        return args.build_strings(|row, out| {
            push_duration(duration_of(texts.get(row)?)?, out.short());
            Some(())
        });
    }
    let times = args.datetimes(0)?;
    args.build_strings(|row, out| {
        datetime::push_clock(clock(times.get(row)?), out.short());
        Some(())
    })
}

fn time_to_sec(args: &Args<'_>) -> Result<ArrayRef> {
    if crate::query::convert::is_string(&args.data_type(0)) {
        let texts = args.strings(0)?;
        return Ok(args.build::<Int64Type>(|row| Some(duration_of(texts.get(row)?)? / SECOND)));
    }
    part(args, |micros| micros.rem_euclid(DAY) / SECOND)
}

/// LAST_DAY(date [, 'month' | 'quarter' | 'year']).
fn last_day(args: &Args<'_>) -> Result<ArrayRef> {
    let dates = args.dates(0)?;
    let units = if args.len() > 1 { Some(args.strings(1)?) } else { None };
    Ok(args.build::<Date32Type>(|row| {
        let date = civil(i64::from(dates.get(row)?));
        let unit = match &units {
            Some(units) => units.get(row)?.to_ascii_lowercase(),
            None => "month".to_owned(),
        };
        let month = match unit.as_str() {
            "month" => date.month,
            "quarter" => (date.month - 1) / 3 * 3 + 3,
            "year" => 12,
            _ => return None,
        };
        datetime::checked_days(date.year, month, datetime::days_in_month(date.year, month))
    }))
}

/// NEXT_DAY and PREVIOUS_DAY: the nearest named weekday after or before a date.
fn neighbour(args: &Args<'_>, direction: i64) -> Result<ArrayRef> {
    let (dates, names) = (args.dates(0)?, args.strings(1)?);
    Ok(args.build::<Date32Type>(|row| {
        let day = i64::from(dates.get(row)?);
        let name = names.get(row)?.to_ascii_lowercase();
        if name.len() < 2 {
            return None;
        }
        let wanted = WEEKDAYS.iter().position(|weekday| weekday.to_ascii_lowercase().starts_with(&name))?;
        let distance = (i64::try_from(wanted).ok()? - datetime::weekday(day)) * direction;
        let distance = (distance - 1).rem_euclid(7) + 1;
        datetime::in_range_days(day + distance * direction)
    }))
}
