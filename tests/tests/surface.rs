//! Goal: what people type gets the answers that the documents promise: rows with their columns, or an error with number, SQLSTATE
//! and text; and what must stop, stops.
//! Method: scripts in `golden/surface/`, run through the real port (see `ebla_tests::script`); beside them what a script cannot
//! say: a printed definition that makes the same table, work that ends when nobody wants it, limits that hold.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::path::Path;
use std::time::Duration;

use ebla_tests::cli::Cli;
use ebla_tests::client::Client;
use ebla_tests::http::Body;
use ebla_tests::script;
use ebla_tests::server::{ROOT_PASSWORD, Server};
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};

/// How long a machine under load may take for what is done in a moment.
const SOON: Duration = Duration::from_secs(60);

/// A query that no test waits for to end: a thousand millions of rows to look at.
const ENDLESS: &str = "SELECT count(*) FROM d.t a, d.t b, d.t c WHERE a.id + b.id + c.id < 0";

/// A server and its script of the same name.
async fn script(name: &str) {
    let mut server = Server::start(name).await;
    script::check(&mut server, &format!("surface/{name}")).await;
}

macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                script(stringify!($name)).await;
            }
        )*
    };
}

scripts!(
    accounts arithmetic clients databases explain insert names partitions prepared query recursion refusals session show stream_load tables
);

/// A database with a table of a thousand rows.
async fn filled(server: &Server) -> Client {
    let mut client = server.client().await;
    client.query("CREATE DATABASE d").await;
    client.query("CREATE TABLE d.t (id INT, v VARCHAR(20)) DISTRIBUTED BY HASH(id) BUCKETS 2").await;
    let rows = (0..1000).map(|id| format!("{id}\trow {id}\n").into_bytes());
    server.load("d", "t", &[], Body::Chunks(Box::new(rows))).await;
    client
}

#[tokio::test]
async fn a_printed_definition_makes_the_same_table() {
    let server = Server::start("round-trip").await;
    let mut client = server.client().await;
    client.query("CREATE DATABASE d").await;
    client.query("USE d").await;
    let definitions = [
        "(a INT)",
        "(a TINYINT NOT NULL COMMENT \"it's \\\"a\\\"\", b LARGEINT DEFAULT \"-1\", c DECIMAL(38, 10), d CHAR(255) DEFAULT \"\\\\\") \
         DUPLICATE KEY(a, b) COMMENT \"t\" DISTRIBUTED BY HASH(b, a) BUCKETS 7",
        "(`select` INT, `a \"name\" of it` VARCHAR(1048576), j JSON, p ARRAY<ARRAY<INT>>, m MAP<INT, STRUCT<`order` DATE, `a ``b` VARBINARY(3)>>) \
         DUPLICATE KEY(`select`) DISTRIBUTED BY RANDOM BUCKETS 3",
        "(id BIGINT NOT NULL AUTO_INCREMENT, at DATETIME DEFAULT CURRENT_TIMESTAMP, u VARCHAR(36) DEFAULT (uuid()), \
         n LARGEINT DEFAULT (uuid_numeric()), INDEX by_u (u) USING BITMAP COMMENT \"i\") DUPLICATE KEY(id) ORDER BY (at, id)",
        "(a INT, d DATE) PARTITION BY RANGE(d) (PARTITION p1 VALUES LESS THAN (\"2022-01-01\"), \
         START (\"2022-01-01\") END (\"2022-04-01\") EVERY (INTERVAL 1 MONTH), PARTITION pm VALUES LESS THAN (MAXVALUE))",
        "(a INT, b DATETIME) PARTITION BY RANGE(a, b) (PARTITION p1 VALUES [(\"1\", \"2022-01-01\"), (\"1\", \"2023-01-01\")), \
         PARTITION p2 VALUES [(\"5\", \"2022-01-01 10:00:00\"), (MAXVALUE, MAXVALUE)))",
        "(a INT, b INT, c INT) PARTITION BY RANGE(a, b, c) (PARTITION p1 VALUES LESS THAN (\"5\"), \
         PARTITION p2 VALUES [(\"5\", MINVALUE, \"7\"), (\"5\", NULL, \"9\")), PARTITION p3 VALUES [(\"6\"), (\"7\", \"1\", MAXVALUE)))",
        "(a INT, b INT) PROPERTIES (\"compression\" = \"LZ4\", \"bloom_filter_columns\" = \"b\", \"storage_medium\" = \"SSD\")",
    ];
    for definition in definitions {
        client.query("DROP TABLE IF EXISTS one FORCE").await;
        client.query("DROP TABLE IF EXISTS two FORCE").await;
        client.query(&format!("CREATE TABLE one {definition}")).await;
        let printed = client.query("SHOW CREATE TABLE one").await.column("Create Table")[0].to_string();
        client.query(&printed.replacen("`one`", "`two`", 1)).await;
        let again = client.query("SHOW CREATE TABLE two").await.column("Create Table")[0].to_string();
        assert_eq!(again.replacen("`two`", "`one`", 1), printed);
        // What was printed is what there is, as far as the other statements tell.
        for look in ["DESC", "SHOW FULL COLUMNS FROM", "SHOW INDEX FROM"] {
            let (mut one, mut two) =
                (client.query(&format!("{look} one")).await, client.query(&format!("{look} two")).await);
            for row in one.rows.iter_mut().chain(&mut two.rows).flatten().flatten() {
                *row = row.replace("two", "one");
            }
            assert_eq!(one, two, "{look} of {printed}");
        }
    }
}

