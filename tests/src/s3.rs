//! A small S3 client of the harness's own: makes buckets, looks into them, and damages what lies there.
//!
//! It shares no code with the server's client, so that it can tell what really is in the store. Path style, SigV4 with a signed
//! body, one connection a request.

use crate::http::{Body, Request, Response};

pub(crate) mod sign;

/// An S3 endpoint with a key pair for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Endpoint {
    /// `http://127.0.0.1:port`.
    pub url: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Who.
    pub access_key: String,
    /// And the proof.
    pub secret_key: String,
}

/// A bucket at an endpoint, for one test's use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Where it is.
    pub endpoint: S3Endpoint,
    /// Its name.
    pub name: String,
}

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct S3Object {
    /// The whole key.
    pub key: String,
    /// The object's size.
    pub size_bytes: u64,
}

impl S3Endpoint {
    /// The same keys at another address (a proxy's).
    #[must_use]
    pub fn at(&self, url: &str) -> S3Endpoint {
        S3Endpoint { url: url.to_string(), ..self.clone() }
    }

    /// `host:port`.
    pub fn addr(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// The same endpoint for another user.
    #[must_use]
    pub fn with_keys(&self, access_key: &str, secret_key: &str) -> S3Endpoint {
        let (access_key, secret_key) = (access_key.to_string(), secret_key.to_string());
        S3Endpoint { access_key, secret_key, ..self.clone() }
    }

    /// The properties of CREATE REPOSITORY for this endpoint, without the parentheses.
    pub fn properties(&self) -> String {
        format!(
            "\"aws.s3.access_key\" = \"{}\",\n\"aws.s3.secret_key\" = \"{}\",\n\"aws.s3.region\" = \"{}\",\n\
             \"aws.s3.endpoint\" = \"{}\",\n\"aws.s3.enable_ssl\" = \"false\",\n\
             \"aws.s3.enable_path_style_access\" = \"true\"",
            self.access_key, self.secret_key, self.region, self.url
        )
    }

    /// A client for it.
    pub fn client(&self) -> S3Client {
        S3Client { endpoint: self.clone(), session_token: None }
    }
}

impl Bucket {
    /// `s3a://bucket/prefix`.
    pub fn location(&self, prefix: &str) -> String {
        format!("s3a://{}/{prefix}", self.name)
    }

    /// The statement that makes a repository below this prefix of the bucket, in the seed's form.
    pub fn create_repository(&self, repository: &str, prefix: &str) -> String {
        format!(
            "CREATE REPOSITORY {repository}\nWITH BROKER\nON LOCATION \"{}\"\nPROPERTIES(\n{}\n)",
            self.location(prefix),
            self.endpoint.properties()
        )
    }

    /// The same bucket seen through another address or with other keys.
    #[must_use]
    pub fn through(&self, endpoint: S3Endpoint) -> Bucket {
        Bucket { endpoint, name: self.name.clone() }
    }

    /// All objects below a prefix, in the order of their keys.
    pub async fn list(&self, prefix: &str) -> Vec<S3Object> {
        self.endpoint.client().list(&self.name, prefix).await
    }

    /// An object's bytes.
    pub async fn get(&self, key: &str) -> Vec<u8> {
        self.endpoint.client().get(&self.name, key).await
    }

    /// What is known of an object without reading it.
    pub async fn head(&self, key: &str) -> Response {
        self.endpoint.client().head(&self.name, key).await
    }

    /// Writes an object, over whatever is there.
    pub async fn put(&self, key: &str, body: &[u8]) {
        self.endpoint.client().put(&self.name, key, body).await;
    }

    /// Deletes an object.
    pub async fn delete(&self, key: &str) {
        self.endpoint.client().delete(&self.name, key).await;
    }
}

/// Requests as the endpoint's user. Everything but [`S3Client::send`] panics on any answer but success.
#[derive(Debug, Clone)]
pub struct S3Client {
    endpoint: S3Endpoint,
    session_token: Option<String>,
}

impl S3Client {
    /// A client that has a role, from the role service of the same endpoint.
    pub async fn assume_role(&self, arn: &str) -> S3Client {
        let form = format!("Action=AssumeRole&Version=2011-06-15&RoleSessionName=ebla-tests&RoleArn={arn}");
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let further = sign::Further { service: Some("sts"), headers: &headers };
        let answer = self.send_signed("POST", "/", &[], further, form.as_bytes()).await.unwrap();
        let text = answer.text();
        let field = |name| element(&text, name).unwrap_or_else(|| panic!("{arn}: {} {text}", answer.status));
        let endpoint = self.endpoint.with_keys(&field("AccessKeyId"), &field("SecretAccessKey"));
        S3Client { endpoint, session_token: Some(field("SessionToken")) }
    }

