//! Any text as a statement: an error or statements that print to a text which reads back as the same, and never a panic, also
//! not in redaction.
//!
//! Seeds are in `seeds/sql_parse`, which the crate's own tests replay. Run with
//! `cargo +nightly fuzz run sql_parse corpus/sql_parse seeds/sql_parse -- -dict=dictionaries/sql.dict`.

#![no_main]

use ebla_protocol::sql::{parse, redact};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = redact(text);
    let Ok(statements) = parse(text) else { return };
    for statement in statements {
        let _ = statement.redacted();
        let printed = statement.to_string();
        match parse(&printed) {
            Ok(again) => assert_eq!(again, [statement], "{printed}"),
            Err(error) => panic!("{printed}\n{error}"),
        }
    }
});
