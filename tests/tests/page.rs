//! Goal: everything the product's page tells a person to do works, typed into the real command-line client, against a real S3 store.
//! Method: each statement of the page goes through `mariadb` into `ebla serve`; what the person sees is a golden file. Only
//! the names of buckets and the instants differ from the page.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use ebla_tests::cli::Cli;
use ebla_tests::client::Client;
use ebla_tests::golden;
use ebla_tests::golden::Normaliser;
use ebla_tests::s3::Bucket;
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::server::Server;
use ebla_tests::tpch::table_checksum;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore};
use ebla_tests::weed::Weed;

/// The table of the page's examples: members of a site, by the month in which they registered.
const CREATE_TABLE: &str = r#"CREATE TABLE sr_member (
    sr_id INT,
    name STRING,
    city_code INT,
    reg_date DATE,
    verified BOOLEAN
)
PARTITION BY RANGE(reg_date)
(
    PARTITION p1 VALUES LESS THAN ("2022-04-01"),
    PARTITION p2 VALUES LESS THAN ("2022-05-01"),
    PARTITION p3 VALUES LESS THAN ("2022-06-01"),
    PARTITION p4 VALUES LESS THAN ("2022-07-01")
)
DISTRIBUTED BY HASH(city_code)
PROPERTIES ("replication_num" = "1")"#;

const INSERT: &str = r#"INSERT INTO sr_member VALUES
    (1, "ada", 100000, "2022-03-13", true),
    (2, "barbara", 210000, "2022-03-14", false),
    (3, "claude", 200000, "2022-04-14", false),
    (4, "dennis", 100000, "2022-04-15", true),
    (5, "edsger", 210000, "2022-05-16", true),
    (6, "frances", 520000, "2022-06-17", NULL)"#;

const COUNT: &str = "SELECT COUNT(*) AS members, COUNT(verified) AS known, MAX(name) AS last FROM sr_member";

const BACKUP: &str = "BACKUP SNAPSHOT sr_hub.sr_member_backup\nTO test_repo\nON (sr_member)";

/// A person with the page, a client and a server.
struct Person<'a> {
    server: &'a Server,
    cli: Cli,
    client: Client,
    bucket: Bucket,
}

