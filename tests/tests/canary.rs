//! Goal: a secret that is told to the product comes out of it nowhere. Method: a word of its own for every place that takes
//! a secret, in statements that work, fail, do not parse, are very long or are seen while they run; then a search for
//! every such word in everything that the product writes or says: logs, SHOW, information_schema, errors, metrics, the HTTP
//! answers, the data directory with its catalog, and the objects of the repository.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::path::Path;
use std::time::Duration;

use ebla_tests::client::Client;
use ebla_tests::cloud::{RoleService, Trust};
use ebla_tests::http::{Body, Request};
use ebla_tests::keys::LiveKeys;
use ebla_tests::proxy::{Fault, Rule, S3Proxy};
use ebla_tests::s3::Bucket;
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::server::{ROOT_PASSWORD, Server, basic};
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};

const LONG_LIFE: Duration = Duration::from_secs(3600);

const PATIENCE: Duration = Duration::from_secs(60);

const ROLE: &str = "arn:aws:iam::000000000000:role/BackupRole";

/// Longer than what is shown of a statement, and than what is parsed before it is logged.
const PADDING_BYTES: usize = 1_200_000;

/// The words, and what was said where somebody might read it.
#[derive(Default)]
struct Aviary {
    canaries: Vec<(String, String)>,
    heard: Vec<(String, String)>,
}

impl Aviary {
    /// A new word for a place.
    fn canary(&mut self, place: &str) -> String {
        // As secrets are: with letters that URLs and forms encode.
        let word = format!("canary{:03}+/={:016x}", self.canaries.len(), rand::random::<u64>());
        self.canaries.push((place.to_string(), word.clone()));
        word
    }

    /// Counts a value as one, that others have made.
    fn adopt(&mut self, place: &str, word: &str) {
        self.canaries.push((place.to_string(), word.to_string()));
    }

    fn hear(&mut self, whence: &str, text: impl Into<String>) {
        self.heard.push((whence.to_string(), text.into()));
    }

    async fn refused(&mut self, client: &mut Client, statement: &str) {
        let error = client.refused(statement).await;
        self.hear("an error", error.message);
        let warnings = client.query("SHOW WARNINGS").await.to_string();
        self.hear("SHOW WARNINGS", warnings);
    }

    /// Says every canary that is in these bytes. One that is spelt in capitals, encoded as a URL does, wholly or in part,
    /// or escaped as strings are, counts as well.
    fn search(&self, whence: &str, bytes: &[u8], found: &mut Vec<String>) {
        let lower = bytes.to_ascii_lowercase();
        for (place, word) in &self.canaries {
            if memory_holds(&lower, word.to_ascii_lowercase().as_bytes()) {
                found.push(format!("{whence} holds what was told as {place}"));
            }
        }
    }

    fn search_below(&self, whence: &str, path: &Path, found: &mut Vec<String>) -> usize {
        if path.is_dir() {
            return std::fs::read_dir(path)
                .unwrap()
                .map(|entry| self.search_below(whence, &entry.unwrap().path(), found))
                .sum();
        }
        // A file may go while it is looked for.
        let Ok(bytes) = std::fs::read(path) else {
            return 0;
        };
        self.search(&format!("{whence} {}", path.display()), &bytes, found);
        1
    }
}

fn memory_holds(bytes: &[u8], word: &[u8]) -> bool {
    let Some(&first) = word.first() else {
        return false;
    };
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first || matches!(**byte, b'%' | b'\\'));
    starts.into_iter().any(|(at, _)| spells(&bytes[at..], word))
}

/// Whether the bytes begin with the word, each of whose letters may be encoded or escaped.
fn spells(mut bytes: &[u8], word: &[u8]) -> bool {
    word.iter().all(|letter| {
        let length = match bytes {
            [first, ..] if first == letter => 1,
            [b'\\', second, ..] if second == letter => 2,
            [b'%', high, low, ..] if number(&[*high, *low]) == Some(*letter) => 3,
            [b'\\', b'u', b'0', b'0', high, low, ..] if number(&[*high, *low]) == Some(*letter) => 6,
            _ => return false,
        };
        bytes = &bytes[length..];
        true
    })
}

