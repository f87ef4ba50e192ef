//! What an HTTP request means to S3, and what kind of object a key names.

use crate::http::message::Head;

/// An operation of S3, as far as a path-style request tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "S3's own names")]
pub enum Operation {
    ListBuckets,
    CreateBucket,
    HeadBucket,
    ListObjectsV2,
    ListObjects,
    ListMultipartUploads,
    DeleteObjects,
    GetObject,
    HeadObject,
    PutObject,
    CopyObject,
    DeleteObject,
    PutObjectRetention,
    CreateMultipartUpload,
    UploadPart,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListParts,
    Other,
}

impl Operation {
    /// Reads a request's head: the operation, and the key or listed prefix, decoded.
    pub(super) fn of(head: &Head) -> (Operation, String) {
        let Some((method, target)) = head.request() else {
            return (Operation::Other, String::new());
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = path.trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let parameter = |name: &str| {
            query.split('&').find_map(|pair| {
                let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
                (found == name).then(|| decode(value))
            })
        };
        let has = |name: &str| parameter(name).is_some();
        let operation = match (method, bucket.is_empty(), key.is_empty()) {
            ("GET", true, _) => Operation::ListBuckets,
            ("PUT", false, true) => Operation::CreateBucket,
            ("HEAD", false, true) => Operation::HeadBucket,
            ("GET", false, true) if has("uploads") => Operation::ListMultipartUploads,
            ("GET", false, true) if has("list-type") => Operation::ListObjectsV2,
            ("GET", false, true) => Operation::ListObjects,
            ("POST", false, true) if has("delete") => Operation::DeleteObjects,
            ("GET", false, false) if has("uploadId") => Operation::ListParts,
            ("GET", false, false) => Operation::GetObject,
            ("HEAD", false, false) => Operation::HeadObject,
            ("PUT", false, false) if has("uploadId") => Operation::UploadPart,
            ("PUT", false, false) if head.header("x-amz-copy-source").is_some() => Operation::CopyObject,
            ("PUT", false, false) if has("retention") => Operation::PutObjectRetention,
            ("PUT", false, false) => Operation::PutObject,
            ("POST", false, false) if has("uploads") => Operation::CreateMultipartUpload,
            ("POST", false, false) if has("uploadId") => Operation::CompleteMultipartUpload,
            ("DELETE", false, false) if has("uploadId") => Operation::AbortMultipartUpload,
            ("DELETE", false, false) => Operation::DeleteObject,
            _ => Operation::Other,
        };
        let key = if key.is_empty() { parameter("prefix").unwrap_or_default() } else { decode(key) };
        (operation, key)
    }

    /// Whether its body becomes an object or a part of one.
    pub fn writes(self) -> bool {
        matches!(self, Operation::PutObject | Operation::UploadPart)
    }
}

/// The kind of object in a repository: a part of `<location>/ebla/…`, whatever the location.
/// Keys outside any repository are `other`.
pub fn key_class(key: &str) -> String {
    let Some((_, inside)) = key.rsplit_once("ebla/") else {
        return "other".to_string();
    };
    match inside.split_once('/') {
        Some(("objects", file)) if !file.is_empty() => {
            format!("objects/*.{}", file.rsplit_once('.').map_or("", |(_, extension)| extension))
        }
        Some((folder, _)) => folder.to_string(),
        None => inside.to_string(),
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::read_head;

    #[tokio::test]
    async fn requests_are_named_as_s3_names_them() {
        for (line, extra, operation, key) in [
            ("GET /", "", Operation::ListBuckets, ""),
            ("PUT /b", "", Operation::CreateBucket, ""),
            ("GET /b?list-type=2&prefix=a%2Febla%2F", "", Operation::ListObjectsV2, "a/ebla/"),
            ("GET /b/?list-type=2", "", Operation::ListObjectsV2, ""),
            ("GET /b/a%20b?x-id=GetObject", "", Operation::GetObject, "a b"),
            ("HEAD /b/k", "", Operation::HeadObject, "k"),
            ("PUT /b/k?x-id=PutObject", "", Operation::PutObject, "k"),
            ("PUT /b/k?retention", "", Operation::PutObjectRetention, "k"),
            ("PUT /b/k", "x-amz-copy-source: /b/j\r\n", Operation::CopyObject, "k"),
            ("POST /b/k?uploads", "", Operation::CreateMultipartUpload, "k"),
            ("PUT /b/k?partNumber=1&uploadId=u", "", Operation::UploadPart, "k"),
            ("POST /b/k?uploadId=u", "", Operation::CompleteMultipartUpload, "k"),
            ("DELETE /b/k?uploadId=u", "", Operation::AbortMultipartUpload, "k"),
            ("POST /b?delete", "", Operation::DeleteObjects, ""),
            ("DELETE /b/k", "", Operation::DeleteObject, "k"),
            ("PATCH /b/k", "", Operation::Other, "k"),
        ] {
            let text = format!("{line} HTTP/1.1\r\nHost: h\r\n{extra}\r\n");
            let head = read_head(&mut text.as_bytes()).await.unwrap().unwrap();
            assert_eq!(Operation::of(&head), (operation, key.to_string()), "{line}");
        }
    }

    #[test]
    fn keys_fall_into_classes() {
        for (key, class) in [
            ("backup/ebla/repository.json", "repository.json"),
            ("ebla/objects/0a/0a1b.parquet", "objects/*.parquet"),
            ("x/ebla/objects/0a/0a1b.dv", "objects/*.dv"),
            ("x/ebla/objects/", "objects"),
            ("x/ebla/trees/0a/0a1b.json.zst", "trees"),
            ("x/ebla/snapshots/l/2023.json", "snapshots"),
            ("elsewhere", "other"),
        ] {
            assert_eq!(key_class(key), class, "{key}");
        }
    }
}
