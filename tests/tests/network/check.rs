//! The rules by which a cell is judged.

use std::collections::HashMap;

use ebla_tests::proxy::{Exchange, Operation};
use ebla_tests::s3::Bucket;

use crate::bed::{JOB_ATTEMPTS, S3_ATTEMPTS, Size};
use crate::site::{Site, Way};

/// Attempts that the server makes at what the SDK does not try again, such as a body that broke off.
const STORE_ATTEMPTS: u64 = 4;

/// Times an object is fetched until its bytes are called damaged.
const DAMAGED_ATTEMPTS: u64 = 3;

/// Parts of the large object.
const PARTS: u64 = 3;

/// A text names the operation, the object and where it is, what came back, and what to do.
pub fn assert_helps(site: &Site, bucket: &Bucket, text: &str) {
    let text = text.strip_suffix(']').unwrap_or(text);
    let (said, advice) = text.rsplit_once("; ").unwrap_or_else(|| panic!("no advice: {text}"));
    assert!(advice.split(' ').count() >= 4, "no advice: {text}");
    assert!(!text.contains('\n') && text.len() < 2_000, "{text}");
    assert!(!text.contains(&bucket.endpoint.secret_key) && !text.contains(&bucket.endpoint.access_key), "{text}");
    if let Some((place, detail)) = text.split_once(" cannot hold a repository: ") {
        assert!(place.ends_with(&format!("{}/{}", bucket.name, repository_of(place))) && detail.len() > 40, "{text}");
        return;
    }
    // Another repository's identity, which is all that an answer to another's request is.
    if let Some((place, detail)) = text.split_once(" is not the one it was: ").filter(|_| site.is_identity()) {
        assert!(place.contains(&format!("{}/", bucket.name)) && detail.contains(" instead of "), "{text}");
        return;
    }
    // What cannot be told of a whole repository.
    if let Some((place, detail)) = text.split_once(" cannot be collected: ") {
        assert!(place.contains(&format!("{}/", bucket.name)) && detail.len() > 40, "{text}");
        return;
    }
    let key = if matches!(site.way, Way::PartRefused | Way::ObjectRefused) { "ebla/objects/" } else { site.key };
    assert!(text.contains(key), "no '{key}': {text}");
    let place = format!("bucket '{}' at {}", bucket.name, bucket.endpoint.url);
    let damaged = ["of the repository is damaged: ", "of the repository cannot be used: "];
    if let Some(damaged) = damaged.iter().find(|phrase| said.contains(**phrase)) {
        assert!(said.split(damaged).nth(1).is_some_and(|detail| detail.len() > 10), "no detail: {text}");
        return;
    }
    let cannot = format!("cannot {} '", site.verb);
    assert!(said.contains(&cannot), "no '{cannot}': {text}");
    let answer = said.split(&place).nth(1).unwrap_or_else(|| panic!("no '{place}': {text}"));
    assert!(answer.strip_prefix(": ").is_some_and(|answer| answer.len() > 5), "no answer: {text}");
}

/// The last part of a location.
fn repository_of(location: &str) -> &str {
    location.rsplit('/').next().unwrap_or_default()
}

/// No request is repeated more often than the limits allow.
pub fn assert_bounded(exchanges: &[Exchange]) {
    for ((operation, key), count) in counts(exchanges) {
        let pieces = match operation {
            Operation::UploadPart => PARTS,
            Operation::GetObject if key.contains("/objects/") => PARTS.max(DAMAGED_ATTEMPTS),
            // The proof of a repository puts and reads its probe several times; a commit object is read by the
            // statement and by the job, and by a job that ends early.
            _ => 3,
        };
        let max = S3_ATTEMPTS.max(STORE_ATTEMPTS) * JOB_ATTEMPTS * pieces;
        assert!(count <= max, "{count} times {operation:?} of {key}, more than {max}");
    }
}

/// After a fault that was over at once, what had arrived is not moved again.
pub fn assert_goes_on(exchanges: &[Exchange], size: Size) {
    let pieces = if size == Size::Large { PARTS } else { 1 };
    let moved: Vec<Exchange> =
        exchanges.iter().filter(|exchange| exchange.key.contains("/objects/")).cloned().collect();
    for ((operation, key), count) in counts(&moved) {
        let once = match operation {
            Operation::UploadPart | Operation::GetObject => pieces,
            Operation::PutObject | Operation::CreateMultipartUpload | Operation::CompleteMultipartUpload => 1,
            _ => continue,
        };
        let same = |exchange: &&Exchange| exchange.operation == operation && exchange.key == key;
        // One that nobody waited for to its end, because the machine is busy, is another attempt too.
        let failed = |exchange: &&Exchange| exchange.disturbed || exchange.status == 0;
        let failures = moved.iter().filter(same).filter(failed).count() as u64;
        // An object has one digest, however many parts it comes in: a wrong bit costs it whole.
        assert!(
            count <= once + once.max(2) * failures,
            "{count} times {operation:?} of {key} after {failures} failures"
        );
    }
}

fn counts(exchanges: &[Exchange]) -> HashMap<(Operation, String), u64> {
    let mut counts = HashMap::new();
    for exchange in exchanges {
        *counts.entry((exchange.operation, exchange.key.clone())).or_default() += 1;
    }
    counts
}
