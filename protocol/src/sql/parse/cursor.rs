//! A cursor over one statement's tokens, which every family reads by.
//!
//! It holds sqlparser's own parser, so expressions and queries start where the cursor stands and end where it goes on.
//! Words are compared without regard to case and never in quotes; which of them cannot be plain names is said in
//! `sql::words`. Errors name what was expected and what was found, but never the text of a string, which may be a secret.

use sqlparser::ast::{Expr, OrderByExpr, Value};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Word};

use crate::sql::ast::name::{Properties, TableName};
use crate::sql::dialect::StarRocks;
use crate::sql::error::SyntaxError;
use crate::sql::lex::StatementTokens;
use crate::sql::words::is_reserved;

use super::query::normalise;

/// What every reading function answers.
pub(super) type Result<T> = std::result::Result<T, SyntaxError>;

/// How deep expressions, subqueries and parenthesised joins may nest. The parser grows its stack as it recurses, what
/// walks the tree afterwards does not.
const RECURSION_MAX: usize = 64;

/// See the file's head.
pub(super) struct Cursor {
    parser: Parser<'static>,
    end: Location,
    /// `>` left over from a `>>` that closed an inner type.
    pub(super) pending_gt: bool,
    /// A parameter may stand wherever a literal may. What is read of it is its name: a template is read again, with the
    /// values in their places, before it means anything.
    parameters: bool,
}

/// Looking.
impl Cursor {
    pub(super) fn new(dialect: &'static StarRocks, statement: StatementTokens) -> Self {
        let parser =
            Parser::new(dialect).with_recursion_limit(RECURSION_MAX).with_tokens_with_locations(statement.tokens);
        Self { parser, end: statement.end, pending_gt: false, parameters: false }
    }

    /// A cursor over a statement that is prepared, see [`Self::parameters`].
    pub(super) fn over_template(dialect: &'static StarRocks, statement: StatementTokens) -> Self {
        Self { parameters: true, ..Self::new(dialect, statement) }
    }

    /// The token `nth` places ahead.
    pub(super) fn peek(&self, nth: usize) -> &Token {
        &self.parser.peek_nth_token_ref(nth).token
    }

    fn span(&self, nth: usize) -> Span {
        self.parser.peek_nth_token_ref(nth).span
    }

    /// The word `nth` places ahead in upper case, when it is one and not in quotes.
    pub(super) fn word(&self, nth: usize) -> Option<String> {
        match self.peek(nth) {
            Token::Word(Word { value, quote_style: None, .. }) => Some(value.to_ascii_uppercase()),
            _ => None,
        }
    }

    /// True when the word `nth` places ahead is this one.
    pub(super) fn is_at(&self, nth: usize, word: &str) -> bool {
        matches!(self.peek(nth), Token::Word(Word { value, quote_style: None, .. }) if value.eq_ignore_ascii_case(word))
    }

    /// True when these words, separated by spaces, come next.
    pub(super) fn is(&self, words: &str) -> bool {
        words.split(' ').enumerate().all(|(nth, word)| self.is_at(nth, word))
    }

    /// True when any of these words comes next.
    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_at(0, word))
    }

    /// True when this symbol comes next.
    pub(super) fn is_symbol(&self, symbol: &Token) -> bool {
        self.peek(0) == symbol
    }

    /// True when a name stands `nth` places ahead.
    pub(super) fn is_name_at(&self, nth: usize) -> bool {
        matches!(self.peek(nth), Token::Word(word) if is_name(word))
    }

    /// True when a string literal stands `nth` places ahead.
    pub(super) fn is_string_at(&self, nth: usize) -> bool {
        self.string_at(nth).is_some()
    }

    /// The string literal `nth` places ahead, or the parameter that stands for one.
    fn string_at(&self, nth: usize) -> Option<&str> {
        match self.peek(nth) {
            Token::SingleQuotedString(text) => Some(text),
            Token::Placeholder(name) if self.parameters => Some(name),
            _ => None,
        }
    }

    /// The text of a string literal as sqlparser reads it, or the name of the parameter that stands for one.
    pub(super) fn literal_text(&self, expr: &Expr) -> Option<String> {
        let Expr::Value(value) = expr else { return None };
        match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            Value::Placeholder(name) if self.parameters => Some(name.clone()),
            _ => None,
        }
    }

    /// True when the statement has ended.
    pub(super) fn at_end(&self) -> bool {
        *self.peek(0) == Token::EOF
    }

    /// True when nothing stands between the last token and the next.
    pub(super) fn adjoins_previous(&self) -> bool {
        !self.at_end() && self.parser.get_current_token().span.end == self.span(0).start
    }
}