#[tokio::test]
async fn what_mysqldump_writes_is_read_back() {
    let server = Server::start("dump").await;
    let Some(cli) = Cli::new(server.mysql_addr(), "root", ROOT_PASSWORD) else { return };
    let mut client = server.client().await;
    for sql in [
        "CREATE DATABASE d",
        "CREATE DATABASE other",
        "USE d",
        "CREATE TABLE every (id INT NOT NULL COMMENT 'it''s \"x\"', a TINYINT, c SMALLINT, l BIGINT, g LARGEINT, f FLOAT, \
         dbl DOUBLE, n DECIMAL(38, 10), b BOOLEAN, ch CHAR(5), v VARCHAR(100) DEFAULT 'x;y', s STRING, vb VARBINARY, j JSON, \
         d DATE, ts DATETIME, ar ARRAY<VARCHAR(20)>, m MAP<INT, ARRAY<DOUBLE>>, st STRUCT<a MAP<BIGINT, BOOLEAN>, b VARCHAR(9)>) \
         COMMENT 'a;b' PARTITION BY RANGE (id) (PARTITION p1 VALUES LESS THAN ('10'), PARTITION p2 VALUES LESS THAN MAXVALUE) \
         DISTRIBUTED BY HASH(id) BUCKETS 2",
        r#"INSERT INTO every VALUES (1, -128, -32768, -9223372036854775808, 170141183460469231731687303715884105727, 1.5, 1e300,
           12345678901234567890.0123456789, true, 'ab', 'q''"\\ \n\t\r\0;--/* # */', 'longü€😀', x'00FF2722C35C0A1A', '{"a":[1,"x''y"]}',
           '9999-12-31', '9999-12-31 23:59:59', ['a"b\\', NULL, 'é,'], map{-1: [1.5, NULL], 2: NULL}, row(map{7: true}, 'x'))"#,
        "INSERT INTO every (id, v, s, vb, j) VALUES (11, '', '', x'', '\"s\"'), (12, 'NULL', '\\\\N', x'5C', 'null'), (13, NULL, NULL, NULL, NULL)",
        "CREATE TABLE `select` (`a b` INT, `from` DATETIME DEFAULT CURRENT_TIMESTAMP)",
    ] {
        client.query(sql).await;
    }
    for options in [
        &[][..],
        &["--hex-blob"],
        &["--skip-opt", "--complete-insert"],
        &["--single-transaction", "--routines", "--events"],
    ] {
        let options = [&["--skip-comments"], options].concat();
        let dump = cli.dump(&options, "d").await;
        client.query("DROP DATABASE other FORCE").await;
        client.query("CREATE DATABASE other").await;
        cli.read_back("other", &dump).await;
        assert_eq!(rows_of_dump(&cli.dump(&options, "other").await), rows_of_dump(&dump), "{options:?}");
        assert_eq!(client.value("SELECT hex(vb) FROM other.every WHERE id = 1").await, "00FF2722C35C0A1A");
        assert_eq!(client.value("SELECT count(*) FROM other.every").await, "4");
    }
}