/// The letter that these digits are the code of, in lower case.
fn number(hex: &[u8; 2]) -> Option<u8> {
    let code = u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?;
    Some(code.to_ascii_lowercase())
}

fn create(name: &str, bucket: &Bucket, properties: &[(&str, &str)]) -> String {
    let properties: Vec<String> = properties.iter().map(|(key, value)| format!("\"{key}\" = \"{value}\"")).collect();
    format!(
        "CREATE REPOSITORY {name} WITH BROKER ON LOCATION \"{}\" PROPERTIES ({}, \"aws.s3.region\" = \"us-east-1\", \
         \"aws.s3.endpoint\" = \"{}\")",
        bucket.location("backup"),
        properties.join(", "),
        bucket.endpoint.url
    )
}

/// Repository credentials in every spelling, right and wrong, in statements of every kind.
async fn tell_repositories(
    aviary: &mut Aviary,
    server: &Server,
    client: &mut Client,
    bucket: &Bucket,
    keys: &LiveKeys,
) {
    for [access, secret, token] in [
        ["aws.s3.access_key", "aws.s3.secret_key", "aws.s3.session_token"],
        ["s3.access_key", "s3.secret_key", "s3.session_token"],
        ["fs.s3a.access.key", "fs.s3a.secret.key", "fs.s3a.session.token"],
    ] {
        let right = keys.mint(LONG_LIFE);
        aviary.adopt(access, &right.access_key);
        aviary.adopt(secret, &right.secret_key);
        aviary.adopt(token, &right.session_token);
        let pairs = [(access, right.access_key.as_str()), (secret, &right.secret_key), (token, &right.session_token)];
        client.query(&create("spelt", bucket, &pairs)).await;
        let shown = client.query("SHOW CREATE REPOSITORY FOR spelt").await.to_string();
        aviary.hear("SHOW CREATE REPOSITORY", shown);
        // Wrong values of the same, one by one.
        for wrong in 0..pairs.len() {
            let mut pairs = pairs;
            let word = aviary.canary(&format!("a wrong {}", pairs[wrong].0));
            pairs[wrong].1 = &word;
            if wrong < 2 {
                aviary.refused(client, &create("wrong", bucket, &pairs)).await;
            }
            let changes: Vec<String> = pairs.iter().map(|(key, value)| format!("\"{key}\" = \"{value}\"")).collect();
            if wrong < 2 {
                let alter = format!("ALTER REPOSITORY spelt PROPERTIES ({})", changes.join(", "));
                aviary.refused(client, &alter).await;
            }
            // Only one of what belongs together.
            aviary.refused(client, &create("alone", bucket, &pairs[wrong..=wrong])).await;
        }
        client.query("DROP REPOSITORY spelt").await;
    }
    for key in [
        "aws.s3.secret_kay",
        "aws.s3.Session_Token",
        "my.password",
        "some.secret.of.others",
        "fs.oss.accessKeySecret",
        "password",
        "hadoop.passwd",
        "hadoop.pwd",
        "hadoop.ssl.passphrase",
        "hadoop.s3.sk",
        "hadoop.ak",
        "s3.sk",
    ] {
        let word = aviary.canary(key);
        let right = keys.mint(LONG_LIFE);
        aviary.adopt("aws.s3.secret_key", &right.secret_key);
        let pairs =
            [("aws.s3.access_key", right.access_key.as_str()), ("aws.s3.secret_key", &right.secret_key), (key, &word)];
        // Some are refused, some are kept and passed over.
        match client.try_query(&create("others", bucket, &pairs)).await {
            Ok(_) => {
                let shown = client.query("SHOW CREATE REPOSITORY FOR others").await.to_string();
                aviary.hear("SHOW CREATE REPOSITORY", shown);
                client.query("DROP REPOSITORY others").await;
            }
            Err(error) => aviary.hear("an error", error.message),
        }
    }
    let word = aviary.canary("the user part of a location");
    aviary
        .refused(client, &format!("CREATE REPOSITORY r WITH BROKER ON LOCATION \"s3://AKID:{word}@bucket/x\" PROPERTIES (\"aws.s3.region\" = \"a-1\")"))
        .await;
    let word = aviary.canary("the user part of an endpoint");
    aviary
        .refused(
            client,
            &create(
                "r",
                bucket,
                &[
                    ("aws.s3.access_key", "a"),
                    ("aws.s3.secret_key", "b"),
                    ("s3.endpoint", &format!("http://u:{word}@127.0.0.1:1")),
                ],
            ),
        )
        .await;
    tell_broken(aviary, client, bucket).await;
    tell_while_it_runs(aviary, server, bucket, keys).await;
}

