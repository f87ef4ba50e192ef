//! What has passed a proxy, counted by operation and class of key.

use std::fmt;

use super::{Exchange, Operation, key_class};

/// Requests and bytes by operation and class of key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    rows: Vec<TallyRow>,
}

/// One line of a [`Tally`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TallyRow {
    /// What was asked.
    pub operation: Operation,
    /// Of what kind of object (see [`key_class`]).
    pub class: String,
    /// How often.
    pub requests: u64,
    /// How often in vain (status 400 and above, or no answer).
    pub failures: u64,
    /// Bytes of the requests' bodies.
    pub sent_bytes: u64,
    /// Bytes of the answers' bodies.
    pub received_bytes: u64,
}

impl Tally {
    pub(super) fn of(exchanges: &[Exchange]) -> Tally {
        let mut tally = Tally::default();
        for exchange in exchanges {
            let class = key_class(&exchange.key);
            let same = |row: &TallyRow| row.operation == exchange.operation && row.class == class;
            let index = tally.rows.iter().position(same).unwrap_or_else(|| {
                let operation = exchange.operation;
                let class = class.clone();
                tally.rows.push(TallyRow {
                    operation,
                    class,
                    requests: 0,
                    failures: 0,
                    sent_bytes: 0,
                    received_bytes: 0,
                });
                tally.rows.len() - 1
            });
            let row = &mut tally.rows[index];
            row.requests += 1;
            row.failures += u64::from(exchange.status == 0 || exchange.status >= 400);
            row.sent_bytes += exchange.sent_bytes;
            row.received_bytes += exchange.received_bytes;
        }
        tally.rows.sort_by_key(|row| (row.operation, row.class.clone()));
        tally
    }

    /// The lines, by operation and class.
    pub fn rows(&self) -> &[TallyRow] {
        &self.rows
    }

    /// All requests.
    pub fn requests(&self) -> u64 {
        self.rows.iter().map(|row| row.requests).sum()
    }

    /// The requests of one operation.
    pub fn requests_of(&self, operation: Operation) -> u64 {
        self.rows.iter().filter(|row| row.operation == operation).map(|row| row.requests).sum()
    }

    /// Bytes written as objects of this class.
    pub fn uploaded_bytes(&self, class: &str) -> u64 {
        let written = |row: &&TallyRow| row.class == class && row.operation.writes();
        self.rows.iter().filter(written).map(|row| row.sent_bytes).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let (operation, class) = (format!("{:?}", row.operation), &row.class);
            write!(f, "{operation:<24} {class:<20} {:>6} requests", row.requests)?;
            writeln!(
                f,
                " {:>4} failed {:>12} bytes up {:>12} bytes down",
                row.failures, row.sent_bytes, row.received_bytes
            )?;
        }
        Ok(())
    }
}
