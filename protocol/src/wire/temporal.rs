//! Dates and times, as text and in the binary protocol.
//!
//! A fraction is printed with six digits, and only when there is one. Years outside of 0 to 9999 have a text
//! but no binary form, which is an error for the client and not a wrong date.

use arrow_array::timezone::Tz;
use arrow_schema::TimeUnit;
use chrono::{DateTime, Offset, TimeZone};

use super::number::put_display;
use super::{WireError, errors};

const SECONDS_PER_DAY: i64 = 86_400;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// A day of the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    year: i64,
    month: u8,
    day: u8,
}

/// A part of a day, or a span of time without its sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    hours: u64,
    minutes: u8,
    seconds: u8,
    micros: u32,
}

impl Day {
    /// The day that lies so many days after 1970-01-01.
    pub(super) fn from_epoch_days(days: i64) -> Self {
        // Years are counted from March, so that the leap day comes last, in eras of 400 years (146097 days).
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self { year: year_of_era + era * 400 + i64::from(month <= 2), month: month as u8, day: day as u8 }
    }

    pub(super) fn put_text(self, out: &mut Vec<u8>) {
        match self.year {
            year @ 0..=9999 => {
                put_two(out, (year / 100) as u8);
                put_two(out, (year % 100) as u8);
            }
            year => put_display(out, year),
        }
        out.push(b'-');
        put_two(out, self.month);
        out.push(b'-');
        put_two(out, self.day);
    }

    /// Appends length and value of a DATE.
    pub(super) fn put_binary(self, out: &mut Vec<u8>) -> Result<(), WireError> {
        out.push(4);
        self.put_binary_fields(out)
    }

    fn put_binary_fields(self, out: &mut Vec<u8>) -> Result<(), WireError> {
        let year = match u16::try_from(self.year) {
            Ok(year @ 0..=9999) => year,
            _ => {
                let message = format!("year {} cannot be sent as a date", self.year);
                return Err(errors::internal(message));
            }
        };
        out.extend_from_slice(&year.to_le_bytes());
        out.extend_from_slice(&[self.month, self.day]);
        Ok(())
    }
}

impl Clock {
    pub(super) fn from_micros(micros: u64) -> Self {
        let seconds = micros / MICROS_PER_SECOND as u64;
        Self {
            hours: seconds / 3_600,
            minutes: (seconds / 60 % 60) as u8,
            seconds: (seconds % 60) as u8,
            micros: (micros % MICROS_PER_SECOND as u64) as u32,
        }
    }

    pub(super) fn put_text(self, out: &mut Vec<u8>) {
        match self.hours {
            hours @ 0..=99 => put_two(out, hours as u8),
            hours => put_display(out, hours),
        }
        out.push(b':');
        put_two(out, self.minutes);
        out.push(b':');
        put_two(out, self.seconds);
        if self.micros != 0 {
            put_display(out, format_args!(".{:06}", self.micros));
        }
    }

    /// Appends length and value of a TIME.
    pub(super) fn put_binary(self, out: &mut Vec<u8>, negative: bool) {
        if self == Self::from_micros(0) {
            out.push(0);
            return;
        }
        out.push(if self.micros == 0 { 8 } else { 12 });
        out.push(u8::from(negative));
        out.extend_from_slice(&((self.hours / 24) as u32).to_le_bytes());
        out.extend_from_slice(&[(self.hours % 24) as u8, self.minutes, self.seconds]);
        if self.micros != 0 {
            out.extend_from_slice(&self.micros.to_le_bytes());
        }
    }
}

/// Appends a DATETIME with its length, cut short after the last part that is not zero.
pub(super) fn put_datetime_binary(out: &mut Vec<u8>, day: Day, clock: Clock) -> Result<(), WireError> {
    let length = match clock {
        _ if clock.micros != 0 => 11,
        _ if clock != Clock::from_micros(0) => 7,
        _ => 4,
    };
    out.push(length);
    day.put_binary_fields(out)?;
    if length >= 7 {
        // A datetime's clock shows less than a day.
        out.extend_from_slice(&[clock.hours as u8, clock.minutes, clock.seconds]);
    }
    if length >= 11 {
        out.extend_from_slice(&clock.micros.to_le_bytes());
    }
    Ok(())
}

/// Appends a DATETIME as text.
pub(super) fn put_datetime_text(out: &mut Vec<u8>, day: Day, clock: Clock) {
    day.put_text(out);
    out.push(b' ');
    clock.put_text(out);
}