/// Statements that do not parse, end too early, or never end.
async fn tell_broken(aviary: &mut Aviary, client: &mut Client, bucket: &Bucket) {
    for (what, form) in [
        (
            "a statement that is cut off",
            "CREATE REPOSITORY r WITH BROKER ON LOCATION \"s3://b/x\" PROPERTIES (\"aws.s3.secret_key\" = \"{}\"",
        ),
        (
            "a string that does not end",
            "CREATE REPOSITORY r WITH BROKER ON LOCATION \"s3://b/x\" PROPERTIES (\"aws.s3.secret_key\" = \"{}",
        ),
        (
            "a misspelt verb",
            "CREAT REPOSITORY r WITH BROKER ON LOCATION \"s3://b/x\" PROPERTIES (\"aws.s3.secret_key\" = \"{}\")",
        ),
        (
            "a comma too many",
            "CREATE REPOSITORY r WITH BROKER ON LOCATION \"s3://b/x\" PROPERTIES (\"aws.s3.secret_key\" = \"{}\",,)",
        ),
        (
            "a missing equals sign",
            "CREATE REPOSITORY r WITH BROKER ON LOCATION \"s3://b/x\" PROPERTIES (\"aws.s3.secret_key\" \"{}\")",
        ),
        (
            "a short key in what is cut off",
            "CREATE REPOSITORY r WITH BROKER ON LOCATION \"s3://b/x\" PROPERTIES (\"s3.sk\" = \"{}\"",
        ),
        (
            "a short password in what is cut off",
            "CREATE REPOSITORY r WITH BROKER ON LOCATION \"s3://b/x\" PROPERTIES (\"db.pwd\" = \"{}\"",
        ),
        (
            "a key and its value the wrong way round",
            "CREATE REPOSITORY r WITH BROKER ON LOCATION \"s3://b/x\" PROPERTIES (\"aws.s3.ak\" = \"{}\", \"x\" = \"y\")",
        ),
        ("a presigned URL", "SELECT 1 FROM 'https://b.example/o?X-Amz-Credential=x&X-Amz-Signature={}' WHERE"),
        ("a secret with a slash in a URL", "EXPORT t TO 's3://AKID:a/{}@bucket/' broken"),
        ("a password without quotes", "CREATE USER u IDENTIFIED BY {}"),
        ("a password and garbage", "CREATE USER u IDENTIFIED BY '{}' garbage"),
        ("an ALTER that is cut off", "ALTER REPOSITORY r PROPERTIES (\"aws.s3.session_token\" = '{}'"),
        ("a second statement", "SELECT 1; CREATE REPOSITORY r PROPERTIES (\"aws.s3.secret_key\" = \"{}\")"),
        (
            "EXPLAIN",
            "EXPLAIN CREATE REPOSITORY r WITH BROKER ON LOCATION \"s3://b/x\" PROPERTIES (\"aws.s3.secret_key\" = \"{}\")",
        ),
        ("a comment", "CREATE REPOSITORY r /* aws.s3.secret_key = {} */ WITH"),
    ] {
        let word = aviary.canary(what);
        match client.try_query(&form.replace("{}", &word)).await {
            Ok(rows) => aviary.hear("an answer", rows.to_string()),
            Err(error) => aviary.hear("an error", error.message),
        }
    }
    let word = aviary.canary("a prepared statement");
    let prepared = client.try_exec(&create("r", bucket, &[("aws.s3.secret_key", &word)]), ()).await;
    aviary.hear("an error", prepared.unwrap_err().message);
    let word = aviary.canary("a very long statement");
    let padding = "x".repeat(PADDING_BYTES);
    let long = create("r", bucket, &[("padding", &padding), ("aws.s3.secret_key", &word)]);
    aviary.refused(client, &long).await;
    let word = aviary.canary("a very long statement that does not parse");
    aviary.refused(client, &format!("{}, nonsense \"{padding}\" (aws.s3.secret_key = {word}", &long[..40])).await;
}

