//! Goal: credentials lie sealed, and change while they are in use. Method: a store on a temporary directory with
//! repositories on S3 servers in this process; whatever lies on disk is searched for the secrets.

use std::path::Path;

use super::*;
use crate::clock::{SystemClock, SystemRandom};
use crate::repository::store::tests::servers::{self, ACCESS_KEY, SECRET_KEY, s3_properties};
use crate::storage::StorageConfig;

fn open_with(dir: &Path, secret_key: Option<&str>) -> Repositories {
    let config = StorageConfig::new(dir.join("data"));
    let storage = Storage::open(config, Arc::new(SystemClock), Arc::new(SystemRandom)).unwrap();
    let config = RepositoriesConfig { secret_key: secret_key.map(Secret::new), ..RepositoriesConfig::default() };
    Repositories::open(storage, config).unwrap()
}

fn open(dir: &Path) -> Repositories {
    open_with(dir, None)
}

fn spec(properties: RepositoryProperties) -> RepositorySpec {
    RepositorySpec {
        name: "r".into(),
        location: "s3a://bucket/below".into(),
        access: Access::ReadWrite,
        broker: String::new(),
        properties,
    }
}

fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Every file below `dir` that holds this text.
fn files_with(dir: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes()) {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_lie_sealed_and_open_again() {
    let (address, _server) = servers::in_process_s3().await;
    let dir = tempfile::tempdir().unwrap();
    let repositories = open(dir.path());
    assert!(!dir.path().join("data/secret.key").exists(), "no key before there is something to seal");
    let properties = s3_properties(&format!("http://{address}"), ACCESS_KEY, SECRET_KEY);
    repositories.create(spec(properties.clone())).await.unwrap();
    drop(repositories);
    for secret in [ACCESS_KEY, SECRET_KEY] {
        assert_eq!(files_with(dir.path(), secret), Vec::<std::path::PathBuf>::new());
    }

    let (_, repository) = open(dir.path()).find("r").await.unwrap();
    repository.verify_identity().await.unwrap();

    // Another key opens nothing, says so, and is in nobody's way.
    let other = open_with(dir.path(), Some("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="));
    let error = other.find("r").await.unwrap_err().to_string();
    assert!(error.contains("EBLA_SECRET_KEY") && error.contains("give it the key it had"), "{error}");
    // Nothing is sealed with it beside what it does not open: neither key would open both.
    let again = || RepositorySpec { name: "again".into(), ..spec(properties.clone()) };
    let error = other.create(again()).await.unwrap_err().to_string();
    assert!(error.contains("of repository r cannot be opened") && error.contains("EBLA_SECRET_KEY"), "{error}");
    assert!(other.row("again").await.is_err(), "it is kept all the same");
    drop(other);

    // A lost key is not quietly replaced: what it sealed would be lost for good.
    std::fs::remove_file(dir.path().join("data/secret.key")).unwrap();
    let lost = open(dir.path());
    let error = lost.find("r").await.unwrap_err().to_string();
    assert!(error.contains("secret.key is missing"), "{error}");
    let again = RepositorySpec { name: "again".into(), ..spec(RepositoryProperties::default()) };
    let error = lost.create(again).await.unwrap_err().to_string();
    assert!(error.contains("secret.key is missing"), "{error}");
    drop(lost);

    // When it is lost for good, what it sealed is dropped first. The repository itself is where it was.
    let other = open_with(dir.path(), Some("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="));
    let lost = other.row("r").await.unwrap();
    other.storage.catalog().write(|write| write.drop_repository(lost.id)).unwrap();
    other.create(spec(properties)).await.unwrap();
    assert_eq!(other.row("r").await.unwrap().identity, lost.identity);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_from_before_is_sealed_when_it_is_opened() {
    let (address, _server) = servers::in_process_s3().await;
    let dir = tempfile::tempdir().unwrap();
    let repositories = open(dir.path());
    let properties = s3_properties(&format!("http://{address}"), ACCESS_KEY, SECRET_KEY);
    repositories.create(spec(properties)).await.unwrap();
    let row = repositories.row("r").await.unwrap();
    let plain = repositories.attachment(&row).unwrap().to_catalog_json();
    let catalog = Arc::clone(repositories.storage.catalog());
    catalog.write(|write| write.set_repository_properties(row.id, plain.expose())).unwrap();
    drop((catalog, repositories));
    assert!(!files_with(dir.path(), SECRET_KEY).is_empty(), "it lies open, as it did before there were seals");

    let repositories = open(dir.path());
    assert_eq!(files_with(dir.path(), SECRET_KEY), Vec::<std::path::PathBuf>::new());
    let (row, repository) = repositories.find("r").await.unwrap();
    assert!(Vault::is_sealed(&row.properties));
    repository.verify_identity().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn altering_proves_before_it_replaces_and_reaches_handles_in_use() {
    let server = servers::RotatingS3::start().await;
    let dir = tempfile::tempdir().unwrap();
    let repositories = open(dir.path());
    repositories.create(spec(s3_properties(&server.endpoint(), "first", "first-secret"))).await.unwrap_err();
    server.accept("first", "first-secret");
    repositories.create(spec(s3_properties(&server.endpoint(), "first", "first-secret"))).await.unwrap();
    let (row, waiting) = repositories.find("r").await.unwrap();
    let working = repositories.get(row.id).await.unwrap();
    working.verify_identity().await.unwrap();

    // What does not work is refused, and what was there before goes on.
    let wrong = set(&[("aws.s3.access_key", "first"), ("aws.s3.secret_key", "WRONGCANARY")]);
    let error = repositories.alter("r", wrong).await.unwrap_err().to_string();
    assert!(error.contains("check aws.s3.secret_key") && !error.contains("CANARY"), "{error}");
    let unknown = set(&[("aws.s3.acces_key", "x")]);
    let error = repositories.alter("r", unknown).await.unwrap_err().to_string();
    assert!(error.contains("did you mean 'aws.s3.access_key'"), "{error}");
    let elsewhere = set(&[("location", "s3://bucket/elsewhere")]);
    let error = repositories.alter("r", elsewhere).await.unwrap_err().to_string();
    assert!(error.contains("'location'") && error.contains("stays where it is"), "{error}");
    assert!(repositories.alter("nobody", Vec::new()).await.unwrap_err().to_string().contains("[nobody]"));
    working.verify_identity().await.unwrap();

    // The store takes other keys from here on; handles in use follow the alteration.
    server.accept("second", "second-secret");
    working.verify_identity().await.unwrap_err();
    let keys = set(&[("aws.s3.access_key", "second"), ("aws.s3.secret_key", "second-secret")]);
    repositories.alter("r", keys).await.unwrap();
    working.verify_identity().await.unwrap();
    waiting.verify_identity().await.unwrap();
    assert!(Arc::ptr_eq(&working, &repositories.get(row.id).await.unwrap()), "the handle stays");
    drop((repositories, working, waiting));
    open(dir.path()).find("r").await.unwrap().1.verify_identity().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn altering_does_not_lead_to_another_repository() {
    let (address, _server) = servers::in_process_s3().await;
    let (elsewhere, _other_server) = servers::in_process_s3().await;
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let repositories = open(dirs[0].path());
    repositories.create(spec(s3_properties(&format!("http://{address}"), ACCESS_KEY, SECRET_KEY))).await.unwrap();
    let endpoint = format!("http://{elsewhere}");
    let error = repositories.alter("r", set(&[("aws.s3.endpoint", &endpoint)])).await.unwrap_err().to_string();
    assert!(error.contains("there is no repository where the new properties"), "{error}");

    // Nothing was made there: somebody who only reads finds none.
    let others = open(dirs[1].path());
    let properties = || s3_properties(&endpoint, ACCESS_KEY, SECRET_KEY);
    let reader = RepositorySpec { access: Access::ReadOnly, ..spec(properties()) };
    let none = others.create(reader).await.unwrap_err().to_string();
    assert!(none.contains("there is no repository at"), "{none}");
    others.create(spec(properties())).await.unwrap();
    let error = repositories.alter("r", set(&[("aws.s3.endpoint", &endpoint)])).await.unwrap_err().to_string();
    assert!(error.contains("is not the one it was"), "{error}");
}

/// Goal: a directory's repository takes no property of S3, neither when it is made nor later.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_takes_no_properties() {
    let dir = tempfile::tempdir().unwrap();
    let repositories = open(dir.path());
    let location = format!("file://{}", dir.path().join("repository").display());
    let asked = |pairs: &[(&str, &str)]| RepositorySpec {
        location: location.clone(),
        ..spec(RepositoryProperties::parse(set(pairs)).unwrap())
    };
    let lock = [("aws.s3.object_lock_mode", "COMPLIANCE"), ("aws.s3.object_lock_days", "30")];
    let error = repositories.create(asked(&lock)).await.unwrap_err().to_string();
    assert!(error.contains("no use for property 'aws.s3.object_lock_mode'"), "{error}");
    assert!(!dir.path().join("repository").exists(), "it was refused before anything was written");
    repositories.create(asked(&[])).await.unwrap();
    for pairs in [&lock[..], &[("aws.s3.sse", "AES256")], &[("aws.s3.access_key", "half")]] {
        let error = repositories.alter("r", set(pairs)).await.unwrap_err().to_string();
        assert!(error.contains(&format!("no use for property '{}'", pairs[0].0)), "{error}");
    }
    let error = repositories.alter("r", set(&[("no.such", "x")])).await.unwrap_err().to_string();
    assert!(error.contains("unknown repository property 'no.such'"), "{error}");
}

/// Goal: SHOW REPOSITORIES knows which repository cannot be reached. Method: a store that changes its keys and takes them
/// back.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_finds_what_cannot_be_reached() {
    let server = servers::RotatingS3::start().await;
    let dir = tempfile::tempdir().unwrap();
    let repositories = open(dir.path());
    server.accept("first", "first-secret");
    repositories.create(spec(s3_properties(&server.endpoint(), "first", "first-secret"))).await.unwrap();
    repositories.look().await.unwrap();
    assert_eq!(repositories.row("r").await.unwrap().error, None);
    server.accept("second", "second-secret");
    repositories.look().await.unwrap();
    let error = repositories.row("r").await.unwrap().error.unwrap();
    assert!(error.contains("aws.s3.access_key") && !error.contains("first-secret"), "{error}");
    server.accept("first", "first-secret");
    repositories.look().await.unwrap();
    assert_eq!(repositories.row("r").await.unwrap().error, None);
}

/// Who has waited for a turn has time left for the store, and an error of it tells what else was waited for.
#[tokio::test]
async fn a_turn_leaves_time_for_the_store() {
    let patience = Duration::from_secs(4);
    let statement = store::within(patience, async {
        let end = store::Deadline::current().unwrap().at();
        tokio::select! {
            biased;
            turn = in_time("nobody", std::future::pending::<()>()) => assert_eq!(turn, None),
            () = tokio::time::sleep_until(end - patience / 4) => panic!("it waits for its turn until too little is left"),
        }
        assert!(Instant::now() >= end - patience / 2, "and no longer than it must");
    });
    statement.await;
}

/// Goal: what an older version took goes on as far as it can be used, and where it cannot, SHOW REPOSITORIES says what to
/// type. Method: properties that would be refused now are written into the catalog.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_version_took() {
    let (address, _server) = servers::in_process_s3().await;
    let endpoint = format!("http://{address}");
    let dir = tempfile::tempdir().unwrap();
    let repositories = open(dir.path());
    repositories.create(spec(s3_properties(&endpoint, ACCESS_KEY, SECRET_KEY))).await.unwrap();
    let keep = |pairs: &[(&str, &str)]| {
        let row = repositories.storage.catalog().read(|read| read.find_repository("r")).unwrap().unwrap();
        let pairs = [&[("aws.s3.endpoint", endpoint.as_str())], pairs].concat();
        let kept = Attachment {
            properties: RepositoryProperties::parse(set(&pairs)).unwrap(),
            ..repositories.attachment(&row).unwrap()
        };
        let sealed = repositories.vault.seal(&row.identity, &kept.to_catalog_json()).unwrap();
        repositories.storage.catalog().write(|write| write.set_repository_properties(row.id, &sealed)).unwrap();
    };
    // Another identity is used, so half a set of keys is in nobody's way.
    keep(&[("aws.s3.access_key", ACCESS_KEY), ("aws.s3.use_instance_profile", "true")]);
    repositories.find("r").await.unwrap();

    keep(&[("aws.s3.access_key", ACCESS_KEY)]);
    repositories.look().await.unwrap();
    let error = repositories.row("r").await.unwrap().error.unwrap();
    assert!(error.contains("aws.s3.access_key is given without aws.s3.secret_key; give both"), "{error}");
    assert!(error.contains("ALTER REPOSITORY r PROPERTIES (") && !error.contains(ACCESS_KEY), "{error}");
    let still_half = repositories.alter("r", set(&[("aws.s3.region", "us-east-1")])).await.unwrap_err().to_string();
    assert!(still_half.contains("aws.s3.access_key is given without aws.s3.secret_key"), "{still_half}");
    repositories.alter("r", set(&[("aws.s3.secret_key", SECRET_KEY)])).await.unwrap();
    assert_eq!(repositories.row("r").await.unwrap().error, None);
    repositories.find("r").await.unwrap().1.verify_identity().await.unwrap();
}