impl<'a> Person<'a> {
    async fn new(server: &'a Server, bucket: &Bucket) -> Option<Person<'a>> {
        let cli = server.cli()?;
        Some(Person { server, cli, client: server.client().await, bucket: bucket.clone() })
    }

    /// Types statements and gives what the screen shows, made the same for every run.
    async fn types(&self, script: &str) -> String {
        // `\G` ends a statement as well as a semicolon does.
        let end = if script.ends_with("\\G") { "\n" } else { ";\n" };
        self.normaliser().apply(&self.cli.transcript(&format!("{script}{end}")).await)
    }

    /// Types statements that are refused and gives the client's words.
    async fn is_refused(&self, script: &str) -> String {
        self.normaliser().apply(&self.cli.error(&format!("{script};\n")).await)
    }

    fn normaliser(&self) -> Normaliser {
        let endpoint = &self.bucket.endpoint;
        Normaliser::new()
            .column("RepoId", "<id>")
            .column("JobId", "<id>")
            .literal(&self.bucket.name, "bucket_s3")
            .literal(&endpoint.url, "http://127.0.0.1:<port>")
            .literal(&endpoint.secret_key, "<secret key>")
            .literal(&endpoint.access_key, "<access key>")
            .literal(self.server.mysql_addr(), "127.0.0.1:<port>")
    }

    /// The member table in its database, filled.
    async fn has_members(&self) -> String {
        let mut text = self.types("CREATE DATABASE sr_hub; USE sr_hub").await;
        text += &self.types(&format!("USE sr_hub; {CREATE_TABLE}; {INSERT}; {COUNT}")).await;
        text
    }

    async fn has_repository(&self) -> String {
        self.types(&self.bucket.create_repository("test_repo", "backup")).await
    }

    /// The timestamp that SHOW SNAPSHOT tells of the only snapshot with this label.
    async fn timestamp(&mut self, label: &str) -> String {
        let rows = self.client.query(&format!("SHOW SNAPSHOT ON test_repo WHERE SNAPSHOT = \"{label}\"")).await;
        rows.record(0).unwrap_or_else(|| panic!("{label} is not there")).field("Timestamp").to_string()
    }

    async fn restore(&mut self, label: &str, what: &str) -> String {
        let timestamp = self.timestamp(label).await;
        let text = self
            .types(&format!(
                "RESTORE SNAPSHOT sr_hub.{label}\nFROM test_repo\n{what}PROPERTIES (\n    \
                 \"backup_timestamp\"=\"{timestamp}\",\n    \"replication_num\" = \"1\"\n)"
            ))
            .await;
        assert_finished(&wait_restore(&mut self.client, "sr_hub").await);
        text
    }
}

/// The page from its first statement to its last.
async fn the_page(person: &mut Person<'_>, golden_folder: &str) {
    let golden = |name: &str| format!("{golden_folder}/{name}");
    golden!(&golden("01_members"), person.has_members().await);
    let before = table_checksum(&mut person.client, "sr_hub.sr_member").await;

    golden!(&golden("02_create_repository"), person.has_repository().await);
    golden!(&golden("03_show_repositories"), person.types("SHOW REPOSITORIES").await);

    golden!(&golden("04_backup"), person.types(BACKUP).await);
    assert_finished(&wait_backup(&mut person.client, "sr_hub").await);
    golden!(&golden("05_show_backup"), person.types("USE sr_hub; SHOW BACKUP\\G").await);
    golden!(&golden("06_show_snapshot"), person.types("SHOW SNAPSHOT ON test_repo").await);
    let timestamp = person.timestamp("sr_member_backup").await;
    let one =
        format!("SHOW SNAPSHOT ON test_repo WHERE SNAPSHOT = \"sr_member_backup\" AND TIMESTAMP = \"{timestamp}\"");
    let details = person.client.query(&one).await;
    let columns = ["Snapshot", "Timestamp", "Database", "Details", "Status"];
    assert_eq!(details.columns[..5], columns);
    assert_eq!(details.columns[5..], ["ClusterId", "FinishTime", "TTL", "ExpireTime"], "as of 4.2");

    golden!(&golden("07_drop"), person.types("USE sr_hub; DROP TABLE sr_member; SHOW TABLES").await);
    golden!(&golden("08_restore"), person.restore("sr_member_backup", "ON (sr_member)\n").await);
    golden!(&golden("09_show_restore"), person.types("USE sr_hub; SHOW RESTORE\\G").await);
    golden!(&golden("10_members_again"), person.types(&format!("USE sr_hub; {COUNT}; SHOW TABLES")).await);
    assert_eq!(table_checksum(&mut person.client, "sr_hub.sr_member").await, before);

    golden!(&golden("11_drop_repository"), person.types("DROP REPOSITORY test_repo; SHOW REPOSITORIES").await);
    assert!(!person.bucket.list("backup/").await.is_empty(), "dropping a repository leaves its objects");
}

#[tokio::test]
async fn the_page_on_seaweedfs() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let server = Server::start("page").await;
    let Some(mut person) = Person::new(&server, &weed.bucket("page").await).await else {
        return;
    };
    the_page(&mut person, "page").await;
}

#[tokio::test]
async fn the_page_on_s3s_fs_reads_the_same() {
    let store = S3sFs::start();
    let server = Server::start("page").await;
    let Some(mut person) = Person::new(&server, &store.bucket("page").await).await else {
        return;
    };
    the_page(&mut person, "page").await;
}

#[tokio::test]
async fn a_snapshot_moves_to_an_empty_server_that_knows_only_the_repository() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let bucket = weed.bucket("migration").await;
    let old = Server::start("old").await;
    let Some(mut person) = Person::new(&old, &bucket).await else {
        return;
    };
    person.has_members().await;
    person.has_repository().await;
    person.types(BACKUP).await;
    assert_finished(&wait_backup(&mut person.client, "sr_hub").await);
    let before = table_checksum(&mut person.client, "sr_hub.sr_member").await;
    drop(person);
    drop(old);

    // The new server may only read: a migration writes nothing.
    let new = Server::start("new").await;
    let bucket = bucket.through(weed.reader());
    let Some(mut person) = Person::new(&new, &bucket).await else {
        return;
    };
    let create = bucket.create_repository("test_repo", "backup").replace("CREATE", "CREATE READ ONLY");
    golden!("migration/1_create_repository", person.types(&create).await);
    golden!("migration/2_show", person.types("SHOW REPOSITORIES; SHOW SNAPSHOT ON test_repo").await);
    person.types("CREATE DATABASE sr_hub").await;
    golden!("migration/3_restore", person.restore("sr_member_backup", "ON (sr_member)\n").await);
    golden!("migration/4_members", person.types(&format!("USE sr_hub; {COUNT}; SHOW CREATE TABLE sr_member\\G")).await);
    assert_eq!(table_checksum(&mut person.client, "sr_hub.sr_member").await, before);
    golden!("migration/5_backup_refused", person.is_refused("BACKUP SNAPSHOT sr_hub.again TO test_repo").await);
}

