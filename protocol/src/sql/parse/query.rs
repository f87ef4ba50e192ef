//! Queries, EXPLAIN and DESCRIBE.
//!
//! sqlparser reads the query; what is left to do here is to take out what means nothing in this dialect, so that the query
//! engine need not know it: `FROM DUAL`, FOR UPDATE, and string literals as aliases.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, MapEntry, ObjectName,
    ObjectNamePart, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, Statement as SqlStatement,
    TableAlias, TableFactor, UnaryOperator, Value, ValueWithSpan, Values, VisitMut, VisitorMut,
};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Result};
use crate::sql::ast::Statement;
use crate::sql::ast::query::{Explain, ExplainLevel};
use crate::sql::ast::show::Describe;
use crate::sql::lex::{MISPRINTED, is_misprinted};

/// True when a query comes next.
pub(super) fn is_next(c: &Cursor) -> bool {
    let mut nth = 0;
    while *c.peek(nth) == Token::LParen {
        nth += 1;
    }
    ["SELECT", "WITH", "VALUES"].iter().any(|word| c.is_at(nth, word))
}

/// A query as a statement.
pub(super) fn statement(c: &mut Cursor) -> Result<Statement> {
    query(c).map(Statement::Query)
}

/// A query as part of another statement.
pub(super) fn query(c: &mut Cursor) -> Result<Box<Query>> {
    if !is_next(c) {
        return Err(c.expected("a query"));
    }
    let mut query = c.delegate(Parser::parse_query)?;
    // MySQL's old word for FOR SHARE; locks are dropped below.
    c.accept("LOCK IN SHARE MODE");
    normalise(c, query.as_mut())?;
    Ok(query)
}

/// `EXPLAIN [level] statement`, `{EXPLAIN | DESC | DESCRIBE} table`
pub(super) fn explain_or_describe(c: &mut Cursor) -> Result<Statement> {
    c.skip(1);
    let level = [
        ("LOGICAL", ExplainLevel::Logical),
        ("VERBOSE", ExplainLevel::Verbose),
        ("COSTS", ExplainLevel::Costs),
        ("ANALYZE", ExplainLevel::Analyze),
    ]
    .into_iter()
    // A table may have such a name, so what comes after decides.
    .find(|(word, _)| c.is_at(0, word) && starts_explained(c, 1));
    if let Some((word, level)) = level {
        c.need(word)?;
        return explained(c, level);
    }
    if starts_explained(c, 0) {
        return explained(c, ExplainLevel::Normal);
    }
    // DESCRIBE TABLE t is Spark's way and harmless.
    c.accept("TABLE");
    let table = c.table_name()?;
    Ok(Statement::Describe(Describe { table, all: c.accept("ALL") }))
}

fn starts_explained(c: &Cursor, nth: usize) -> bool {
    *c.peek(nth) == Token::LParen
        || ["SELECT", "WITH", "VALUES", "INSERT", "DELETE", "UPDATE", "CREATE"].iter().any(|word| c.is_at(nth, word))
}

fn explained(c: &mut Cursor, level: ExplainLevel) -> Result<Statement> {
    let statement = Box::new(super::statement(c)?);
    match *statement {
        Statement::Query(_)
        | Statement::Insert(_)
        | Statement::Delete(_)
        | Statement::Update(_)
        | Statement::CreateTableAs(_) => Ok(Statement::Explain(Explain { level, statement })),
        other => Err(c.refuse(format!("EXPLAIN does not know {}", other.kind()))),
    }
}

/// Makes what sqlparser read plain, or refuses it. See the file's head.
pub(super) fn normalise<T: VisitMut>(c: &Cursor, tree: &mut T) -> Result<()> {
    match tree.visit(&mut Normaliser::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(detail) => Err(c.refuse(detail)),
    }
}

/// How many operands may get parentheses, each of which makes the printed text deeper than the one that was read.
const PARENTHESISED_MAX: usize = 16;

/// What a unary operator may begin with.
const OPERATOR_SYMBOLS: [char; 5] = ['!', '~', '-', '+', '@'];

#[derive(Default)]
struct Normaliser {
    parenthesised: usize,
}

impl VisitorMut for Normaliser {
    type Break = &'static str;

