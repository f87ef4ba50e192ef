//! Which known key is meant by one that nobody knows.
//!
//! It is advice that people follow with a value in hand, so a secret's key is named only for what is all but that key.

use super::keys::{CANONICAL_PREFIX, KEYS};

/// Prefixes of keys that are about S3, for which the nearest known one is always worth naming.
const PREFIXES: &[&str] = &[CANONICAL_PREFIX, "fs.s3a.", "s3."];

/// Most letters by which a key without a known prefix differs from the one that is meant.
const DISTANCE_MAX: usize = 3;

/// Most letters by which a key differs from that of a secret that is meant: whoever takes the advice writes the value there,
/// and it may be another secret.
const DISTANCE_OF_SECRETS_MAX: usize = 2;

/// The known key that is most like `key`, among those of its family if it has one. `None` when none is like it.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    let family = PREFIXES.iter().find(|prefix| key.starts_with(**prefix));
    let distance_max = match family {
        Some(prefix) => (key.len() - prefix.len()) / 2,
        None => DISTANCE_MAX.min(key.len() / 3),
    };
    let of_family = || KEYS.iter().filter(|(known, _)| family.is_none_or(|prefix| known.starts_with(prefix)));
    let by_letters = of_family()
        .map(|(known, setting)| (edit_distance(&key, &known.to_ascii_lowercase()), *known, setting))
        .filter(|(distance, _, setting)| {
            let distance_max =
                if setting.is_secret() { DISTANCE_OF_SECRETS_MAX.min(distance_max) } else { distance_max };
            *distance <= distance_max
        })
        .min_by_key(|(distance, ..)| *distance);
    let goes_on = |known: &str| {
        let rest = key.strip_prefix(&known.to_ascii_lowercase());
        rest.is_some_and(|rest| rest.starts_with(['.', '_', '-']))
    };
    // `aws.s3.sse_customer_key` is about `aws.s3.sse`, whatever else has as many letters of it.
    let by_beginning = of_family()
        .filter(|(known, setting)| family.is_some() && !setting.is_secret() && goes_on(known))
        .max_by_key(|(known, _)| known.len());
    match (by_letters, by_beginning) {
        (Some((distance, known, _)), Some((beginning, _))) if distance > DISTANCE_OF_SECRETS_MAX => {
            Some(if known.starts_with(beginning) { known } else { beginning })
        }
        (Some((_, known, _)), _) => Some(known),
        (None, Some((known, _))) => Some(*known),
        (None, None) => None,
    }
}

/// Insertions, deletions and replacements that turn one text into the other.
pub(super) fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_key() {
        for (key, known) in [
            ("aws.s3.acces_key", Some("aws.s3.access_key")),
            ("aws.s3.accessKey", Some("aws.s3.access_key")),
            ("AWS.S3.REGIN", Some("aws.s3.region")),
            ("aws.s3.path_style_access", Some("aws.s3.enable_path_style_access")),
            ("aws.s3.use_instance_profil", Some("aws.s3.use_instance_profile")),
            ("fs.s3a.acess.key", Some("fs.s3a.access.key")),
            ("s3.sesion_token", Some("s3.session_token")),
            ("aws_regoin", Some("aws_region")),
            ("aws_s3.object_lock_days", Some("aws.s3.object_lock_days")),
            ("asw.s3.region", Some("aws.s3.region")),
            ("aws.s3.sse_customer_key", Some("aws.s3.sse")),
            ("aws.s3.sse_kms_key", Some("aws.s3.sse_kms_key_id")),
            ("aws.s3.sse_type", Some("aws.s3.sse")),
            ("aws.s3.client_key", None),
            ("fs.s3a.session.key", None),
            ("some.api_token", None),
            ("aws.s3.x", None),
            ("aws.s3.", None),
            ("fs.s3a.wholly.other.thing", None),
            ("x", None),
        ] {
            assert_eq!(nearest(key), known, "{key}");
        }
    }
}
