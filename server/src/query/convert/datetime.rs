//! The calendar: days and microseconds to civil dates and back, and the texts and numbers MySQL reads as dates.
//!
//! Plain arithmetic on the proleptic Gregorian calendar, years 0 to 9999. No time zone enters here.

/// Microseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000;
/// Microseconds in a minute.
pub(crate) const MINUTE: i64 = 60 * SECOND;
/// Microseconds in an hour.
pub(crate) const HOUR: i64 = 60 * MINUTE;
/// Microseconds in a day.
pub(crate) const DAY: i64 = 24 * HOUR;

/// 0000-01-01 in days since 1970-01-01.
const DAYS_MIN: i64 = -719_528;
/// 9999-12-31 in days since 1970-01-01.
const DAYS_MAX: i64 = 2_932_896;
/// What TO_DAYS() answers for 1970-01-01.
pub(crate) const TO_DAYS_EPOCH: i64 = 719_528;

/// A date of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: u32,
    pub(crate) day: u32,
}

/// A time of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) hour: u32,
    pub(crate) minute: u32,
    pub(crate) second: u32,
    pub(crate) micro: u32,
}

/// The date `days` after 1970-01-01.
pub(crate) fn civil(days: i64) -> Civil {
    // Eras of 400 years starting on 0000-03-01, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Civil { year, month: month as u32, day: day as u32 }
}

/// Days since 1970-01-01 of a date that may have any day number (it counts on from the first of the month).
pub(crate) fn days_of_civil(year: i64, month: u32, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Whether the year has a 29 February.
pub(crate) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// How many days the month has.
pub(crate) fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01, if such a date exists.
pub(crate) fn checked_days(year: i64, month: u32, day: u32) -> Option<i32> {
    if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    i32::try_from(days_of_civil(year, month, i64::from(day))).ok()
}

/// `days`, unless it leaves the years 0 to 9999.
pub(crate) fn in_range_days(days: i64) -> Option<i32> {
    if !(DAYS_MIN..=DAYS_MAX).contains(&days) {
        return None;
    }
    i32::try_from(days).ok()
}

/// `micros`, unless it leaves the years 0 to 9999.
pub(crate) fn in_range_micros(micros: i64) -> Option<i64> {
    in_range_days(micros.div_euclid(DAY)).map(|_| micros)
}

/// The day a DATETIME lies in. Stored values are within range, so the day fits.
pub(crate) fn days_of(micros: i64) -> i32 {
    i32::try_from(micros.div_euclid(DAY)).unwrap_or(i32::MAX)
}

/// Midnight of a day.
pub(crate) fn micros_of_days(days: i32) -> i64 {
    i64::from(days) * DAY
}

/// The time of the day of a DATETIME.
pub(crate) fn clock(micros: i64) -> Clock {
    let rest = micros.rem_euclid(DAY);
    Clock {
        hour: (rest / HOUR) as u32,
        minute: (rest % HOUR / MINUTE) as u32,
        second: (rest % MINUTE / SECOND) as u32,
        micro: (rest % SECOND) as u32,
    }
}

/// The day number in the year, from 1.
pub(crate) fn day_of_year(days: i64) -> i64 {
    days - days_of_civil(civil(days).year, 1, 1) + 1
}

/// The day of the week: Monday is 0, Sunday 6.
pub(crate) fn weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7)
}

/// `date` moved by months; a day past the end of the month becomes its last day.
pub(crate) fn add_months(days: i64, months: i64) -> Option<i64> {
    let date = civil(days);
    let total = date.year.checked_mul(12)?.checked_add(i64::from(date.month) - 1)?.checked_add(months)?;
    let year = total.div_euclid(12);
    if !(0..=9999).contains(&year) {
        return None;
    }
    let month = u32::try_from(total.rem_euclid(12)).ok()? + 1;
    let day = date.day.min(days_in_month(year, month));
    Some(days_of_civil(year, month, i64::from(day)))
}

/// WEEK(date, mode) and, with `with_year`, YEARWEEK(date, mode).
///
/// Odd modes begin weeks on Monday, even ones on Sunday. In modes 2, 3, 6 and 7 (and always with a year) the days before
/// a year's first week belong to the last week of the year before; in the others they are week 0.
pub(crate) fn week(days: i64, mode: i64, with_year: bool) -> i64 {
    let mode = mode & 7;
    let year = civil(days).year;
    let carries = mode & 2 != 0 || with_year;
    let mut week_year = year;
    if carries {
        if days < first_week(year, mode) {
            week_year -= 1;
        } else if days >= first_week(year + 1, mode) {
            week_year += 1;
        }
    } else if days < first_week(year, mode) {
        return 0;
    }
    let week = (days - first_week(week_year, mode)) / 7 + 1;
    if with_year { week_year * 100 + week } else { week }
}

