//! `mysql_native_password`: the challenge, what the server stores, and the check.
//!
//! The client proves that it knows the password by `SHA1(password) XOR SHA1(salt + SHA1(SHA1(password)))`.
//! The check does the same work for every answer, right or wrong, known user or not, and compares in
//! constant time, so that time tells nothing about accounts.

use rand::RngCore;
use sha1::{Digest, Sha1};
use subtle::{Choice, ConstantTimeEq};

use super::Credential;

/// The plugin's name on the wire.
pub(super) const NATIVE_PASSWORD: &str = "mysql_native_password";

/// Bytes of the challenge, and of a SHA-1.
pub(super) const SALT_BYTES: usize = 20;

/// What an account stores: `SHA1(SHA1(password))`, to be kept in [`Credential::NativePassword`].
pub fn double_sha1(password: &[u8]) -> [u8; 20] {
    sha1(&[&sha1(&[password])])
}

/// A fresh challenge: 7-bit, without NUL (which ends it on the wire) and `$` (which some clients split at).
pub(super) fn salt() -> [u8; SALT_BYTES] {
    let mut salt = [0; SALT_BYTES];
    rand::rng().fill_bytes(&mut salt);
    for byte in &mut salt {
        *byte &= 0x7f;
        if *byte == 0 || *byte == b'$' {
            *byte += 1;
        }
    }
    salt
}

/// Whether `answer` opens the account. `None` is an unknown user, whom nothing opens.
pub(super) fn is_right(salt: &[u8; SALT_BYTES], answer: &[u8], credential: Option<&Credential>) -> bool {
    let (known, needs_password, stored) = match credential {
        None => (0, 1, [0; 20]),
        Some(Credential::Empty) => (1, 0, [0; 20]),
        Some(Credential::NativePassword(stored)) => (1, 1, *stored),
    };
    let mut proof = sha1(&[salt, &stored]);
    for (byte, sent) in proof.iter_mut().zip(answer) {
        *byte ^= sent;
    }
    let proven = sha1(&[&proof]).ct_eq(&stored) & Choice::from(u8::from(answer.len() == 20));
    let empty = Choice::from(u8::from(answer.is_empty()));
    let needs_password = Choice::from(needs_password);
    let opens = (needs_password & proven) | (!needs_password & empty);
    bool::from(Choice::from(known) & opens)
}

fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut hasher = Sha1::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(salt: &[u8; 20], password: &[u8]) -> Vec<u8> {
        let mask = sha1(&[salt, &double_sha1(password)]);
        let first = sha1(&[password]);
        first.iter().zip(mask).map(|(a, b)| a ^ b).collect()
    }

    #[test]
    fn only_the_right_answer_opens() {
        let salt = salt();
        let account = Credential::NativePassword(double_sha1(b"secret"));
        let right = proof(&salt, b"secret");
        assert!(is_right(&salt, &right, Some(&account)));
        assert!(!is_right(&salt, &proof(&salt, b"Secret"), Some(&account)));
        assert!(!is_right(&salt, &right[..19], Some(&account)));
        assert!(!is_right(&salt, &[&right[..], &[0]].concat(), Some(&account)));
        assert!(!is_right(&salt, b"", Some(&account)));
        assert!(!is_right(&salt, &right, None));
        assert!(!is_right(&salt, b"", None));
        assert!(is_right(&salt, b"", Some(&Credential::Empty)));
        assert!(!is_right(&salt, &right, Some(&Credential::Empty)));
    }

    #[test]
    fn stores_what_mysql_stores() {
        let stored = double_sha1(b"password");
        let hex: String = stored.iter().map(|b| format!("{b:02X}")).collect();
        assert_eq!(hex, "2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19");
    }

    #[test]
    fn salts_differ_and_hold_no_nul_or_dollar() {
        let salts: Vec<_> = (0..200).map(|_| salt()).collect();
        assert!(salts.iter().flatten().all(|b| (1..=0x7f).contains(b) && *b != b'$'));
        assert!(salts.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
