//! Real clients: `mysql_async` for both protocols, the `mariadb` command line where there is one.

use std::net::SocketAddr;
use std::process::Output;

use mysql_async::prelude::Queryable;
use mysql_async::{ChangeUserOpts, Conn, Error, OptsBuilder, Params, Row, Value, consts};
use tokio::process::Command;

use super::*;
use crate::wire::{DateParameter, DateTimeParameter, TimeParameter};

fn options(address: SocketAddr) -> OptsBuilder {
    OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some("ada"))
        .pass(Some("secret"))
        .prefer_socket(false)
        .max_allowed_packet(Some(64 << 20))
        .wait_timeout(Some(600))
}

async fn connect(server: &Server) -> Conn {
    Conn::new(options(server.address)).await.unwrap()
}

async fn refused(options: OptsBuilder) -> (u16, String, String) {
    server_error(Conn::new(options).await.map(drop))
}

fn server_error<T>(result: Result<T, Error>) -> (u16, String, String) {
    match result {
        Err(Error::Server(error)) => (error.code, error.state, error.message),
        Err(error) => panic!("not an answer of the server: {error}"),
        Ok(_) => panic!("no error"),
    }
}

fn values(row: Row) -> Vec<Value> {
    row.unwrap()
}

fn texts(row: Row) -> Vec<String> {
    values(row).into_iter().map(|value| text(&value)).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        other => panic!("not text: {other:?}"),
    }
}

#[tokio::test]
async fn every_type_arrives_in_the_text_protocol() {
    let server = Server::start().await;
    let mut client = connect(&server).await;
    let row: Row = client.query_first("types").await.unwrap().unwrap();
    for (column, (name, _, expected, _)) in samples::samples().into_iter().enumerate() {
        assert_eq!(text(&row[column]), expected, "{name}");
    }
    let row: Row = client.query_first("nulls").await.unwrap().unwrap();
    assert!(values(row).iter().all(|value| *value == Value::NULL));
}

#[tokio::test]
async fn every_type_arrives_in_the_binary_protocol() {
    let server = Server::start().await;
    let mut client = connect(&server).await;
    let row: Row = client.exec_first("types", ()).await.unwrap().unwrap();
    for (column, (name, _, expected, _)) in samples::samples().into_iter().enumerate() {
        let expected = match name {
            "bool" => Value::Int(1),
            "i8" | "i16" | "i32" | "i64" => Value::Int(expected.parse().unwrap()),
            "u8" | "u16" | "u32" | "u64" => match expected.parse::<u64>().unwrap() {
                small @ 0..=0x7fff_ffff_ffff_ffff => Value::Int(small as i64),
                large => Value::UInt(large),
            },
            "f32" => Value::Float(0.1),
            "f64" => Value::Double(-1.5e20),
            "date" => Value::Date(2024, 2, 29, 0, 0, 0, 0),
            "date64" => Value::Date(1969, 12, 31, 0, 0, 0, 0),
            "ts_s" => Value::Date(2024, 2, 29, 12, 34, 56, 0),
            "ts_us" => Value::Date(2024, 2, 29, 12, 34, 56, 7),
            "ts_tz" => Value::Date(1970, 1, 1, 8, 0, 0, 0),
            "time" => Value::Time(false, 0, 1, 2, 3, 0),
            _ => Value::Bytes(expected.as_bytes().to_vec()),
        };
        let read = match &row[column] {
            // Small unsigned numbers may be read as either.
            Value::UInt(small) if i64::try_from(*small).is_ok() => Value::Int(*small as i64),
            other => other.clone(),
        };
        assert_eq!(read, expected, "{name}");
    }
    let row: Row = client.exec_first("nulls", ()).await.unwrap().unwrap();
    assert!(values(row).iter().all(|value| *value == Value::NULL));
}

#[tokio::test]
async fn columns_are_described() {
    let server = Server::start().await;
    let mut client = connect(&server).await;
    let result = client.query_iter("types").await.unwrap();
    let columns = result.columns().unwrap();
    let column = |name: &str| columns.iter().find(|c| c.name_str() == name).unwrap();
    use consts::{ColumnFlags, ColumnType::*};
    assert_eq!(column("bool").column_type(), MYSQL_TYPE_TINY);
    assert_eq!(column("bool").column_length(), 1);
    assert_eq!(column("bool").flags(), ColumnFlags::empty());
    assert_eq!(column("dec").column_type(), MYSQL_TYPE_NEWDECIMAL);
    assert_eq!((column("dec").column_length(), column("dec").decimals()), (12, 2));
    assert_eq!(column("largeint").column_type(), MYSQL_TYPE_NEWDECIMAL);
    assert_eq!(column("utf8").column_length(), 80);
    assert_eq!(column("utf8").character_set(), 45);
    assert_eq!(column("bytes").character_set(), 63);
    assert_eq!(column("json").column_type(), MYSQL_TYPE_JSON);
    assert_eq!(column("ts_us").column_type(), MYSQL_TYPE_DATETIME);
    assert!(column("u64").flags().contains(ColumnFlags::UNSIGNED_FLAG));
    assert!(!column("u64").flags().contains(ColumnFlags::NOT_NULL_FLAG));
    result.drop_result().await.unwrap();
}

