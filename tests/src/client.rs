//! SQL as a program speaks it: a connection of mysql_async, with rows as text.

use std::fmt;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Params, Row, Value};

/// A connection. `query` and `exec` panic with the statement and the server's words when it refuses; `try_…` do not.
#[derive(Debug)]
pub struct Client {
    conn: Conn,
}

/// A server's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// MySQL's error number; 0 when the connection itself failed.
    pub code: u16,
    /// Five characters.
    pub sqlstate: String,
    /// The text.
    pub message: String,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERROR {} ({}): {}", self.code, self.sqlstate, self.message)
    }
}

/// A result set as text, or the counts of a statement without one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// Rows the statement has changed.
    pub affected: u64,
    /// What the OK packet says.
    pub info: String,
}

/// One row with its columns' names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    fields: Vec<(String, Option<String>)>,
}

impl Rows {
    /// The only value of a result with one row and one column.
    #[track_caller]
    pub fn value(&self) -> &str {
        match self.rows.as_slice() {
            [row] if row.len() == 1 => row[0].as_deref().unwrap_or("NULL"),
            _ => panic!("one value was expected:\n{self}"),
        }
    }

    /// One column's values; NULL reads as `NULL`.
    #[track_caller]
    pub fn column(&self, name: &str) -> Vec<&str> {
        let index = self.columns.iter().position(|column| column == name);
        let index = index.unwrap_or_else(|| panic!("there is no column {name} among {:?}", self.columns));
        self.rows.iter().map(|row| row[index].as_deref().unwrap_or("NULL")).collect()
    }

    /// A row by its number.
    pub fn record(&self, index: usize) -> Option<Record> {
        let row = self.rows.get(index)?;
        Some(Record { fields: self.columns.iter().cloned().zip(row.iter().cloned()).collect() })
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.columns.join("\t"))?;
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
            writeln!(f, "{}", cells.join("\t"))?;
        }
        Ok(())
    }
}

impl Record {
    /// A field's text; NULL reads as `NULL`.
    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|(column, _)| column == name);
        let (_, value) = field.unwrap_or_else(|| panic!("there is no column {name} in\n{self}"));
        value.as_deref().unwrap_or("NULL")
    }

    /// A field; `None` when it is NULL or there is no such column.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(column, _)| column == name)?.1.as_deref()
    }

    /// The columns' names.
    pub fn columns(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.fields {
            writeln!(f, "{name:>22}: {}", value.as_deref().unwrap_or("NULL"))?;
        }
        Ok(())
    }
}

impl Client {
    /// Connects, or gives the refusal.
    pub async fn try_connect(addr: &str, user: &str, password: &str) -> Result<Client, SqlError> {
        let (host, port) = addr.rsplit_once(':').expect("host:port");
        let opts = OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port.parse().expect("a port"))
            .user(Some(user))
            .pass(Some(password))
            .prefer_socket(false);
        Ok(Client { conn: Conn::new(opts).await.map_err(SqlError::from)? })
    }

    /// Connects.
    pub async fn connect(addr: &str, user: &str, password: &str) -> Client {
        let client = Client::try_connect(addr, user, password).await;
        client.unwrap_or_else(|error| panic!("connect to {addr} as {user}: {error}"))
    }

    /// Runs a statement in the text protocol.
    pub async fn query(&mut self, sql: &str) -> Rows {
        self.try_query(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"))
    }

    /// Runs a statement in the text protocol, or gives the refusal.
    pub async fn try_query(&mut self, sql: &str) -> Result<Rows, SqlError> {
        let mut result = self.conn.query_iter(sql).await?;
        let columns: Vec<String> = result.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
        let rows: Vec<Row> = result.collect().await?;
        let (affected, info) = (result.affected_rows(), result.info().into_owned());
        result.drop_result().await?;
        Ok(Rows { columns, rows: rows.into_iter().map(texts).collect(), affected, info })
    }

    /// Runs a statement that must be refused, and gives the refusal.
    pub async fn refused(&mut self, sql: &str) -> SqlError {
        match self.try_query(sql).await {
            Ok(rows) => panic!("{sql}\nwas expected to be refused, and gave\n{rows}"),
            Err(error) => error,
        }
    }

    /// Prepares a statement and runs it in the binary protocol.
    pub async fn exec(&mut self, sql: &str, params: impl Into<Params> + Send) -> Rows {
        self.try_exec(sql, params).await.unwrap_or_else(|error| panic!("{sql}\n{error}"))
    }

    /// Prepares a statement and runs it in the binary protocol, or gives the refusal.
    pub async fn try_exec(&mut self, sql: &str, params: impl Into<Params> + Send) -> Result<Rows, SqlError> {
        let mut result = self.conn.exec_iter(sql, params.into()).await?;
        let columns: Vec<String> = result.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
        let rows: Vec<Row> = result.collect().await?;
        let (affected, info) = (result.affected_rows(), result.info().into_owned());
        result.drop_result().await?;
        Ok(Rows { columns, rows: rows.into_iter().map(texts).collect(), affected, info })
    }

    /// The server's number of this connection.
    pub fn connection_id(&self) -> u32 {
        self.conn.id()
    }

    /// The version in the server's greeting.
    pub fn server_version(&self) -> (u16, u16, u16) {
        self.conn.server_version()
    }

    /// COM_PING.
    pub async fn ping(&mut self) -> Result<(), SqlError> {
        Ok(self.conn.ping().await?)
    }

    /// Closes as a client should.
    pub async fn close(self) {
        let _ = self.conn.disconnect().await;
    }

    /// The single value of a query.
    pub async fn value(&mut self, sql: &str) -> String {
        self.query(sql).await.value().to_string()
    }
}

impl From<mysql_async::Error> for SqlError {
    fn from(error: mysql_async::Error) -> SqlError {
        match error {
            mysql_async::Error::Server(error) => {
                SqlError { code: error.code, sqlstate: error.state, message: error.message }
            }
            other => SqlError { code: 0, sqlstate: String::new(), message: other.to_string() },
        }
    }
}

fn texts(row: Row) -> Vec<Option<String>> {
    row.unwrap().into_iter().map(text).collect()
}

/// A value as the text protocol would spell it.
fn text(value: Value) -> Option<String> {
    Some(match value {
        Value::NULL => return None,
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Date(year, month, day, hour, minute, second, micros) => {
            let mut text = format!("{year:04}-{month:02}-{day:02}");
            if (hour, minute, second, micros) != (0, 0, 0, 0) {
                text.push_str(&format!(" {hour:02}:{minute:02}:{second:02}"));
            }
            if micros != 0 {
                text.push_str(&format!(".{micros:06}"));
            }
            text
        }
        Value::Time(negative, days, hours, minutes, seconds, micros) => {
            let sign = if negative { "-" } else { "" };
            let hours = days * 24 + u32::from(hours);
            let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
            format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{fraction}")
        }
    })
}
