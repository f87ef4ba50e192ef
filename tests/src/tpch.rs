//! TPC-H: eight tables of real-looking data at any scale, and 22 queries with known answers at scale 1.
//!
//! The rows come from the tpchgen crate, as the lines of `dbgen` less the separator at their ends; the queries are files
//! `tests/tpch/q01.sql` … `q22.sql` with the specification's validation parameters.

use std::time::{Duration, Instant};

use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

use crate::client::{Client, Rows};
use crate::http::Body;
use crate::server::Server;

mod answers;
mod checksum;

pub use answers::{answer, compare};
pub use checksum::{Order, checksum, table_checksum};

/// Bytes of rows sent in one chunk of a load.
const CHUNK_BYTES: usize = 256 << 10;

/// A table of TPC-H.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "TPC-H's own names")]
pub enum Table {
    Region,
    Nation,
    Supplier,
    Customer,
    Part,
    PartSupp,
    Orders,
    LineItem,
}

impl Table {
    /// All of them, the small ones first.
    pub const ALL: [Table; 8] = [
        Table::Region,
        Table::Nation,
        Table::Supplier,
        Table::Customer,
        Table::Part,
        Table::PartSupp,
        Table::Orders,
        Table::LineItem,
    ];

    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Table::Region => "region",
            Table::Nation => "nation",
            Table::Supplier => "supplier",
            Table::Customer => "customer",
            Table::Part => "part",
            Table::PartSupp => "partsupp",
            Table::Orders => "orders",
            Table::LineItem => "lineitem",
        }
    }

    /// The statement that makes it.
    pub fn ddl(self) -> &'static str {
        match self {
            Table::Region => include_str!("../tpch/region.sql"),
            Table::Nation => include_str!("../tpch/nation.sql"),
            Table::Supplier => include_str!("../tpch/supplier.sql"),
            Table::Customer => include_str!("../tpch/customer.sql"),
            Table::Part => include_str!("../tpch/part.sql"),
            Table::PartSupp => include_str!("../tpch/partsupp.sql"),
            Table::Orders => include_str!("../tpch/orders.sql"),
            Table::LineItem => include_str!("../tpch/lineitem.sql"),
        }
    }

    /// Its rows at a scale, as lines with `|` between the cells; `part` of `parts` only, counted from 1.
    pub fn lines(self, scale: f64, part: i32, parts: i32) -> Box<dyn Iterator<Item = String> + Send> {
        // The two fixed tables know no parts.
        let whole = part == 1;
        match self {
            Table::Region => lines(RegionGenerator::new(scale, 1, 1).iter().filter(move |_| whole)),
            Table::Nation => lines(NationGenerator::new(scale, 1, 1).iter().filter(move |_| whole)),
            Table::Supplier => lines(SupplierGenerator::new(scale, part, parts).iter()),
            Table::Customer => lines(CustomerGenerator::new(scale, part, parts).iter()),
            Table::Part => lines(PartGenerator::new(scale, part, parts).iter()),
            Table::PartSupp => lines(PartSuppGenerator::new(scale, part, parts).iter()),
            Table::Orders => lines(OrderGenerator::new(scale, part, parts).iter()),
            Table::LineItem => lines(LineItemGenerator::new(scale, part, parts).iter()),
        }
    }

    /// Its rows as the body of a Stream Load with `column_separator: |`.
    pub fn body(self, scale: f64, part: i32, parts: i32) -> Body {
        let mut rows = self.lines(scale, part, parts);
        Body::Chunks(Box::new(std::iter::from_fn(move || {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES + 1024);
            while chunk.len() < CHUNK_BYTES {
                let Some(row) = rows.next() else { break };
                chunk.extend_from_slice(row.as_bytes());
                chunk.push(b'\n');
            }
            (!chunk.is_empty()).then_some(chunk)
        })))
    }
}

fn lines<T: std::fmt::Display + 'static>(
    rows: impl Iterator<Item = T> + Send + 'static,
) -> Box<dyn Iterator<Item = String> + Send> {
    Box::new(rows.map(|row| {
        let mut line = row.to_string();
        if line.ends_with('|') {
            line.pop();
        }
        line
    }))
}