    /// `WITH … INSERT` and the like, which sqlparser takes for queries.
    fn pre_visit_statement(&mut self, _statement: &mut SqlStatement) -> ControlFlow<Self::Break> {
        ControlFlow::Break("a query cannot hold a statement that changes rows")
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        query.locks.clear();
        balance_set_operations(&mut query.body);
        if has_bare_table(&query.body) {
            return ControlFlow::Break("TABLE is no query of this dialect; use SELECT * FROM");
        }
        if query.for_clause.is_some() {
            return ControlFlow::Break("FOR XML and FOR JSON are not of this dialect");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        if select.into.is_some() {
            return ControlFlow::Break("SELECT INTO is not of this dialect; use INSERT INTO or CREATE TABLE AS SELECT");
        }
        if is_dual(select) {
            select.from.clear();
        }
        for item in &mut select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                backtick(alias)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// `! ~a` is printed as `!~a`, which is one symbol: what begins with an operator gets parentheses after one.
    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        if let Expr::UnaryOp { op, expr: operand } = expr
            && matches!(op, UnaryOperator::BangNot | UnaryOperator::BitwiseNot)
            && operand.to_string().starts_with(OPERATOR_SYMBOLS)
        {
            self.parenthesised += 1;
            if self.parenthesised > PARENTHESISED_MAX {
                return ControlFlow::Break("there are too many '!' and '~' on each other");
            }
            let inner = std::mem::replace(operand, Box::new(Expr::value(Value::Null)));
            **operand = Expr::Nested(inner);
        }
        // `1 . a` is printed as `1.a`, which is a name.
        match expr {
            Expr::CompoundFieldAccess { root, .. } if is_number(root) => ControlFlow::Break("a number has no fields"),
            _ => ControlFlow::Continue(()),
        }
    }

    /// `map{'a': 1}` is `map('a', 1)`.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        if let Expr::Map(map) = expr {
            let entries = std::mem::take(&mut map.entries);
            *expr = map_call(entries);
        }
        ControlFlow::Continue(())
    }

    /// `FROM 'name'`, which MySQL refuses too.
    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<Self::Break> {
        let in_quotes = |part: &ObjectNamePart| part.as_ident().is_some_and(|ident| ident.quote_style == Some('\''));
        match name.0.iter().any(in_quotes) {
            true => ControlFlow::Break("a table's name stands in backticks, not in quotes"),
            false => ControlFlow::Continue(()),
        }
    }

    /// `:name`, a placeholder of other systems. Ours the lexer has numbered.
    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<Self::Break> {
        match &value.value {
            Value::Placeholder(name) if !name.starts_with('$') => ControlFlow::Break("placeholders are written '?'"),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        use TableFactor::{Derived, Function, NestedJoin, Table, TableFunction, UNNEST};
        match factor {
            Table { alias, .. }
            | Derived { alias, .. }
            | TableFunction { alias, .. }
            | Function { alias, .. }
            | UNNEST { alias, .. }
            | NestedJoin { alias, .. } => backtick_alias(alias),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Makes a balanced tree of `a UNION ALL b UNION ALL c …`, which the parser reads into one as deep as it is long. What it
/// means stays the same, since UNION and UNION ALL are associative; other operators, and changes between the two, keep
/// their depth, which `sql::limits` bounds.
fn balance_set_operations(body: &mut Box<SetExpr>) {
    // The spine from the right end inwards: each operator with its right side, the leftmost operand remains.
    let mut spine = Vec::new();
    let mut rest = std::mem::replace(body, empty_set_expr());
    while let SetExpr::SetOperation { op, set_quantifier, left, right } = *rest {
        spine.push(((op, set_quantifier), right));
        rest = left;
    }
    while let Some((operator, right)) = spine.pop() {
        let mut operands = vec![rest, right];
        if operator.0 == SetOperator::Union {
            while let Some((_, right)) = spine.pop_if(|(next, _)| *next == operator) {
                operands.push(right);
            }
        }
        rest = balance(operands, operator);
    }
    *body = rest;
}

/// A tree of the least depth whose leaves are `operands` in order. There are at least two.
#[expect(clippy::vec_box, reason = "the tree is made of these very boxes")]
fn balance(mut operands: Vec<Box<SetExpr>>, (op, set_quantifier): (SetOperator, SetQuantifier)) -> Box<SetExpr> {
    while operands.len() > 1 {
        let mut level = Vec::with_capacity(operands.len().div_ceil(2));
        let mut rest = operands.into_iter();
        while let Some(left) = rest.next() {
            level.push(match rest.next() {
                Some(right) => Box::new(SetExpr::SetOperation { op, set_quantifier, left, right }),
                None => left,
            });
        }
        operands = level;
    }
    operands.pop().unwrap_or_else(empty_set_expr)
}

/// `… UNION TABLE t`, which sqlparser reads wrong. Called on balanced trees, so it does not recurse deep.
fn has_bare_table(body: &SetExpr) -> bool {
    match body {
        SetExpr::Table(_) => true,
        SetExpr::SetOperation { left, right, .. } => has_bare_table(left) || has_bare_table(right),
        _ => false,
    }
}

/// `VALUES` of no rows: what stands in a query while its body is taken out.
fn empty_set_expr() -> Box<SetExpr> {
    Box::new(SetExpr::Values(Values { explicit_row: false, value_keyword: false, rows: Vec::new() }))
}

/// A call of `map` with the keys and values of a literal.
fn map_call(entries: Vec<MapEntry>) -> Expr {
    let args = entries.into_iter().flat_map(|entry| [*entry.key, *entry.value]);
    let args = args.map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new("map"))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn is_number(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::Number(..)))
}

/// `FROM DUAL` and nothing else.
fn is_dual(select: &Select) -> bool {
    let [from] = select.from.as_slice() else { return false };
    let TableFactor::Table { name, alias: None, args: None, .. } = &from.relation else { return false };
    let [part] = name.0.as_slice() else { return false };
    let is_dual = |ident: &Ident| ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("dual");
    from.joins.is_empty() && part.as_ident().is_some_and(is_dual)
}

fn backtick_alias(alias: &mut Option<TableAlias>) -> ControlFlow<&'static str> {
    if let Some(alias) = alias {
        backtick(&mut alias.name)?;
        for column in &mut alias.columns {
            backtick(&mut column.name)?;
        }
    }
    ControlFlow::Continue(())
}

/// `AS 'name'` is `` AS `name` ``. It stays in quotes where backticks would print another name: in those that it does not
/// hold, for of the quotes inside, too, some would be printed as others.
fn backtick(name: &mut Ident) -> ControlFlow<&'static str> {
    if matches!(name.quote_style, Some('\'' | '"')) {
        let holds = |quote: char| name.value.contains(quote);
        name.quote_style = Some(match is_misprinted(&name.value) {
            false => '`',
            true if holds('\\') || (holds('\'') && holds('"')) => return ControlFlow::Break(MISPRINTED),
            true if holds('\'') => '"',
            true => '\'',
        });
    }
    ControlFlow::Continue(())
}