/// Taking what may be there.
impl Cursor {
    /// Passes over the next `count` tokens.
    pub(super) fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.parser.advance_token();
        }
    }

    /// Takes the next token, whatever it is.
    pub(super) fn take(&mut self) -> TokenWithSpan {
        self.parser.next_token()
    }

    /// Takes these words if all of them come next.
    pub(super) fn accept(&mut self, words: &str) -> bool {
        let found = self.is(words);
        if found {
            self.skip(words.split(' ').count());
        }
        found
    }

    /// Takes one of these words if it comes next.
    pub(super) fn accept_any(&mut self, words: &[&str]) -> bool {
        let found = self.is_any(words);
        if found {
            self.skip(1);
        }
        found
    }

    /// Takes this symbol if it comes next.
    pub(super) fn accept_symbol(&mut self, symbol: &Token) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.skip(1);
        }
        found
    }

    /// Takes `=` if it comes next.
    pub(super) fn accept_equals(&mut self) -> bool {
        self.accept_symbol(&Token::Eq)
    }

    /// A string literal if one comes next.
    pub(super) fn accept_string(&mut self) -> Option<String> {
        let text = self.string_at(0)?.to_owned();
        self.skip(1);
        Some(text)
    }
}

/// Taking what must be there.
impl Cursor {
    /// Takes these words or fails.
    pub(super) fn need(&mut self, words: &str) -> Result<()> {
        for word in words.split(' ') {
            if !self.accept(word) {
                return Err(self.expected(word));
            }
        }
        Ok(())
    }

    /// Takes this symbol or fails.
    pub(super) fn need_symbol(&mut self, symbol: &Token) -> Result<()> {
        if self.accept_symbol(symbol) { Ok(()) } else { Err(self.expected(&format!("'{symbol}'"))) }
    }

    /// Fails unless the statement has ended.
    pub(super) fn need_end(&self) -> Result<()> {
        if self.at_end() { Ok(()) } else { Err(self.expected("the end of the statement")) }
    }

    /// A name: quoted, or a word that is not reserved. `what` says of what, with its article.
    pub(super) fn name(&mut self, what: &str) -> Result<String> {
        if self.is_name_at(0) { self.any_word(what) } else { Err(self.expected(&format!("the name of {what}"))) }
    }

    /// Any word at all, as after a period.
    pub(super) fn any_word(&mut self, what: &str) -> Result<String> {
        let Token::Word(word) = self.peek(0) else { return Err(self.expected(&format!("the name of {what}"))) };
        let name = word.value.clone();
        self.skip(1);
        Ok(name)
    }

    /// A name, or the same as a string literal.
    pub(super) fn name_or_string(&mut self, what: &str) -> Result<String> {
        match self.accept_string() {
            Some(text) => Ok(text),
            None => self.name(what),
        }
    }

    /// A string literal.
    pub(super) fn string(&mut self, what: &str) -> Result<String> {
        self.accept_string().ok_or_else(|| self.expected(&format!("{what} in quotes")))
    }

    /// A whole number.
    pub(super) fn number<N: std::str::FromStr>(&mut self, what: &str) -> Result<N> {
        let digits = match self.peek(0) {
            Token::Number(digits, _) => digits.as_str(),
            // Any number will do until the value is known.
            Token::Placeholder(_) if self.parameters => "1",
            _ => "",
        };
        if let Ok(number) = digits.parse() {
            self.skip(1);
            return Ok(number);
        }
        Err(self.expected(&format!("{what} (a whole number)")))
    }

    /// `[[catalog.]database.]table`
    pub(super) fn table_name(&mut self) -> Result<TableName> {
        let mut parts = self.dotted_name("a table", 3)?;
        let table = parts.pop().unwrap_or_default();
        let database = parts.pop();
        let catalog = parts.pop();
        Ok(TableName { catalog, database, table })
    }

