//! DATE_FORMAT and STR_TO_DATE: dates to text and back by MySQL's format letters.
//!
//! Three formats in the letters of Java are understood, too, because StarRocks's users write them:
//! `yyyyMMdd`, `yyyy-MM-dd` and `yyyy-MM-dd HH:mm:ss`.

use datafusion::arrow::datatypes::{Date32Type, TimestampMicrosecondType};

use super::date_parts::{MONTHS, WEEKDAYS};
use super::support::Scalar;
use crate::query::convert::datetime::{self, Clock, DAY, HOUR, MINUTE, SECOND, civil, clock, push_padded};

/// Longer formats are refused, as StarRocks does; every letter can grow tenfold.
const FORMAT_BYTES_MAX: usize = 128;

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        Scalar::text("date_format", 2, 2, |args| {
            let (times, formats) = (args.datetimes(0)?, args.strings(1)?);
            args.build_strings(|row, out| push(times.get(row)?, formats.get(row)?, out.short()))
        }),
        Scalar::text("time_format", 2, 2, |args| {
            let (times, formats) = (args.strings(0)?, args.strings(1)?);
            args.build_strings(|row, out| {
                let text = times.get(row)?;
                let micros = datetime::parse_datetime(text).or_else(|| super::date_parts::duration_of(text))?;
                push(micros, formats.get(row)?, out.short())
            })
        }),
        Scalar::datetime("str_to_date", 2, 2, |args| {
            let (texts, formats) = (args.strings(0)?, args.strings(1)?);
            Ok(args.build::<TimestampMicrosecondType>(|row| parse(texts.get(row)?, formats.get(row)?)))
        }),
        Scalar::date("str2date", 2, 2, |args| {
            let (texts, formats) = (args.strings(0)?, args.strings(1)?);
            Ok(args.build::<Date32Type>(|row| parse(texts.get(row)?, formats.get(row)?).map(datetime::days_of)))
        }),
        Scalar::text("to_iso8601", 1, 1, |args| {
            let times = args.datetimes(0)?;
            let date_only = args.data_type(0) == datafusion::arrow::datatypes::DataType::Date32;
            args.build_strings(|row, out| {
                let micros = times.get(row)?;
                if date_only {
                    return push(micros, "%Y-%m-%d", out.short());
                }
                push(micros, "%Y-%m-%dT%H:%i:%s.%f", out.short())
            })
        }),
    ]
}

/// The format in MySQL's letters.
fn canonical(format: &str) -> &str {
    match format {
        "yyyyMMdd" => "%Y%m%d",
        "yyyy-MM-dd" => "%Y-%m-%d",
        "yyyy-MM-dd HH:mm:ss" => "%Y-%m-%d %H:%i:%s",
        other => other,
    }
}

/// Appends a DATETIME in a format.
pub(super) fn push(micros: i64, format: &str, out: &mut String) -> Option<()> {
    if format.len() > FORMAT_BYTES_MAX {
        return None;
    }
    let days = micros.div_euclid(DAY);
    let date = civil(days);
    let time = clock(micros);
    let twelve = (time.hour + 11) % 12 + 1;
    let weekday = datetime::weekday(days);
    let mut letters = canonical(format).chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('Y') => push_padded(out, date.year, 4),
            Some('y') => push_padded(out, date.year % 100, 2),
            Some('m') => push_padded(out, i64::from(date.month), 2),
            Some('c') => push_padded(out, i64::from(date.month), 1),
            Some('M') => out.push_str(MONTHS.get(date.month as usize - 1)?),
            Some('b') => out.push_str(MONTHS.get(date.month as usize - 1)?.get(..3)?),
            Some('d') => push_padded(out, i64::from(date.day), 2),
            Some('e') => push_padded(out, i64::from(date.day), 1),
            Some('D') => {
                push_padded(out, i64::from(date.day), 1);
                out.push_str(ordinal(date.day));
            }
            Some('j') => push_padded(out, datetime::day_of_year(days), 3),
            Some('a') => out.push_str(WEEKDAYS.get(usize::try_from(weekday).ok()?)?.get(..3)?),
            Some('W') => out.push_str(WEEKDAYS.get(usize::try_from(weekday).ok()?)?),
            Some('w') => push_padded(out, (weekday + 1) % 7, 1),
            Some('H') => push_padded(out, i64::from(time.hour), 2),
            Some('k') => push_padded(out, i64::from(time.hour), 1),
            Some('h' | 'I') => push_padded(out, i64::from(twelve), 2),
            Some('l') => push_padded(out, i64::from(twelve), 1),
            Some('i') => push_padded(out, i64::from(time.minute), 2),
            Some('s' | 'S') => push_padded(out, i64::from(time.second), 2),
            Some('f') => push_padded(out, i64::from(time.micro), 6),
            Some('p') => out.push_str(if time.hour < 12 { "AM" } else { "PM" }),
            Some('r') => {
                datetime::push_clock(Clock { hour: twelve, micro: 0, ..time }, out);
                out.push_str(if time.hour < 12 { " AM" } else { " PM" });
            }
            Some('T') => datetime::push_clock(Clock { micro: 0, ..time }, out),
            Some('U') => push_padded(out, datetime::week(days, 0, false), 2),
            Some('u') => push_padded(out, datetime::week(days, 1, false), 2),
            Some('V') => push_padded(out, datetime::week(days, 2, false), 2),
            Some('v') => push_padded(out, datetime::week(days, 3, false), 2),
            Some('X') => push_padded(out, datetime::week(days, 2, true) / 100, 4),
            Some('x') => push_padded(out, datetime::week(days, 3, true) / 100, 4),
            Some('%') => out.push('%'),
            Some(other) => out.push(other),
            None => out.push('%'),
        }
    }
    Some(())
}

