//! What a server holds, as the model would say it; and complaints when it is nothing the model could say.

use std::collections::BTreeMap;

use ebla_tests::client::{Client, SqlError};

use crate::op::is_ranged;
use crate::state::{Table, Tables, checksum, rows_of, text_sql};

/// Why a look came to nothing.
#[derive(Debug)]
pub enum Blind {
    /// The server is gone.
    Gone,
    /// The server says what must not be.
    Wrong(String),
}

impl From<SqlError> for Blind {
    fn from(error: SqlError) -> Blind {
        // Without a number it is the connection that failed.
        if error.code == 0 { Blind::Gone } else { Blind::Wrong(error.to_string()) }
    }
}

/// Every table of a database, seen while nobody changes it.
pub async fn look(client: &mut Client, db: &str) -> Result<Tables, Blind> {
    let mut tables = Tables::new();
    let shown = client.try_query(&format!("SHOW TABLES FROM {db}")).await?;
    for name in shown.rows.iter().filter_map(|row| row[0].clone()) {
        let mut slots = None;
        if is_ranged(&name) {
            let shown = client.try_query(&format!("SHOW PARTITIONS FROM {db}.{name}")).await?;
            let names = shown.column("PartitionName");
            slots = Some(names.iter().filter_map(|name| name.strip_prefix('p')?.parse().ok()).collect());
        }
        tables.insert(name, Table { slots, loads: BTreeMap::new() });
    }
    if tables.is_empty() {
        return Ok(tables);
    }
    // One query, so that all tables are seen at one moment.
    let select = |name: &String| {
        format!(
            "SELECT '{name}' AS t, l, COUNT(*) AS c, SUM(b) AS b, SUM(s) AS s, SUM(IF(v = {}, 1, 0)) AS v \
             FROM {db}.{name} GROUP BY l",
            text_sql("l")
        )
    };
    let selects: Vec<String> = tables.keys().map(select).collect();
    for row in client.try_query(&selects.join(" UNION ALL ")).await?.rows {
        let cell = |index: usize| row[index].as_deref().unwrap_or("NULL");
        let number = |index: usize| cell(index).parse::<u64>().ok();
        let numbers = (number(1), number(2), number(3), number(4), number(5));
        let (Some(load), Some(count), Some(mask), Some(sum), Some(texts)) = numbers else {
            return Err(Blind::Wrong(format!("{db}.{} answers with {row:?}", cell(0))));
        };
        let load = u32::try_from(load).map_err(|_| Blind::Wrong(format!("{db}.{} holds load {load}", cell(0))))?;
        let wanted_sum: u64 = rows_of(mask).map(|row| checksum(load, row)).sum();
        if count != u64::from(mask.count_ones()) || sum != wanted_sum {
            return Err(Blind::Wrong(format!(
                "load {load} in {db}.{} is there with {count} rows of bits {mask:#x} and checksums {sum}, not {wanted_sum}: \
                 rows are there twice, or with the cells of others",
                cell(0)
            )));
        }
        if texts != count {
            return Err(Blind::Wrong(format!(
                "load {load} in {db}.{} is there with {count} rows, and the texts of {texts} of them are theirs",
                cell(0)
            )));
        }
        if let Some(table) = tables.get_mut(cell(0)) {
            table.loads.insert(load, mask);
        }
    }
    Ok(tables)
}