    /// `[catalog.]database`
    pub(super) fn database_name(&mut self) -> Result<(Option<String>, String)> {
        let mut parts = self.dotted_name("a database", 2)?;
        let database = parts.pop().unwrap_or_default();
        Ok((parts.pop(), database))
    }

    /// One to `parts_max` names joined by periods.
    pub(super) fn dotted_name(&mut self, what: &str, parts_max: usize) -> Result<Vec<String>> {
        let mut parts = vec![self.name(what)?];
        while parts.len() < parts_max && self.accept_symbol(&Token::Period) {
            parts.push(self.any_word(what)?);
        }
        Ok(parts)
    }

    /// `{FROM | IN} database` if it comes next; a catalog before it is dropped.
    pub(super) fn database_clause(&mut self) -> Result<Option<String>> {
        if self.accept_any(&["FROM", "IN"]) { Ok(Some(self.database_name()?.1)) } else { Ok(None) }
    }
}

/// Lists.
impl Cursor {
    /// `item, item, …`, at least one.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.accept_symbol(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `(item, …)`, at least one.
    pub(super) fn parenthesised<T>(&mut self, item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.need_symbol(&Token::LParen)?;
        let items = self.list(item)?;
        self.need_symbol(&Token::RParen)?;
        Ok(items)
    }

    /// `(name, …)`
    pub(super) fn names(&mut self, what: &str) -> Result<Vec<String>> {
        self.parenthesised(|c| c.name(what))
    }

    /// `name` or `(name, …)`
    pub(super) fn name_or_names(&mut self, what: &str) -> Result<Vec<String>> {
        if self.is_symbol(&Token::LParen) { self.names(what) } else { Ok(vec![self.name(what)?]) }
    }

    /// `PARTITION | PARTITIONS (p, …)` or without parentheses, if it comes next.
    pub(super) fn partitions(&mut self) -> Result<Vec<String>> {
        if self.accept_any(&["PARTITION", "PARTITIONS"]) { self.name_or_names("a partition") } else { Ok(Vec::new()) }
    }

    /// `PROPERTIES (…)` if it comes next.
    pub(super) fn properties(&mut self) -> Result<Properties> {
        if self.accept("PROPERTIES") { self.property_list() } else { Ok(Properties::default()) }
    }

    /// `("key" = "value", …)`. Keys and values in quotes; plain words, dotted words and numbers are taken too.
    pub(super) fn property_list(&mut self) -> Result<Properties> {
        let pairs = self.parenthesised(|c| {
            let key = match c.accept_string() {
                Some(key) => key,
                None if matches!(c.peek(0), Token::Word(_)) => c.dotted_name("a property", usize::MAX)?.join("."),
                None => return Err(c.expected("a property's key in quotes")),
            };
            c.need_symbol(&Token::Eq)?;
            let value = c.plain_value().ok_or_else(|| c.expected_secret("a property's value in quotes"))?;
            Ok((key, value))
        })?;
        Ok(Properties(pairs))
    }

    /// The text of a string, a number with its sign, or a single word.
    pub(super) fn plain_value(&mut self) -> Option<String> {
        let negative = *self.peek(0) == Token::Minus && matches!(self.peek(1), Token::Number(..));
        let text = match self.peek(usize::from(negative)) {
            Token::SingleQuotedString(text) => text.clone(),
            Token::Number(digits, _) if negative => format!("-{digits}"),
            Token::Number(digits, _) => digits.clone(),
            Token::Word(word) => word.value.clone(),
            Token::Placeholder(name) if self.parameters => name.clone(),
            _ => return None,
        };
        self.skip(1 + usize::from(negative));
        Some(text)
    }

    /// `COMMENT ["="] "text"` if it comes next.
    pub(super) fn comment(&mut self) -> Result<Option<String>> {
        if !self.accept("COMMENT") {
            return Ok(None);
        }
        self.accept_equals();
        self.string("a comment").map(Some)
    }
}

/// What sqlparser reads.
impl Cursor {
    /// An expression.
    pub(super) fn expr(&mut self) -> Result<Expr> {
        let mut expr = self.delegate(Parser::parse_expr)?;
        normalise(self, &mut expr)?;
        Ok(expr)
    }