fn ordinal(day: u32) -> &'static str {
    match day {
        11..=13 => "th",
        day if day % 10 == 1 => "st",
        day if day % 10 == 2 => "nd",
        day if day % 10 == 3 => "rd",
        _ => "th",
    }
}

/// What a text said so far.
#[derive(Default)]
struct Parsed {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    micro: i64,
    twelve_hours: bool,
    afternoon: Option<bool>,
    week: Option<(i64, i64)>,
    week_year: Option<i64>,
    weekday: Option<i64>,
}

/// Reads a text in a format; `None` when it does not match or names no date.
pub(super) fn parse(text: &str, format: &str) -> Option<i64> {
    if format.len() > FORMAT_BYTES_MAX {
        return None;
    }
    let mut parsed = Parsed::default();
    parse_into(&mut parsed, text.trim_start(), canonical(format))?;
    parsed.moment()
}

fn parse_into<'a>(parsed: &mut Parsed, mut text: &'a str, format: &str) -> Option<&'a str> {
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter.is_whitespace() {
            text = text.trim_start();
            continue;
        }
        if letter != '%' {
            text = text.trim_start().strip_prefix(letter)?;
            continue;
        }
        if text.is_empty() {
            // MySQL takes a text that ends early; what is missing stays zero.
            break;
        }
        text = match letters.next()? {
            'Y' => {
                let (year, rest) = digits(text, 4)?;
                let year = if text.len() - rest.len() <= 2 { datetime::full_year(year) } else { year };
                parsed.year = Some(year);
                rest
            }
            'y' => {
                let (year, rest) = digits(text, 2)?;
                parsed.year = Some(datetime::full_year(year));
                rest
            }
            'm' | 'c' => set(&mut parsed.month, digits(text, 2)?),
            'M' => {
                let (index, rest) = named(text, &MONTHS, usize::MAX)?;
                parsed.month = Some(index + 1);
                rest
            }
            'b' => {
                let (index, rest) = named(text, &MONTHS, 3)?;
                parsed.month = Some(index + 1);
                rest
            }
            'd' | 'e' => set(&mut parsed.day, digits(text, 2)?),
            'D' => {
                let (day, rest) = digits(text, 2)?;
                parsed.day = Some(day);
                rest.get(2..)?
            }
            'j' => set(&mut parsed.day_of_year, digits(text, 3)?),
            'H' | 'k' => {
                let (hour, rest) = digits(text, 2)?;
                parsed.hour = hour;
                rest
            }
            'h' | 'I' | 'l' => {
                let (hour, rest) = digits(text, 2)?;
                if !(1..=12).contains(&hour) {
                    return None;
                }
                parsed.hour = hour;
                parsed.twelve_hours = true;
                rest
            }
            'i' => {
                let (minute, rest) = digits(text, 2)?;
                parsed.minute = minute;
                rest
            }
            's' | 'S' => {
                let (second, rest) = digits(text, 2)?;
                parsed.second = second;
                rest
            }
            'f' => {
                let (value, rest) = digits(text, 6)?;
                let length = u32::try_from(text.len() - rest.len()).ok()?;
                parsed.micro = value * 10i64.pow(6 - length);
                rest
            }
            'p' => {
                let (afternoon, rest) = meridiem(text)?;
                parsed.afternoon = Some(afternoon);
                rest
            }
            'a' => named(text, &WEEKDAYS, 3).map(|(day, rest)| {
                parsed.weekday = Some(day);
                rest
            })?,
            'W' => named(text, &WEEKDAYS, usize::MAX).map(|(day, rest)| {
                parsed.weekday = Some(day);
                rest
            })?,
            'w' => {
                let (day, rest) = digits(text, 1)?;
                parsed.weekday = Some((day + 6) % 7);
                rest
            }
            'r' => parse_into(parsed, text, "%h:%i:%s %p")?,
            'T' => parse_into(parsed, text, "%H:%i:%s")?,
            'x' | 'X' => set(&mut parsed.week_year, digits(text, 4)?),
            mode @ ('U' | 'u' | 'V' | 'v') => {
                let (week, rest) = digits(text, 2)?;
                let mode = match mode {
                    'U' => 0,
                    'u' => 1,
                    'V' => 2,
                    _ => 3,
                };
                parsed.week = Some((week, mode));
                rest
            }
            '%' => text.strip_prefix('%')?,
            _ => return None,
        };
    }
    Some(text)
}

