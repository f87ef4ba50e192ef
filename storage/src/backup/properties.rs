//! PROPERTIES of BACKUP, read with StarRocks's words for what is wrong with them.

use std::collections::BTreeMap;

use super::ttl::Ttl;
use crate::error::{Error, Result};
use crate::job::{DEFAULT_TIMEOUT_MS, TIMEOUT_MS_MIN};

/// Which kind of backup was asked for. Every backup uploads only what its repository lacks and is complete in itself,
/// so the two differ in name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackupType {
    /// The default.
    #[default]
    Full,
    /// Asked for by those who know other systems.
    Incremental,
}

/// PROPERTIES of BACKUP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupProperties {
    /// `type`
    pub backup_type: BackupType,
    /// `timeout`
    pub timeout_ms: i64,
    /// `ttl`; the snapshot is kept for ever without one.
    pub ttl: Option<Ttl>,
}

impl Default for BackupProperties {
    fn default() -> Self {
        BackupProperties { backup_type: BackupType::Full, timeout_ms: DEFAULT_TIMEOUT_MS, ttl: None }
    }
}

impl BackupProperties {
    /// Reads the clause. Keys and words are matched without regard to case.
    pub fn parse(properties: &BTreeMap<String, String>) -> Result<BackupProperties> {
        let mut parsed = BackupProperties::default();
        let mut unknown = Vec::new();
        for (key, value) in properties {
            match key.to_lowercase().as_str() {
                "type" => {
                    parsed.backup_type = match value.to_lowercase().as_str() {
                        "full" => BackupType::Full,
                        "incremental" => BackupType::Incremental,
                        _ => {
                            return Err(Error::invalid(format!(
                                "Invalid backup job type: {value}. Use \"full\": it uploads only what the repository \
                                 lacks"
                            )));
                        }
                    }
                }
                "timeout" => parsed.timeout_ms = parse_timeout(value)?,
                "ttl" => parsed.ttl = Ttl::parse(value)?,
                _ => unknown.push(key.as_str()),
            }
        }
        if !unknown.is_empty() {
            return Err(Error::invalid(format!(
                "Unknown backup job properties: [{}]. Known are type, timeout and ttl",
                unknown.join(", ")
            )));
        }
        Ok(parsed)
    }
}

/// `timeout` of BACKUP and RESTORE: seconds, at least ten minutes.
pub(crate) fn parse_timeout(text: &str) -> Result<i64> {
    let seconds: i64 = text
        .trim()
        .parse()
        .map_err(|_| Error::invalid(format!("Invalid timeout format: {text}. Give seconds, such as 3600")))?;
    let timeout_ms = seconds.saturating_mul(1_000);
    if timeout_ms < TIMEOUT_MS_MIN {
        return Err(Error::invalid(format!("timeout must be at least 10 min, that is 600 seconds; it is {seconds}")));
    }
    Ok(timeout_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(properties: &[(&str, &str)]) -> Result<BackupProperties, String> {
        let properties = properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        BackupProperties::parse(&properties).map_err(|error| error.to_string())
    }

    #[test]
    fn properties_are_read() {
        let default = parse(&[]).unwrap();
        assert_eq!((default.backup_type, default.timeout_ms), (BackupType::Full, 86_400_000));
        assert_eq!(default.ttl, None);
        let all = parse(&[("TYPE", "Incremental"), ("timeout", "600"), ("ttl", "7 DAY")]).unwrap();
        assert_eq!((all.backup_type, all.timeout_ms), (BackupType::Incremental, 600_000));
        assert_eq!(all.ttl.unwrap().to_string(), "7 DAY");
    }

    #[test]
    fn what_is_wrong_is_said_in_the_known_words() {
        for (properties, words) in [
            ([("type", "partial")], "Invalid backup job type: partial"),
            ([("timeout", "soon")], "Invalid timeout format: soon"),
            ([("timeout", "599")], "timeout must be at least 10 min"),
            ([("colour", "red")], "Unknown backup job properties: [colour]"),
        ] {
            let error = parse(&properties).unwrap_err();
            assert!(error.starts_with(words), "{error}");
        }
    }
}
