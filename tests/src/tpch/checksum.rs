//! Checksums of results: same rows, same number; the order counts where the query orders.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::client::{Client, Rows};

/// Whether the order of the rows is part of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The query says `ORDER BY`.
    Matters,
    /// Any order will do.
    Free,
}

/// A number for a result: column names, rows, and their order where it matters.
pub fn checksum(rows: &Rows, order: Order) -> u64 {
    let mut hasher = DefaultHasher::new();
    rows.columns.hash(&mut hasher);
    match order {
        Order::Matters => rows.rows.hash(&mut hasher),
        Order::Free => {
            // Sums of hashes do not care about order; the count keeps apart what sums cannot.
            let sum = rows.rows.iter().map(one).fold(0u64, u64::wrapping_add);
            (rows.rows.len(), sum).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// A number for all rows of a table, read over the wire.
pub async fn table_checksum(client: &mut Client, table: &str) -> u64 {
    checksum(&client.query(&format!("SELECT * FROM {table}")).await, Order::Free)
}

fn one(row: &Vec<Option<String>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    row.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[Option<&str>]]) -> Rows {
        let rows = rows.iter().map(|row| row.iter().map(|cell| cell.map(str::to_string)).collect()).collect();
        Rows { columns: vec!["a".to_string(), "b".to_string()], rows, ..Rows::default() }
    }

    #[test]
    fn order_counts_where_it_matters() {
        let one = rows(&[&[Some("1"), None], &[Some("2"), Some("x")]]);
        let other = rows(&[&[Some("2"), Some("x")], &[Some("1"), None]]);
        assert_eq!(checksum(&one, Order::Free), checksum(&other, Order::Free));
        assert_ne!(checksum(&one, Order::Matters), checksum(&other, Order::Matters));
        // NULL is not its spelling, and a row counts as often as it is there.
        let spelt = rows(&[&[Some("1"), Some("NULL")], &[Some("2"), Some("x")]]);
        assert_ne!(checksum(&one, Order::Free), checksum(&spelt, Order::Free));
        let twice = rows(&[&[Some("1"), None], &[Some("1"), None]]);
        assert_ne!(checksum(&twice, Order::Free), checksum(&rows(&[]), Order::Free));
    }
}
