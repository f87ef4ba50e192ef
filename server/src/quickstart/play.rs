//! The story itself: each statement typed, its result shown, its outcome checked.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ebla_storage::job::human_bytes;
use indicatif::{ProgressBar, ProgressStyle};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row, Value};

use super::AnyError;
use super::data;
use super::s3::EmbeddedS3;
use crate::server::Addresses;

/// How often SHOW BACKUP and SHOW RESTORE are asked.
const POLL: Duration = Duration::from_millis(50);

/// Longest cell that is printed whole.
const CELL_CHARS_MAX: usize = 60;

/// The one who types.
#[derive(Debug)]
pub(crate) struct Player {
    connection: Conn,
    http: SocketAddr,
    s3: EmbeddedS3,
}

/// A result as texts.
struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// What two states of the data must share.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint(Vec<String>);

impl Player {
    /// Connects as root.
    pub(crate) async fn connect(addresses: Addresses, s3: EmbeddedS3) -> Result<Player, AnyError> {
        let options = OptsBuilder::default()
            .ip_or_hostname(addresses.mysql.ip().to_string())
            .tcp_port(addresses.mysql.port())
            .user(Some("root"))
            .prefer_socket(false);
        Ok(Player { connection: Conn::new(options).await?, http: addresses.http, s3 })
    }

    /// Types a statement: prints it and its result.
    async fn types(&mut self, statement: &str) -> Result<Table, AnyError> {
        println!("\nmysql> {};", statement.trim().replace('\n', "\n    -> "));
        let began = Instant::now();
        let table = self.asks(statement).await?;
        let seconds = began.elapsed().as_secs_f64();
        if table.columns.is_empty() {
            println!("Query OK ({seconds:.2} sec)");
        } else {
            print!("{}", table.drawn());
            println!("{} row(s) in set ({seconds:.2} sec)", table.rows.len());
        }
        Ok(table)
    }

    /// Asks without a word.
    async fn asks(&mut self, statement: &str) -> Result<Table, AnyError> {
        let mut result = self.connection.query_iter(statement).await?;
        let columns = result.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
        let rows: Vec<Row> = result.collect().await?;
        drop(result);
        Ok(Table { columns, rows: rows.into_iter().map(|row| row.unwrap().into_iter().map(cell).collect()).collect() })
    }