/// What others see of a statement while it runs.
async fn tell_while_it_runs(aviary: &mut Aviary, server: &Server, bucket: &Bucket, keys: &LiveKeys) {
    let proxy = S3Proxy::start(&bucket.endpoint);
    let held = proxy.rule(Rule::new(Fault::Hold));
    let right = keys.mint(LONG_LIFE);
    for (place, word) in [("secret_key", &right.secret_key), ("session_token", &right.session_token)] {
        aviary.adopt(&format!("{place} of a statement that runs"), word);
    }
    let external_id = aviary.canary("external id of a statement that runs");
    let base = keys.mint(LONG_LIFE);
    aviary.adopt("base secret key", &base.secret_key);
    let trust = Trust {
        role_arn: ROLE.to_string(),
        access_key: base.access_key.clone(),
        external_id: external_id.clone(),
        web_identity: "nobody".to_string(),
    };
    let roles = RoleService::start(trust, move || right.clone());
    let statement = create(
        "running",
        &proxy.bucket(bucket),
        &[
            ("aws.s3.access_key", &base.access_key),
            ("aws.s3.secret_key", &base.secret_key),
            ("aws.s3.iam_role_arn", ROLE),
            ("aws.s3.external_id", &external_id),
            ("aws.s3.sts.region", "us-east-1"),
            ("aws.s3.sts.endpoint", roles.url()),
        ],
    );
    let mut busy = server.client().await;
    let running = tokio::spawn(async move { busy.try_query(&statement).await.map(|_| ()) });
    held.wait_hit(PATIENCE).await;
    let mut client = server.client().await;
    for show in ["SHOW PROCESSLIST", "SHOW FULL PROCESSLIST", "SELECT * FROM information_schema.processlist"] {
        if let Ok(rows) = client.try_query(show).await {
            assert!(show.contains("information_schema") || rows.to_string().contains("REPOSITORY"), "{show}:\n{rows}");
            aviary.hear(show, rows.to_string());
        }
    }
    held.lift();
    running.await.unwrap().unwrap();
}