/// What a clock on the wall of `zone` (UTC when there is none) shows at a moment.
pub(super) fn datetime(value: i64, unit: TimeUnit, zone: Option<&Tz>) -> (Day, Clock) {
    let (mut seconds, micros) = split_seconds(value, unit);
    if let Some(zone) = zone {
        seconds = seconds.saturating_add(offset_seconds(seconds, zone));
    }
    let day = Day::from_epoch_days(seconds.div_euclid(SECONDS_PER_DAY));
    let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY) as u64;
    let micros = second_of_day * MICROS_PER_SECOND as u64 + u64::from(micros);
    (day, Clock::from_micros(micros))
}

/// A time or duration: whether it is negative, and how long it is.
pub(super) fn span(value: i64, unit: TimeUnit) -> (bool, Clock) {
    let magnitude = value.unsigned_abs();
    let micros = match unit {
        TimeUnit::Second => magnitude.saturating_mul(MICROS_PER_SECOND as u64),
        TimeUnit::Millisecond => magnitude.saturating_mul(1_000),
        TimeUnit::Microsecond => magnitude,
        TimeUnit::Nanosecond => magnitude / 1_000,
    };
    (value < 0, Clock::from_micros(micros))
}

/// Appends a time or duration as text.
pub(super) fn put_span_text(out: &mut Vec<u8>, (negative, clock): (bool, Clock)) {
    if negative {
        out.push(b'-');
    }
    clock.put_text(out);
}

/// Reads a timestamp type's zone. One that is not known here is taken as UTC, as is no zone.
pub(super) fn zone(name: Option<&str>) -> Option<Tz> {
    match name? {
        "UTC" | "Z" | "+00:00" | "+0000" | "+00" => None,
        name => name.parse().ok(),
    }
}

fn offset_seconds(utc_seconds: i64, zone: &Tz) -> i64 {
    DateTime::from_timestamp(utc_seconds, 0).map_or(0, |moment| {
        let offset = zone.offset_from_utc_datetime(&moment.naive_utc());
        i64::from(offset.fix().local_minus_utc())
    })
}

/// Whole seconds, rounded down, and the microseconds beyond them.
fn split_seconds(value: i64, unit: TimeUnit) -> (i64, u32) {
    let (per_second, micros_each, each_micro) = match unit {
        TimeUnit::Second => (1, MICROS_PER_SECOND, 1),
        TimeUnit::Millisecond => (1_000, 1_000, 1),
        TimeUnit::Microsecond => (MICROS_PER_SECOND, 1, 1),
        TimeUnit::Nanosecond => (1_000_000_000, 1, 1_000),
    };
    let micros = value.rem_euclid(per_second) * micros_each / each_micro;
    (value.div_euclid(per_second), micros as u32)
}

fn put_two(out: &mut Vec<u8>, value: u8) {
    out.extend_from_slice(&[b'0' + value / 10, b'0' + value % 10]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: i64, unit: TimeUnit, zone_name: Option<&str>) -> String {
        let mut out = Vec::new();
        let (day, clock) = datetime(value, unit, zone(zone_name).as_ref());
        put_datetime_text(&mut out, day, clock);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn datetimes_print_a_fraction_only_when_there_is_one() {
        assert_eq!(text(0, TimeUnit::Second, None), "1970-01-01 00:00:00");
        assert_eq!(text(1_709_210_096_000_001, TimeUnit::Microsecond, None), "2024-02-29 12:34:56.000001");
        assert_eq!(text(-1, TimeUnit::Millisecond, None), "1969-12-31 23:59:59.999000");
        assert_eq!(text(-1, TimeUnit::Nanosecond, None), "1969-12-31 23:59:59.999999");
        assert_eq!(text(0, TimeUnit::Second, Some("+05:30")), "1970-01-01 05:30:00");
        assert_eq!(text(0, TimeUnit::Second, Some("-01:00")), "1969-12-31 23:00:00");
        assert_eq!(text(0, TimeUnit::Second, Some("no/where")), "1970-01-01 00:00:00");
    }

    #[test]
    fn extremes_have_a_text_and_no_binary_form() {
        for value in [i64::MIN, i64::MAX] {
            for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
                text(value, unit, Some("+05:30"));
                put_span_text(&mut Vec::new(), span(value, unit));
            }
            let (day, clock) = datetime(value, TimeUnit::Second, None);
            assert!(put_datetime_binary(&mut Vec::new(), day, clock).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn days_agree_with_chrono(days in -719_000_i32..2_932_896) {
            let mut out = Vec::new();
            Day::from_epoch_days(i64::from(days)).put_text(&mut out);
            let date = DateTime::from_timestamp(i64::from(days) * SECONDS_PER_DAY, 0).unwrap();
            proptest::prop_assert_eq!(String::from_utf8(out).unwrap(), date.format("%Y-%m-%d").to_string());
        }
    }
}