#[tokio::test]
async fn overwriting_restores_replace_what_is_named_and_nothing_else() {
    let store = S3sFs::start();
    let server = Server::start("overwrite").await;
    let Some(mut person) = Person::new(&server, &store.bucket("overwrite").await).await else {
        return;
    };
    person.has_members().await;
    person.has_repository().await;
    person.types(BACKUP).await;
    assert_finished(&wait_backup(&mut person.client, "sr_hub").await);

    let by_month = "SELECT reg_date, name FROM sr_hub.sr_member ORDER BY sr_id, name";
    let later =
        "INSERT INTO sr_member VALUES (7, \"grace\", 1, \"2022-03-20\", true), (8, \"hedy\", 1, \"2022-06-20\", true)";
    person.types(&format!("USE sr_hub; {later}")).await;
    assert_eq!(person.client.query(by_month).await.rows.len(), 8);

    // One partition: grace of March goes, hedy of June stays.
    person.restore("sr_member_backup", "ON (sr_member PARTITION (p1))\n").await;
    golden!("overwrite/1_partition", person.types(by_month).await);
    // Under another name: the table itself is left alone.
    person.restore("sr_member_backup", "ON (sr_member AS sr_member_then)\n").await;
    golden!(
        "overwrite/2_as",
        person
            .types("USE sr_hub; SHOW TABLES; SELECT COUNT(*) FROM sr_member_then; SELECT COUNT(*) FROM sr_member")
            .await
    );
    // Everything: the table is as it was.
    person.restore("sr_member_backup", "").await;
    golden!("overwrite/3_all", person.types(by_month).await);
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let store = S3sFs::start();
    let server = Server::start("refusals").await;
    let Some(mut person) = Person::new(&server, &store.bucket("refusals").await).await else {
        return;
    };
    person.has_members().await;
    person.has_repository().await;
    person.types(BACKUP).await;
    assert_finished(&wait_backup(&mut person.client, "sr_hub").await);

    let create_elsewhere =
        person.bucket.create_repository("elsewhere", "x").replace(&person.bucket.name, "no-such-bucket");
    let restore =
        |properties: &str| format!("RESTORE SNAPSHOT sr_hub.sr_member_backup FROM test_repo PROPERTIES ({properties})");
    let mut text = String::new();
    for statement in [
        "BACKUP SNAPSHOT sr_hub.again TO no_repo",
        "BACKUP SNAPSHOT no_db.again TO test_repo",
        "BACKUP SNAPSHOT sr_hub.again TO test_repo ON (no_table)",
        "BACKUP SNAPSHOT sr_hub.again TO test_repo ON (sr_member PARTITION (p9))",
        "BACKUP SNAPSHOT sr_hub.again TO test_repo PROPERTIES (\"timeout\" = \"10\")",
        "BACKUP SNAPSHOT sr_hub.again TO test_repo PROPERTIES (\"colour\" = \"blue\")",
        BACKUP,
        "CANCEL BACKUP FROM sr_hub",
        "CANCEL RESTORE FROM sr_hub",
        &person.bucket.create_repository("test_repo", "backup"),
        &create_elsewhere,
        &restore("\"backup_timestamp\" = \"2001-01-01-00-00-00-000\""),
        "RESTORE SNAPSHOT sr_hub.sr_member_backup FROM test_repo ON (no_table) PROPERTIES (\"replication_num\" = \"1\")",
        "RESTORE SNAPSHOT information_schema.sr_member_backup FROM test_repo",
        "RESTORE SNAPSHOT sr_member_backup FROM test_repo DATABASE sr_hub AS `a/b`",
        "SHOW SNAPSHOT ON no_repo",
        "SHOW SNAPSHOT ON test_repo WHERE TIMESTAMP = \"x\"",
        "DROP REPOSITORY no_repo",
        "BACKUP SNAPSHOT sr_hub.again",
    ] {
        text += &person.normaliser().apply(&format!("mysql> {statement};\n"));
        text += &person.is_refused(statement).await;
        text += "\n";
    }
    golden!("refusals", text);
}