/// Passwords of accounts, and of those who knock.
async fn tell_accounts(aviary: &mut Aviary, server: &Server, client: &mut Client) {
    aviary.adopt("root's password", ROOT_PASSWORD);
    aviary.adopt("root's password as HTTP sends it", basic("root", ROOT_PASSWORD).trim_start_matches("Basic "));
    let first = aviary.canary("CREATE USER");
    client.query(&format!("CREATE USER bird IDENTIFIED BY '{first}'")).await;
    aviary.refused(client, &format!("CREATE USER bird IDENTIFIED BY '{first}'")).await;
    let second = aviary.canary("ALTER USER");
    client.query(&format!("ALTER USER bird IDENTIFIED BY '{second}'")).await;
    let third = aviary.canary("SET PASSWORD");
    client.query(&format!("SET PASSWORD FOR bird = PASSWORD('{third}')")).await;
    let fourth = aviary.canary("SET PASSWORD FOR nobody");
    aviary.refused(client, &format!("SET PASSWORD FOR nobody = PASSWORD('{fourth}')")).await;
    let plugin = aviary.canary("IDENTIFIED WITH");
    match client.try_query(&format!("CREATE USER other IDENTIFIED WITH caching_sha2_password BY '{plugin}'")).await {
        Ok(_) => {}
        Err(error) => aviary.hear("an error", error.message),
    }
    let wrong = aviary.canary("a wrong password");
    let error = Client::try_connect(server.mysql_addr(), "bird", &wrong).await.unwrap_err();
    aviary.hear("a refused connection", error.message);
    let unknown = aviary.canary("a password of nobody");
    let error = Client::try_connect(server.mysql_addr(), "nobody", &unknown).await.unwrap_err();
    aviary.hear("a refused connection", error.message);
    server.client_as("bird", &third).await.query("SHOW GRANTS").await;

    let columns = [("column_separator", ",")];
    for (user, place) in [("bird", "Stream Load with a wrong password"), ("nobody", "Stream Load of nobody")] {
        let word = aviary.canary(place);
        aviary.adopt(place, basic(user, &word).trim_start_matches("Basic "));
        let body = Body::Bytes(b"1,x\n".to_vec());
        let answer = server.stream_load_as((user, &word), "d", "t", &columns, body).await;
        assert!(answer.status == 401 || answer.text().contains("Fail"), "{} {}", answer.status, answer.text());
        aviary.hear("a Stream Load", answer.text());
    }
    let body = Body::Bytes(b"1,x\nnot a number,y\n".to_vec());
    aviary.adopt("Stream Load", basic("bird", &third).trim_start_matches("Basic "));
    let answer = server.stream_load_as(("bird", &third), "d", "t", &columns, body).await;
    aviary.hear("a Stream Load", answer.text());
    let word = aviary.canary("a path");
    for path in ["/api/health", "/metrics", "/api/nothing", "/api/_load_error_log?token=none"] {
        let request = Request::new("GET", path).header("Authorization", &basic("root", &word));
        let answer = request.send(server.http_addr()).await.unwrap();
        aviary.hear(path, format!("{:?} {}", answer.head, answer.text()));
        let answer = server.http_get(path).await;
        aviary.hear(path, answer.text());
    }
    client.query("DROP USER bird").await;
}