    /// Follows the last job of a database with a progress bar until it is done.
    async fn follows(&mut self, show: &str) -> Result<(), AnyError> {
        let bar = ProgressBar::new(100).with_style(
            ProgressStyle::with_template("    {bar:40} {pos:>3} %  {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        loop {
            let table = self.asks(show).await?;
            let state = table.field("State").unwrap_or_default().to_owned();
            let progress = table.field("Progress").unwrap_or_default();
            if let Some(percent) = percent_of(progress) {
                bar.set_position(percent);
            }
            bar.set_message(state.clone());
            match state.as_str() {
                "FINISHED" => {
                    bar.finish_and_clear();
                    println!("    {show}: FINISHED");
                    return Ok(());
                }
                "CANCELLED" => {
                    bar.abandon();
                    return Err(format!("{show}: {}", table.field("Status").unwrap_or_default()).into());
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// What the data looks like: counts and order-independent sums over every column of the story's tables.
    async fn looks(&mut self) -> Result<Fingerprint, AnyError> {
        let mut lines = Vec::new();
        for query in [
            "SELECT count(*), sum(sr_id), sum(crc32(concat_ws('|', sr_id, name, city_code, reg_date, verified))) \
             FROM sr_hub.sr_member",
            "SELECT count(*), sum(o_totalprice), sum(crc32(concat_ws('|', o_orderkey, o_custkey, o_orderstatus, \
             o_totalprice, o_orderdate, o_orderpriority, o_clerk, o_shippriority, o_comment))) FROM sr_hub.orders",
            "SELECT count(*), sum(l_extendedprice), sum(crc32(concat_ws('|', l_orderkey, l_partkey, l_suppkey, \
             l_linenumber, l_quantity, l_extendedprice, l_discount, l_tax, l_returnflag, l_linestatus, l_shipdate, \
             l_commitdate, l_receiptdate, l_shipinstruct, l_shipmode, l_comment))) FROM sr_hub.lineitem",
        ] {
            lines.push(self.asks(query).await?.rows.concat().join(" "));
        }
        Ok(Fingerprint(lines))
    }
}

/// The story from its first statement to its last.
pub(crate) async fn story(player: &mut Player, scale: f64) -> Result<(), AnyError> {
    chapter("A database with real data");
    player.types("CREATE DATABASE sr_hub").await?;
    player.types("USE sr_hub").await?;
    player.types(data::CREATE_MEMBER).await?;
    player.types(data::INSERT_MEMBER).await?;
    for create in data::CREATE_TPCH {
        player.asks(create).await?;
    }
    for table in ["orders", "lineitem"] {
        load(player, table, scale).await?;
    }
    player.types("SHOW DATA").await?;

    chapter("A repository in S3");
    let EmbeddedS3 { endpoint, bucket, access_key, secret_key } = player.s3.clone();
    player
        .types(&format!(
            "CREATE REPOSITORY test_repo\nWITH BROKER\nON LOCATION \"s3a://{bucket}/backup\"\nPROPERTIES(\n\
             \"aws.s3.access_key\" = \"{access_key}\",\n\"aws.s3.secret_key\" = \"{secret_key}\",\n\
             \"aws.s3.endpoint\" = \"{endpoint}\"\n)"
        ))
        .await?;
    player.types("SHOW REPOSITORIES").await?;

    chapter("A full backup");
    back_up(player, "first_backup").await?;

    chapter("One more load, and an incremental backup");
    player.types(data::INSERT_ONE_MORE).await?;
    back_up(player, "second_backup").await?;
    let before = player.looks().await?;
    player.types("SHOW SNAPSHOT ON test_repo").await?;

    chapter("The accident");
    for table in ["sr_member", "orders", "lineitem"] {
        player.types(&format!("DROP TABLE {table} FORCE")).await?;
    }

    chapter("The way back");
    let snapshots = player.asks("SHOW SNAPSHOT ON test_repo WHERE SNAPSHOT = 'second_backup'").await?;
    let timestamp = snapshots.field("Timestamp").ok_or("the snapshot is not listed")?.to_owned();
    let began = Instant::now();
    player
        .types(&format!(
            "RESTORE SNAPSHOT sr_hub.second_backup\nFROM test_repo\nPROPERTIES (\n\
             \"backup_timestamp\" = \"{timestamp}\",\n\"replication_num\" = \"1\"\n)"
        ))
        .await?;
    player.follows("SHOW RESTORE FROM sr_hub").await?;
    println!("    restored in {:.2} s", began.elapsed().as_secs_f64());
    player.types("SELECT * FROM sr_member ORDER BY sr_id").await?;

    chapter("Does everything agree?");
    let after = player.looks().await?;
    for (before, after) in before.0.iter().zip(&after.0) {
        println!("    before: {before}\n    after:  {after}");
    }
    if before != after {
        return Err("the restored data differs from what was backed up".into());
    }
    Ok(())
}

async fn load(player: &mut Player, table: &str, scale: f64) -> Result<(), AnyError> {
    println!("\nStream Load of {table} (TPC-H, scale {scale})");
    let bar = ProgressBar::new_spinner();
    let began = Instant::now();
    let http = player.http;
    let sent = data::stream_load(http, "sr_hub", table, scale, |sent| {
        bar.set_message(format!("{} MB", sent / 1_000_000));
        bar.tick();
    })
    .await?;
    bar.finish_and_clear();
    println!("    {:.1} MB of text in {:.2} s", sent as f64 / 1e6, began.elapsed().as_secs_f64());
    Ok(())
}

async fn back_up(player: &mut Player, label: &str) -> Result<(), AnyError> {
    let began = Instant::now();
    player.types(&format!("BACKUP SNAPSHOT sr_hub.{label}\nTO test_repo")).await?;
    player.follows("SHOW BACKUP FROM sr_hub").await?;
    let seconds = began.elapsed().as_secs_f64();
    let job = player
        .asks(&format!(
            "SELECT BYTES_TOTAL, BYTES_UPLOADED, FILES_TOTAL, FILES_UPLOADED FROM information_schema.backup_jobs \
             WHERE SNAPSHOT_NAME = '{label}'"
        ))
        .await?;
    let number = |name: &str| -> Result<u64, AnyError> {
        let text = job.field(name).ok_or_else(|| format!("information_schema.backup_jobs has no {name} of {label}"))?;
        Ok(text.parse().map_err(|_| format!("{name} of {label} is {text}, which is no number"))?)
    };
    let files = |count: u64| if count == 1 { "1 file".to_string() } else { format!("{count} files") };
    println!(
        "    the snapshot is {} in {}; new, and uploaded, were {} in {}; {seconds:.2} s",
        human_bytes(number("BYTES_TOTAL")?),
        files(number("FILES_TOTAL")?),
        human_bytes(number("BYTES_UPLOADED")?),
        files(number("FILES_UPLOADED")?),
    );
    Ok(())
}

fn chapter(title: &str) {
    println!("\n── {title} {}", "─".repeat(70usize.saturating_sub(title.chars().count())));
}

impl Table {
    /// The value of a column in the first row.
    fn field(&self, column: &str) -> Option<&str> {
        let position = self.columns.iter().position(|name| name == column)?;
        self.rows.first()?.get(position).map(String::as_str)
    }

    /// The table as the mysql program draws it; long cells are cut.
    fn drawn(&self) -> String {
        let cut = |text: &String| match text.chars().count() > CELL_CHARS_MAX {
            true => text.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect(),
            false => text.clone(),
        };
        let rows: Vec<Vec<String>> =
            std::iter::once(&self.columns).chain(&self.rows).map(|row| row.iter().map(cut).collect()).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        let rule: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect::<String>() + "+\n";
        let mut text = rule.clone();
        for (number, row) in rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                let padding = " ".repeat(width - cell.chars().count());
                text += &format!("| {cell}{padding} ");
            }
            text += "|\n";
            if number == 0 {
                text += &rule;
            }
        }
        if rows.len() > 1 {
            text += &rule;
        }
        text
    }
}

/// The percent of a Progress text: the number before `%`.
fn percent_of(progress: &str) -> Option<u64> {
    let before = progress.split('%').next().filter(|before| before.len() < progress.len())?;
    let digits: String = before.chars().rev().take_while(char::is_ascii_digit).collect();
    digits.chars().rev().collect::<String>().parse().ok()
}

fn cell(value: Value) -> String {
    match value {
        Value::NULL => "NULL".to_owned(),
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => other.as_sql(true).trim_matches('\'').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_read_from_progress() {
        let text = "[ task id: 10440 -> finished part:2/ total number of subtasks:6, 12.3 MB of 40.1 MB (30%)]";
        assert_eq!(percent_of(text), Some(30));
        assert_eq!(percent_of(""), None);
        assert_eq!(percent_of("%"), None);
    }
}