/// The first day of a year's first week: that week has either four days of the year or all seven, as the mode says.
fn first_week(year: i64, mode: i64) -> i64 {
    let monday_first = mode & 1 != 0;
    // Modes 1, 3, 4 and 6 ask for four days, the others for the whole week.
    let four_days = monday_first != (mode & 4 != 0);
    let new_year = days_of_civil(year, 1, 1);
    let into_week = if monday_first { weekday(new_year) } else { (weekday(new_year) + 1) % 7 };
    let keeps = if four_days { into_week <= 3 } else { into_week == 0 };
    if keeps { new_year - into_week } else { new_year + 7 - into_week }
}

/// Appends `2024-01-31`.
pub(crate) fn push_date(days: i32, out: &mut String) {
    let date = civil(i64::from(days));
    push_padded(out, date.year, 4);
    out.push('-');
    push_padded(out, i64::from(date.month), 2);
    out.push('-');
    push_padded(out, i64::from(date.day), 2);
}

/// Appends `2024-01-31 12:00:00`, and six digits more when there are microseconds.
pub(crate) fn push_datetime(micros: i64, out: &mut String) {
    push_date(days_of(micros), out);
    out.push(' ');
    push_clock(clock(micros), out);
}

/// Appends `12:00:00`, and six digits more when there are microseconds.
pub(crate) fn push_clock(clock: Clock, out: &mut String) {
    push_padded(out, i64::from(clock.hour), 2);
    out.push(':');
    push_padded(out, i64::from(clock.minute), 2);
    out.push(':');
    push_padded(out, i64::from(clock.second), 2);
    if clock.micro != 0 {
        out.push('.');
        push_padded(out, i64::from(clock.micro), 6);
    }
}

/// `2024-01-31`.
pub(crate) fn format_date(days: i32) -> String {
    let mut out = String::with_capacity(10);
    push_date(days, &mut out);
    out
}

/// `2024-01-31 12:00:00[.000001]`.
pub(crate) fn format_datetime(micros: i64) -> String {
    let mut out = String::with_capacity(26);
    push_datetime(micros, &mut out);
    out
}

/// Appends a number with leading zeros.
pub(crate) fn push_padded(out: &mut String, value: i64, width: usize) {
    let mut digits = [0u8; 20];
    let mut rest = value.unsigned_abs();
    let mut length = 0;
    while rest > 0 || length < width.min(digits.len()) {
        digits[length] = b'0' + (rest % 10) as u8;
        rest /= 10;
        length += 1;
    }
    if value < 0 {
        out.push('-');
    }
    out.extend(digits[..length].iter().rev().map(|digit| char::from(*digit)));
}

/// Reads what MySQL reads as a DATETIME: `2024-1-31`, `2024-01-31 12:00:00.5`, `2024-01-31T12:00`, `20240131`,
/// `20240131120000`, two-digit years. A time zone at the end (`Z`, `+08:00`) is not accepted.
pub(crate) fn parse_datetime(text: &str) -> Option<i64> {
    let bytes = text.trim_ascii().as_bytes();
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (days, rest) = if digits == bytes.len() || (digits >= 6 && bytes[digits] == b'.') {
        return parse_compact(&bytes[..digits], &bytes[digits..]);
    } else if digits == 8 && matches!(bytes[digits], b' ' | b'T' | b't') {
        (compact_date(&bytes[..8])?, &bytes[8..])
    } else {
        parse_date_part(bytes)?
    };
    let time = match rest.first() {
        None => 0,
        Some(b' ' | b'T' | b't') => {
            let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'T' | b't'));
            match start {
                Some(start) => parse_clock(&rest[start..])?,
                None => 0,
            }
        }
        Some(_) => return None,
    };
    Some(micros_of_days(days) + time)
}

