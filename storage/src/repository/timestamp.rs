//! The second half of a snapshot's name.

use std::fmt;
use std::str::FromStr;

use chrono::{NaiveDate, TimeZone};
use serde::{Deserialize, Serialize};

/// Characters of `yyyy-MM-dd-HH-mm-ss`.
const SECONDS_FORM_CHARS: usize = 19;

/// The timestamp of a snapshot as users see and type it: `yyyy-MM-dd-HH-mm-ss-SSS`, the moment its backup was asked
/// for. It is a name: the time zone is that of the server that wrote it, and code that wants the moment reads
/// `timestamp_ms` of the commit object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotTimestamp(String);

/// A text that is no timestamp of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a snapshot's timestamp looks like 2018-04-18-19-19-10-123")]
pub struct InvalidTimestamp;

impl SnapshotTimestamp {
    /// The timestamp of a moment, in the zone whose clock users look at. `None` outside the years 0 to 9999.
    #[must_use]
    pub fn from_ms<Z: TimeZone>(ms: i64, zone: &Z) -> Option<Self> {
        let moment = zone.timestamp_millis_opt(ms).single()?;
        moment.naive_local().format("%Y-%m-%d-%H-%M-%S-%3f").to_string().parse().ok()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a user who writes `text` means this timestamp: in full, or without the milliseconds.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0 == text || (text.len() == SECONDS_FORM_CHARS && self.0.starts_with(text))
    }
}

impl FromStr for SnapshotTimestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Exactly as many digits as the form has, so that one timestamp has one spelling.
        const WIDTHS: [usize; 7] = [4, 2, 2, 2, 2, 2, 3];
        let mut numbers = [0_u32; WIDTHS.len()];
        let mut fields = text.split('-');
        for (number, width) in numbers.iter_mut().zip(WIDTHS) {
            let field = fields.next().ok_or(InvalidTimestamp)?;
            if field.len() != width || !field.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(InvalidTimestamp);
            }
            *number = field.parse().map_err(|_| InvalidTimestamp)?;
        }
        let [year, month, day, hour, minute, second, milli] = numbers;
        let date = NaiveDate::from_ymd_opt(year.cast_signed(), month, day);
        let moment = date.and_then(|date| date.and_hms_milli_opt(hour, minute, second, milli));
        if fields.next().is_some() || moment.is_none() {
            return Err(InvalidTimestamp);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SnapshotTimestamp {
    type Error = InvalidTimestamp;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SnapshotTimestamp> for String {
    fn from(timestamp: SnapshotTimestamp) -> Self {
        timestamp.0
    }
}

impl fmt::Display for SnapshotTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{FixedOffset, Utc};

    #[test]
    fn text_of_a_moment() {
        let ms = 1_675_781_153_143;
        let utc = SnapshotTimestamp::from_ms(ms, &Utc).unwrap();
        assert_eq!(utc.as_str(), "2023-02-07-14-45-53-143");
        let east = SnapshotTimestamp::from_ms(ms, &FixedOffset::east_opt(8 * 3600).unwrap()).unwrap();
        assert_eq!(east.as_str(), "2023-02-07-22-45-53-143");
        assert!(utc.matches("2023-02-07-14-45-53-143") && utc.matches("2023-02-07-14-45-53"));
        assert!(!utc.matches("2023-02-07") && !utc.matches("2023-02-07-14-45-54"));
        assert!(SnapshotTimestamp::from_ms(i64::MAX, &Utc).is_none());
    }

    #[test]
    fn only_one_form_parses() {
        for bad in [
            "",
            "2023-02-07-14-45-53",
            "2023-02-30-14-45-53-143",
            "2023-02-07-24-45-53-143",
            "2023-2-07-14-45-53-143",
            "2023-02-07-14-45-53-143-1",
            "+023-02-07-14-45-53-143",
            "2023-02-07-14-45-53-1430",
            "../../../../etc-passwd",
        ] {
            assert!(bad.parse::<SnapshotTimestamp>().is_err(), "{bad}");
        }
    }
}
