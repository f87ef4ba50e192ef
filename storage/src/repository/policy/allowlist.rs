//! Entries of `repository_location_allowlist`: a bucket of AWS, or a bucket of another host.
//!
//! The slash tells them apart, and nothing else does: `backup` is a bucket of AWS and never a host, `host/bucket` is a
//! bucket there, and `host/*` all of them. In both, `*` stands for any letters.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocationPattern {
    /// In lower case, without brackets; `None` is AWS.
    host: Option<String>,
    bucket: String,
}

/// An entry that cannot be one, with what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{entry}' {reason}")]
pub struct NoPattern {
    entry: String,
    reason: String,
}

impl LocationPattern {
    /// Whether it has this bucket at this host, which may be one of AWS's.
    pub(super) fn allows(&self, bucket: &str, host: &str, of_aws: bool) -> bool {
        let host_fits = match &self.host {
            Some(pattern) => matches(pattern, host),
            None => of_aws,
        };
        host_fits && matches(&self.bucket, bucket)
    }

    /// Whether it has buckets at this host.
    pub(super) fn has_host(&self, host: &str) -> bool {
        self.host.as_deref().is_some_and(|pattern| matches(pattern, host))
    }

    /// The host when it is an address.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.as_deref()?.parse().ok()
    }
}

impl FromStr for LocationPattern {
    type Err = NoPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason: String| Err(NoPattern { entry: text.to_owned(), reason });
        let form = "write the bucket for one of AWS, host/bucket for another's";
        if text.contains("://") {
            return refuse(format!("has a scheme; {form}"));
        }
        let Some((host, bucket)) = text.split_once('/') else {
            let is_address = text.parse::<IpAddr>().is_ok() || text.contains([':', '[']);
            if is_address {
                return refuse(format!("is a host, and stands where a bucket of AWS would; {form}, such as {text}/*"));
            }
            return check(text).map_or_else(refuse, |()| Ok(Self { host: None, bucket: text.to_owned() }));
        };
        if bucket.is_empty() {
            return refuse(format!("names no bucket; write {host}/* for all of them"));
        }
        if bucket.contains('/') {
            return refuse("has more than a host and a bucket; leave out what follows the bucket".to_owned());
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let bare = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(&host);
        let is_address = bare.parse::<IpAddr>().is_ok();
        if !is_address && host.contains(':') {
            return refuse("has a port, which is not looked at; write the host without it".to_owned());
        }
        let checked = if is_address { Ok(()) } else { check(bare) };
        let pattern = Self { host: Some(bare.to_owned()), bucket: bucket.to_owned() };
        checked.and_then(|()| check(bucket)).map_or_else(refuse, |()| Ok(pattern))
    }
}

/// Neither hosts nor buckets have other letters; an entry that cannot match is a mistake.
fn check(part: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*');
    match part.chars().find(|c| !fits(*c)) {
        None if part.is_empty() => {
            Err("is empty; write the bucket for one of AWS, host/bucket for another's".to_owned())
        }
        None => Ok(()),
        Some(bad) => Err(format!("has a '{}', which no host or bucket has", bad.escape_default())),
    }
}

impl fmt::Display for LocationPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}/{}", self.bucket),
            None => f.write_str(&self.bucket),
        }
    }
}

/// Whether `text` is the pattern, in which `*` stands for any letters. Case does not matter.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty(); // There is no star.
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a", "A", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn entries() {
        for (text, canonical) in [
            ("backup", "backup"),
            ("back*", "back*"),
            ("s3.Example.com./Backup", "s3.example.com/Backup"),
            ("*.example.com/*", "*.example.com/*"),
            ("[FE80::1]/b", "fe80::1/b"),
            ("169.254.1.1/*", "169.254.1.1/*"),
        ] {
            assert_eq!(text.parse::<LocationPattern>().unwrap().to_string(), canonical);
        }
        for (text, phrase) in [
            ("s3://backup", "scheme"),
            ("https://s3.example.com/b", "scheme"),
            ("169.254.1.1", "169.254.1.1/*"),
            ("s3.example.com:9000", "is a host"),
            ("s3.example.com:9000/b", "port"),
            ("s3.example.com/", "s3.example.com/*"),
            ("/b", "is empty"),
            ("", "is empty"),
            ("h/b/prefix", "more than a host and a bucket"),
            ("a b", "has a ' '"),
        ] {
            let error = text.parse::<LocationPattern>().unwrap_err().to_string();
            assert!(error.contains(phrase), "{text}: {error}");
        }
    }
}
