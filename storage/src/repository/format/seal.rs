//! JSON that carries the digest of its own bytes.
//!
//! The last member of the object is `"blake3"`, and the object ends right after it with `}` and a line feed. The
//! digest is that of every byte before the comma that precedes the member. Any JSON parser reads the whole.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{FormatError, Header, parse};
use crate::digest::{DIGEST_LEN, Digest};

const BEFORE: &[u8] = b",\"blake3\":\"";
const AFTER: &[u8] = b"\"}\n";
const SEAL_LEN: usize = BEFORE.len() + 2 * DIGEST_LEN + AFTER.len();

/// The bytes to store. `value` must be a struct with at least one field.
pub(super) fn seal<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.pop(); // The closing brace comes after the seal.
    let digest = Digest::of(&bytes);
    bytes.extend_from_slice(BEFORE);
    bytes.extend_from_slice(digest.to_hex().as_bytes());
    bytes.extend_from_slice(AFTER);
    Ok(bytes)
}

/// Checks the seal and reads the value.
pub(super) fn unseal<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, FormatError> {
    match check(bytes) {
        Ok(()) => parse(what, bytes),
        // A newer format may be sealed in another way; saying so helps more than calling it damaged.
        Err(damaged) => match serde_json::from_slice::<Header>(bytes) {
            Ok(header) if header.format_version > super::FORMAT_VERSION => parse(what, bytes),
            _ => Err(damaged),
        },
    }
}

fn check(bytes: &[u8]) -> Result<(), FormatError> {
    let (body, seal) = bytes.len().checked_sub(SEAL_LEN).map(|at| bytes.split_at(at)).ok_or(FormatError::NotSealed)?;
    let hex = seal.strip_prefix(BEFORE).and_then(|rest| rest.strip_suffix(AFTER)).ok_or(FormatError::NotSealed)?;
    let expected: Digest =
        std::str::from_utf8(hex).ok().and_then(|hex| hex.parse().ok()).ok_or(FormatError::NotSealed)?;
    let found = Digest::of(body);
    if found == expected { Ok(()) } else { Err(FormatError::WrongDigest { expected, found }) }
}
