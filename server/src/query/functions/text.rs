//! The texts that a function answers: a column of them, written one after the other into one buffer.
//!
//! A function may make much out of little: REPEAT, LPAD, REPLACE, CONCAT of CONCAT. So a value has a greatest length, and
//! the buffer is counted against the memory of queries: before it grows, room is asked for, and a function that gets none
//! ends the query instead of the server. The room is given back when the last array that uses the buffer is dropped.
//!
//! What is counted is what is large: a buffer of up to [`UNCOUNTED_BYTES_MAX`] costs no look at the pool. Constants, which are
//! computed while a query is planned and live as long as its plan, have a budget of their own ([`plan_with_budget`]).

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation, UnboundedMemoryPool};

use crate::query::error::QueryError;

/// Longest text that a function may answer: what a packet may hold.
const TEXT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Buffers up to this size are not counted.
const UNCOUNTED_BYTES_MAX: usize = 64 * 1024;
/// Room that every value finds, so that short ones need not ask.
const SHORT_BYTES: usize = 256;
/// All constants that functions compute while one query is planned.
const CONSTANT_BYTES_MAX: usize = 16 * 1024 * 1024;

tokio::task_local! {
    /// What the query that is being planned may still use for constants.
    static CONSTANT_BYTES_LEFT: Cell<usize>;
}

/// Plans with a budget for constants: a constant beyond it is not computed beforehand, but where it is needed.
pub(crate) async fn plan_with_budget<T>(plan: impl Future<Output = T>) -> T {
    CONSTANT_BYTES_LEFT.scope(Cell::new(CONSTANT_BYTES_MAX), plan).await
}

/// The same for what is planned at once.
pub(crate) fn plan_at_once_with_budget<T>(plan: impl FnOnce() -> T) -> T {
    CONSTANT_BYTES_LEFT.sync_scope(Cell::new(CONSTANT_BYTES_MAX), plan)
}

/// What becomes of a value that is the same for all rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Constant {
    /// It stays one value.
    One,
    /// It is large, and nothing is being planned: a value for every row, whose memory is counted.
    EveryRow,
}

/// Takes a constant of this size from the budget of what is being planned. Errors when there is not enough left.
pub(crate) fn constant(function: &str, bytes: usize) -> Result<Constant> {
    let left = CONSTANT_BYTES_LEFT.try_with(|left| {
        let rest = left.get().checked_sub(bytes);
        left.set(rest.unwrap_or(0));
        rest.is_some()
    });
    match left {
        Ok(true) => Ok(Constant::One),
        Ok(false) => Err(DataFusionError::ResourcesExhausted(format!(
            "the constants of a query may take {CONSTANT_BYTES_MAX} bytes, and with {function} they take more"
        ))),
        Err(_) if bytes <= UNCOUNTED_BYTES_MAX => Ok(Constant::One),
        Err(_) => Ok(Constant::EveryRow),
    }
}

/// The memory that texts are counted against.
#[derive(Debug, Clone)]
pub(crate) struct Memory(pub(crate) Arc<dyn MemoryPool>);

impl Memory {
    /// Without a bound, for functions whose results are no larger than their arguments.
    pub(crate) fn uncounted() -> Self {
        Self(Arc::new(UnboundedMemoryPool::default()))
    }
}

/// A column of texts that is being written.
pub(crate) struct Text<'a> {
    function: &'a str,
    memory: &'a Memory,
    bytes: String,
    /// Where the value begins that is being written.
    start: usize,
    /// Of the whole buffer, once it is large.
    reservation: Option<MemoryReservation>,
    /// Why nothing is written any more.
    refused: Option<DataFusionError>,
}

