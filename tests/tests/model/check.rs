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
    let found = rows_of_all(client, &[name.to_string()]).await.remove(0);
    let wanted = table.sorted_rows();
    let (missing, extra) = (minus(&wanted, &found), minus(&found, &wanted));
    assert!(missing.is_empty() && extra.is_empty(), "rows of {name}: missing {missing:?}, too many {extra:?}");
    if let Some(slots) = &table.slots {
        let shown = client.query(&format!("SHOW PARTITIONS FROM {name}")).await;
        let mut found = shown.column("PartitionName");
        found.sort_unstable();
        assert_eq!(found, slots.iter().map(|slot| format!("p{slot}")).collect::<Vec<_>>(), "partitions of {name}");
    }
}

/// All rows of these tables, seen by one query, each in the order of the model's.
pub async fn rows_of_all(client: &mut Client, tables: &[String]) -> Vec<Vec<Row>> {
    let select = |(index, table)| format!("SELECT {index} AS i, k, g, v FROM {table}");
    let selects: Vec<String> = tables.iter().enumerate().map(select).collect();
    let found = client.query(&selects.join(" UNION ALL ")).await;
    let mut rows = vec![Vec::new(); tables.len()];
    for cells in &found.rows {
        let number =
            |index: usize| -> i32 { cells[index].as_deref().and_then(|cell| cell.parse().ok()).expect("a number") };
        // The model's own texts live as long as the test; any other text differs from all of them.
        let v = cells[3].as_deref().map(|text| known_text(text).unwrap_or_else(|| panic!("text '{text}'")));
        rows[number(0) as usize].push(Row { k: number(1), g: number(2), v });
    }
    rows.iter_mut().for_each(|rows| rows.sort());
    rows
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
