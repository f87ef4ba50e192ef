//! Scripts: statements with what they answer, in one file that a person reads and `cargo xtask golden` writes.
//!
//! A script is blocks with an empty line between them. A block is comments (`#`), directives (`@`), a statement, a line `----`,
//! and the answer: rows under the names of their columns, `OK` with the number of rows that changed, or the error with
//! number, SQLSTATE and text. [`check`] sends every statement through the real port; where the answers differ from
//! the file, the test fails.
//!
//! | directive | |
//! |---|---|
//! | `@connect name user [password]` | opens a connection and uses it from here on |
//! | `@as name` | uses a connection that is open |
//! | `@close name` | closes it |
//! | `@execute value, …` | the statement is prepared, and executed with these values in the binary protocol |
//! | `@sort` | rows are sorted before they are shown |
//! | `@mask column, …` | values of these columns differ from run to run |
//! | `@load db.table header=value; …` | Stream Load; what stands where the statement would is its body |
//! | `@kill` | SIGKILL and a restart; every connection is opened again when it is used next |
//!
//! In a statement `${folder}` is a folder beside the data directory. One that ends in `\G` is shown one column a line. What differs from run to run (ids, instants, sizes, ports) is
//! replaced by the name of its column; nothing else is.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use mysql_async::{Params, Value};

use crate::client::{Client, Rows, SqlError};
use crate::golden;
use crate::http::Body;
use crate::server::{ROOT_PASSWORD, Server};

/// Between a statement and its answer.
const ANSWER: &str = "----";

/// The connection a script begins with.
const ROOT: &str = "root";

/// Columns whose values are ids, instants, addresses or sizes of files.
const MASKED: &[&str] = &[
    "AVG_ROW_LENGTH",
    "Avg_row_length",
    "BackendId",
    "CREATE_TIME",
    "ClusterId",
    "ConnectionStartTime",
    "CreateTime",
    "Create_time",
    "DATA_LENGTH",
    "DATA_SIZE",
    "DataSize",
    "Data_length",
    "DbId",
    "FinishedTime",
    "Host",
    "HttpPort",
    "Id",
    "IndexId",
    "JobId",
    "LOAD_FINISH_TIME",
    "LastStartTime",
    "LoadFinishTime",
    "PARTITION_ID",
    "PartitionId",
    "PathHash",
    "QueryPort",
    "ReplicaId",
    "RepoId",
    "SINK_BYTES",
    "Size",
    "StartTime",
    "TABLE_ID",
    "TXN_ID",
    "TableId",
    "TabletId",
    "UPDATE_TIME",
    "Update_time",
    "VISIBLE_VERSION_TIME",
    "VisibleVersionTime",
];

/// What stands before a number that differs from run to run.
const BEFORE_NUMBERS: &[&str] =
    &["insert_", "overwrite_", "delete_", "stream_load_", "'txnId':'", "relate to txn [", "127.0.0.1:", "TabletId = "];

/// Parts of a Stream Load's answer that differ from run to run.
const MASKED_JSON: &[&str] = &[
    "TxnId",
    "LoadTimeMs",
    "BeginTxnTimeMs",
    "StreamLoadPlanTimeMs",
    "ReadDataTimeMs",
    "WriteDataTimeMs",
    "CommitAndPublishTimeMs",
    "ErrorURL",
];

/// One block of a script.
#[derive(Debug, Default)]
struct Block<'a> {
    /// Comments and directives, as they stand.
    head: Vec<&'a str>,
    /// The statement, or the body of a load.
    text: Vec<&'a str>,
}

/// Who is connected, by the script's own names.
struct World<'a> {
    server: &'a mut Server,
    accounts: BTreeMap<String, (String, String)>,
    open: BTreeMap<String, Client>,
    current: String,
}

/// How a block's statement is to be run and shown.
#[derive(Debug, Default)]
struct Mode {
    values: Option<Vec<Value>>,
    sort: bool,
    mask: Vec<String>,
    load: Option<String>,
}

/// Runs `golden/<name>.slt` of this crate on a server and compares the file with what the server answered.
pub async fn check(server: &mut Server, name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{name}.slt"));
    let script = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let answered = run(server, &script).await;
    golden::check_file(&file, &answered);
}

/// The script with the answers of this server.
async fn run(server: &mut Server, script: &str) -> String {
    let accounts = BTreeMap::from([(ROOT.to_string(), (ROOT.to_string(), ROOT_PASSWORD.to_string()))]);
    let mut world = World { server, accounts, open: BTreeMap::new(), current: ROOT.to_string() };
    let mut out = String::new();
    for block in blocks(script) {
        if !out.is_empty() {
            out.push('\n');
        }
        for line in block.head.iter().chain(&block.text) {
            let _ = writeln!(out, "{line}");
        }
        let answer = world.run(&block).await;
        if !answer.is_empty() {
            let _ = write!(out, "{ANSWER}\n{answer}");
        }
    }
    out
}