/// What loading a table took.
#[derive(Debug)]
pub struct Loaded {
    /// The table.
    pub table: Table,
    /// Its rows, by the server's count.
    pub rows: u64,
    /// The text sent.
    pub bytes: u64,
    /// From the first byte to the answer.
    pub elapsed: Duration,
}

/// Makes the database and its eight tables and loads them by Stream Load.
pub async fn load(server: &Server, client: &mut Client, db: &str, scale: f64) -> Vec<Loaded> {
    client.query(&format!("CREATE DATABASE {db}")).await;
    client.query(&format!("USE {db}")).await;
    let mut loaded = Vec::new();
    for table in Table::ALL {
        client.query(table.ddl()).await;
        let start = Instant::now();
        let headers = [("column_separator", "|"), ("label", table.name())];
        let answer = server.load(db, table.name(), &headers, table.body(scale, 1, 1)).await;
        let number = |name: &str| answer[name].as_u64().unwrap_or_else(|| panic!("no {name} in {answer:#}"));
        let (rows, bytes) = (number("NumberLoadedRows"), number("LoadBytes"));
        loaded.push(Loaded { table, rows, bytes, elapsed: start.elapsed() });
    }
    loaded
}

/// A query's text, by its number from 1 to 22.
pub fn query(number: usize) -> &'static str {
    QUERIES[number - 1]
}

/// Runs all 22 in the current database.
pub async fn run_queries(client: &mut Client) -> Vec<Rows> {
    let mut answers = Vec::new();
    for number in 1..=QUERIES.len() {
        let rows = client.try_query(query(number)).await;
        answers.push(rows.unwrap_or_else(|error| panic!("TPC-H query {number}: {error}")));
    }
    answers
}

const QUERIES: [&str; 22] = [
    include_str!("../tpch/q01.sql"),
    include_str!("../tpch/q02.sql"),
    include_str!("../tpch/q03.sql"),
    include_str!("../tpch/q04.sql"),
    include_str!("../tpch/q05.sql"),
    include_str!("../tpch/q06.sql"),
    include_str!("../tpch/q07.sql"),
    include_str!("../tpch/q08.sql"),
    include_str!("../tpch/q09.sql"),
    include_str!("../tpch/q10.sql"),
    include_str!("../tpch/q11.sql"),
    include_str!("../tpch/q12.sql"),
    include_str!("../tpch/q13.sql"),
    include_str!("../tpch/q14.sql"),
    include_str!("../tpch/q15.sql"),
    include_str!("../tpch/q16.sql"),
    include_str!("../tpch/q17.sql"),
    include_str!("../tpch/q18.sql"),
    include_str!("../tpch/q19.sql"),
    include_str!("../tpch/q20.sql"),
    include_str!("../tpch/q21.sql"),
    include_str!("../tpch/q22.sql"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_as_many_cells_as_columns_and_parts_make_a_whole() {
        for table in Table::ALL {
            let columns = table.ddl().lines().filter(|line| line.starts_with("    ")).count();
            let whole: Vec<String> = table.lines(0.001, 1, 1).collect();
            assert_eq!(whole[0].split('|').count(), columns, "{}", table.name());
            let parts: Vec<String> = (1..=3).flat_map(|part| table.lines(0.001, part, 3)).collect();
            assert_eq!(whole, parts, "{}", table.name());
        }
    }

    #[test]
    fn a_body_is_the_lines() {
        let Body::Chunks(chunks) = Table::Orders.body(0.01, 1, 1) else { panic!("a body in chunks") };
        let chunks: Vec<Vec<u8>> = chunks.collect();
        let lines: Vec<String> = Table::Orders.lines(0.01, 1, 1).collect();
        assert!(chunks.len() > 1);
        assert_eq!(String::from_utf8(chunks.concat()).unwrap(), lines.join("\n") + "\n");
        assert_eq!(lines.len(), 15_000);
    }
}
