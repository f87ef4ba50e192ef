//! The specification's answers at scale 1, and how an answer of ours is held against them.

use tpchgen::q_and_a::answers_sf1;

use crate::client::Rows;

/// The specification rounds money and averages to two digits after the point.
const TOLERANCE: f64 = 0.01;

/// How much larger a sum may be off, beside its size: intermediate digits differ between engines.
const RELATIVE_TOLERANCE: f64 = 1e-6;

/// The published answer of this query shows the part's key set to the right in six places, and cut after four.
const CUT_QUERY: usize = 11;

/// The rows of the known answer to a query, cell by cell.
pub fn answer(number: usize) -> Vec<Vec<&'static str>> {
    let text = i32::try_from(number).ok().and_then(answers_sf1::answer).expect("queries are 1 to 22");
    let lines = text.lines().filter(|line| !line.trim().is_empty()).skip(1);
    lines.map(|line| line.split('|').map(str::trim).collect()).collect()
}

/// Holds an answer at scale 1 against the known one; says what differs.
pub fn compare(number: usize, found: &Rows) -> Result<(), String> {
    let mut expected = answer(number);
    let mut found: Vec<Vec<String>> = found
        .rows
        .iter()
        .map(|row| row.iter().map(|cell| cell.as_deref().unwrap_or("NULL").trim().to_string()).collect())
        .collect();
    if number == CUT_QUERY {
        for key in found.iter_mut().filter_map(|row| row.first_mut()) {
            *key = as_cut(key);
        }
    }
    if expected.len() != found.len() {
        return Err(format!("query {number}: {} rows, not {}", found.len(), expected.len()));
    }
    // Rows that are equal in what the query orders by may come in any order: compare as sets.
    expected.sort_unstable();
    found.sort_unstable();
    let unmatched = found.iter().filter(|row| !expected.iter().any(|known| same_row(known, row)));
    match unmatched.take(1).next() {
        None => Ok(()),
        Some(row) => Err(format!("query {number}: this row is not in the known answer: {}", row.join(" | "))),
    }
}

fn same_row(expected: &[&str], found: &[String]) -> bool {
    expected.len() == found.len() && expected.iter().zip(found).all(|(expected, found)| same_cell(expected, found))
}

fn as_cut(key: &str) -> String {
    format!("{key:>6}").chars().take(4).collect::<String>().trim().to_string()
}

fn same_cell(expected: &str, found: &str) -> bool {
    if expected == found {
        return true;
    }
    match (expected.parse::<f64>(), found.parse::<f64>()) {
        (Ok(expected), Ok(found)) => {
            let allowed = TOLERANCE.max(expected.abs() * RELATIVE_TOLERANCE);
            (expected - found).abs() <= allowed
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_has_a_known_answer() {
        let rows: Vec<usize> = (1..=22).map(|number| answer(number).len()).collect();
        assert_eq!(rows, [4, 100, 10, 5, 5, 1, 4, 2, 175, 20, 1048, 2, 42, 1, 1, 18314, 1, 57, 1, 186, 100, 7]);
    }

    #[test]
    fn answers_are_compared_with_the_rounding_of_the_specification() {
        let of = |rows: &[&[&str]]| {
            let rows = rows.iter().map(|row| row.iter().map(|cell| Some(cell.to_string())).collect()).collect();
            Rows { rows, ..Rows::default() }
        };
        let known = answer(12);
        let rows: Vec<&[&str]> = known.iter().rev().map(Vec::as_slice).collect();
        assert_eq!(compare(12, &of(&rows)), Ok(()));
        assert!(compare(12, &of(&rows[..1])).is_err());
        assert!(compare(12, &of(&[rows[0], &["MAIL", "0", "0"]])).is_err());
        assert_eq!([as_cut("129760"), as_cut("9403")], ["1297", "94"]);
        assert!(same_cell("25.52", "25.522006") && !same_cell("25.52", "25.54"));
    }
}
