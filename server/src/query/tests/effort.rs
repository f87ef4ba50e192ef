//! How much a query may come to before it is refused.

use super::support::Fixture;

/// Common table expressions of which each names the one before twice.
fn doubled(levels: usize, end: &str) -> String {
    let more: String =
        (1..levels).map(|at| format!(", c{at} AS (SELECT 1 AS a FROM c{0} x, c{0} y)", at - 1)).collect();
    format!("WITH c0 AS (SELECT 1 AS a){more} SELECT count(*) FROM {end}")
}

#[test]
fn what_doubles_is_counted_and_what_is_long_is_not_refused() {
    let f = Fixture::new();
    assert_eq!(f.value(&doubled(6, "c5")), "1");
    for levels in [17, 200] {
        let refused = f.error(&doubled(levels, &format!("c{}", levels - 1)));
        assert!(refused.contains("too complex to be planned"), "{refused}");
    }
    // What is long and does not double costs little.
    let chain: String = (1..20).map(|at| format!(", c{at} AS (SELECT * FROM c{})", at - 1)).collect();
    assert_eq!(f.value(&format!("WITH c0 AS (SELECT 1 AS a){chain} SELECT * FROM c19")), "1");
}
