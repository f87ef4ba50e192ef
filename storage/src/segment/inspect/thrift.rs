//! A walk over Thrift's compact protocol, the form of everything in a Parquet file that is not a value.
//!
//! The decoder of Parquet makes room for as many items as a list says it has before it has seen any, and reads a field
//! as the type it should have, whatever type the field says it has. So its input is walked first, by this reader: it
//! allocates nothing, goes no deeper than a limit, every item that a list claims must be there, and every field that
//! the decoder knows must be of its [`Shape`]. What it does not know it passes over, and so does this reader.

/// Deepest nesting of structs and lists: the types of Parquet's own description nest less than half as deep.
const DEPTH_MAX: usize = 24;

/// Most structs of one list: row groups, columns, elements of a schema, places of pages.
const STRUCTS_MAX: usize = 1 << 18;

const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Why bytes are no description of anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    /// They end too early.
    CutOff,
    /// They break a rule; the text says which.
    Wrong(&'static str),
}

/// What a known field must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Bool,
    Byte,
    I16,
    I32,
    I64,
    Double,
    Binary,
    List(&'static Shape),
    Struct(Fields),
}

/// The known fields of a struct, by their numbers.
pub(super) type Fields = &'static [(i16, Shape)];

/// What a field says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind(u8);

/// Bytes, and how far they have been read.
#[derive(Debug, Clone)]
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Shape {
    fn is(self, kind: u8) -> bool {
        match self {
            Shape::Bool => matches!(kind, TRUE | FALSE),
            Shape::Byte => kind == BYTE,
            Shape::I16 => kind == I16,
            Shape::I32 => kind == I32,
            Shape::I64 => kind == I64,
            Shape::Double => kind == DOUBLE,
            Shape::Binary => kind == BINARY,
            Shape::List(_) => kind == LIST,
            Shape::Struct(_) => kind == STRUCT,
        }
    }
}

impl<'a> Walk<'a> {
    /// Begins at the first byte.
    pub(super) fn new(bytes: &'a [u8]) -> Walk<'a> {
        Walk { bytes, at: 0 }
    }

    /// Bytes that have been read.
    pub(super) fn read(&self) -> usize {
        self.at
    }

    /// Goes over a struct whose known fields are `known`, to its end.
    pub(super) fn check(&mut self, known: Fields) -> Result<(), Malformed> {
        self.pass_struct(known, DEPTH_MAX)
    }

    /// Goes over the fields of a struct whose known fields are `known`. `take` reads the fields it wants, which were
    /// checked before, and says so; the others are passed over.
    pub(super) fn fields(
        &mut self,
        known: Fields,
        mut take: impl FnMut(&mut Walk<'a>, i16, Kind) -> Result<bool, Malformed>,
    ) -> Result<(), Malformed> {
        let mut id = 0_i16;
        while let Some(kind) = self.next_field(&mut id)? {
            if !take(self, id, kind)? {
                self.pass(kind.0, shape_of(known, id), DEPTH_MAX)?;
            }
        }
        Ok(())
    }

    /// The beginning of a list: what its items are, and how many.
    pub(super) fn list(&mut self) -> Result<(Kind, usize), Malformed> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => usize::try_from(self.varint()?).map_err(|_| Malformed::Wrong("a list is too long"))?,
            short => usize::from(short),
        };
        let kind = head & 0x0f;
        // An item takes a byte at least.
        if count > self.bytes.len() - self.at {
            return Err(Malformed::CutOff);
        }
        if kind == STRUCT && count > STRUCTS_MAX {
            return Err(Malformed::Wrong("a list is too long"));
        }
        Ok((Kind(kind), count))
    }

    /// A whole number of a field of that kind.
    pub(super) fn number(&mut self, kind: Kind) -> Result<i64, Malformed> {
        if !matches!(kind.0, I16 | I32 | I64) {
            return Err(Malformed::Wrong("a number is of another type"));
        }
        let raw = self.varint()?;
        // Zigzag: the sign is the lowest bit.
        let number = (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed());
        if kind.0 == I32 && i32::try_from(number).is_err() {
            return Err(Malformed::Wrong("a number is too large for its type"));
        }
        Ok(number)
    }

    /// The kind and, in `id`, the number of the next field; nothing at the end of the struct.
    fn next_field(&mut self, id: &mut i16) -> Result<Option<Kind>, Malformed> {
        let head = self.byte()?;
        let kind = head & 0x0f;
        if kind == STOP {
            return Ok(None);
        }
        *id = match head >> 4 {
            // Its number is written out.
            0 => i16::try_from(self.number(Kind(I16))?).map_err(|_| Malformed::Wrong("a field has no number"))?,
            step => id.checked_add(i16::from(step)).ok_or(Malformed::Wrong("a field has no number"))?,
        };
        Ok(Some(Kind(kind)))
    }

    fn pass_struct(&mut self, known: Fields, depth: usize) -> Result<(), Malformed> {
        let mut id = 0;
        while let Some(kind) = self.next_field(&mut id)? {
            self.pass(kind.0, shape_of(known, id), depth)?;
        }
        Ok(())
    }