impl<'a> Text<'a> {
    /// Writes `rows` texts; the closure says whether a row has one.
    pub(crate) fn column(
        function: &'a str,
        memory: &'a Memory,
        rows: usize,
        mut write: impl FnMut(usize, &mut Text<'_>) -> Option<()>,
    ) -> Result<ArrayRef> {
        let mut text = Text { function, memory, bytes: String::new(), start: 0, reservation: None, refused: None };
        let mut offsets = Vec::with_capacity(rows + 1);
        let mut valid = Vec::with_capacity(rows);
        offsets.push(0_i32);
        for row in 0..rows {
            text.start = text.bytes.len();
            text.room(SHORT_BYTES);
            let is_there = write(row, &mut text).is_some();
            if let Some(error) = text.refused {
                return Err(error);
            }
            if !is_there {
                text.bytes.truncate(text.start);
            }
            valid.push(is_there);
            offsets.push(i32::try_from(text.bytes.len()).map_err(|_| too_much(function))?);
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let values = match text.reservation {
            None => Buffer::from_vec(text.bytes.into_bytes()),
            Some(reservation) => {
                let counted = Counted { bytes: text.bytes, _reservation: reservation };
                Buffer::from(bytes::Bytes::from_owner(counted))
            }
        };
        let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
        Ok(Arc::new(StringArray::try_new(offsets, values, nulls)?))
    }

    /// Appends a text.
    pub(crate) fn push_str(&mut self, text: &str) {
        if self.room(text.len()) {
            self.bytes.push_str(text);
        }
    }

    /// Appends a character.
    pub(crate) fn push(&mut self, letter: char) {
        if self.room(letter.len_utf8()) {
            self.bytes.push(letter);
        }
    }

    /// The buffer, for writers of short values: dates, numbers.
    pub(crate) fn short(&mut self) -> &mut String {
        &mut self.bytes
    }

    /// Makes room for so many bytes more; `false` when there is none.
    fn room(&mut self, more: usize) -> bool {
        if self.refused.is_some() {
            return false;
        }
        let wanted = self.bytes.len() + more;
        if wanted <= self.bytes.capacity() && wanted - self.start <= TEXT_BYTES_MAX {
            return true;
        }
        match self.grow(wanted) {
            Ok(()) => true,
            Err(error) => {
                self.refused = Some(error);
                false
            }
        }
    }

    fn grow(&mut self, wanted: usize) -> Result<()> {
        if wanted - self.start > TEXT_BYTES_MAX {
            return Err(too_long(self.function));
        }
        // Offsets count to this.
        let most = i32::MAX as usize;
        if wanted > most {
            return Err(too_much(self.function));
        }
        let old = self.bytes.capacity();
        let new = wanted.max(old * 2).min(most);
        if new > UNCOUNTED_BYTES_MAX {
            let reservation = self.reservation.get_or_insert_with(|| {
                MemoryConsumer::new(format!("function {}", self.function)).register(&self.memory.0)
            });
            // The old buffer is there until the new one has its bytes.
            reservation.try_resize(old + new)?;
        }
        self.bytes.reserve_exact(new - self.bytes.len());
        if let Some(reservation) = &self.reservation {
            reservation.resize(self.bytes.capacity());
        }
        Ok(())
    }
}

/// Memory that is set aside for texts that are made elsewhere.
pub(crate) struct Room {
    _reservation: MemoryReservation,
}

impl Room {
    /// Room for texts of these lengths. Errors when one is too long, or when there is not enough.
    pub(crate) fn for_texts(function: &str, memory: &Memory, lengths: impl Iterator<Item = usize>) -> Result<Self> {
        let mut bytes = 0_usize;
        for length in lengths {
            if length > TEXT_BYTES_MAX {
                return Err(too_long(function));
            }
            bytes = bytes.saturating_add(length);
        }
        if bytes > i32::MAX as usize {
            return Err(too_much(function));
        }
        Self::for_bytes(function, memory, bytes)
    }

    /// Room for so many bytes. Errors when there is not enough.
    pub(crate) fn for_bytes(function: &str, memory: &Memory, bytes: usize) -> Result<Self> {
        let reservation = MemoryConsumer::new(format!("function {function}")).register(&memory.0);
        if bytes > UNCOUNTED_BYTES_MAX {
            reservation.try_grow(bytes)?;
        }
        Ok(Self { _reservation: reservation })
    }
}

fn too_long(function: &str) -> DataFusionError {
    QueryError::TooLong { function: function.to_owned(), bytes_max: TEXT_BYTES_MAX }.wrap()
}

fn too_much(function: &str) -> DataFusionError {
    DataFusionError::ResourcesExhausted(format!("function {function} makes more than 2 GiB out of one batch of rows"))
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

impl Extend<char> for Text<'_> {
    fn extend<I: IntoIterator<Item = char>>(&mut self, letters: I) {
        letters.into_iter().for_each(|letter| self.push(letter));
    }
}

impl<'t> Extend<&'t str> for Text<'_> {
    fn extend<I: IntoIterator<Item = &'t str>>(&mut self, texts: I) {
        texts.into_iter().for_each(|text| self.push_str(text));
    }
}

