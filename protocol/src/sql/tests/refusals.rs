//! What clients see when a text is wrong: golden, so that a change of a text is a change that somebody read.

use super::error;

#[test]
fn errors_say_where_and_what() {
    let golden = include_str!("../../../testdata/sql/refusals.txt");
    let mut cases = 0;
    for case in golden.split("\n\n").filter(|case| !case.trim().is_empty() && !case.starts_with('#')) {
        let (text, expected) = case.trim_end().rsplit_once("\n=> ").unwrap_or_else(|| panic!("{case}"));
        assert_eq!(error(text.trim_start_matches('\n')), expected, "\n{text}");
        cases += 1;
    }
    assert!(cases > 40, "{cases} cases");
}