fn blocks(script: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    for paragraph in script.split("\n\n").map(|paragraph| paragraph.trim_matches('\n')).filter(|text| !text.is_empty())
    {
        let mut block = Block::default();
        for line in paragraph.lines().take_while(|line| *line != ANSWER) {
            let is_head = block.text.is_empty() && line.starts_with(['#', '@']);
            if is_head { block.head.push(line) } else { block.text.push(line) }
        }
        blocks.push(block);
    }
    blocks
}

impl World<'_> {
    async fn run(&mut self, block: &Block<'_>) -> String {
        let mut mode = Mode::default();
        for directive in block.head.iter().filter_map(|line| line.strip_prefix('@')) {
            let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
            match word {
                "as" => self.current = rest.to_string(),
                "close" => match self.open.remove(rest) {
                    Some(client) => client.close().await,
                    None => panic!("no connection {rest} to close"),
                },
                "connect" => {
                    let mut words = rest.split(' ').map(str::to_string);
                    let (name, user) = (words.next().unwrap(), words.next().unwrap());
                    let password = words.next().unwrap_or_default();
                    let opened = Client::try_connect(self.server.mysql_addr(), &user, &password).await;
                    match opened {
                        Ok(client) => drop(self.open.insert(name.clone(), client)),
                        Err(error) => return masked_text(&format!("{error}\n")),
                    }
                    self.accounts.insert(name.clone(), (user, password));
                    self.current = name;
                }
                "execute" => mode.values = Some(values(rest)),
                "kill" => {
                    self.open.clear();
                    self.server.kill9();
                    self.server.restart().await;
                }
                "load" => mode.load = Some(rest.to_string()),
                "mask" => mode.mask = rest.split(", ").map(str::to_string).collect(),
                "sort" => mode.sort = true,
                other => panic!("@{other} is no directive"),
            }
        }
        if let Some(load) = &mode.load {
            return self.load(load, &block.text).await;
        }
        if block.text.is_empty() {
            return String::new();
        }
        let folder = self.server.folder().display().to_string();
        let text = block.text.join("\n").replace("${folder}", &folder);
        let (sql, vertical) = match text.strip_suffix("\\G") {
            Some(sql) => (sql, true),
            None => (text.strip_suffix(';').unwrap_or(&text), false),
        };
        let client = self.client().await;
        let answer = match mode.values.take() {
            Some(values) => client.try_exec(sql, Params::Positional(values)).await,
            None => client.try_query(sql).await,
        };
        shown(answer, vertical, &mode)
    }

    async fn client(&mut self) -> &mut Client {
        if !self.open.contains_key(&self.current) {
            let (user, password) = &self.accounts[&self.current];
            let client = self.server.client_as(user, password).await;
            self.open.insert(self.current.clone(), client);
        }
        self.open.get_mut(&self.current).unwrap()
    }

    async fn load(&mut self, load: &str, body: &[&str]) -> String {
        let (table, headers) = load.split_once(' ').unwrap_or((load, ""));
        let (db, table) = table.split_once('.').unwrap();
        let headers: Vec<(&str, &str)> = headers.split("; ").filter_map(|header| header.split_once('=')).collect();
        let mut bytes = body.join("\n").into_bytes();
        bytes.push(b'\n');
        let account = self.accounts[&self.current].clone();
        let account = (account.0.as_str(), account.1.as_str());
        let response = self.server.stream_load_as(account, db, table, &headers, Body::Bytes(bytes)).await;
        let mut text = format!("HTTP {}\n", response.status);
        let answer: serde_json::Value = serde_json::from_str(&response.text()).unwrap();
        for (key, value) in answer.as_object().unwrap() {
            let value = if MASKED_JSON.contains(&key.as_str()) { format!("<{key}>") } else { value.to_string() };
            let _ = writeln!(text, "{key}: {value}");
        }
        masked_text(&text)
    }
}

fn shown(answer: Result<Rows, SqlError>, vertical: bool, mode: &Mode) -> String {
    let mut rows = match answer {
        Ok(rows) => rows,
        Err(error) => return masked_text(&format!("{error}\n")),
    };
    if rows.columns.is_empty() {
        let changed = match rows.affected {
            0 => String::new(),
            1 => ", 1 row changed".to_string(),
            count => format!(", {count} rows changed"),
        };
        let info = if rows.info.is_empty() { String::new() } else { format!("{}\n", rows.info) };
        return masked_text(&format!("OK{changed}\n{info}"));
    }
    let is_masked = |name: &str| MASKED.contains(&name) || mode.mask.iter().any(|masked| masked == name);
    for row in &mut rows.rows {
        for (name, cell) in rows.columns.iter().zip(row) {
            if let Some(text) = cell {
                *text = if is_masked(name) { format!("<{name}>") } else { masked_text(text) };
            }
        }
    }
    if mode.sort {
        rows.rows.sort();
    }
    let mut text = String::new();
    if vertical {
        for (number, row) in rows.rows.iter().enumerate() {
            let _ = writeln!(text, "*** {}", number + 1);
            for (name, cell) in rows.columns.iter().zip(row) {
                let _ = writeln!(text, "{name}: {}", cell.as_deref().unwrap_or("NULL"));
            }
        }
    } else {
        let _ = writeln!(text, "{}", rows.columns.join(" | "));
        for row in &rows.rows {
            let cells: Vec<String> = row.iter().map(|cell| in_a_line(cell.as_deref())).collect();
            let _ = writeln!(text, "{}", cells.join(" | "));
        }
    }
    if rows.rows.is_empty() {
        text.push_str("(no rows)\n");
    }
    text
}

