//! How long a snapshot is wanted: `7 DAY`, `12 HOUR`, `1 MONTH`, counted from its end in calendar time.

use std::fmt;

use chrono::{DateTime, Days, Local, LocalResult, Months, NaiveDateTime, Offset, TimeDelta, TimeZone};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The longest time to live: whoever wants more wants for ever.
const YEARS_MAX: u32 = 1_000;

/// How long a snapshot is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ttl {
    count: u32,
    unit: TtlUnit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum TtlUnit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Ttl {
    /// Reads a count and a unit. An empty text is for ever.
    pub fn parse(text: &str) -> Result<Option<Ttl>> {
        let invalid = || {
            Error::invalid(format!(
                "Invalid ttl: '{text}'. Give a positive number and a unit, such as \"7 DAY\", \"12 HOUR\" or \"1 MONTH\""
            ))
        };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Ok(None);
        }
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (count, unit) = trimmed.split_at(digits);
        let count: u32 = count.parse().map_err(|_| invalid())?;
        let unit = unit.trim().to_uppercase();
        let unit = TtlUnit::ALL
            .into_iter()
            .find(|known| unit.strip_suffix('S').unwrap_or(&unit) == known.as_str())
            .ok_or_else(invalid)?;
        if count == 0 || count > unit.count_max() {
            return Err(invalid());
        }
        Ok(Some(Ttl { count, unit }))
    }

    /// When a snapshot that ended at `finished_at_ms` is not wanted any more, by the calendar of this machine's zone.
    pub fn expires_at_ms(&self, finished_at_ms: i64) -> i64 {
        self.expires_in(&Local, finished_at_ms).unwrap_or(i64::MAX)
    }

    /// The same by the calendar of `zone`; `None` when no calendar reaches that far.
    fn expires_in<Z: TimeZone>(&self, zone: &Z, finished_at_ms: i64) -> Option<i64> {
        let finished = DateTime::from_timestamp_millis(finished_at_ms)?;
        let count = self.count;
        let exact = |time: TimeDelta| Some(finished.checked_add_signed(time)?.timestamp_millis());
        // Calendar days and months: the same time of day, whatever the clocks did between.
        let finished_here = finished.with_timezone(zone);
        let on = |day: Option<NaiveDateTime>| at_local_time(zone, day?, finished_here.offset().fix().local_minus_utc());
        match self.unit {
            TtlUnit::Second => exact(TimeDelta::seconds(count.into())),
            TtlUnit::Minute => exact(TimeDelta::minutes(count.into())),
            TtlUnit::Hour => exact(TimeDelta::hours(count.into())),
            TtlUnit::Day => on(finished_here.naive_local().checked_add_days(Days::new(count.into()))),
            TtlUnit::Week => on(finished_here.naive_local().checked_add_days(Days::new(u64::from(count) * 7))),
            TtlUnit::Month => on(finished_here.naive_local().checked_add_months(Months::new(count))),
            TtlUnit::Year => on(finished_here.naive_local().checked_add_months(Months::new(count.saturating_mul(12)))),
        }
    }
}

/// The moment at which clocks show `local`. When they show it twice, as at the end of summer time, it is the one with the
/// offset from UTC given in seconds, or else the first; when they leave it out, the time that has passed counts, as if they had
/// not been moved. Java's ZonedDateTime, and so StarRocks, does the same.
fn at_local_time<Z: TimeZone>(zone: &Z, local: NaiveDateTime, offset_s: i32) -> Option<i64> {
    let moment = match zone.from_local_datetime(&local) {
        LocalResult::Single(moment) => moment.timestamp_millis(),
        LocalResult::Ambiguous(first, second) => {
            let chosen = if second.offset().fix().local_minus_utc() == offset_s { second } else { first };
            chosen.timestamp_millis()
        }
        LocalResult::None => {
            let before = zone.offset_from_local_datetime(&local.checked_sub_days(Days::new(1))?).earliest()?;
            let utc = local.checked_sub_signed(TimeDelta::seconds(before.fix().local_minus_utc().into()))?;
            utc.and_utc().timestamp_millis()
        }
    };
    Some(moment)
}

