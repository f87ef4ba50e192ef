//! Any text as a statement.

use ebla_protocol::sql::{parse, redact};

/// An error, or statements that print to a text which reads back as the same; never a panic, also not in redaction.
///
/// A statement at the limit of nesting is let go: the parentheses it is printed with may nest it too deep.
pub fn sql_parse(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = redact(text);
    let Ok(statements) = parse(text) else { return };
    for statement in statements {
        let _ = statement.redacted();
        let printed = statement.to_string();
        let again = parse(&printed);
        if again.as_ref().is_err_and(|error| error.to_string().contains("nested too deep")) {
            continue;
        }
        assert_eq!(again.as_deref(), Ok(&[statement][..]), "{printed}");
    }
}