/// Reads `12:00[:00[.000000]]` as microseconds of the day.
fn parse_clock(bytes: &[u8]) -> Option<i64> {
    let (hour, rest) = number(bytes, 2)?;
    let (minute, rest) = match rest.split_first() {
        Some((b':', rest)) => number(rest, 2)?,
        None => (0, rest),
        Some(_) => return None,
    };
    let (second, rest) = match rest.split_first() {
        Some((b':', rest)) => number(rest, 2)?,
        None => (0, rest),
        Some(_) => return None,
    };
    let micro = parse_fraction(rest)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(hour * HOUR + minute * MINUTE + second * SECOND + micro)
}

/// Reads nothing or `.123456`; digits past the sixth are dropped.
fn parse_fraction(bytes: &[u8]) -> Option<i64> {
    let Some((b'.', digits)) = bytes.split_first() else {
        return bytes.is_empty().then_some(0);
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut micro = 0;
    for index in 0..6 {
        micro = micro * 10 + i64::from(digits.get(index).map_or(0, |digit| digit - b'0'));
    }
    Some(micro)
}

/// Reads `2024-1-31` and answers what follows it.
fn parse_date_part(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let is_separator = |byte: &u8| matches!(byte, b'-' | b'/' | b'.' | b'_' | b':' | b',');
    let (year, rest) = number(bytes, 4)?;
    let year_digits = bytes.len() - rest.len();
    let (separator, rest) = rest.split_first()?;
    if !is_separator(separator) {
        return None;
    }
    let (month, rest) = number(rest, 2)?;
    let (separator, rest) = rest.split_first()?;
    if !is_separator(separator) {
        return None;
    }
    let (day, rest) = number(rest, 2)?;
    let year = if year_digits <= 2 { full_year(year) } else { year };
    let days = checked_days(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?)?;
    Some((days, rest))
}

/// Reads 6, 8, 12 or 14 digits.
fn parse_compact(digits: &[u8], fraction: &[u8]) -> Option<i64> {
    let (date, time) = match digits.len() {
        6 | 8 => (digits, &digits[..0]),
        12 => digits.split_at(6),
        14 => digits.split_at(8),
        _ => return None,
    };
    let days = compact_date(date)?;
    if time.is_empty() {
        return fraction.is_empty().then(|| micros_of_days(days));
    }
    let (hour, minute, second) = (pair(time, 0), pair(time, 2), pair(time, 4));
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(micros_of_days(days) + hour * HOUR + minute * MINUTE + second * SECOND + parse_fraction(fraction)?)
}

/// Reads `240131` or `20240131`.
fn compact_date(digits: &[u8]) -> Option<i32> {
    let (year, rest) = if digits.len() == 6 {
        (full_year(pair(digits, 0)), &digits[2..])
    } else {
        (pair(digits, 0) * 100 + pair(digits, 2), &digits[4..])
    };
    checked_days(year, u32::try_from(pair(rest, 0)).ok()?, u32::try_from(pair(rest, 2)).ok()?)
}

fn pair(digits: &[u8], at: usize) -> i64 {
    i64::from(digits[at] - b'0') * 10 + i64::from(digits[at + 1] - b'0')
}

/// The year a two-digit year stands for.
pub(crate) fn full_year(year: i64) -> i64 {
    if year < 70 { year + 2000 } else { year + 1900 }
}

/// Reads one to `most` digits and answers what follows them.
fn number(bytes: &[u8], most: usize) -> Option<(i64, &[u8])> {
    let digits = bytes.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let value = bytes[..digits].iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some((value, &bytes[digits..]))
}

/// Reads a number as MySQL reads it where a date is wanted: 20240131 or 20240131120000.
pub(crate) fn datetime_of_number(number: i64) -> Option<i64> {
    let text = match number {
        101..=991_231 => format!("{number:06}"),
        10_000_101..=99_991_231 => number.to_string(),
        101_000_000..=991_231_235_959 => format!("{number:012}"),
        10_000_101_000_000..=99_991_231_235_959 => number.to_string(),
        _ => return None,
    };
    parse_compact(text.as_bytes(), &[])
}

/// 20240131.
pub(crate) fn number_of_date(days: i32) -> i64 {
    let date = civil(i64::from(days));
    date.year * 10_000 + i64::from(date.month) * 100 + i64::from(date.day)
}

/// 20240131120000.
pub(crate) fn number_of_datetime(micros: i64) -> i64 {
    let clock = clock(micros);
    number_of_date(days_of(micros)) * 1_000_000
        + i64::from(clock.hour) * 10_000
        + i64::from(clock.minute) * 100
        + i64::from(clock.second)
}