#[tokio::test]
async fn parameters_of_every_type_arrive() {
    let server = Server::start().await;
    let mut client = connect(&server).await;
    let date = DateParameter { year: 2024, month: 2, day: 29 };
    let datetime = |microsecond| DateTimeParameter { date, hour: 1, minute: 2, second: 3, microsecond };
    let time = TimeParameter { negative: true, days: 40, hours: 5, minutes: 6, seconds: 7, microseconds: 8 };
    let sent = [
        (Value::NULL, Parameter::Null),
        (Value::Int(-5), Parameter::Int(-5)),
        (Value::UInt(u64::MAX), Parameter::UInt(u64::MAX)),
        (Value::Float(0.1), Parameter::Float(0.1)),
        (Value::Double(2.5e300), Parameter::Double(2.5e300)),
        (Value::Bytes("Ebla ✓".into()), Parameter::Text("Ebla ✓".into())),
        (Value::Bytes(vec![0xff, 0]), Parameter::Bytes(vec![0xff, 0])),
        (Value::Date(2024, 2, 29, 1, 2, 3, 4), Parameter::DateTime(datetime(4))),
        (Value::Date(2024, 2, 29, 1, 2, 3, 0), Parameter::DateTime(datetime(0))),
        (Value::Time(true, 40, 5, 6, 7, 8), Parameter::Time(time)),
    ];
    let sql = format!("echo {}", vec!["?"; sent.len()].join(","));
    let statement = client.prep(&sql).await.unwrap();
    // Twice: the types travel only when they change.
    for _ in 0..2 {
        let bound: Vec<Value> = sent.iter().map(|(value, _)| value.clone()).collect();
        let row: Row = client.exec_first(&statement, Params::Positional(bound)).await.unwrap().unwrap();
        let expected: Vec<_> = sent.iter().map(|(_, p)| format!("{p:?}")).collect();
        assert_eq!(texts(row), expected);
    }
    client.close(statement).await.unwrap();
    assert_eq!(client.query_first::<String, _>("say still here").await.unwrap().unwrap(), "still here");
}

#[tokio::test]
async fn large_results_and_rows_stream() {
    let server = Server::start().await;
    let mut client = connect(&server).await;
    const ROWS: i64 = 300_000;
    let sum = client.query_fold(format!("count {ROWS}"), 0, |sum, n: i64| sum + n).await.unwrap();
    assert_eq!(sum, ROWS * (ROWS - 1) / 2);
    let statement = format!("count {ROWS}");
    let counted = client.exec_fold(statement, (), 0, |rows, _: i64| rows + 1).await.unwrap();
    assert_eq!(counted, ROWS);
    // A row's payload is a length of four bytes and the letters: below, at and beyond one frame.
    const FRAME: usize = 0xff_ffff;
    for letters in [0xff_fff0, FRAME - 4, FRAME - 3, 20 << 20, 2 * FRAME - 9] {
        let answer: String = client.query_first(format!("letters {letters}")).await.unwrap().unwrap();
        assert_eq!(answer.len(), letters);
    }
}

#[tokio::test]
async fn large_statements_arrive() {
    let server = Server::start().await;
    let mut client = connect(&server).await;
    const FRAME: usize = 0xff_ffff;
    for letters in [FRAME - 5, FRAME - 4, 40 << 20] {
        let answer: String = client.query_first(format!("say {}", "y".repeat(letters))).await.unwrap().unwrap();
        assert_eq!(answer.len(), letters);
    }
}

#[tokio::test]
async fn an_ok_packet_carries_all_it_can() {
    let server = Server::start().await;
    let mut client = connect(&server).await;
    for length in [0, 3, 200, 300] {
        client.query_drop(format!("change {length}")).await.unwrap();
        assert_eq!(client.affected_rows(), 3);
        assert_eq!(client.last_insert_id(), Some(70_000));
        assert_eq!(client.get_warnings(), 2);
        assert_eq!(client.info(), "i".repeat(length));
    }
}