impl TtlUnit {
    const ALL: [TtlUnit; 7] =
        [TtlUnit::Second, TtlUnit::Minute, TtlUnit::Hour, TtlUnit::Day, TtlUnit::Week, TtlUnit::Month, TtlUnit::Year];

    fn as_str(self) -> &'static str {
        match self {
            TtlUnit::Second => "SECOND",
            TtlUnit::Minute => "MINUTE",
            TtlUnit::Hour => "HOUR",
            TtlUnit::Day => "DAY",
            TtlUnit::Week => "WEEK",
            TtlUnit::Month => "MONTH",
            TtlUnit::Year => "YEAR",
        }
    }

    fn count_max(self) -> u32 {
        match self {
            TtlUnit::Second => u32::MAX,
            TtlUnit::Minute => YEARS_MAX * 366 * 24 * 60,
            TtlUnit::Hour => YEARS_MAX * 366 * 24,
            TtlUnit::Day => YEARS_MAX * 366,
            TtlUnit::Week => YEARS_MAX * 53,
            TtlUnit::Month => YEARS_MAX * 12,
            TtlUnit::Year => YEARS_MAX,
        }
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count, self.unit.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttl_is_a_positive_count_and_a_unit() {
        for (text, printed) in [("7 DAY", "7 DAY"), ("12hours", "12 HOUR"), (" 1  month ", "1 MONTH")] {
            assert_eq!(Ttl::parse(text).unwrap().unwrap().to_string(), printed);
        }
        assert_eq!(Ttl::parse("").unwrap(), None);
        for text in ["0 DAY", "-1 DAY", "DAY", "7", "7 FORTNIGHT", "99999999999 DAY", "1001 YEAR", "7 DAYSS"] {
            assert!(Ttl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn months_are_calendar_months() {
        let ttl = |text| Ttl::parse(text).unwrap().unwrap();
        let noon = Local.with_ymd_and_hms(2024, 1, 31, 12, 0, 0).unwrap();
        let february = Local.with_ymd_and_hms(2024, 2, 29, 12, 0, 0).unwrap();
        assert_eq!(ttl("1 MONTH").expires_at_ms(noon.timestamp_millis()), february.timestamp_millis());
        assert_eq!(ttl("1 HOUR").expires_at_ms(0), 3_600_000);
        assert_eq!(ttl("1000 YEAR").expires_at_ms(i64::MAX), i64::MAX);
    }

    #[test]
    fn a_ttl_ends_also_when_the_clocks_are_moved() {
        let moment = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis();
        for (finished, ttl, expires) in [
            // In 2024 Berlin's clocks went from 2 to 3 on 31 March, and from 3 to 2 on 27 October.
            ("2024-03-30T02:30:00+01:00", "1 DAY", "2024-03-31T03:30:00+02:00"),
            ("2024-03-24T02:30:00+01:00", "1 WEEK", "2024-03-31T03:30:00+02:00"),
            ("2023-07-31T02:30:00+02:00", "8 MONTH", "2024-03-31T03:30:00+02:00"),
            ("2024-10-26T02:30:00+02:00", "1 DAY", "2024-10-27T02:30:00+02:00"),
            ("2024-01-27T02:30:00+01:00", "9 MONTH", "2024-10-27T02:30:00+01:00"),
            ("2024-10-26T12:00:00+02:00", "1 DAY", "2024-10-27T12:00:00+01:00"),
            ("2024-10-26T12:00:00+02:00", "24 HOUR", "2024-10-27T11:00:00+01:00"),
        ] {
            let ends = Ttl::parse(ttl).unwrap().unwrap().expires_in(&chrono_tz::Europe::Berlin, moment(finished));
            assert_eq!(ends, Some(moment(expires)), "{finished} and {ttl}");
        }
    }
}