/// A cell as part of a line; the empty text can be seen.
fn in_a_line(cell: Option<&str>) -> String {
    match cell {
        None => "NULL".to_string(),
        Some("") => "''".to_string(),
        Some(text) => text.replace('\n', "\\n"),
    }
}

/// A text with the numbers replaced that differ from run to run.
fn masked_text(text: &str) -> String {
    let mut masked = text.to_string();
    for before in BEFORE_NUMBERS {
        let mut parts = masked.split(before);
        let mut out = parts.next().unwrap_or_default().to_string();
        for part in parts {
            let rest = part.trim_start_matches(|letter: char| letter.is_ascii_digit());
            let number = if rest.len() < part.len() { "<n>" } else { "" };
            let _ = write!(out, "{before}{number}{rest}");
        }
        masked = out;
    }
    masked.replace(env!("CARGO_PKG_VERSION"), "<version>")
}

/// `int:1, double:1.5, text:abc, bytes:00ff, date:2024-01-02, datetime:2024-01-02 03:04:05.000006, time:01:02:03, null`
fn values(list: &str) -> Vec<Value> {
    list.split(", ").map(value).collect()
}

fn value(text: &str) -> Value {
    let (kind, text) = text.split_once(':').unwrap_or((text, ""));
    let numbers = || -> Vec<u32> {
        text.split(|letter: char| !letter.is_ascii_digit()).map(|digits| digits.parse().unwrap()).collect()
    };
    let small = |number: u32| u8::try_from(number).unwrap();
    match kind {
        "null" => Value::NULL,
        "int" => Value::Int(text.parse().unwrap()),
        "uint" => Value::UInt(text.parse().unwrap()),
        "float" => Value::Float(text.parse().unwrap()),
        "double" => Value::Double(text.parse().unwrap()),
        "text" => Value::Bytes(text.as_bytes().to_vec()),
        "bytes" => {
            let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
            Value::Bytes((0..text.len()).step_by(2).map(digit).collect())
        }
        "date" => {
            let parts = numbers();
            Value::Date(u16::try_from(parts[0]).unwrap(), small(parts[1]), small(parts[2]), 0, 0, 0, 0)
        }
        "datetime" => {
            let parts = numbers();
            let year = u16::try_from(parts[0]).unwrap();
            let micros = parts.get(6).copied().unwrap_or(0);
            let (hour, minute, second) = (small(parts[3]), small(parts[4]), small(parts[5]));
            Value::Date(year, small(parts[1]), small(parts[2]), hour, minute, second, micros)
        }
        "time" => {
            let parts = numbers();
            Value::Time(false, 0, small(parts[0]), small(parts[1]), small(parts[2]), 0)
        }
        other => panic!("{other} is no type of a value"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_cut_into_blocks() {
        let script = "# about\n@as u\nSELECT 1,\n2\n----\n1 | 2\n1 | 2\n\n\n@kill\n\nSELECT 3\n";
        let blocks = blocks(script);
        assert_eq!(blocks.len(), 3);
        assert_eq!(
            (blocks[0].head.as_slice(), blocks[0].text.as_slice()),
            (&["# about", "@as u"][..], &["SELECT 1,", "2"][..])
        );
        assert_eq!((blocks[1].head.as_slice(), blocks[1].text.len()), (&["@kill"][..], 0));
        assert_eq!(blocks[2].text, ["SELECT 3"]);
    }

    #[test]
    fn what_differs_from_run_to_run_is_replaced_and_nothing_else() {
        assert_eq!(
            masked_text("label insert_12, 'txnId':'12', insert_all 12"),
            "label insert_<n>, 'txnId':'<n>', insert_all 12"
        );
        assert_eq!(masked_text("127.0.0.1:4000 and 127.0.0.1"), "127.0.0.1:<n> and 127.0.0.1");
    }

    #[test]
    fn values_have_their_types() {
        assert_eq!(
            values("int:-1, text:a b, bytes:00ff, date:2024-01-02, datetime:2024-01-02 03:04:05.000006, null"),
            [
                Value::Int(-1),
                Value::Bytes(b"a b".to_vec()),
                Value::Bytes(vec![0, 255]),
                Value::Date(2024, 1, 2, 0, 0, 0, 0),
                Value::Date(2024, 1, 2, 3, 4, 5, 6),
                Value::NULL,
            ]
        );
    }
}
