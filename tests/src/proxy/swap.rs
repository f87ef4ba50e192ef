//! The answer to another request, for a fault that gives it to the wrong one: it is a real answer, whole in itself.

use super::{Exchange, Operation, Shared};
use crate::http::Response;
use crate::http::message::Head;
use crate::s3::{S3Client, S3Object};

/// A prefix that is listed in place of another, and what is listed in place of that one.
const PREFIXES: [&str; 2] = ["ebla/objects/", "ebla/snapshots/"];

/// Objects that are tried in place of another.
const OTHERS_MAX: usize = 16;

/// What another request of the same kind is answered; nothing when there is none that would do.
pub(super) async fn answer(shared: &Shared, head: &Head, asked: &Exchange) -> Option<Response> {
    let (_, target) = head.request()?;
    let bucket = target.trim_start_matches('/').split(['/', '?']).next()?;
    let client = shared.endpoint.client();
    let answer = match asked.operation {
        Operation::ListObjectsV2 => {
            let (root, below) = asked.key.split_at(asked.key.find("ebla/")?);
            let other = PREFIXES.into_iter().find(|prefix| !below.starts_with(prefix))?;
            let prefix = format!("{root}{other}");
            client.send("GET", &format!("/{bucket}"), &[("list-type", "2"), ("prefix", &prefix)], &[]).await.ok()?
        }
        Operation::GetObject => {
            let range: Vec<(&str, &str)> = head.header("range").map(|range| ("range", range)).into_iter().collect();
            other_object(&client, bucket, &asked.key, &range).await?
        }
        _ => return None,
    };
    (200..300).contains(&answer.status).then_some(answer)
}

/// Another object of the same kind, of the same repository if there is one there: of the same size, or as near as there is
/// one. One that is removed meanwhile, or is too short for the range, will not do.
async fn other_object(client: &S3Client, bucket: &str, key: &str, range: &[(&str, &str)]) -> Option<Response> {
    let (root, below) = key.split_at(key.find("ebla/")?);
    let kind: String = below.split_inclusive('/').take(2).collect();
    // The same bytes lie under the same name in every repository.
    let name = |key: &str| key.rsplit('/').next().map(str::to_owned);
    let is_other = |object: &S3Object| {
        object.key != key && object.key.contains(&kind) && (kind == below || name(&object.key) != name(key))
    };
    // A whole bucket may take longer to list than whoever asks waits; repositories that stay are kept below one name.
    for prefix in [root, "kept", ""] {
        let mut all = client.list(bucket, prefix).await;
        let bytes = all.iter().find(|object| object.key == key).map_or(0, |object| object.size_bytes);
        all.retain(is_other);
        all.sort_by_key(|object| object.size_bytes.abs_diff(bytes));
        for other in all.into_iter().take(OTHERS_MAX) {
            let answer = client.send_with("GET", &format!("/{bucket}/{}", other.key), &[], range, &[]).await;
            if let Some(answer) = answer.ok().filter(|answer| (200..300).contains(&answer.status)) {
                return Some(answer);
            }
        }
    }
    None
}
