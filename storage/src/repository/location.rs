//! Where a repository lies: a bucket (with or without a prefix) or a directory.
//!
//! `s3://`, `s3a://` and `s3n://` mean the same; the scheme the user wrote is kept because SHOW REPOSITORIES
//! prints it. The text is taken literally: nothing is percent-decoded, no environment variable is expanded, and
//! whatever could be read in two ways (`..`, `//`, a query, credentials in the authority) is refused.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Longest prefix or directory, in bytes. With the longest key of the layout it stays below the 1,024 bytes that
/// S3 allows a key.
const PATH_BYTES_MAX: usize = 512;

/// Longest bucket name, in bytes: what the oldest S3 region ever allowed.
const BUCKET_BYTES_MAX: usize = 255;

/// Where a repository lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// A bucket of an S3-compatible store.
    S3(S3Location),
    /// A directory of this machine, perhaps a mounted one.
    File(FileLocation),
}

/// A bucket and the prefix under which everything is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct S3Location {
    scheme: S3Scheme,
    bucket: String,
    prefix: String,
}

/// An absolute directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileLocation {
    path: String,
}

/// The three spellings of one scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum S3Scheme {
    S3,
    S3a,
    S3n,
}

/// A text that is no location, with what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid repository location '{location}': {reason}")]
pub struct LocationError {
    location: String,
    reason: String,
}

impl Location {
    /// Reads and checks a location as the user wrote it.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        parse(text.trim()).map_err(|reason| LocationError {
            // An authority may carry a password by mistake; what follows `@` is enough to recognise the text.
            location: hide_user_info(&printable(text)),
            reason,
        })
    }

    /// Whether both name the same place, whichever S3 scheme they are written with.
    #[must_use]
    pub fn is_same_place(&self, other: &Location) -> bool {
        match (self, other) {
            (Location::S3(left), Location::S3(right)) => (&left.bucket, &left.prefix) == (&right.bucket, &right.prefix),
            _ => self == other,
        }
    }
}

impl S3Location {
    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The prefix without slashes at its ends; empty when the repository is at the bucket's root.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl FileLocation {
    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(&self.path)
    }
}

/// The location of a directory, as tests and tools need it.
impl TryFrom<PathBuf> for Location {
    type Error = LocationError;

    fn try_from(path: PathBuf) -> Result<Self, Self::Error> {
        Location::parse(&format!("file://{}", path.display()))
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Location::parse(text)
    }
}

/// The canonical text: lower-case scheme, no slash at the end.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::S3(s3) => {
                let scheme = match s3.scheme {
                    S3Scheme::S3 => "s3",
                    S3Scheme::S3a => "s3a",
                    S3Scheme::S3n => "s3n",
                };
                let slash = if s3.prefix.is_empty() { "" } else { "/" };
                write!(f, "{scheme}://{}{slash}{}", s3.bucket, s3.prefix)
            }
            Location::File(file) => write!(f, "file://{}", file.path),
        }
    }
}

fn parse(text: &str) -> Result<Location, String> {
    if text.is_empty() {
        return Err("it is empty; write s3://bucket/prefix or file:///absolute/directory".to_owned());
    }
    if let Some(bad) = text.chars().find(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        return Err(format!("it contains the control character U+{:04X}; remove it", u32::from(bad)));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(
            "the scheme is missing; write s3://bucket/prefix (or s3a://, s3n://) or file:///absolute/directory"
                .to_owned(),
        );
    };
    if let Some(mark) = rest.chars().find(|c| matches!(c, '?' | '#')) {
        return Err(format!(
            "'{mark}' begins a query or fragment, which a location cannot have; options belong in PROPERTIES"
        ));
    }
    match scheme.to_ascii_lowercase().as_str() {
        "s3" => parse_s3(S3Scheme::S3, rest),
        "s3a" => parse_s3(S3Scheme::S3a, rest),
        "s3n" => parse_s3(S3Scheme::S3n, rest),
        "file" => parse_file(rest),
        other => Err(format!("scheme '{other}' is not supported; use s3://, s3a://, s3n:// or file://")),
    }
}

fn parse_s3(scheme: S3Scheme, rest: &str) -> Result<Location, String> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    check_bucket(bucket)?;
    let prefix = prefix.trim_end_matches('/');
    check_path(prefix, "prefix")?;
    Ok(Location::S3(S3Location { scheme, bucket: bucket.to_owned(), prefix: prefix.to_owned() }))
}

fn check_bucket(bucket: &str) -> Result<(), String> {
    if bucket.is_empty() {
        return Err("the bucket is missing; write s3://bucket/prefix".to_owned());
    }
    if bucket.contains('@') {
        return Err(
            "credentials do not belong in a location; give them as aws.s3.access_key and aws.s3.secret_key in PROPERTIES"
                .to_owned(),
        );
    }
    if bucket.contains(':') {
        return Err("a location names a bucket, not a host; give the host as aws.s3.endpoint in PROPERTIES".to_owned());
    }
    if bucket.len() > BUCKET_BYTES_MAX {
        return Err(format!("the bucket name is longer than {BUCKET_BYTES_MAX} bytes"));
    }
    // Underscores and capitals are legal on many stores and in old buckets, so they pass.
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if let Some(bad) = bucket.chars().find(|c| !allowed(*c)) {
        return Err(format!("'{bad}' cannot be part of a bucket name; use letters, digits, '-', '_' and '.'"));
    }
    if !bucket.starts_with(|c: char| c.is_ascii_alphanumeric()) || bucket.contains("..") {
        return Err("a bucket name begins with a letter or a digit and has no two dots in a row".to_owned());
    }
    Ok(())
}