    /// Makes a bucket.
    pub async fn create_bucket(&self, bucket: &str) {
        self.want("PUT", &format!("/{bucket}"), &[], &[]).await;
    }

    /// Makes a bucket that keeps locks.
    pub async fn create_locking_bucket(&self, bucket: &str) {
        let lock = [("x-amz-bucket-object-lock-enabled", "true")];
        let answer = self.send_with("PUT", &format!("/{bucket}"), &[], &lock, &[]).await.unwrap();
        assert_eq!(answer.status, 200, "make {bucket}: {}", answer.text());
    }

    /// What is known of an object without reading it.
    pub async fn head(&self, bucket: &str, key: &str) -> Response {
        self.want("HEAD", &path(bucket, key), &[], &[]).await
    }

    /// Writes an object.
    pub async fn put(&self, bucket: &str, key: &str, body: &[u8]) {
        self.want("PUT", &path(bucket, key), &[], body).await;
    }

    /// Reads an object.
    pub async fn get(&self, bucket: &str, key: &str) -> Vec<u8> {
        self.want("GET", &path(bucket, key), &[], &[]).await.body
    }

    /// Deletes an object.
    pub async fn delete(&self, bucket: &str, key: &str) {
        self.want("DELETE", &path(bucket, key), &[], &[]).await;
    }

    /// Lists all objects below a prefix, page after page.
    pub async fn list(&self, bucket: &str, prefix: &str) -> Vec<S3Object> {
        let mut objects = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut query = vec![("list-type", "2"), ("prefix", prefix)];
            query.extend(token.as_deref().map(|token| ("continuation-token", token)));
            let page = self.want("GET", &format!("/{bucket}"), &query, &[]).await.text();
            for object in elements(&page, "Contents") {
                let key = element(object, "Key").unwrap_or_default();
                let size_bytes = element(object, "Size").and_then(|size| size.parse().ok()).unwrap_or(0);
                objects.push(S3Object { key, size_bytes });
            }
            token = element(&page, "NextContinuationToken").filter(|token| !token.is_empty());
            if token.is_none() || element(&page, "IsTruncated").as_deref() != Some("true") {
                return objects;
            }
        }
    }

    /// Sends one signed request and gives the answer, whatever it is.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Response> {
        self.send_with(method, path, query, &[], body).await
    }

    /// The same with further headers, whose names are in lower case.
    pub async fn send_with(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Response> {
        let mut headers = headers.to_vec();
        headers.extend(self.session_token.as_deref().map(|token| ("x-amz-security-token", token)));
        let further = sign::Further { service: None, headers: &headers };
        self.send_signed(method, path, query, further, body).await
    }

    async fn send_signed(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        further: sign::Further<'_>,
        body: &[u8],
    ) -> std::io::Result<Response> {
        let signed = sign::sign(&self.endpoint, method, path, query, further, body, std::time::SystemTime::now());
        let mut request = Request::new(method, &signed.target).body(Body::Bytes(body.to_vec()));
        request.headers = signed.headers;
        request.send(self.endpoint.addr()).await
    }

    async fn want(&self, method: &str, path: &str, query: &[(&str, &str)], body: &[u8]) -> Response {
        let asked = format!("{method} {path} {query:?} at {}", self.endpoint.url);
        match self.send(method, path, query, body).await {
            Ok(response) if (200..300).contains(&response.status) => response,
            Ok(response) => panic!("{asked}: {} {}", response.status, response.text()),
            Err(error) => panic!("{asked}: {error}"),
        }
    }
}

fn path(bucket: &str, key: &str) -> String {
    format!("/{bucket}/{key}")
}

/// The insides of all elements of this name. S3's answers nest no element in one of its own name.
fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open).skip(1).filter_map(|rest| rest.split(&close).next()).collect()
}

fn element(xml: &str, name: &str) -> Option<String> {
    let inside = elements(xml, name).first()?.to_string();
    let entities = [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ];
    Some(entities.iter().fold(inside, |text, (entity, plain)| text.replace(entity, plain)))
}