    /// Passes over a value, of the shape it must have if it is known.
    fn pass(&mut self, kind: u8, shape: Option<Shape>, depth: usize) -> Result<(), Malformed> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Malformed::Wrong("it is nested too deeply"));
        };
        if shape.is_some_and(|shape| !shape.is(kind)) {
            return Err(Malformed::Wrong("a field is of another type"));
        }
        match kind {
            // The kind is the value.
            TRUE | FALSE => Ok(()),
            BYTE => self.byte().map(drop),
            I16 | I32 | I64 => self.number(Kind(kind)).map(drop),
            DOUBLE => self.advance(8),
            BINARY => {
                let length = self.varint()?;
                self.advance(usize::try_from(length).map_err(|_| Malformed::CutOff)?)
            }
            LIST => {
                let item = match shape {
                    Some(Shape::List(item)) => Some(*item),
                    _ => None,
                };
                let (of, count) = self.list()?;
                for _ in 0..count {
                    match (of.0, item) {
                        // Here a truth value takes a byte. The decoder passes over it as if it took none, so only a
                        // list it knows may have any.
                        (TRUE | FALSE, Some(Shape::Bool)) => drop(self.byte()?),
                        (TRUE | FALSE, _) => {
                            return Err(Malformed::Wrong("a list is of a type that Parquet does not use"));
                        }
                        (of, item) => self.pass(of, item, depth)?,
                    }
                }
                Ok(())
            }
            STRUCT => {
                let known = match shape {
                    Some(Shape::Struct(known)) => known,
                    _ => &[],
                };
                self.pass_struct(known, depth)
            }
            _ => Err(Malformed::Wrong("it holds a type that Parquet does not use")),
        }
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = self.bytes.get(self.at).copied().ok_or(Malformed::CutOff)?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed::Wrong("a number does not end"))
    }

    fn advance(&mut self, bytes: usize) -> Result<(), Malformed> {
        let end = self.at.checked_add(bytes).filter(|end| *end <= self.bytes.len()).ok_or(Malformed::CutOff)?;
        self.at = end;
        Ok(())
    }
}

fn shape_of(known: Fields, id: i16) -> Option<Shape> {
    known.iter().find(|(number, _)| *number == id).map(|(_, shape)| *shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(bytes: &[u8]) -> Result<usize, Malformed> {
        let mut walk = Walk::new(bytes);
        walk.check(&[(5, Shape::Struct(&[(1, Shape::Bool)])), (9, Shape::List(&Shape::Bool))]).map(|()| walk.read())
    }

    #[test]
    fn a_struct_is_passed_to_its_end() {
        // 1: i32 -3, 2: binary "ab", 4: list of two i64, 5: struct {1: true}, stop.
        let bytes = [0x15, 0x05, 0x18, 2, b'a', b'b', 0x29, 0x26, 2, 0x80, 1, 0x1c, 0x11, 0, 0, 99];
        assert_eq!(pass(&bytes), Ok(bytes.len() - 1));
        for cut in 0..bytes.len() - 1 {
            assert_eq!(pass(&bytes[..cut]), Err(Malformed::CutOff), "{cut}");
        }
        let mut numbers = Vec::new();
        Walk::new(&bytes)
            .fields(&[], |walk, id, kind| {
                let known = id == 1;
                if known {
                    numbers.push(walk.number(kind)?);
                }
                Ok(known)
            })
            .unwrap();
        assert_eq!(numbers, [-3]);
    }

    #[test]
    fn what_a_list_claims_must_be_there() {
        // A list of 2^28 structs, of which there is one.
        assert_eq!(pass(&[0x19, 0xfc, 0x80, 0x80, 0x80, 0x80, 1, 0, 0]), Err(Malformed::CutOff));
        let mut long = vec![0x19, 0xfc, 0x81, 0x80, 0x10];
        long.resize(long.len() + (1 << 18) + 2, 0);
        assert_eq!(pass(&long), Err(Malformed::Wrong("a list is too long")));
        long[2] = 0x80;
        assert_eq!(pass(&long), Ok(5 + (1 << 18) + 1));
    }

    #[test]
    fn what_is_known_has_its_type() {
        // 5: i32 instead of a struct; 5: struct {1: i32}.
        assert_eq!(pass(&[0x55, 2, 0]), Err(Malformed::Wrong("a field is of another type")));
        assert_eq!(pass(&[0x5c, 0x15, 2, 0, 0]), Err(Malformed::Wrong("a field is of another type")));
        // A list of two truth values, in a field that has such and in one that has not.
        assert_eq!(pass(&[0x99, 0x21, 1, 2, 0]), Ok(5));
        assert_eq!(
            pass(&[0x89, 0x21, 1, 2, 0]),
            Err(Malformed::Wrong("a list is of a type that Parquet does not use"))
        );
        assert_eq!(pass(&[0x99, 0x25, 1, 2, 0]), Err(Malformed::Wrong("a field is of another type")));
    }

    #[test]
    fn nesting_and_numbers_end() {
        assert_eq!(pass(&[0x1c; 1000]), Err(Malformed::Wrong("it is nested too deeply")));
        assert_eq!(pass(&[0x19; 1000]), Err(Malformed::Wrong("it is nested too deeply")));
        assert_eq!(
            pass(&[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]),
            Err(Malformed::Wrong("a number does not end"))
        );
        assert_eq!(pass(&[0x1b, 0]), Err(Malformed::Wrong("it holds a type that Parquet does not use")));
        let large = [0x15, 0x80, 0x80, 0x80, 0x80, 0x20, 0];
        let read = Walk::new(&large).fields(&[], |walk, _, kind| walk.number(kind).map(|_| true));
        assert_eq!(read, Err(Malformed::Wrong("a number is too large for its type")));
    }
}
