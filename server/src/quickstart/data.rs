//! The data of the story: two tables of TPC-H, generated while they are loaded, and the page's `sr_member`.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::TcpStream;
use tpchgen::generators::{LineItemGenerator, OrderGenerator};

use super::AnyError;

/// Makes the TPC-H tables.
pub(crate) const CREATE_TPCH: [&str; 2] = [
    "CREATE TABLE orders (
    o_orderkey BIGINT NOT NULL, o_custkey INT NOT NULL, o_orderstatus VARCHAR(1) NOT NULL,
    o_totalprice DECIMAL(15, 2) NOT NULL, o_orderdate DATE NOT NULL, o_orderpriority VARCHAR(15) NOT NULL,
    o_clerk VARCHAR(15) NOT NULL, o_shippriority INT NOT NULL, o_comment VARCHAR(79) NOT NULL
) DUPLICATE KEY (o_orderkey)
DISTRIBUTED BY HASH(o_orderkey) BUCKETS 2",
    "CREATE TABLE lineitem (
    l_orderkey BIGINT NOT NULL, l_partkey INT NOT NULL, l_suppkey INT NOT NULL, l_linenumber INT NOT NULL,
    l_quantity DECIMAL(15, 2) NOT NULL, l_extendedprice DECIMAL(15, 2) NOT NULL, l_discount DECIMAL(15, 2) NOT NULL,
    l_tax DECIMAL(15, 2) NOT NULL, l_returnflag VARCHAR(1) NOT NULL, l_linestatus VARCHAR(1) NOT NULL,
    l_shipdate DATE NOT NULL, l_commitdate DATE NOT NULL, l_receiptdate DATE NOT NULL,
    l_shipinstruct VARCHAR(25) NOT NULL, l_shipmode VARCHAR(10) NOT NULL, l_comment VARCHAR(44) NOT NULL
) DUPLICATE KEY (l_orderkey)
PARTITION BY RANGE (l_shipdate) (START (\"1992-01-01\") END (\"1999-01-01\") EVERY (INTERVAL 1 YEAR))
DISTRIBUTED BY HASH(l_orderkey) BUCKETS 1",
];

/// Makes the page's table.
pub(crate) const CREATE_MEMBER: &str = "CREATE TABLE sr_member (
    sr_id INT, name STRING, city_code INT, reg_date DATE, verified BOOLEAN
) PARTITION BY RANGE(reg_date) (
    PARTITION p1 VALUES [('2022-03-13'), ('2022-03-14')),
    PARTITION p2 VALUES [('2022-03-14'), ('2022-03-15')),
    PARTITION p3 VALUES [('2022-03-15'), ('2022-03-16'))
) DISTRIBUTED BY HASH(city_code)";

/// Fills the page's table.
pub(crate) const INSERT_MEMBER: &str = "INSERT INTO sr_member VALUES
    (1, 'ada', 100000, '2022-03-13', true),
    (2, 'barbara', 210000, '2022-03-14', false),
    (3, 'claude', 200000, '2022-03-14', false),
    (4, 'dennis', 100000, '2022-03-15', true)";

/// One more member, loaded between two backups.
pub(crate) const INSERT_ONE_MORE: &str = "INSERT INTO sr_member VALUES (5, 'edsger', 520000, '2022-03-15', NULL)";

/// Bytes of rows sent in one chunk.
const CHUNK_BYTES: usize = 256 << 10;

/// Loads a TPC-H table by Stream Load and returns the bytes of text sent. `progress` is told as they go.
pub(crate) async fn stream_load(
    http: SocketAddr,
    database: &str,
    table: &str,
    scale: f64,
    progress: impl Fn(u64),
) -> Result<u64, AnyError> {
    let mut stream = BufWriter::new(TcpStream::connect(http).await?);
    // Basic authentication of root with an empty password.
    let head = format!(
        "PUT /api/{database}/{table}/_stream_load HTTP/1.1\r\nHost: {http}\r\nAuthorization: Basic cm9vdDo=\r\n\
         column_separator: |\r\nlabel: quickstart_{table}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut rows: Box<dyn Iterator<Item = String> + Send> = match table {
        "orders" => Box::new(OrderGenerator::new(scale, 1, 1).iter().map(|row| row.to_string())),
        _ => Box::new(LineItemGenerator::new(scale, 1, 1).iter().map(|row| row.to_string())),
    };
    let mut sent = 0;
    let mut chunk = Vec::with_capacity(CHUNK_BYTES + 1024);
    loop {
        while chunk.len() < CHUNK_BYTES {
            let Some(row) = rows.next() else { break };
            // The generator ends a row with a separator, which would be one column more.
            chunk.extend_from_slice(row.strip_suffix('|').unwrap_or(&row).as_bytes());
            chunk.push(b'\n');
        }
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
        stream.write_all(&chunk).await?;
        stream.write_all(b"\r\n").await?;
        if chunk.is_empty() {
            break;
        }
        sent += chunk.len() as u64;
        progress(sent);
        chunk.clear();
    }
    stream.flush().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if !answer.contains("\"Success\"") {
        return Err(format!("Stream Load of {table} failed: {answer}").into());
    }
    Ok(sent)
}