impl Parsed {
    fn moment(&self) -> Option<i64> {
        let mut hour = self.hour;
        if self.twelve_hours || self.afternoon.is_some() {
            if hour > 12 {
                return None;
            }
            hour = hour % 12 + if self.afternoon == Some(true) { 12 } else { 0 };
        }
        if hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let time = hour * HOUR + self.minute * MINUTE + self.second * SECOND + self.micro;
        Some(self.days()? * DAY + time)
    }

    fn days(&self) -> Option<i64> {
        if let (Some(year), Some(day)) = (self.year, self.day_of_year) {
            let length = if datetime::is_leap(year) { 366 } else { 365 };
            return (1..=length).contains(&day).then(|| datetime::days_of_civil(year, 1, 1) + day - 1);
        }
        if let (Some((week, mode)), Some(weekday)) = (self.week, self.weekday) {
            return self.days_of_week(week, mode, weekday);
        }
        let date_given = self.year.is_some() || self.month.is_some() || self.day.is_some();
        if !date_given {
            // A time alone belongs to the first day there is.
            return Some(datetime::days_of_civil(0, 1, 1));
        }
        let month = u32::try_from(self.month.unwrap_or(1)).ok()?;
        let day = u32::try_from(self.day.unwrap_or(1)).ok()?;
        datetime::checked_days(self.year.unwrap_or(0), month, day).map(i64::from)
    }

    /// The weekday of a numbered week.
    fn days_of_week(&self, week: i64, mode: i64, weekday: i64) -> Option<i64> {
        let year = self.week_year.or(self.year)?;
        if week > 53 {
            return None;
        }
        let new_year = datetime::days_of_civil(year, 1, 1);
        (new_year - 7..new_year + 378).find(|day| {
            let found = datetime::week(*day, mode | 2, true);
            datetime::weekday(*day) == weekday && found / 100 == year && found % 100 == week
        })
    }
}

fn set<'a>(slot: &mut Option<i64>, (value, rest): (i64, &'a str)) -> &'a str {
    *slot = Some(value);
    rest
}

fn digits(text: &str, most: usize) -> Option<(i64, &str)> {
    let text = text.trim_start();
    let length = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let value = text[..length].parse().ok()?;
    Some((value, &text[length..]))
}

/// One of some names, whole or shortened to `letters`.
fn named<'a>(text: &'a str, names: &[&str], letters: usize) -> Option<(i64, &'a str)> {
    let text = text.trim_start();
    names.iter().enumerate().find_map(|(index, name)| {
        let name = &name[..name.len().min(letters)];
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name).then(|| (i64::try_from(index).unwrap_or(0), &text[name.len()..]))
    })
}

fn meridiem(text: &str) -> Option<(bool, &str)> {
    let text = text.trim_start();
    let head = text.get(..2)?;
    if head.eq_ignore_ascii_case("AM") {
        Some((false, &text[2..]))
    } else if head.eq_ignore_ascii_case("PM") {
        Some((true, &text[2..]))
    } else {
        None
    }
}
