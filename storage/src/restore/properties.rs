//! PROPERTIES of RESTORE, read with StarRocks's words for what is wrong with them.

use std::collections::BTreeMap;

use crate::backup::parse_timeout;
use crate::error::{Error, Result};
use crate::job::DEFAULT_TIMEOUT_MS;

/// PROPERTIES of RESTORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreProperties {
    /// `backup_timestamp`; not needed when the label has only one.
    pub backup_timestamp: Option<String>,
    /// `replication_num`
    pub replication_num: Option<u32>,
    /// `timeout`
    pub timeout_ms: i64,
    /// `allow_load`: shown back. Loads are always allowed while a restore runs.
    pub allow_load: bool,
}

impl RestoreProperties {
    /// Reads the clause. Keys and words are matched without regard to case. `meta_version` and
    /// `starrocks_meta_version` must be numbers and change nothing: a snapshot says itself what it is.
    pub fn parse(properties: &BTreeMap<String, String>) -> Result<RestoreProperties> {
        let mut parsed = RestoreProperties {
            backup_timestamp: None,
            replication_num: None,
            timeout_ms: DEFAULT_TIMEOUT_MS,
            allow_load: false,
        };
        let mut unknown = Vec::new();
        for (key, value) in properties {
            let value = value.trim();
            match key.to_lowercase().as_str() {
                "backup_timestamp" if value.is_empty() => {
                    return Err(Error::invalid(
                        "Missing backup_timestamp property: it is empty. Write the timestamp that SHOW SNAPSHOT prints, or leave the \
                         property out where the snapshot has only one",
                    ));
                }
                "backup_timestamp" => parsed.backup_timestamp = Some(value.to_owned()),
                "replication_num" => {
                    let number: i64 = parse_number(key, value)?;
                    parsed.replication_num = match u32::try_from(number) {
                        Ok(0) | Err(_) => {
                            return Err(Error::invalid(format!("replication_num must be at least 1; it is {number}")));
                        }
                        Ok(number) => Some(number),
                    };
                }
                "meta_version" | "starrocks_meta_version" => {
                    parse_number(key, value)?;
                }
                "timeout" => parsed.timeout_ms = parse_timeout(value)?,
                "allow_load" => {
                    parsed.allow_load = match value.to_lowercase().as_str() {
                        "true" => true,
                        "false" => false,
                        _ => {
                            return Err(Error::invalid(format!(
                                "Invalid allow load value: {value}. Use \"true\" or \"false\""
                            )));
                        }
                    }
                }
                _ => unknown.push(key.as_str()),
            }
        }
        if !unknown.is_empty() {
            return Err(Error::invalid(format!(
                "Unknown restore job properties: [{}]. Known are backup_timestamp, replication_num, timeout, \
                 allow_load, meta_version and starrocks_meta_version",
                unknown.join(", ")
            )));
        }
        Ok(parsed)
    }
}

/// The known words speak of a meta version whatever the number is for; scripts may look for them, so what it is for follows.
fn parse_number(key: &str, text: &str) -> Result<i64> {
    text.parse().map_err(|_| Error::invalid(format!("Invalid meta version format: {text}. {key} takes a whole number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(properties: &[(&str, &str)]) -> Result<RestoreProperties, String> {
        let properties = properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        RestoreProperties::parse(&properties).map_err(|error| error.to_string())
    }

    #[test]
    fn properties_are_read() {
        let parsed = parse(&[
            ("backup_timestamp", "2023-02-07-14-45-53-143"),
            ("replication_num", "1"),
            ("Meta_Version", "22"),
            ("allow_load", "TRUE"),
        ])
        .unwrap();
        assert_eq!(parsed.backup_timestamp.as_deref(), Some("2023-02-07-14-45-53-143"));
        assert_eq!((parsed.replication_num, parsed.timeout_ms, parsed.allow_load), (Some(1), 86_400_000, true));
    }

    #[test]
    fn what_is_wrong_is_said_in_the_known_words() {
        for (properties, words) in [
            (
                [("backup_timestamp", " ")],
                "Missing backup_timestamp property: it is empty. Write the timestamp that SHOW",
            ),
            ([("replication_num", "one")], "Invalid meta version format: one. replication_num takes a whole number"),
            ([("replication_num", "0")], "replication_num must be at least 1"),
            ([("allow_load", "maybe")], "Invalid allow load value: maybe"),
            ([("timeout", "1")], "timeout must be at least 10 min"),
            ([("colour", "red")], "Unknown restore job properties: [colour]"),
        ] {
            let error = parse(&properties).unwrap_err();
            assert!(error.starts_with(words), "{error}");
        }
    }
}
