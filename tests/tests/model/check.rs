//! Holds what a server has against the model.

use ebla_tests::client::Client;

use crate::op::{Row, known_text};
use crate::state::{Table, Tables};

/// Holds a whole database against the model.
pub async fn compare(client: &mut Client, db: &str, tables: &Tables) {
    let shown = client.query(&format!("SHOW TABLES FROM {db}")).await;
    let mut found: Vec<&str> = shown.rows.iter().filter_map(|row| row[0].as_deref()).collect();
    found.sort_unstable();
    assert_eq!(found, tables.keys().collect::<Vec<_>>(), "tables of {db}");
    for (name, table) in tables {
        compare_table(client, &format!("{db}.`{name}`"), table).await;
    }
}

/// Holds the rows of a table and its partitions against the model.
pub async fn compare_table(client: &mut Client, name: &str, table: &Table) {
    let (found, wanted) = (rows_of(client, name).await, table.sorted_rows());
    let (missing, extra) = (minus(&wanted, &found), minus(&found, &wanted));
    assert!(missing.is_empty() && extra.is_empty(), "rows of {name}: missing {missing:?}, too many {extra:?}");
    if let Some(slots) = &table.slots {
        let shown = client.query(&format!("SHOW PARTITIONS FROM {name}")).await;
        let mut found = shown.column("PartitionName");
        found.sort_unstable();
        assert_eq!(found, slots.iter().map(|slot| format!("p{slot}")).collect::<Vec<_>>(), "partitions of {name}");
    }
}

/// All rows of a table, in the order of the model's.
pub async fn rows_of(client: &mut Client, table: &str) -> Vec<Row> {
    let found = client.query(&format!("SELECT k, g, v FROM {table}")).await;
    let mut rows: Vec<Row> = found.rows.iter().map(|cells| row(cells)).collect();
    rows.sort();
    rows
}

fn row(cells: &[Option<String>]) -> Row {
    let number = |index: usize| cells[index].as_deref().and_then(|cell| cell.parse().ok()).expect("a number");
    // The model's own texts live as long as the test; any other text differs from all of them.
    let v = cells[2].as_deref().map(|text| known_text(text).unwrap_or_else(|| panic!("text '{text}'")));
    Row { k: number(0), g: number(1), v }
}

/// The rows of one that the other lacks, each as often as it lacks them. Both are sorted.
fn minus(all: &[Row], others: &[Row]) -> Vec<Row> {
    let mut others = others.iter().peekable();
    let is_missing = |row: &&Row| {
        while others.next_if(|other| other < row).is_some() {}
        others.next_if_eq(row).is_none()
    };
    all.iter().filter(is_missing).cloned().collect()
}
