//! CREATE, DROP and TRUNCATE of tables and views.

use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Result};
use super::{partition, query, types};
use crate::sql::ast::Statement;
use crate::sql::ast::table::{
    Aggregation, ColumnDef, CreateTable, CreateTableAs, CreateTableLike, CreateView, DefaultValue, DropTable, DropView,
    IndexDef, Keys, RollupDef, TableModel, TableOptions, TruncateTable, ViewColumn,
};

/// `CREATE [TEMPORARY | EXTERNAL] TABLE …` in its three forms.
pub(super) fn create(c: &mut Cursor) -> Result<Statement> {
    c.need("CREATE")?;
    let temporary = c.accept("TEMPORARY");
    let external = c.accept("EXTERNAL");
    c.need("TABLE")?;
    let if_not_exists = c.accept("IF NOT EXISTS");
    let table = c.table_name()?;

    if c.accept("LIKE") {
        let source = c.table_name()?;
        let properties = c.properties()?;
        let like = CreateTableLike { temporary, if_not_exists, table, source, properties };
        return Ok(Statement::CreateTableLike(like));
    }

    let mut options = TableOptions::default();
    if names_only(c) {
        let columns = c.names("a column")?;
        table_options(c, &mut options)?;
        c.need("AS")?;
        let query = query::query(c)?;
        let create = CreateTableAs { temporary, if_not_exists, table, columns, options, query };
        return Ok(Statement::CreateTableAs(Box::new(create)));
    }
    let mut columns = Vec::new();
    if c.is_symbol(&Token::LParen) && !query::is_next(c) {
        column_list(c, &mut columns, &mut options)?;
    }
    table_options(c, &mut options)?;
    if columns.is_empty() {
        if !query::is_next(c) {
            c.need("AS")?;
        }
        let query = query::query(c)?;
        let columns = Vec::new();
        let create = CreateTableAs { temporary, if_not_exists, table, columns, options, query };
        return Ok(Statement::CreateTableAs(Box::new(create)));
    }
    let table = CreateTable { temporary, external, if_not_exists, table, columns, options };
    Ok(Statement::CreateTable(Box::new(table)))
}

/// `(a, b)` with no types: the column names of CREATE TABLE AS SELECT.
fn names_only(c: &Cursor) -> bool {
    *c.peek(0) == Token::LParen && c.is_name_at(1) && matches!(c.peek(2), Token::Comma | Token::RParen)
}

/// `(column | index | PRIMARY KEY (…), …)`
fn column_list(c: &mut Cursor, columns: &mut Vec<ColumnDef>, options: &mut TableOptions) -> Result<()> {
    c.parenthesised(|c| {
        if c.accept("PRIMARY KEY") {
            let names = c.names("a column")?;
            return set_keys(c, options, TableModel::Primary, names);
        }
        if c.is_any(&["UNIQUE", "CONSTRAINT", "FOREIGN", "CHECK", "FULLTEXT"]) {
            return Err(c.refuse("constraints are not part of the column list; UNIQUE KEY (…) stands after it"));
        }
        if c.accept_any(&["INDEX", "KEY"]) {
            options.indexes.push(index(c)?);
            return Ok(());
        }
        let column = column(c, Some(options))?;
        columns.push(column);
        Ok(())
    })?;
    if columns.is_empty() {
        return Err(c.refuse("a table needs at least one column"));
    }
    Ok(())
}

/// `name type [options …]`. Options may stand in any order. A MySQL-style `PRIMARY KEY` goes to `table`, if there is one.
pub(super) fn column(c: &mut Cursor, mut table: Option<&mut TableOptions>) -> Result<ColumnDef> {
    let name = c.name("a column")?;
    let mut column = ColumnDef {
        name,
        data_type: types::data_type(c)?,
        is_key: false,
        aggregation: None,
        nullable: None,
        default: None,
        auto_increment: false,
        generated: None,
        comment: None,
    };
    loop {
        if c.accept("NOT NULL") {
            column.nullable = Some(false);
        } else if c.accept("NULL") {
            column.nullable = Some(true);
        } else if c.accept("DEFAULT") {
            column.default = Some(default_value(c)?);
        } else if c.accept("AUTO_INCREMENT") {
            column.auto_increment = true;
        } else if c.accept("PRIMARY KEY") {
            match table.as_deref_mut() {
                Some(options) => set_keys(c, options, TableModel::Primary, vec![column.name.clone()])?,
                None => return Err(c.refuse("a table's key cannot be changed")),
            }
        } else if c.accept("KEY") {
            column.is_key = true;
        } else if c.accept("GENERATED ALWAYS AS") || c.accept("AS") {
            c.need_symbol(&Token::LParen)?;
            column.generated = Some(c.expr()?);
            c.need_symbol(&Token::RParen)?;
            c.accept_any(&["STORED", "VIRTUAL"]);
        } else if c.is("COMMENT") {
            column.comment = c.comment()?;
        } else if c.accept("CHARACTER SET") || c.accept_any(&["CHARSET", "COLLATE"]) {
            // All text is UTF-8, compared by byte.
            c.name_or_string("a character set or collation")?;
        } else if c.is("ON UPDATE") {
            return Err(c.refuse("ON UPDATE is not of this dialect"));
        } else if c.is("UNIQUE") {
            return Err(c.refuse(
                "a column cannot be UNIQUE by itself; use UNIQUE KEY (…) or PRIMARY KEY (…) after the column list",
            ));
        } else if let Some(aggregation) = c.word(0).as_deref().and_then(aggregation) {
            c.skip(1);
            column.aggregation = Some(aggregation);
        } else {
            return Ok(column);
        }
    }
}

