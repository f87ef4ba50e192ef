//! Keys that are safe to send to a store and to join below a directory.

use std::fmt;

/// Longest key below a location. With the longest prefix it stays within S3's 1,024 bytes.
const KEY_BYTES_MAX: usize = 500;

/// The key of an object below the location: segments of printable ASCII between single slashes, none of them `.` or
/// `..`. Only `repository::layout` makes them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a key of a repository")]
pub struct InvalidKey(String);

impl ObjectKey {
    /// Checks a key.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let text = text.into();
        let segment_ok = |segment: &str| !segment.is_empty() && segment != "." && segment != "..";
        let ok = text.len() <= KEY_BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
            && text.split('/').all(segment_ok);
        if ok { Ok(Self(text)) } else { Err(InvalidKey(text.escape_default().take(KEY_BYTES_MAX).collect())) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_keys_pass() {
        assert_eq!(ObjectKey::new("ebla/a%2F.b/c").unwrap().as_str(), "ebla/a%2F.b/c");
        for bad in ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "a b", "a\\b", "ä", "a\0", "a\nb"] {
            assert!(ObjectKey::new(bad).is_err(), "{bad:?}");
        }
        assert!(ObjectKey::new("x".repeat(KEY_BYTES_MAX + 1)).is_err());
    }
}