/// The lines of a dump; rows come in any order.
fn rows_of_dump(dump: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(dump);
    let mut lines: Vec<String> = text.lines().map(|line| line.trim_end_matches([',', ';']).to_owned()).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn a_client_that_is_idle_is_sent_away() {
    let server = Server::start("idle").await;
    let mut client = server.client().await;
    let mut idle = server.client().await;
    let id = idle.connection_id();
    idle.query("SET wait_timeout = 1").await;
    wait_until(SOON, async || {
        let left = client.value(&format!("SELECT count(*) FROM information_schema.processlist WHERE ID = {id}")).await;
        if left == "0" { Ok(()) } else { Err(format!("{left} such connections")) }
    })
    .await;
    idle.try_query("SELECT 1").await.unwrap_err();
}

#[tokio::test]
async fn jobs_and_snapshots_are_found_by_their_labels() {
    let server = Server::start("labels").await;
    let mut client = server.client().await;
    let folder = server.folder().display().to_string();
    client.query(&format!("CREATE REPOSITORY r WITH BROKER ON LOCATION \"file://{folder}/labels\"")).await;
    for (database, label) in [("a", "sr_members"), ("b", "2_others")] {
        client.query(&format!("CREATE DATABASE {database}")).await;
        client.query(&format!("CREATE TABLE {database}.t (id INT)")).await;
        client.query(&format!("BACKUP SNAPSHOT {database}.{label} TO r")).await;
        assert_finished(&wait_backup(&mut client, database).await);
    }
    for (what, label) in [("BACKUP", "SnapshotName"), ("RESTORE", "Label"), ("VERIFY", "Snapshot")] {
        if what == "RESTORE" {
            for (database, label) in [("a", "sr_members"), ("b", "2_others")] {
                let timestamp = format!("SHOW SNAPSHOT ON r WHERE SNAPSHOT = '{label}'");
                let timestamp = client.query(&timestamp).await.column("Timestamp")[0].to_owned();
                let properties = format!("PROPERTIES (\"backup_timestamp\" = \"{timestamp}\")");
                client.query(&format!("RESTORE SNAPSHOT {database}.{label} FROM r {properties}")).await;
                assert_finished(&wait_restore(&mut client, database).await);
            }
        }
        if what == "VERIFY" {
            for what in ["SNAPSHOT sr_members ON r", "REPOSITORY r"] {
                client.query(&format!("VERIFY {what} PROPERTIES (\"depth\" = \"exists\")")).await;
                wait_until(SOON, async || {
                    let rows = client.query("SHOW VERIFY ORDER BY JobId DESC LIMIT 1").await;
                    let state = rows.record(0).map(|row| row.field("State").to_owned());
                    if state.as_deref() == Some("FINISHED") { Ok(()) } else { Err(rows.to_string()) }
                })
                .await;
            }
        }
        for pattern in ["sr%", "SR\\_members", "%m_m%"] {
            let found = client.query(&format!("SHOW {what} LIKE '{pattern}'")).await;
            assert_eq!(found.column(label), ["sr_members"], "SHOW {what} LIKE '{pattern}'");
        }
        let all = client.query(&format!("SHOW {what} ORDER BY JobId DESC")).await;
        assert_eq!(all.rows.len(), 2, "{all}");
        let id = all.column("JobId")[1].to_owned();
        let none = client.query(&format!("SHOW {what} LIKE '{id}'")).await;
        assert!(none.rows.is_empty(), "{none}");
        // As a number, whatever stands before it.
        let found = client.query(&format!("SHOW {what} WHERE JobId = '0{id}'")).await;
        assert_eq!(found.rows, all.rows[1..], "SHOW {what} WHERE JobId = '0{id}'");
    }
    for (tail, labels) in [
        ("ORDER BY Snapshot", &["2_others", "sr_members"][..]),
        ("ORDER BY Snapshot DESC", &["sr_members", "2_others"]),
        ("ORDER BY Timestamp DESC LIMIT 1", &["2_others"]),
        ("WHERE SNAPSHOT IN ('2_others', 'sr_members') ORDER BY 2 LIMIT 1", &["sr_members"]),
    ] {
        let shown = client.query(&format!("SHOW SNAPSHOT ON r {tail}")).await;
        assert_eq!(shown.column("Snapshot"), labels, "{tail}");
    }
}

/// The processor time a process has taken so far, in ticks.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name of the program may hold blanks; what follows its parenthesis does not.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Waits until the server does next to nothing.
async fn wait_idle(server: &Server) {
    let pid = server.process().pid();
    let mut before = cpu_ticks(pid);
    let mut quiet = 0;
    wait_until(SOON, async || {
        let now = cpu_ticks(pid);
        let taken = now - before;
        before = now;
        // A query that runs takes two ticks between two looks.
        quiet = if taken <= 1 { quiet + 1 } else { 0 };
        if quiet >= 25 { Ok(()) } else { Err(format!("{taken} ticks since the last look")) }
    })
    .await;
}

/// Waits until the endless query of a connection is in the process list (or no longer).
async fn wait_running(client: &mut Client, id: u32, wanted: bool) {
    wait_until(SOON, async || {
        let rows = client.query("SHOW FULL PROCESSLIST").await;
        let running = (0..rows.rows.len())
            .map(|at| rows.record(at).unwrap())
            .any(|record| record.field("Id") == id.to_string() && record.field("Info").starts_with("SELECT count(*)"));
        if running == wanted { Ok(()) } else { Err(rows.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn kill_query_stops_the_work_and_spares_the_connection() {
    let server = Server::start("kill").await;
    let mut client = filled(&server).await;
    let mut victim = server.client().await;
    let id = victim.connection_id();
    let running = tokio::spawn(async move {
        let error = victim.refused(ENDLESS).await;
        (victim, error)
    });
    wait_running(&mut client, id, true).await;
    client.query(&format!("KILL QUERY {id}")).await;
    let (mut victim, error) = running.await.unwrap();
    assert_eq!((error.code, error.sqlstate.as_str()), (1317, "70100"), "{error}");
    assert_eq!(victim.value("SELECT count(*) FROM d.t").await, "1000");
    wait_idle(&server).await;

    // KILL of the connection closes it, also in the middle of a query.
    let running = tokio::spawn(async move { victim.try_query(ENDLESS).await });
    wait_running(&mut client, id, true).await;
    client.query(&format!("KILL {id}")).await;
    running.await.unwrap().unwrap_err();
    wait_running(&mut client, id, false).await;
    wait_idle(&server).await;
}

#[tokio::test]
async fn a_closed_socket_stops_the_work() {
    let server = Server::start("closed-socket").await;
    let mut client = filled(&server).await;
    let mut leaver = server.client().await;
    let id = leaver.connection_id();
    let running = tokio::spawn(async move { leaver.try_query(ENDLESS).await });
    wait_running(&mut client, id, true).await;
    // The task owns the connection: with it goes the socket, without a word.
    running.abort();
    wait_running(&mut client, id, false).await;
    wait_idle(&server).await;
}

#[tokio::test]
async fn a_query_past_its_time_is_stopped() {
    let server = Server::start("timeout").await;
    let mut client = filled(&server).await;
    client.query("SET query_timeout = 1").await;
    let error = client.refused(ENDLESS).await;
    assert_eq!(error.code, 1317, "{error}");
    assert!(error.message.contains("time limit of 1 seconds") && error.message.contains("query_timeout"), "{error}");
    wait_idle(&server).await;
    assert_eq!(client.value("SELECT count(*) FROM d.t").await, "1000");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let server = Server::configure("full").arg("--max-connections").arg("2").start().await;
    let first = server.client().await;
    let mut second = server.client().await;
    let connect = || Client::try_connect(server.mysql_addr(), "root", ROOT_PASSWORD);
    let error = connect().await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (1040, "Too many connections"), "{error}");
    first.close().await;
    let mut third = wait_until(SOON, async || connect().await.map_err(|error| error.to_string())).await;
    assert_eq!(third.value("SELECT 1").await, "1");
    assert_eq!(second.value("SELECT 1").await, "1");
}

#[tokio::test]
async fn a_statement_larger_than_a_packet_may_be_is_refused() {
    let server = Server::configure("packet").arg("--max-allowed-packet").arg("1048576").start().await;
    let mut client = server.client().await;
    assert_eq!(client.value("SELECT @@max_allowed_packet").await, "1048576");
    let fits = format!("SELECT length('{}') AS n", "x".repeat(1_000_000));
    assert_eq!(client.value(&fits).await, "1000000");
    // A driver that has asked keeps it back by itself; the command-line client sends it.
    let Some(cli) = server.cli() else {
        return;
    };
    let refused = cli.error(&format!("SELECT length('{}') AS n;\n", "x".repeat(1_100_000))).await;
    assert!(refused.contains("ERROR 1153 (08S01)") && refused.contains("max_allowed_packet"), "{refused}");
}

#[tokio::test]
async fn secrets_are_seen_nowhere() {
    const SECRET: &str = "wJalrXUtnFEMI-K7MDENG";
    let server = Server::configure("secrets").env("EBLA_LOG", "debug").start().await;
    // A store that takes a connection and never answers keeps the statement in the process list.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let mut client = server.client().await;
    let mut author = server.client().await;
    let id = author.connection_id();
    let create = format!(
        "CREATE REPOSITORY r WITH BROKER ON LOCATION \"s3a://bucket/path\" PROPERTIES (\"aws.s3.access_key\" = \"AKIAIOSFODNN7\", \
         \"aws.s3.secret_key\" = \"{SECRET}\", \"aws.s3.region\" = \"us-east-1\", \"aws.s3.endpoint\" = \"{endpoint}\", \
         \"aws.s3.enable_path_style_access\" = \"true\")"
    );
    let running = tokio::spawn(async move { author.try_query(&create).await });
    let seen = wait_until(SOON, async || {
        let rows = client.query("SHOW FULL PROCESSLIST").await;
        let found = (0..rows.rows.len())
            .map(|at| rows.record(at).unwrap())
            .find(|record| record.field("Id") == id.to_string() && record.field("Info").contains("REPOSITORY"));
        found.map(|record| record.field("Info").to_string()).ok_or_else(|| rows.to_string())
    })
    .await;
    assert!(seen.contains("\"aws.s3.secret_key\" = '***'") && seen.contains("\"aws.s3.access_key\" = '***'"), "{seen}");
    assert!(seen.contains("us-east-1") && !seen.contains(SECRET), "{seen}");
    client.query(&format!("KILL QUERY {id}")).await;
    let error = running.await.unwrap().unwrap_err();
    assert!(!error.to_string().contains(SECRET), "{error}");

    client.query(&format!("CREATE USER u IDENTIFIED BY '{SECRET}'")).await;
    client.query(&format!("SET PASSWORD FOR u = PASSWORD('2{SECRET}')")).await;
    for wrong in [
        format!("CREATE USER u IDENTIFIED BY '{SECRET}'"),
        format!("CREATE USER x IDENTIFIED BY '{SECRET}' WITHOUT SENSE"),
        format!("SET PASSWORD FOR nobody = PASSWORD('{SECRET}')"),
    ] {
        let error = client.refused(&wrong).await;
        assert!(!error.to_string().contains(SECRET), "{error}");
    }
    let log = server.process().log();
    assert!(!log.is_empty() && !log.contains(SECRET), "the log holds a secret");
}

#[tokio::test]
async fn queries_with_little_memory_spill_or_fail_alone() {
    // The least that a server takes; a sort of the rows below needs several times as much.
    let server = Server::configure("spill").arg("--query-memory-limit").arg("67108864").start().await;
    let mut client = filled(&server).await;
    client.query("CREATE TABLE d.wide (id BIGINT, text VARCHAR(200)) DISTRIBUTED BY HASH(id)").await;
    let fill = "INSERT INTO d.wide SELECT a.id * 1000 + b.id, concat(md5(a.id * b.id), md5(a.id), md5(b.id), md5(a.id + b.id)) \
                FROM d.t a, d.t b WHERE b.id < 500";
    assert_eq!(client.query(fill).await.affected, 500_000);
    let sorted = "SELECT id, text, row_number() OVER (ORDER BY text, id) AS place FROM d.wide";
    let plan = client.query(&format!("EXPLAIN ANALYZE {sorted}")).await.to_string();
    let spills: u64 = plan
        .split("spill_count=")
        .skip(1)
        .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().unwrap())
        .sum();
    assert!(spills > 0, "nothing was spilled:\n{plan}");
    let wrong = format!(
        "SELECT count(*) FROM (SELECT text, lag(text) OVER (ORDER BY place) AS before FROM ({sorted}) AS s) AS x WHERE text < before"
    );
    assert_eq!(client.value(&wrong).await, "0");
    // What cannot be spilled fails by itself, with the limit's name, and the server goes on.
    let error = client
        .refused("SELECT length(group_concat(text)) FROM (SELECT a.text FROM d.wide a, d.t b WHERE b.id < 10) AS x")
        .await;
    assert_eq!(error.code, 1038, "{error}");
    assert!(error.message.contains("query_memory_limit"), "{error}");
    assert_eq!(client.value("SELECT count(*) FROM d.wide").await, "500000");
}

/// Statements that fail, with the number and the state that MySQL's clients know.
const NUMBERED: &[(&str, u16, &str)] = &[
    ("SELECT x.id FROM d.t x JOIN d.t y ON x.id = y.id WHERE v = 'a'", 1052, "23000"),
    ("SELECT nothing FROM d.t", 1054, "42S22"),
    ("SELECT id, count(*) FROM d.t", 1055, "42000"),
    ("SELECT * FROM (SELECT id, id FROM d.t) AS x", 1060, "42S21"),
    ("SELECT 1 FROM d.t x JOIN d.t x ON true", 1066, "42000"),
    ("SELECT 1 FROM d.t WHERE count(*) > 1", 1111, "HY000"),
    ("SELECT v FROM d.t WHERE v REGEXP '('", 1139, "42000"),
    ("SELECT regexp_replace(v, '[', '') FROM d.t", 1139, "42000"),
    ("SELECT ntile(0) OVER (ORDER BY id) FROM d.t", 1210, "HY000"),
    ("SELECT (SELECT id, v FROM d.t)", 1241, "21000"),
    ("SELECT 1 FROM d.t WHERE (1, 2) IN ((1, 2, 3))", 1241, "21000"),
    ("SELECT (SELECT id FROM d.t)", 1242, "21000"),
    ("SELECT id FROM d.t WHERE id = (SELECT id FROM d.t WHERE id < 5)", 1242, "21000"),
    ("SELECT id, (SELECT x.v FROM d.t x WHERE x.id >= t.id) FROM d.t", 1235, "42000"),
    ("SELECT DATE '2024-02-30'", 1292, "22007"),
    ("SELECT id FROM d.t WHERE v > TIMESTAMP 'soon'", 1292, "22007"),
    ("SELECT no_such_function(id) FROM d.t", 1305, "42000"),
    ("SELECT 9223372036854775807 + id FROM d.t WHERE id > 0", 1690, "22003"),
    ("SELECT id FROM d.t WHERE (id + 9223372036854775000) * 2 > 1", 1690, "22003"),
    ("SELECT DISTINCT v FROM d.t ORDER BY id", 3065, "HY000"),
    ("SELECT length(concat(repeat('a', 1000000), 1)) FROM", 1064, "42000"),
    ("SELECT id FROM d.t LIMIT 18446744073709551616", 1064, "42000"),
    ("SELECT zz.* FROM d.t", 1051, "42S02"),
    ("SELECT id FROM d.t UNION SELECT id, v FROM d.t", 1222, "21000"),
    ("SELECT id FROM d.t EXCEPT SELECT id, v FROM d.t", 1222, "21000"),
    ("SELECT sum(id) OVER (ORDER BY v RANGE 1 PRECEDING) FROM d.t", 3587, "HY000"),
    ("SELECT sum(id) OVER (ORDER BY date(v) RANGE 1 PRECEDING) FROM d.t", 3588, "HY000"),
    ("SELECT sum(id) OVER (ORDER BY id RANGE INTERVAL 1 DAY PRECEDING) FROM d.t", 3589, "HY000"),
    ("SELECT id FROM d.t ORDER BY 99", 1054, "42S22"),
    ("SELECT id FROM d.t GROUP BY 99", 1054, "42S22"),
];

#[tokio::test]
async fn what_fails_carries_the_number_that_clients_know() {
    let server = Server::start("numbered").await;
    let mut client = filled(&server).await;
    for (statement, code, sqlstate) in NUMBERED {
        let error = client.refused(statement).await;
        assert_eq!((error.code, error.sqlstate.as_str()), (*code, *sqlstate), "{statement}\n{error}");
    }
    assert_eq!(client.value("SELECT count(*) FROM (SELECT id FROM d.t LIMIT 10, 18446744073709551615) x").await, "990");
    assert_eq!(client.query("SHOW PARTITIONS FROM d.t LIMIT 18446744073709551615").await.rows.len(), 1);
}

#[tokio::test]
async fn of_loads_racing_for_one_label_one_wins() {
    let mut server = Server::start("race").await;
    filled(&server).await;
    let load = async |round: usize| {
        let body = Body::Bytes(format!("{}\tx\n", 10_000 + round).into_bytes());
        server.stream_load("d", "t", &[("label", "the-one")], body).await["Status"].clone()
    };
    let answers = futures::future::join_all((0..8).map(load)).await;
    let won = answers.iter().filter(|status| *status == "Success").count();
    let lost = answers.iter().filter(|status| *status == "Label Already Exists").count();
    assert_eq!((won, lost), (1, 7), "{answers:?}");
    server.kill9();
    server.restart().await;
    let again = server.stream_load("d", "t", &[("label", "the-one")], Body::Bytes(b"9\tx\n".to_vec())).await;
    assert_eq!(again["Status"], "Label Already Exists");
    assert_eq!(server.client().await.value("SELECT count(*) FROM d.t").await, "1001");
}

#[tokio::test]
async fn delete_reads_another_replica_when_one_is_damaged() {
    let roots = ["one", "two"].map(|name| tempfile::Builder::new().prefix(name).tempdir().unwrap());
    let list = roots.each_ref().map(|root| root.path().to_str().unwrap()).join(",");
    let server = Server::configure("damaged").arg("--storage-roots").arg(&list).start().await;
    let mut client = server.client().await;
    client.query("CREATE DATABASE d").await;
    client
        .query(
            "CREATE TABLE d.t (id INT, v VARCHAR(20)) DISTRIBUTED BY HASH(id) PROPERTIES (\"replication_num\" = \"2\")",
        )
        .await;
    client.query("INSERT INTO d.t VALUES (1, 'one'), (2, 'two'), (3, 'three')").await;
    let damaged = segments(roots[0].path());
    assert!(!damaged.is_empty());
    for path in &damaged {
        let mut bytes = std::fs::read(path).unwrap();
        // Every page, and not the footer: the file has its length and opens.
        let end = bytes.len() / 2;
        bytes[4..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(path, bytes).unwrap();
    }
    client.query("DELETE FROM d.t WHERE v = 'two'").await;
    assert_eq!(client.query("SELECT id FROM d.t ORDER BY id").await.column("id"), ["1", "3"]);
    // The damaged copy was set aside, and is made anew in time.
    wait_until(SOON, async || {
        let states = client.query("SHOW TABLET FROM d.t").await;
        let whole = states.column("State").iter().all(|state| *state == "NORMAL");
        if whole && !segments(roots[0].path()).is_empty() { Ok(()) } else { Err(states.to_string()) }
    })
    .await;
}

/// The segments below a storage root.
fn segments(root: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test]
async fn health_and_metrics_tell_what_there_is() {
    let server = Server::start("metrics").await;
    let _client = filled(&server).await;
    let health: serde_json::Value = serde_json::from_str(&server.http_get("/api/health").await.text()).unwrap();
    assert_eq!(health["status"], "OK");
    let metrics = server.http_get("/metrics").await.text();
    for line in [
        "ebla_unfinished_jobs{kind=\"backup\"} 0",
        "ebla_unfinished_jobs{kind=\"restore\"} 0",
        "ebla_connections 1",
        "ebla_statements_total{kind=\"CREATE DATABASE\"} 1",
        "ebla_loads_total{state=\"visible\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not among\n{metrics}");
    }
}