#[tokio::test]
async fn an_error_is_an_answer() {
    let server = Server::start().await;
    let mut client = connect(&server).await;
    let (code, state, message) = server_error(client.query_drop("nonsense").await);
    assert_eq!((code, state.as_str()), (1064, "42000"));
    assert_eq!(message, "no such word: nonsense");
    let (code, _, message) = server_error(client.query::<i64, _>("broken").await);
    assert_eq!((code, message.as_str()), (1105, "the disk is gone"));
    let (code, _, message) = server_error(client.query::<i64, _>("wrong").await);
    assert_eq!(code, 1105, "{message}");
    assert_eq!(client.query_first::<String, _>("year").await.unwrap().unwrap(), "10000-01-01");
    let (code, _, message) = server_error(client.exec::<Row, _, _>("year", ()).await);
    assert_eq!(code, 1105, "{message}");
    client.ping().await.unwrap();
}

#[tokio::test]
async fn a_panic_is_told_and_ends_only_its_connection() {
    let mut server = Server::start().await;
    let mut client = connect(&server).await;
    let mut other = connect(&server).await;
    let (code, _, _) = server_error(client.query_drop("panic").await);
    assert_eq!(code, 1105);
    server.wait_for(Event::Closed(CloseReason::Failed)).await;
    client.ping().await.unwrap_err();
    other.ping().await.unwrap();
}

#[tokio::test]
async fn several_statements_in_one_text_have_several_results() {
    let server = Server::start().await;
    let mut client = connect(&server).await;
    let mut result = client.query_iter("say a;change 2;say b").await.unwrap();
    assert_eq!(result.collect::<String>().await.unwrap(), ["a"]);
    assert_eq!(result.affected_rows(), 3);
    result.collect::<Row>().await.unwrap();
    assert_eq!(result.collect::<String>().await.unwrap(), ["b"]);
    assert!(result.is_empty());
    drop(result);
    client.ping().await.unwrap();
}

#[tokio::test]
async fn the_right_user_gets_in() {
    let mut server = Server::start().await;
    let client = Conn::new(options(server.address).db_name(Some("c.d"))).await.unwrap();
    let opened = Event::Opened { user: "ada".into(), database: Some("c.d".into()) };
    assert_eq!(server.next_event().await, opened);
    client.disconnect().await.unwrap();
    server.wait_for(Event::Closed(CloseReason::Quit)).await;
    let root = options(server.address).user(Some("root")).pass(None::<&str>);
    Conn::new(root).await.unwrap();
}

#[tokio::test]
async fn the_wrong_user_does_not() {
    let server = Server::start().await;
    let denied = |user, with| {
        let message = format!("Access denied for user '{user}'@'127.0.0.1' (using password: {with})");
        (1045, "28000".to_owned(), message)
    };
    let ada = options(server.address);
    assert_eq!(refused(ada.clone().pass(Some("Secret"))).await, denied("ada", "YES"));
    assert_eq!(refused(ada.clone().pass(None::<&str>)).await, denied("ada", "NO"));
    assert_eq!(refused(ada.clone().user(Some("eve"))).await, denied("eve", "YES"));
    assert_eq!(refused(ada.clone().user(Some("root"))).await, denied("root", "YES"));
    let (code, state, message) = refused(ada.db_name(Some("nowhere"))).await;
    assert_eq!((code, state.as_str()), (1049, "42000"));
    assert_eq!(message, "Unknown database 'nowhere'");
}

#[tokio::test]
async fn users_change_and_connections_reset() {
    let mut server = Server::start().await;
    let mut client = connect(&server).await;
    let statement = client.prep("echo ?").await.unwrap();
    assert!(client.reset().await.unwrap());
    server.wait_for(Event::Reset).await;
    let (code, _, _) = server_error(client.exec_drop(&statement, (1,)).await);
    assert_eq!(code, 1243);
    let other = ChangeUserOpts::new().with_user(Some("root".into())).with_pass(None).with_db_name(Some("d".into()));
    client.change_user(other).await.unwrap();
    server.wait_for(Event::Closed(CloseReason::UserChanged)).await;
    let row: Row = client.query_first("where").await.unwrap().unwrap();
    assert_eq!(texts(row), ["root", "d"]);
    let wrong = ChangeUserOpts::new().with_user(Some("ada".into())).with_pass(Some("no".into()));
    let (code, _, _) = server_error(client.change_user(wrong).await);
    assert_eq!(code, 1045);
    server.wait_for(Event::Closed(CloseReason::Failed)).await;
}