/// Every other statement that somebody may put a secret into, whether the server takes it, knows it by name or refuses it.
/// The forms of CREATE and ALTER REPOSITORY, and of accounts that work, stand elsewhere.
const OTHERS: &[&str] = &[
    "CREATE USER hashed IDENTIFIED BY PASSWORD '{}'",
    "CREATE USER hashed IDENTIFIED WITH mysql_native_password AS '{}'",
    "CREATE USER hashed IDENTIFIED WITH authentication_ldap_simple AS '{}'",
    "CREATE USER bird PROPERTIES ('session.password' = '{}')",
    "ALTER USER root SET PROPERTIES ('password' = '{}')",
    "SET PASSWORD = '{}'",
    "SET PASSWORD FOR 'no'@'body' = '{}'",
    "SET @password = '{}'",
    "SET SESSION session_token = '{}'",
    "SET GLOBAL secret_key = '{}'",
    "SET PROPERTY FOR 'root' 'password' = '{}'",
    "EXECUTE AS root /* password {} */ WITH NO REVERT",
    "PREPARE q FROM \"CREATE USER w IDENTIFIED BY '{}'\"",
    "SELECT * FROM d.t WHERE name = 'x' AND password = '{}'",
    "SELECT PASSWORD('{}') FROM nothing",
    "EXPLAIN SELECT * FROM d.t WHERE token = '{}'",
    "INSERT INTO d.t PROPERTIES ('secret' = '{}') VALUES (1, 'x', 'too many')",
    "INSERT INTO FILES ('path' = 's3://b/x', 'aws.s3.secret_key' = '{}') SELECT 1",
    "SELECT * FROM FILES ('path' = 's3://b/x', 'aws.s3.secret_key' = '{}')",
    "CREATE TABLE d.x (a INT) PROPERTIES ('aws.s3.secret_key' = '{}')",
    "CREATE EXTERNAL TABLE d.x (a INT) ENGINE = mysql PROPERTIES ('password' = '{}')",
    "CREATE TABLE d.x LIKE d.t PROPERTIES ('password' = '{}')",
    "CREATE TABLE d.x PROPERTIES ('password' = '{}') AS SELECT 1 AS a",
    "ALTER TABLE d.t SET ('secret.key' = '{}')",
    "ALTER TABLE d.t MODIFY PARTITION (*) SET ('secret.key' = '{}')",
    "CREATE DATABASE x PROPERTIES ('storage.secret_key' = '{}')",
    "ALTER DATABASE d SET ('storage.secret_key' = '{}')",
    "BACKUP SNAPSHOT d.s TO r PROPERTIES ('aws.s3.secret_key' = '{}')",
    "RESTORE SNAPSHOT d.s FROM r PROPERTIES ('aws.s3.session_token' = '{}')",
    "VERIFY SNAPSHOT s ON r PROPERTIES ('aws.s3.secret_key' = '{}')",
    "VERIFY REPOSITORY r PROPERTIES ('password' = '{}')",
    "ADMIN SET FRONTEND CONFIG ('ssl_keystore_password' = '{}')",
    "CREATE EXTERNAL CATALOG c PROPERTIES ('type' = 'hive', 'aws.s3.secret_key' = '{}')",
    "ALTER CATALOG c SET ('aws.s3.secret_key' = '{}')",
    "CREATE EXTERNAL RESOURCE c PROPERTIES ('type' = 'jdbc', 'password' = '{}')",
    "CREATE STORAGE VOLUME v TYPE = S3 LOCATIONS = ('s3://b') PROPERTIES ('aws.s3.secret_key' = '{}')",
    "CREATE ROUTINE LOAD d.l ON t FROM KAFKA ('property.sasl.password' = '{}')",
    "LOAD LABEL d.l (DATA INFILE('s3://b/x') INTO TABLE t) WITH BROKER ('aws.s3.secret_key' = '{}')",
    "EXPORT TABLE d.t TO 's3://user:{}@bucket/x' WITH BROKER",
    "CREATE FUNCTION f (INT) RETURNS INT PROPERTIES ('file' = 'http://u:{}@host/f.jar', 'token' = 'x')",
    "SUBMIT TASK AS INSERT INTO d.t SELECT * FROM FILES ('aws.s3.secret_key' = '{}')",
    "CREATE PIPE p AS INSERT INTO d.t SELECT * FROM FILES ('aws.s3.secret_key' = '{}')",
    "CREATE FILE 'f' PROPERTIES ('url' = 'http://u:{}@host/f', 'secret' = 'x')",
];

async fn tell_others(aviary: &mut Aviary, client: &mut Client) {
    for form in OTHERS {
        let word = aviary.canary(form);
        match client.try_query(&form.replace("{}", &word)).await {
            Ok(rows) => aviary.hear("an answer", rows.to_string()),
            Err(error) => aviary.hear(&format!("an error to {form}"), error.message),
        }
        let warnings = client.query("SHOW WARNINGS").await.to_string();
        aviary.hear("SHOW WARNINGS", warnings);
        // Over the other protocol it is read, and logged, in another place.
        let word = aviary.canary(&format!("{form}, prepared"));
        match client.try_exec(&form.replace("{}", &word), ()).await {
            Ok(rows) => aviary.hear("an answer", rows.to_string()),
            Err(error) => aviary.hear(&format!("an error to {form}, prepared"), error.message),
        }
    }
}

