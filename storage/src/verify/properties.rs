//! PROPERTIES of VERIFY.

use std::collections::BTreeMap;

use super::Depth;
use crate::backup::parse_timeout;
use crate::error::{Error, Result};
use crate::job::DEFAULT_TIMEOUT_MS;

/// PROPERTIES of VERIFY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyProperties {
    /// `depth`
    pub depth: Depth,
    /// `timeout`
    pub timeout_ms: i64,
    /// `backup_timestamp`, as RESTORE spells it; the same as WHERE TIMESTAMP.
    pub backup_timestamp: Option<String>,
}

impl Default for VerifyProperties {
    /// Whoever says no more than VERIFY wants to know that a restore would get the right bytes.
    fn default() -> Self {
        VerifyProperties { depth: Depth::Digest, timeout_ms: DEFAULT_TIMEOUT_MS, backup_timestamp: None }
    }
}

impl VerifyProperties {
    /// Reads the clause. Keys and words are matched without regard to case.
    pub fn parse(properties: &BTreeMap<String, String>) -> Result<VerifyProperties> {
        let mut parsed = VerifyProperties::default();
        let mut unknown = Vec::new();
        for (key, value) in properties {
            match key.to_lowercase().as_str() {
                "depth" => parsed.depth = parse_depth(value)?,
                "timeout" => parsed.timeout_ms = parse_timeout(value)?,
                "backup_timestamp" => parsed.backup_timestamp = Some(value.trim().to_owned()),
                _ => unknown.push(key.as_str()),
            }
        }
        if !unknown.is_empty() {
            return Err(Error::invalid(format!(
                "Unknown verify job properties: [{}]. Known are depth, timeout and backup_timestamp",
                unknown.join(", ")
            )));
        }
        Ok(parsed)
    }
}

fn parse_depth(text: &str) -> Result<Depth> {
    let wanted = text.trim().to_lowercase();
    Depth::ALL.into_iter().find(|depth| depth.to_string() == wanted).ok_or_else(|| {
        Error::invalid(format!(
            "Invalid verify depth: {text}. Use \"exists\", \"length\", \"digest\" (everything is downloaded and \
             compared) or \"rows\" (and decoded)"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(properties: &[(&str, &str)]) -> Result<VerifyProperties, String> {
        let properties = properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        VerifyProperties::parse(&properties).map_err(|error| error.to_string())
    }

    #[test]
    fn properties_are_read() {
        assert_eq!(parse(&[]).unwrap().depth, Depth::Digest);
        let all = parse(&[("DEPTH", "Rows"), ("timeout", "600"), ("backup_timestamp", " x ")]).unwrap();
        assert_eq!((all.depth, all.timeout_ms), (Depth::Rows, 600_000));
        assert_eq!(all.backup_timestamp.as_deref(), Some("x"));
        for (properties, words) in [
            ([("depth", "deep")], "Invalid verify depth: deep. Use \"exists\""),
            ([("timeout", "1")], "timeout must be at least 10 min"),
            ([("colour", "red")], "Unknown verify job properties: [colour]"),
        ] {
            let error = parse(&properties).unwrap_err();
            assert!(error.starts_with(words), "{error}");
        }
    }
}