/// A finished buffer and the room it takes.
struct Counted {
    bytes: String,
    _reservation: MemoryReservation,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array, AsArray};
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    fn memory(bytes: usize) -> Memory {
        Memory(Arc::new(GreedyMemoryPool::new(bytes)))
    }

    #[test]
    fn a_column_holds_what_was_written() {
        let memory = memory(1);
        let column = Text::column("f", &memory, 4, |row, out| {
            out.push_str("row ");
            out.extend(['n', 'o']);
            out.short().push_str(&row.to_string());
            (row != 2).then_some(())
        })
        .unwrap();
        let texts: Vec<_> = column.as_string::<i32>().iter().collect();
        assert_eq!(texts, [Some("row no0"), Some("row no1"), None, Some("row no3")]);
        assert_eq!(memory.0.reserved(), 0);
        assert_eq!(Text::column("f", &memory, 0, |_, _| None).unwrap().len(), 0);
    }

    #[test]
    fn what_is_large_is_counted_as_long_as_it_lives() {
        let memory = memory(4 << 20);
        let part = "x".repeat(1000);
        let column = Text::column("f", &memory, 1000, |_, out| {
            out.push_str(&part);
            Some(())
        })
        .unwrap();
        assert!((1_000_000..3_000_000).contains(&memory.0.reserved()), "{}", memory.0.reserved());
        let slice = column.slice(5, 1);
        drop(column);
        assert_eq!(slice.as_string::<i32>().value(0), part);
        assert!(memory.0.reserved() >= 1_000_000);
        drop(slice);
        assert_eq!(memory.0.reserved(), 0);
    }

    #[test]
    fn what_there_is_no_room_for_is_an_error() {
        let memory = memory(1 << 20);
        let part = "x".repeat(1000);
        let fill = |_: usize, out: &mut Text<'_>| {
            out.push_str(&part);
            Some(())
        };
        let refused = Text::column("f", &memory, 10_000, fill).unwrap_err();
        assert!(matches!(refused, DataFusionError::ResourcesExhausted(_)), "{refused}");
        assert_eq!(memory.0.reserved(), 0);
    }

    #[test]
    fn one_text_has_a_greatest_length() {
        let memory = memory(1 << 30);
        let part = "x".repeat(1 << 20);
        let fill = |count| {
            let part = part.as_str();
            Text::column("f", &memory, 1, move |_, out: &mut Text<'_>| {
                out.extend(std::iter::repeat_n(part, count));
                Some(())
            })
        };
        assert_eq!(fill(64).unwrap().as_string::<i32>().value(0).len(), TEXT_BYTES_MAX);
        let refused = QueryError::from(fill(65).unwrap_err());
        assert!(matches!(refused, QueryError::TooLong { .. }), "{refused}");
    }

    #[test]
    fn constants_have_a_budget_while_a_query_is_planned() {
        plan_at_once_with_budget(|| {
            assert_eq!(constant("f", CONSTANT_BYTES_MAX - 1).unwrap(), Constant::One);
            assert_eq!(constant("f", 1).unwrap(), Constant::One);
            assert!(constant("f", 1).is_err());
        });
        plan_at_once_with_budget(|| assert_eq!(constant("f", CONSTANT_BYTES_MAX).unwrap(), Constant::One));
        assert_eq!(constant("f", 10).unwrap(), Constant::One);
        assert_eq!(constant("f", UNCOUNTED_BYTES_MAX + 1).unwrap(), Constant::EveryRow);
    }
}