/// Everything that SHOW and information_schema have to say.
async fn listen(aviary: &mut Aviary, client: &mut Client) {
    let mut statements: Vec<String> = [
        "REPOSITORIES",
        "SNAPSHOT ON r",
        "BACKUP",
        "BACKUP FROM d",
        "RESTORE",
        "RESTORE FROM d",
        "VERIFY",
        "DYNAMIC PARTITION TABLES FROM d",
        "MATERIALIZED VIEWS FROM d",
        "CREATE REPOSITORY FOR r",
        "DATABASES",
        "FULL TABLES FROM d",
        "TABLE STATUS FROM d",
        "CREATE DATABASE d",
        "CREATE TABLE d.t",
        "FULL COLUMNS FROM d.t",
        "INDEX FROM d.t",
        "PARTITIONS FROM d.t",
        "TABLETS FROM d.t",
        "DATA FROM d.t",
        "VARIABLES",
        "GLOBAL VARIABLES",
        "STATUS",
        "FULL PROCESSLIST",
        "WARNINGS",
        "ERRORS",
        "ENGINES",
        "CHARSET",
        "COLLATION",
        "PLUGINS",
        "LOAD FROM d",
        "GRANTS",
        "GRANTS FOR root",
        "USERS",
        "ROLES",
        "ALL AUTHENTICATION",
        "AUTHENTICATION FOR root",
        "CREATE USER root",
        "PRIVILEGES",
        "FRONTENDS",
        "BACKENDS",
        "COMPUTE NODES",
        "BROKER",
        "PROC '/'",
        "CATALOGS",
        "ALTER TABLE COLUMN FROM d",
        "FUNCTIONS",
        "EVENTS",
        "TRIGGERS",
        "OPEN TABLES",
    ]
    .iter()
    .map(|what| format!("SHOW {what}"))
    .collect();
    let tables = client
        .query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'information_schema'")
        .await;
    let tables: Vec<String> = tables.rows.iter().filter_map(|row| row[0].clone()).collect();
    assert!(tables.len() > 5, "{tables:?}");
    statements.extend(tables.iter().map(|table| format!("SELECT * FROM information_schema.{table}")));
    let mut answered = 0;
    for statement in statements {
        match client.try_query(&statement).await {
            Ok(rows) => {
                answered += 1;
                aviary.hear(&statement, rows.to_string());
            }
            Err(error) => aviary.hear(&statement, error.message),
        }
    }
    assert!(answered > 40, "only {answered} statements were answered");
}

