//! PARTITION BY, partition lists, DISTRIBUTED BY.

use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Result};
use crate::sql::ast::partition::{
    Distribution, DistributionKind, IntervalUnit, PartitionBatch, PartitionBy, PartitionDef, PartitionStep,
    PartitionValue, PartitionValues,
};

/// What comes after `PARTITION BY`.
pub(super) fn partition_by(c: &mut Cursor) -> Result<PartitionBy> {
    if c.is("LIST") && *c.peek(1) == Token::LParen {
        c.skip(1);
        let columns = c.names("a partition column")?;
        return Ok(PartitionBy::List { columns, partitions: definitions(c)? });
    }
    if c.is("RANGE") && *c.peek(1) == Token::LParen {
        c.skip(1);
        if is_name_list(c) {
            let columns = c.names("a partition column")?;
            return Ok(PartitionBy::Range { columns, partitions: definitions(c)? });
        }
        let exprs = c.parenthesised(Cursor::expr)?;
        return Ok(PartitionBy::Expression { exprs, partitions: definitions(c)? });
    }
    let exprs = if c.is_symbol(&Token::LParen) { c.parenthesised(Cursor::expr)? } else { c.list(Cursor::expr)? };
    Ok(PartitionBy::Expression { exprs, partitions: definitions(c)? })
}

/// True when `(name, …)` comes next, and no expressions.
fn is_name_list(c: &Cursor) -> bool {
    let mut nth = 0;
    while matches!(c.peek(nth), Token::LParen | Token::Comma) && c.is_name_at(nth + 1) {
        nth += 2;
    }
    *c.peek(nth) == Token::RParen
}

/// `(definition, …)` if it comes next; the list may be empty.
fn definitions(c: &mut Cursor) -> Result<Vec<PartitionDef>> {
    if *c.peek(0) == Token::LParen && *c.peek(1) == Token::RParen {
        c.skip(2);
        return Ok(Vec::new());
    }
    if !c.is_symbol(&Token::LParen) {
        return Ok(Vec::new());
    }
    c.parenthesised(|c| {
        if !c.is("START") {
            c.need("PARTITION")?;
        }
        definition(c)
    })
}

/// `START … END … EVERY …`, or `[IF NOT EXISTS] name VALUES … [("k" = "v")]`, after the word PARTITION.
pub(super) fn definition(c: &mut Cursor) -> Result<PartitionDef> {
    if c.is("START") && *c.peek(1) == Token::LParen {
        return batch(c).map(PartitionDef::Batch);
    }
    let if_not_exists = c.accept("IF NOT EXISTS");
    let name = c.name("a partition")?;
    c.need("VALUES")?;
    let values = values(c)?;
    let properties = if c.is_symbol(&Token::LParen) { c.property_list()? } else { Default::default() };
    Ok(PartitionDef::Single { if_not_exists, name, values, properties })
}

/// `START (a) END (b) EVERY (step)`
pub(super) fn batch(c: &mut Cursor) -> Result<PartitionBatch> {
    c.need("START")?;
    let start = bound(c)?;
    c.need("END")?;
    let end = bound(c)?;
    c.need("EVERY")?;
    c.need_symbol(&Token::LParen)?;
    let step = step(c)?;
    c.need_symbol(&Token::RParen)?;
    Ok(PartitionBatch { start, end, step })
}

fn bound(c: &mut Cursor) -> Result<String> {
    c.need_symbol(&Token::LParen)?;
    let text = literal(c)?;
    c.need_symbol(&Token::RParen)?;
    Ok(text)
}

fn step(c: &mut Cursor) -> Result<PartitionStep> {
    if !c.accept("INTERVAL") {
        return c.number("a step").map(PartitionStep::Number);
    }
    let count = match c.accept_string() {
        Some(text) => text.trim().parse().map_err(|_| c.expected("how many units a partition spans"))?,
        None => c.number("how many units a partition spans")?,
    };
    let unit = match c.word(0).as_deref() {
        Some("MINUTE") => IntervalUnit::Minute,
        Some("HOUR") => IntervalUnit::Hour,
        Some("DAY") => IntervalUnit::Day,
        Some("WEEK") => IntervalUnit::Week,
        Some("MONTH") => IntervalUnit::Month,
        Some("QUARTER") => IntervalUnit::Quarter,
        Some("YEAR") => IntervalUnit::Year,
        _ => return Err(c.expected("MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER or YEAR")),
    };
    c.skip(1);
    Ok(PartitionStep::Interval { count, unit })
}

/// What comes after VALUES.
fn values(c: &mut Cursor) -> Result<PartitionValues> {
    if c.accept("LESS") {
        c.need("THAN")?;
        let bare_maximum = c.accept("MAXVALUE");
        let values = if bare_maximum { vec![PartitionValue::MaxValue] } else { c.parenthesised(value)? };
        return Ok(PartitionValues::LessThan(values));
    }
    if c.accept("IN") {
        let row = |c: &mut Cursor| {
            if c.is_symbol(&Token::LParen) { c.parenthesised(value) } else { Ok(vec![value(c)?]) }
        };
        return c.parenthesised(row).map(PartitionValues::In);
    }
    if c.accept_symbol(&Token::LBracket) {
        let lower = c.parenthesised(value)?;
        c.need_symbol(&Token::Comma)?;
        let upper = c.parenthesised(value)?;
        c.need_symbol(&Token::RParen)?;
        return Ok(PartitionValues::Fixed { lower, upper });
    }
    Err(c.expected("LESS THAN, IN or '['"))
}

fn value(c: &mut Cursor) -> Result<PartitionValue> {
    Ok(if c.accept("MINVALUE") {
        PartitionValue::MinValue
    } else if c.accept("MAXVALUE") {
        PartitionValue::MaxValue
    } else if c.accept("NULL") {
        PartitionValue::Null
    } else {
        PartitionValue::Value(literal(c)?)
    })
}

/// A string or a number, `DATE` or `DATETIME` before it dropped.
fn literal(c: &mut Cursor) -> Result<String> {
    if c.is_any(&["DATE", "DATETIME", "TIMESTAMP"]) && c.is_string_at(1) {
        c.skip(1);
    }
    if c.word(0).is_some_and(|word| word != "TRUE" && word != "FALSE") {
        return Err(c.expected("a value"));
    }
    c.plain_value().ok_or_else(|| c.expected("a value"))
}

/// `DISTRIBUTED BY …` if it comes next.
pub(super) fn distribution(c: &mut Cursor) -> Result<Option<Distribution>> {
    if !c.accept("DISTRIBUTED") {
        return Ok(None);
    }
    c.need("BY")?;
    let kind = if c.accept("RANDOM") {
        DistributionKind::Random
    } else if c.accept("HASH") {
        DistributionKind::Hash(c.names("a column")?)
    } else {
        return Err(c.expected("HASH or RANDOM"));
    };
    let buckets = if c.accept("BUCKETS") {
        if c.accept("AUTO") { None } else { Some(c.number("how many buckets")?) }
    } else {
        None
    };
    Ok(Some(Distribution { kind, buckets }))
}