fn parse_file(rest: &str) -> Result<Location, String> {
    if !rest.starts_with('/') {
        return Err(
            "a file location is an absolute directory with three slashes: file:///absolute/directory".to_owned()
        );
    }
    let path = rest.trim_end_matches('/');
    if path.is_empty() {
        return Err("the root directory cannot be a repository; name a directory below it".to_owned());
    }
    check_path(&path[1..], "directory")?;
    Ok(Location::File(FileLocation { path: path.to_owned() }))
}

/// Checks a prefix or directory without its leading and trailing slash.
fn check_path(path: &str, what: &str) -> Result<(), String> {
    if path.is_empty() {
        return Ok(());
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(format!("the {what} is longer than {PATH_BYTES_MAX} bytes"));
    }
    for segment in path.split('/') {
        match segment {
            "" => {
                return Err(format!("the {what} has an empty segment ('//'); write single slashes"));
            }
            "." | ".." => {
                return Err(format!("the {what} has a '{segment}' segment; write it without"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The text with control characters made visible, so that an error message stays on one line.
fn printable(text: &str) -> String {
    text.chars()
        .take(PATH_BYTES_MAX)
        .flat_map(|c| {
            let escape = c.is_control();
            let escaped = escape.then(|| c.escape_unicode());
            let plain = (!escape).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

fn hide_user_info(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let authority_end = rest.find('/').unwrap_or(rest.len());
    // A secret key may contain slashes, so the last `@` of the whole text ends the user information.
    match rest.rfind('@') {
        Some(at) if rest[..authority_end].contains([':', '@']) => {
            format!("{scheme}://***@{}", &rest[at + 1..])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: every accepted spelling has one canonical text, which parses to itself.
    #[test]
    fn canonical_text() {
        for (text, canonical) in [
            ("s3://bucket", "s3://bucket"),
            ("S3A://bucket_s3/backup/", "s3a://bucket_s3/backup"),
            ("s3n://b.ucket/a/b///", "s3n://b.ucket/a/b"),
            (" s3://bucket/ ", "s3://bucket"),
            ("s3://Old_Bucket/ü %20", "s3://Old_Bucket/ü %20"),
            ("file:///var/backup//", "file:///var/backup"),
            ("FILE:///a b/c", "file:///a b/c"),
        ] {
            let location = Location::parse(text).unwrap();
            assert_eq!(location.to_string(), canonical, "{text}");
            assert_eq!(Location::parse(canonical).unwrap(), location, "{text}");
        }
    }

    #[test]
    fn parts() {
        let Location::S3(s3) = Location::parse("s3a://bucket_s3/a/b/").unwrap() else {
            panic!("not S3");
        };
        assert_eq!((s3.bucket(), s3.prefix()), ("bucket_s3", "a/b"));
        let same = Location::parse("s3n://bucket_s3/a/b").unwrap();
        assert!(same.is_same_place(&Location::S3(s3)));
        assert!(!same.is_same_place(&Location::parse("s3://bucket_s3/a").unwrap()));
    }

    /// Goal: each refusal says what to write instead. Method: a phrase of each text.
    #[test]
    fn refusals() {
        for (text, phrase) in [
            ("", "is empty"),
            ("bucket/prefix", "scheme is missing"),
            ("hdfs://name/x", "'hdfs' is not supported"),
            ("s3:///prefix", "bucket is missing"),
            ("s3://key:secret@bucket/x", "credentials do not belong"),
            ("s3://host:9000/bucket", "aws.s3.endpoint"),
            ("s3://-bucket", "begins with a letter"),
            ("s3://a..b", "two dots"),
            ("s3://bucket/a/../b", "'..' segment"),
            ("s3://bucket/./b", "'.' segment"),
            ("s3://bucket//b", "empty segment"),
            ("s3://bucket/a?versionId=1", "PROPERTIES"),
            ("s3://bucket/a#b", "PROPERTIES"),
            ("s3://bucket/a\nb", "U+000A"),
            ("s3://buck et/a", "' ' cannot be part"),
            ("file://host/share", "three slashes"),
            ("file:///", "root directory"),
            ("file:///a/../etc", "'..' segment"),
        ] {
            let error = Location::parse(text).unwrap_err().to_string();
            assert!(error.contains(phrase), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
        let long = format!("s3://bucket/{}", "x".repeat(PATH_BYTES_MAX + 1));
        assert!(Location::parse(&long).is_err());
    }

    #[test]
    fn a_password_in_a_location_is_not_repeated() {
        let error = Location::parse("s3://AKIA:se/cret@bucket/x").unwrap_err().to_string();
        assert!(!error.contains("cret@"), "{error}");
        assert!(!error.contains("AKIA"), "{error}");
    }
}