    /// One item of ORDER BY.
    pub(super) fn order_by_expr(&mut self) -> Result<OrderByExpr> {
        let mut item = self.delegate(Parser::parse_order_by_expr)?;
        normalise(self, &mut item)?;
        Ok(item)
    }

    /// Lets sqlparser read something, and makes its error ours.
    pub(super) fn delegate<T>(
        &mut self,
        read: impl FnOnce(&mut Parser<'static>) -> std::result::Result<T, ParserError>,
    ) -> Result<T> {
        read(&mut self.parser).map_err(|error| match error {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => self.translate(&text),
            ParserError::RecursionLimitExceeded => self.refuse("the statement is nested too deep"),
        })
    }
}

/// Errors.
impl Cursor {
    /// "expected …, found …" at the next token.
    pub(super) fn expected(&self, what: &str) -> SyntaxError {
        self.refuse(format!("expected {what}, found {}", describe(self.peek(0))))
    }

    /// "expected …" at the next token, for a place where what was found may be a secret.
    pub(super) fn expected_secret(&self, what: &str) -> SyntaxError {
        self.refuse(format!("expected {what}"))
    }

    /// A syntax error at the next token.
    pub(super) fn refuse(&self, detail: impl Into<String>) -> SyntaxError {
        let at = self.here();
        SyntaxError::syntax(at.line, at.column, detail)
    }

    /// A syntax error at the token that was taken last.
    pub(super) fn refuse_last(&self, detail: impl Into<String>) -> SyntaxError {
        let at = self.parser.get_current_token().span.start;
        SyntaxError::syntax(at.line, at.column, detail)
    }

    /// A refusal of what is in the grammar, at the next token.
    pub(super) fn analysis(&self, detail: impl Into<String>) -> SyntaxError {
        let at = self.here();
        SyntaxError::analysis(at.line, at.column, detail)
    }

    /// Where the next token begins, or where the statement ends.
    fn here(&self) -> Location {
        if self.at_end() { self.end } else { self.span(0).start }
    }

    /// sqlparser's "Expected: a, found: b at Line: 1, Column: 2" in our words.
    fn translate(&self, text: &str) -> SyntaxError {
        let (message, at) = match text.rsplit_once(" at Line: ") {
            Some((message, place)) => (message, parse_place(place).unwrap_or(self.end)),
            None if text.ends_with("found: EOF") => (text, self.end),
            None => (text, self.here()),
        };
        let message = message.trim();
        let may_quote = |text: &str| text.contains(['\'', '"']);
        let expected = message.strip_prefix("Expected: ").or_else(|| message.strip_prefix("Expected "));
        let detail = match expected.and_then(|rest| rest.rsplit_once(", found: ")) {
            Some((expected, "EOF")) => format!("expected {expected}, found the end of the statement"),
            Some((expected, found)) if may_quote(found) => format!("expected {expected}, found a string"),
            Some((expected, found)) => format!("expected {expected}, found '{found}'"),
            None if may_quote(message) => "this is no query or expression of the dialect".to_owned(),
            None => message.to_owned(),
        };
        SyntaxError::syntax(at.line, at.column, detail)
    }
}

/// What was found, in an error. Never the text of a string.
fn describe(token: &Token) -> String {
    match token {
        Token::EOF => "the end of the statement".to_owned(),
        Token::Word(word) => format!("'{}'", word.value),
        Token::Placeholder(_) => "'?' (a parameter of a prepared statement takes the place of a value)".to_owned(),
        Token::Number(digits, _) => format!("'{digits}'"),
        Token::SingleQuotedString(_) | Token::HexStringLiteral(_) => "a string".to_owned(),
        symbol => match symbol.to_string() {
            text if text.chars().count() <= 3 => format!("'{text}'"),
            _ => "a string".to_owned(),
        },
    }
}

fn is_name(word: &Word) -> bool {
    word.quote_style.is_some() || !(word.value.starts_with('@') || is_reserved(&word.value))
}

/// `1, Column: 2`; line 0 means that sqlparser knew none.
fn parse_place(place: &str) -> Option<Location> {
    let (line, column) = place.split_once(", Column: ")?;
    let (line, column) = (line.trim().parse().ok()?, column.trim().parse().ok()?);
    (line > 0).then(|| Location::new(line, column))
}
