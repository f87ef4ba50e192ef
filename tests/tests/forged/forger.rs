//! Forges snapshots: reads a whole one from a bucket, changes what it says, and puts it back under another label with
//! every digest right. Written from `docs/repository-format.md` alone, so it can say what the product would never write.

use std::io::Write;

use ebla_tests::s3::Bucket;
use serde_json::{Value, json};

/// Where the repository lies in its bucket.
pub const PREFIX: &str = "forged";

/// A snapshot to forge others from.
pub struct Forger {
    pub bucket: Bucket,
    pub timestamp: String,
    commit: Value,
    forged: usize,
}

/// What a forged snapshot is made of: one table of one partition, to be changed.
#[derive(Clone)]
pub struct Parts {
    pub commit: Value,
    pub table: Value,
    pub partition: Value,
}

impl Forger {
    /// Of the only snapshot in the bucket.
    pub async fn new(bucket: Bucket) -> Forger {
        let listed = bucket.list(&format!("{PREFIX}/ebla/snapshots/")).await;
        let [object] = &listed[..] else { panic!("one snapshot: {listed:?}") };
        let timestamp = object.key.rsplit_once('/').unwrap().1.trim_end_matches(".json").to_owned();
        let commit = serde_json::from_slice(&bucket.get(&object.key).await).unwrap();
        Forger { bucket, timestamp, commit, forged: 0 }
    }

    /// What the snapshot is made of.
    pub async fn parts(&self) -> Parts {
        let table = self.node(&self.commit["tables"][0]["node"]).await;
        let partition = self.node(&table["partitions"][0]["node"]).await;
        Parts { commit: self.commit.clone(), table, partition }
    }

    /// A label that no snapshot has.
    pub fn next_label(&mut self) -> String {
        self.forged += 1;
        format!("forged{}", self.forged)
    }

    /// Puts a snapshot of these parts, each referring to the next, and returns its label.
    pub async fn put(&mut self, mut parts: Parts) -> String {
        parts.table["partitions"][0]["node"] = self.put_node(&bytes_of(&parts.partition)).await;
        parts.commit["tables"][0]["node"] = self.put_node(&bytes_of(&parts.table)).await;
        self.put_commit(parts.commit).await
    }

    /// Puts a commit object under a label of its own, and returns the label.
    pub async fn put_commit(&mut self, mut commit: Value) -> String {
        let label = self.next_label();
        commit["label"] = json!(label);
        self.put_commit_bytes(&label, &sealed(commit)).await;
        label
    }

    /// Puts whatever bytes as the commit object of a label.
    pub async fn put_commit_bytes(&self, label: &str, bytes: &[u8]) {
        self.bucket.put(&format!("{PREFIX}/ebla/snapshots/{label}/{}.json", self.timestamp), bytes).await;
    }

    /// Puts a node of this JSON, and returns the reference to it.
    pub async fn put_node(&self, json: &[u8]) -> Value {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(json).unwrap();
        self.put_object("trees", "json.zst", &encoder.finish().unwrap()).await
    }

    /// Puts an object of these bytes under their digest, and returns the reference to it.
    pub async fn put_object(&self, kind: &str, ending: &str, bytes: &[u8]) -> Value {
        let digest = blake3::hash(bytes).to_hex().to_string();
        self.bucket.put(&format!("{PREFIX}/ebla/{kind}/{}/{digest}.{ending}", &digest[..2]), bytes).await;
        json!({"digest": digest, "bytes": bytes.len()})
    }

    /// The bytes of the segment that an entry names.
    pub async fn segment(&self, entry: &Value) -> Vec<u8> {
        let digest = entry["digest"].as_str().unwrap();
        self.bucket.get(&format!("{PREFIX}/ebla/objects/{}/{digest}.parquet", &digest[..2])).await
    }

    async fn node(&self, reference: &Value) -> Value {
        let digest = reference["digest"].as_str().unwrap();
        let stored = self.bucket.get(&format!("{PREFIX}/ebla/trees/{}/{digest}.json.zst", &digest[..2])).await;
        serde_json::from_slice(&zstd::stream::decode_all(&stored[..]).unwrap()).unwrap()
    }
}

impl Parts {
    /// The only segment.
    pub fn segment(&mut self) -> &mut Value {
        &mut self.partition["tablets"][0]["rowsets"][0]["segments"][0]
    }

    /// Says the same number of the table's objects, rows or bytes on every level above the segments.
    pub fn say(&mut self, what: &str, number: u64) {
        for entry in [&mut self.table["partitions"][0], &mut self.commit["tables"][0]] {
            entry[what] = json!(number);
        }
        self.commit["totals"][what] = json!(number);
    }
}

/// The bytes of a value as JSON.
pub fn bytes_of(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

/// A value whose placeholder, the text `"@"`, is other JSON: for what would not fit memory as a value.
pub fn with_raw(value: &Value, raw: &str) -> Vec<u8> {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(text.matches("\"@\"").count(), 1, "{text}");
    text.replace("\"@\"", raw).into_bytes()
}

/// Sealed JSON.
pub fn sealed(mut value: Value) -> Vec<u8> {
    value.as_object_mut().unwrap().remove("blake3");
    let mut bytes = bytes_of(&value);
    assert_eq!(bytes.pop(), Some(b'}'));
    let seal = format!(",\"blake3\":\"{}\"}}\n", blake3::hash(&bytes).to_hex());
    bytes.extend_from_slice(seal.as_bytes());
    bytes
}