fn aggregation(word: &str) -> Option<Aggregation> {
    Some(match word {
        "SUM" => Aggregation::Sum,
        "MIN" => Aggregation::Min,
        "MAX" => Aggregation::Max,
        "REPLACE" => Aggregation::Replace,
        "REPLACE_IF_NOT_NULL" => Aggregation::ReplaceIfNotNull,
        "HLL_UNION" => Aggregation::HllUnion,
        "BITMAP_UNION" => Aggregation::BitmapUnion,
        "PERCENTILE_UNION" => Aggregation::PercentileUnion,
        _ => return None,
    })
}

/// What comes after DEFAULT.
fn default_value(c: &mut Cursor) -> Result<DefaultValue> {
    if c.accept("NULL") {
        return Ok(DefaultValue::Null);
    }
    if c.accept_any(&["CURRENT_TIMESTAMP", "NOW", "LOCALTIMESTAMP", "LOCALTIME"]) {
        let mut precision = None;
        if c.accept_symbol(&Token::LParen) {
            if !c.is_symbol(&Token::RParen) {
                precision = Some(c.number("a precision")?);
            }
            c.need_symbol(&Token::RParen)?;
        }
        return Ok(DefaultValue::CurrentTimestamp { precision });
    }
    if c.accept_symbol(&Token::LParen) {
        let function = c.name("a function")?.to_ascii_lowercase();
        c.need_symbol(&Token::LParen)?;
        c.need_symbol(&Token::RParen)?;
        c.need_symbol(&Token::RParen)?;
        return Ok(DefaultValue::Function(function));
    }
    let is_literal = match c.word(0) {
        Some(word) => word == "TRUE" || word == "FALSE",
        None => !matches!(c.peek(0), Token::Word(_)),
    };
    let literal = if is_literal { c.plain_value() } else { None };
    literal
        .map(DefaultValue::Literal)
        .ok_or_else(|| c.expected("a default: a literal, NULL, CURRENT_TIMESTAMP or (uuid())"))
}

/// What comes after INDEX: `name (columns) [USING type [(…)]] [COMMENT '…']`
pub(super) fn index(c: &mut Cursor) -> Result<IndexDef> {
    let name = c.name("an index")?;
    let columns = c.names("a column")?;
    let mut index = IndexDef { name, columns, index_type: None, properties: Default::default(), comment: None };
    if c.accept("USING") {
        index.index_type = Some(c.name("an index type")?.to_ascii_uppercase());
        if c.is_symbol(&Token::LParen) {
            index.properties = c.property_list()?;
        }
    }
    index.comment = c.comment()?;
    Ok(index)
}

/// Everything after the column list, in any order, up to AS or the end.
fn table_options(c: &mut Cursor, options: &mut TableOptions) -> Result<()> {
    loop {
        if c.accept("ENGINE") {
            c.accept_equals();
            once(c, &options.engine, "ENGINE")?;
            options.engine = Some(c.name_or_string("an engine")?);
        } else if let Some(model) = table_model(c) {
            c.skip(2);
            let columns = c.names("a column")?;
            set_keys(c, options, model, columns)?;
        } else if c.is("COMMENT") {
            once(c, &options.comment, "COMMENT")?;
            options.comment = c.comment()?;
        } else if c.accept("PARTITION BY") {
            once(c, &options.partition_by, "PARTITION BY")?;
            options.partition_by = Some(partition::partition_by(c)?);
        } else if c.is("DISTRIBUTED") {
            once(c, &options.distribution, "DISTRIBUTED BY")?;
            options.distribution = partition::distribution(c)?;
        } else if c.accept("ROLLUP") {
            options.rollups = c.parenthesised(rollup)?;
        } else if c.accept("ORDER BY") {
            options.order_by = c.names("a column")?;
        } else if c.accept("PROPERTIES") {
            options.properties.0.extend(c.property_list()?.0);
        } else if !accept_mysql_option(c)? {
            return Ok(());
        }
    }
}