async fn nothing_is_told(log_format: &str) {
    let mut aviary = Aviary::default();
    let keys = LiveKeys::default();
    let store = S3sFs::with_keys(&keys);
    let bucket = store.bucket("canary").await;
    let server = Server::configure(&format!("canary-{log_format}"))
        .env("EBLA_LOG", "debug")
        .env("EBLA_LOG_FORMAT", log_format)
        .start()
        .await;
    let mut client = server.client().await;
    client.query("CREATE DATABASE d").await;
    client
        .query(
            "CREATE TABLE d.t (id BIGINT, name STRING) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 2 \
             PROPERTIES (\"replication_num\" = \"1\")",
        )
        .await;
    client.query("INSERT INTO d.t VALUES (1, 'a'), (2, 'b')").await;
    tell_accounts(&mut aviary, &server, &mut client).await;
    tell_repositories(&mut aviary, &server, &mut client, &bucket, &keys).await;
    tell_others(&mut aviary, &mut client).await;

    // Jobs, whose files lie beside the catalog while they run, and what they leave in the repository.
    let proxy = S3Proxy::start(&bucket.endpoint);
    let (first, second) = (keys.mint(LONG_LIFE), keys.mint(LONG_LIFE));
    for key in [&first, &second] {
        aviary.adopt("access key of a repository", &key.access_key);
        aviary.adopt("secret key of a repository", &key.secret_key);
        aviary.adopt("session token of a repository", &key.session_token);
    }
    client
        .query(&create(
            "r",
            &proxy.bucket(&bucket),
            &[
                ("aws.s3.access_key", &first.access_key),
                ("aws.s3.secret_key", &first.secret_key),
                ("aws.s3.session_token", &first.session_token),
            ],
        ))
        .await;
    let held = proxy.rule(Rule::new(Fault::Hold).key("ebla/objects/"));
    client.query("BACKUP SNAPSHOT d.s TO r").await;
    held.wait_hit(PATIENCE).await;
    client
        .query(&format!(
            "ALTER REPOSITORY r PROPERTIES (\"aws.s3.access_key\" = \"{}\", \"aws.s3.secret_key\" = \"{}\", \
             \"aws.s3.session_token\" = \"{}\")",
            second.access_key, second.secret_key, second.session_token
        ))
        .await;
    let mut found = Vec::new();
    aviary.search_below("while a backup runs,", &server.data_dir(), &mut found);
    held.lift();
    assert_finished(&wait_backup(&mut client, "d").await);
    let snapshot = client.query("SHOW SNAPSHOT ON r").await.record(0).unwrap().field("Timestamp").to_string();
    let restore = format!("RESTORE SNAPSHOT d.s FROM r ON (t AS u) PROPERTIES (\"backup_timestamp\" = \"{snapshot}\")");
    client.query(&restore).await;
    assert_finished(&wait_restore(&mut client, "d").await);
    // One that fails for its credentials.
    keys.revoke(&second.access_key);
    client.query("INSERT INTO d.t VALUES (3, 'c')").await;
    let failed = client.try_query("BACKUP SNAPSHOT d.too_late TO r").await;
    match failed {
        Ok(_) => aviary.hear("SHOW BACKUP", wait_backup(&mut client, "d").await.to_string()),
        Err(error) => aviary.hear("an error", error.message),
    }
    listen(&mut aviary, &mut client).await;
    for path in ["/metrics", "/api/health"] {
        let answer = server.http_get(path).await;
        aviary.hear(path, answer.text());
    }

    // The log is written behind: its last line is that of a statement sent now.
    client.query("SELECT 'the end of the log'").await;
    let log = server.folder().join(format!("canary-{log_format}.log"));
    wait_until(PATIENCE, async || {
        let text = std::fs::read_to_string(&log).unwrap();
        let bytes = text.len();
        if text.contains("DEBUG") || text.contains("\"debug\"") { Ok(()) } else { Err(format!("{bytes} bytes of log")) }
    })
    .await;
    let files = aviary.search_below("on disk,", server.folder(), &mut found);
    assert!(files > 7, "{files} files were searched");
    let objects = aviary.search_below("in the store,", store.folder(), &mut found);
    assert!(objects > 5, "{objects} objects were searched");
    for (whence, text) in &aviary.heard {
        aviary.search(whence, text.as_bytes(), &mut found);
    }
    assert!(
        aviary.canaries.len() > 150 && aviary.heard.len() > 100,
        "{} {}",
        aviary.canaries.len(),
        aviary.heard.len()
    );
    found.sort();
    found.dedup();
    assert!(found.is_empty(), "{} leaks:\n{}", found.len(), found.join("\n"));
}

#[tokio::test]
async fn nothing_is_told_in_text() {
    nothing_is_told("text").await;
}

#[tokio::test]
async fn nothing_is_told_in_json() {
    nothing_is_told("json").await;
}

/// The search finds what is there.
#[test]
fn the_search_can_fail() {
    let mut aviary = Aviary::default();
    let word = aviary.canary("here");
    let mut found = Vec::new();
    aviary.search("a text", b"nothing", &mut found);
    assert!(found.is_empty());
    let each = |form: &dyn Fn(u8) -> String| word.bytes().map(form).collect::<String>();
    for spelling in [
        word.clone(),
        word.to_uppercase(),
        word.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"),
        word.replace('+', "%2b").replace('=', "%3d"),
        word.replace('/', "%2F"),
        word.replace('/', "\\/"),
        word.replace('+', "\\u002b"),
        each(&|letter| format!("%{letter:02X}")),
        each(&|letter| format!("\\u{:04X}", u32::from(letter))),
    ] {
        let mut found = Vec::new();
        aviary.search("a text", format!("x%{spelling}y").as_bytes(), &mut found);
        assert_eq!(found, ["a text holds what was told as here"], "{spelling}");
    }
    for other in [&word[..word.len() - 1], &word.replace('+', " "), &word.replace('/', "%2f%2f")] {
        aviary.search("a text", other.as_bytes(), &mut found);
        assert!(found.is_empty(), "{other}");
    }
}