#[tokio::test]
async fn a_closed_socket_stops_the_work() {
    let mut server = Server::start().await;
    for statement in ["sleep 1000000", "trickle"] {
        let mut client = connect(&server).await;
        let running = tokio::spawn(async move { client.query_drop(statement).await });
        server.wait_for(Event::Started).await;
        // Dropping the client closes its socket without a goodbye.
        running.abort();
        server.wait_for(Event::Dropped).await;
        server.wait_for(Event::Closed(CloseReason::PeerGone)).await;
    }
}

#[tokio::test]
async fn a_killed_connection_ends_at_once() {
    let mut server = Server::start().await;
    let mut idle = connect(&server).await;
    let mut busy = connect(&server).await;
    let running = tokio::spawn(async move { busy.query_drop("sleep 1000000").await });
    server.wait_for(Event::Started).await;
    server.kill_all();
    let (code, state, _) = server_error(running.await.unwrap());
    assert_eq!((code, state.as_str()), (1317, "70100"));
    idle.ping().await.unwrap_err();
}

#[tokio::test]
async fn a_drain_lets_running_statements_finish() {
    let mut server = Server::start().await;
    let mut idle = connect(&server).await;
    let mut busy = connect(&server).await;
    let running = tokio::spawn(async move { busy.query_drop("sleep 500").await });
    server.wait_for(Event::Started).await;
    server.shutdown.cancel();
    server.wait_for(Event::Closed(CloseReason::Shutdown)).await;
    idle.ping().await.unwrap_err();
    running.await.unwrap().unwrap();
    let address = server.address;
    server.stopped().await;
    assert!(Conn::new(options(address)).await.is_err());
}

#[tokio::test]
async fn a_drain_cuts_what_outlasts_its_grace() {
    let mut server = Server::start_with(|config| config.drain_grace = Duration::from_millis(100)).await;
    let mut busy = connect(&server).await;
    let running = tokio::spawn(async move { busy.query_drop("sleep 1000000").await });
    server.wait_for(Event::Started).await;
    server.shutdown.cancel();
    let (code, state, _) = server_error(running.await.unwrap());
    assert_eq!((code, state.as_str()), (1053, "08S01"));
    server.wait_for(Event::Dropped).await;
    server.stopped().await;
}

/// Runs the `mariadb` client; `None` where there is none, which CI does not allow.
async fn mariadb(server: &Server, arguments: &[&str]) -> Option<Output> {
    let port = server.address.port().to_string();
    let output = Command::new("mariadb")
        .args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--port", &port])
        .args(["--user=ada", "--password=secret", "--batch"])
        .args(arguments)
        .output()
        .await;
    match output {
        Ok(output) => Some(output),
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("no mariadb client, nothing tested: {error}");
            None
        }
        Err(error) => panic!("run mariadb: {error}"),
    }
}

#[tokio::test]
async fn the_command_line_client_works() {
    let server = Server::start().await;
    let Some(output) = mariadb(&server, &["--execute", "types"]).await else {
        return;
    };
    assert!(output.status.success(), "{output:?}");
    let shown = String::from_utf8(output.stdout).unwrap();
    let mut lines = shown.lines();
    let columns = samples::samples();
    let names: Vec<_> = columns.iter().map(|(name, ..)| *name).collect();
    assert_eq!(lines.next().unwrap(), names.join("\t"));
    let expected: Vec<_> = columns.iter().map(|(_, _, text, _)| text.replace('\\', "\\\\")).collect();
    assert_eq!(lines.next().unwrap(), expected.join("\t"));

    let output = mariadb(&server, &["d", "--execute", "use c.d; where; \\s"]).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("ada\tc.d"), "{shown}");
    assert!(shown.contains("Uptime:"), "{shown}");

    let output = mariadb(&server, &["nowhere"]).await.unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("ERROR 1049 (42000): Unknown database 'nowhere'"), "{complaint}");
}

#[tokio::test]
async fn numbers_that_a_library_keeps_for_itself_do_not_hide_the_text() {
    let server = Server::start().await;
    let mut client = connect(&server).await;
    for (number, shown) in [(1999, 1999), (2000, 1105), (2999, 1105), (3000, 3000), (5014, 1105), (5050, 5050)] {
        let statement = format!("error {number}");
        let (code, state, text) = server_error(client.query_drop(&statement).await);
        assert_eq!((code, state.as_str(), text.as_str()), (number, "HY000", "as asked"));
        let Some(output) = mariadb(&server, &["--execute", &statement]).await else {
            return;
        };
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(complaint.contains(&format!("ERROR {shown} (HY000) at line 1: as asked")), "{number}: {complaint}");
    }
}
