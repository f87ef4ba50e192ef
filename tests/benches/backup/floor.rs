//! The floor: what moving the same objects takes when nothing else is done.
//!
//! A plain loop with the SDK the server uses, as many requests at a time as the server has, against the same store:
//! read a file and PUT it, or GET an object and write a file. No digest, no sync, no catalog, no order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use ebla_tests::folder::Folder;
use ebla_tests::s3::{Bucket, S3Object};
use ebla_tests::usage;
use futures::{StreamExt, TryStreamExt, stream};

use crate::meter::{Sample, settle_disks};

/// Requests at a time: the server's own number.
const IN_FLIGHT: usize = 16;

/// A client of the bucket, and a folder for what it fetches.
pub struct Floor {
    client: Client,
    bucket: String,
    folder: Arc<Folder>,
}

impl Floor {
    /// A floor in the bucket that is backed up to.
    pub fn new(bucket: &Bucket) -> Floor {
        let endpoint = &bucket.endpoint;
        let keys = Credentials::new(&endpoint.access_key, &endpoint.secret_key, None, None, "bench");
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(endpoint.region.clone()))
            .endpoint_url(&endpoint.url)
            .credentials_provider(keys)
            .force_path_style(true)
            .build();
        let folder = Arc::new(Folder::new("floor"));
        Floor { client: Client::from_conf(config), bucket: bucket.name.clone(), folder }
    }

    /// Fetches objects, each to a file.
    pub async fn get(&self, objects: &[S3Object]) -> Sample {
        self.time(objects, |floor, position, object| async move {
            let path = floor.path(position);
            let answer = floor.client.get_object().bucket(&floor.bucket).key(&object.key).send().await.unwrap();
            let body = answer.body.collect().await.unwrap().into_bytes();
            assert_eq!(body.len() as u64, object.size_bytes, "{}", object.key);
            tokio::fs::write(path, body).await.unwrap();
        })
        .await
    }

    /// Puts the files that [`Floor::get`] has just fetched, each as an object of another name.
    pub async fn put(&self, objects: &[S3Object], label: &str) -> Sample {
        let prefix = format!("floor-{label}-{:08x}", rand::random::<u32>());
        self.time(objects, |floor, position, _| {
            let key = format!("{prefix}/{position}");
            async move {
                let body = tokio::fs::read(floor.path(position)).await.unwrap();
                let put = floor.client.put_object().bucket(&floor.bucket).key(key).body(ByteStream::from(body));
                put.send().await.unwrap();
            }
        })
        .await
    }

    /// Does something for each object, the large ones first, and says what it has cost this process.
    async fn time<F, W>(&self, objects: &[S3Object], work: W) -> Sample
    where
        W: Fn(Floor, usize, S3Object) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut largest_first: Vec<(usize, S3Object)> = objects.iter().cloned().enumerate().collect();
        largest_first.sort_by_key(|(_, object)| std::cmp::Reverse(object.size_bytes));
        settle_disks();
        let (start, cpu_before) = (Instant::now(), usage::cpu_seconds(std::process::id()));
        // A task each, so that signatures are computed on every core.
        stream::iter(largest_first)
            .map(|(position, object)| tokio::spawn(work(self.share(), position, object)))
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<Vec<()>>()
            .await
            .unwrap();
        let seconds = start.elapsed().as_secs_f64();
        let cpu_seconds = usage::cpu_seconds(std::process::id()) - cpu_before;
        let sample = Sample { seconds, cpu_seconds, requests: objects.len() as u64, ..Sample::default() };
        sample.moved(objects)
    }

    fn share(&self) -> Floor {
        Floor { client: self.client.clone(), bucket: self.bucket.clone(), folder: Arc::clone(&self.folder) }
    }

    fn path(&self, position: usize) -> PathBuf {
        self.folder.join(&position.to_string())
    }
}
