//! Prepared statements: a text with `?` in the place of values, and the statement it becomes when the values are known.
//!
//! A parameter may stand wherever a literal may. Where that is an expression, the value is put into the tree that was read
//! once (`sql::bind`). Elsewhere (a property, a pattern, a label, a password, a LIMIT of SHOW) the tree holds plain text that
//! cannot tell a parameter from a literal: then the statement keeps its tokens, and is read again with the values among them.
//! Either way a value is one literal and can never be more, whatever is in it.

use sqlparser::ast::Value;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::ast::Statement;
use super::bind::{self, BindError, count_placeholders};
use super::error::SyntaxError;
use super::lex::{self, StatementTokens};
use super::parse::{self, ParseOptions};

/// A statement whose `?` have no values yet.
#[derive(Debug, Clone)]
pub struct Template {
    statement: Statement,
    parameter_count: usize,
    /// The tokens, when some parameter is nowhere in the tree.
    tokens: Option<StatementTokens>,
    options: ParseOptions,
}

/// Why values do not make a statement of a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Not as many values as parameters.
    #[error(transparent)]
    Count(#[from] BindError),
    /// A value that makes no sense in its place.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
}

/// Reads a text of any number of statements, each with or without `?`. Like [`parse`](super::parse()), all or nothing.
pub fn prepare(text: &str, options: ParseOptions) -> Result<Vec<Template>, SyntaxError> {
    lex::split(options.dialect(), text)?.into_iter().map(|tokens| Template::read(tokens, options)).collect()
}

impl Template {
    pub(super) fn read(tokens: StatementTokens, options: ParseOptions) -> Result<Self, SyntaxError> {
        let parameter_count = tokens.tokens.iter().filter(|token| is_parameter(token)).count();
        if parameter_count == 0 {
            return Ok(Self { statement: parse::tokens(tokens, options)?, parameter_count, tokens: None, options });
        }
        let statement = parse::template(tokens.clone(), options)?;
        let is_in_tree = count_placeholders(&statement) == parameter_count;
        Ok(Self { statement, parameter_count, tokens: (!is_in_tree).then_some(tokens), options })
    }

    /// What it is: the kind of statement and the shape of a query. What stands in the place of a parameter means nothing.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// How many values it wants.
    pub fn parameter_count(&self) -> usize {
        self.parameter_count
    }

    /// The statement with these values, in the order of the text.
    pub fn bind(&self, values: &[Value]) -> Result<Statement, TemplateError> {
        let (expected, given) = (self.parameter_count, values.len());
        if expected != given {
            return Err(BindError { expected, given }.into());
        }
        let Some(tokens) = &self.tokens else {
            return Ok(bind::bind(self.statement.clone(), values)?);
        };
        let mut values = values.iter();
        let mut bound = Vec::with_capacity(tokens.tokens.len());
        for token in &tokens.tokens {
            match values.as_slice().first().filter(|_| is_parameter(token)) {
                Some(value) => {
                    values.next();
                    let literal = literal(value);
                    bound.extend(literal.into_iter().map(|literal| TokenWithSpan::new(literal, token.span)));
                }
                None => bound.push(token.clone()),
            }
        }
        Ok(parse::tokens(StatementTokens { tokens: bound, end: tokens.end }, self.options)?)
    }
}

fn is_parameter(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Placeholder(_))
}

/// A value as the lexer would have read it.
fn literal(value: &Value) -> Vec<Token> {
    match value {
        Value::Null => vec![Token::make_keyword("NULL")],
        Value::Boolean(flag) => vec![Token::make_keyword(if *flag { "TRUE" } else { "FALSE" })],
        Value::HexStringLiteral(digits) => vec![Token::HexStringLiteral(digits.clone())],
        Value::Number(digits, long) => match digits.strip_prefix('-') {
            Some(positive) => vec![Token::Minus, Token::Number(positive.to_owned(), *long)],
            None => vec![Token::Number(digits.clone(), *long)],
        },
        Value::SingleQuotedString(text) => vec![Token::SingleQuotedString(text.clone())],
        // No server makes a value of another kind; as a text it can do no harm.
        other => vec![Token::SingleQuotedString(other.to_string())],
    }
}