/// Options of MySQL that change nothing here.
fn accept_mysql_option(c: &mut Cursor) -> Result<bool> {
    let words = ["DEFAULT CHARACTER SET", "DEFAULT CHARSET", "DEFAULT COLLATE", "CHARACTER SET", "CHARSET", "COLLATE"];
    let more = ["AUTO_INCREMENT", "ROW_FORMAT", "AVG_ROW_LENGTH", "KEY_BLOCK_SIZE", "STATS_PERSISTENT"];
    if !words.iter().chain(&more).any(|words| c.accept(words)) {
        return Ok(false);
    }
    c.accept_equals();
    if c.is("DEFAULT") || c.is_name_at(0) || c.is_string_at(0) || matches!(c.peek(0), Token::Number(..)) {
        c.skip(1);
        return Ok(true);
    }
    Err(c.expected("a value"))
}

fn table_model(c: &Cursor) -> Option<TableModel> {
    if !c.is_at(1, "KEY") {
        return None;
    }
    Some(match c.word(0)?.as_str() {
        "DUPLICATE" => TableModel::Duplicate,
        "AGGREGATE" => TableModel::Aggregate,
        "UNIQUE" => TableModel::Unique,
        "PRIMARY" => TableModel::Primary,
        _ => return None,
    })
}

fn set_keys(c: &Cursor, options: &mut TableOptions, model: TableModel, columns: Vec<String>) -> Result<()> {
    once(c, &options.keys, "the key")?;
    options.keys = Some(Keys { model, columns });
    Ok(())
}

fn once<T>(c: &Cursor, slot: &Option<T>, what: &str) -> Result<()> {
    if slot.is_some() { Err(c.refuse(format!("{what} is given twice"))) } else { Ok(()) }
}

/// `name (columns) [DUPLICATE KEY (…)] [FROM index] [PROPERTIES (…)]`
pub(super) fn rollup(c: &mut Cursor) -> Result<RollupDef> {
    let name = c.name("a rollup")?;
    let columns = c.names("a column")?;
    let duplicate_key = if c.accept("DUPLICATE KEY") { c.names("a column")? } else { Vec::new() };
    let from = if c.accept("FROM") { Some(c.name("an index")?) } else { None };
    Ok(RollupDef { name, columns, duplicate_key, from, properties: c.properties()? })
}

/// `DROP [TEMPORARY] TABLE [IF EXISTS] t [FORCE]`
pub(super) fn drop_table(c: &mut Cursor) -> Result<Statement> {
    c.need("DROP")?;
    let temporary = c.accept("TEMPORARY");
    c.need("TABLE")?;
    let if_exists = c.accept("IF EXISTS");
    let table = c.table_name()?;
    Ok(Statement::DropTable(DropTable { temporary, if_exists, table, force: c.accept("FORCE") }))
}

/// `TRUNCATE [TABLE] t [PARTITION (…)]`
pub(super) fn truncate(c: &mut Cursor) -> Result<Statement> {
    c.need("TRUNCATE")?;
    c.accept("TABLE");
    let table = c.table_name()?;
    Ok(Statement::TruncateTable(TruncateTable { table, partitions: c.partitions()? }))
}

/// `CREATE [OR REPLACE] VIEW …`
pub(super) fn create_view(c: &mut Cursor) -> Result<Statement> {
    c.need("CREATE")?;
    let or_replace = c.accept("OR REPLACE");
    c.need("VIEW")?;
    let if_not_exists = c.accept("IF NOT EXISTS");
    let view = c.table_name()?;
    let columns = if c.is_symbol(&Token::LParen) {
        c.parenthesised(|c| Ok(ViewColumn { name: c.name("a column")?, comment: c.comment()? }))?
    } else {
        Vec::new()
    };
    let comment = c.comment()?;
    c.need("AS")?;
    let query = query::query(c)?;
    Ok(Statement::CreateView(CreateView { or_replace, if_not_exists, view, columns, comment, query }))
}

/// `DROP VIEW [IF EXISTS] v`
pub(super) fn drop_view(c: &mut Cursor) -> Result<Statement> {
    c.need("DROP VIEW")?;
    let if_exists = c.accept("IF EXISTS");
    Ok(Statement::DropView(DropView { if_exists, view: c.table_name()? }))
}
