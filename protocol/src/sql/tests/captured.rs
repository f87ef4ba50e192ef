//! What real clients send: connectors, dumpers and BI tools, in our own selection and words where they were long.

use super::{lines, one, round_trip};
use crate::sql::ast::Statement;
use crate::sql::ast::session::{SetItem, SetValue};

#[test]
fn what_clients_send_reads_back() {
    let statements = lines(include_str!("../../../testdata/sql/clients.sql"));
    assert!(statements.len() > 80, "{} statements", statements.len());
    for text in statements {
        round_trip(&one(&text));
    }
}

#[test]
fn a_variable_may_be_set_to_a_word() {
    for (text, expected) in [
        ("SET autocommit = ON", Some("ON")),
        ("SET autocommit=1", Some("1")),
        ("SET sql_mode = 'ANSI'", Some("ANSI")),
        ("SET x = -5", Some("-5")),
        ("SET x = true", Some("true")),
        ("SET x = NULL", None),
        ("SET x = concat('a', 'b')", None),
        ("SET x = DEFAULT", None),
    ] {
        let Statement::Set(items) = one(text) else { panic!("{text}") };
        let [SetItem::Variable { value, .. }] = items.as_slice() else { panic!("{text}") };
        assert_eq!(value.as_text().as_deref(), expected, "{text}");
        assert_eq!(*value == SetValue::Default, text.ends_with("DEFAULT"));
    }
}
