//! The dialect that sqlparser reads expressions and queries with.
//!
//! MySQL's, as sqlparser knows it, with StarRocks's differences: GROUP BY ROLLUP / CUBE / GROUPING SETS, `||` as OR
//! unless the session says otherwise, MOD and DIV as operators with the precedence of `*`, and MySQL's precedence of
//! bit operators and XOR, which sqlparser takes from PostgreSQL. Long AND and OR chains become balanced trees, so that
//! ten thousand of them neither overflow a stack here nor in the query engine.

use std::any::TypeId;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName,
};
use sqlparser::dialect::{Dialect, MySqlDialect};
use sqlparser::keywords::{self, Keyword};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

// Precedences where MySQL differs from sqlparser's defaults, on sqlparser's scale: OR is 5, AND 10, comparison 20,
// plus and minus 30, times 40, unary minus and casts 50; paths into JSON bind to their column before anything else.
const PRECEDENCE_ASSIGN: u8 = 3;
const PRECEDENCE_OR: u8 = 5;
const PRECEDENCE_XOR: u8 = 7;
const PRECEDENCE_AND: u8 = 10;
const PRECEDENCE_BIT_OR: u8 = 22;
const PRECEDENCE_BIT_AND: u8 = 24;
const PRECEDENCE_SHIFT: u8 = 26;
const PRECEDENCE_CONCAT: u8 = 40;
const PRECEDENCE_TIMES: u8 = 40;
const PRECEDENCE_BIT_XOR: u8 = 45;
const PRECEDENCE_UNARY: u8 = 50;
const PRECEDENCE_PATH: u8 = 60;

/// Words that are no table's alias unless AS says so: index hints, and LOCK IN SHARE MODE.
const NO_TABLE_ALIAS: [Keyword; 5] =
    [Keyword::USE, Keyword::IGNORE, Keyword::FORCE, Keyword::STRAIGHT_JOIN, Keyword::LOCK];

/// Words that begin no operand. sqlparser takes them for columns, and so finds sense in what has none.
const NO_OPERAND: [Keyword; 26] = {
    use Keyword as K;
    [
        K::AND,
        K::OR,
        K::XOR,
        K::FROM,
        K::WHERE,
        K::GROUP,
        K::ORDER,
        K::HAVING,
        K::LIMIT,
        K::UNION,
        K::EXCEPT,
        K::INTERSECT,
        K::ON,
        K::JOIN,
        K::WHEN,
        K::THEN,
        K::ELSE,
        K::IN,
        K::IS,
        K::LIKE,
        K::BETWEEN,
        K::AS,
        K::INTO,
        K::SELECT,
        K::USING,
        K::DIV,
    ]
};

/// Character sets that may introduce a string, as in `_utf8mb4'text'`. All text is UTF-8 here, so they say nothing.
const CHARSET_INTRODUCERS: [&str; 6] = ["_utf8mb4", "_utf8mb3", "_utf8", "_ascii", "_latin1", "_binary"];

/// StarRocks as sqlparser sees it.
#[derive(Debug)]
pub(crate) struct StarRocks {
    /// `||` joins strings (sql_mode PIPES_AS_CONCAT) instead of meaning OR.
    pub(crate) pipes_as_concat: bool,
}

/// With the default `sql_mode`.
pub(crate) static STARROCKS: StarRocks = StarRocks { pipes_as_concat: false };
/// With `PIPES_AS_CONCAT` in `sql_mode`.
pub(crate) static STARROCKS_PIPES_AS_CONCAT: StarRocks = StarRocks { pipes_as_concat: true };

const MYSQL: MySqlDialect = MySqlDialect {};

impl Dialect for StarRocks {
    /// What sqlparser does for MySQL only, it does for StarRocks too.
    fn dialect(&self) -> TypeId {
        TypeId::of::<MySqlDialect>()
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        MYSQL.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        MYSQL.is_identifier_part(ch)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn supports_string_literal_backslash_escape(&self) -> bool {
        true
    }

    fn supports_string_literal_concatenation(&self) -> bool {
        true
    }

    fn ignores_wildcard_escapes(&self) -> bool {
        true
    }

    fn supports_numeric_prefix(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_multiline_comment_hints(&self) -> bool {
        true
    }

    fn requires_single_line_comment_whitespace(&self) -> bool {
        true
    }

    fn require_interval_qualifier(&self) -> bool {
        true
    }

    fn supports_limit_comma(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_group_by_with_modifier(&self) -> bool {
        true
    }

    fn supports_select_wildcard_except(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    /// `FROM (t)` and `FROM (t AS x)`, which print without the parentheses.
    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_table_hints(&self) -> bool {
        true
    }

    fn supports_select_modifiers(&self) -> bool {
        true
    }

    fn supports_data_type_signed_suffix(&self) -> bool {
        true
    }

    fn supports_cross_join_constraint(&self) -> bool {
        true
    }

    fn supports_double_ampersand_operator(&self) -> bool {
        true
    }

    fn supports_match_against(&self) -> bool {
        true
    }

    fn supports_bang_not_operator(&self) -> bool {
        true
    }

    /// A word that begins a form of its own, such as NOT or CASE, is no column when that form is broken.
    /// `map{'a': 1}`, which `parse::query` makes a call of `map`.
    fn support_map_literal_syntax(&self) -> bool {
        true
    }

    fn is_reserved_for_identifier(&self, kw: Keyword) -> bool {
        keywords::RESERVED_FOR_IDENTIFIER.contains(&kw) || matches!(kw, Keyword::NOT | Keyword::CASE | Keyword::CAST)
    }

    fn is_table_factor_alias(&self, explicit: bool, kw: &Keyword, _parser: &mut Parser) -> bool {
        explicit || (!keywords::RESERVED_FOR_TABLE_ALIAS.contains(kw) && !NO_TABLE_ALIAS.contains(kw))
    }

    /// `BINARY x` is `x`, since comparison is by byte anyway, and a charset introducer says nothing. INTERVAL is read here
    /// because sqlparser tries it twice when it fails, and so takes exponential time for nested ones.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let Token::Word(word) = &parser.peek_token_ref().token else { return None };
        if word.quote_style.is_some() {
            return None;
        }
        if NO_OPERAND.contains(&word.keyword) || word.value == "@" {
            return Some(parser.expected_ref("an expression", parser.peek_token_ref()));
        }
        let next = &parser.peek_nth_token_ref(1).token;
        if word.keyword == Keyword::BINARY && starts_operand(next) {
            parser.advance_token();
            // In parentheses, so that a word is not taken for something else once BINARY is gone.
            return Some(parser.parse_subexpr(PRECEDENCE_UNARY).map(|operand| match operand {
                literal @ Expr::Value(_) => literal,
                other => Expr::Nested(Box::new(other)),
            }));
        }
        if word.keyword == Keyword::INTERVAL && is_list_next(parser) {
            parser.advance_token();
            return Some(parse_interval_function(parser));
        }
        if word.keyword == Keyword::INTERVAL && starts_operand(next) {
            parser.advance_token();
            return Some(parser.parse_interval());
        }
        let introduces = matches!(next, Token::SingleQuotedString(_) | Token::HexStringLiteral(_))
            && CHARSET_INTRODUCERS.iter().any(|name| word.value.eq_ignore_ascii_case(name));
        if introduces {
            parser.advance_token();
            return Some(parser.parse_subexpr(PRECEDENCE_UNARY));
        }
        None
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        match infix(self, &parser.peek_token_ref().token)? {
            Infix::Chain(op) => Some(parse_chain(self, parser, left.clone(), op, precedence)),
            Infix::Binary(op) => {
                parser.advance_token();
                // `a % ALL (…)` is a form of its own, which the words DIV and MOD do not have.
                if parser.peek_one_of_keywords(&[Keyword::ALL, Keyword::ANY, Keyword::SOME]).is_some() {
                    return Some(parser.expected_ref("an expression", parser.peek_token_ref()));
                }
                Some(parser.parse_subexpr(precedence).map(|right| binary(left.clone(), op, right)))
            }
            Infix::Concat => Some(parse_concat(self, parser, left.clone(), precedence)),
        }
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        let precedence = match &parser.peek_token_ref().token {
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::XOR => PRECEDENCE_XOR,
                Keyword::DIV | Keyword::MOD => PRECEDENCE_TIMES,
                // Operators of PostgreSQL that would swallow an alias.
                Keyword::OVERLAPS | Keyword::OPERATOR | Keyword::NOTNULL | Keyword::SIMILAR => 0,
                _ => return None,
            },
            Token::Assignment => PRECEDENCE_ASSIGN,
            Token::Overlap => PRECEDENCE_AND,
            Token::StringConcat if self.pipes_as_concat => PRECEDENCE_CONCAT,
            Token::StringConcat => PRECEDENCE_OR,
            Token::Pipe => PRECEDENCE_BIT_OR,
            Token::Ampersand => PRECEDENCE_BIT_AND,
            Token::ShiftLeft | Token::ShiftRight => PRECEDENCE_SHIFT,
            Token::Caret => PRECEDENCE_BIT_XOR,
            Token::Arrow | Token::LongArrow => PRECEDENCE_PATH,
            // Factorial, casts, paths and operators that only other systems have.
            Token::ExclamationMark | Token::DoubleColon | Token::Colon | Token::AtSign | Token::Question => 0,
            _ => return None,
        };
        Some(Ok(precedence))
    }
}

/// Operators that this dialect reads itself.
enum Infix {
    /// AND and OR: a chain of them is one balanced tree.
    Chain(BinaryOperator),
    /// Operators that sqlparser knows by another name or precedence.
    Binary(BinaryOperator),
    /// `||` under PIPES_AS_CONCAT.
    Concat,
}

fn infix(dialect: &StarRocks, token: &Token) -> Option<Infix> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => match word.keyword {
            Keyword::AND => Some(Infix::Chain(BinaryOperator::And)),
            Keyword::OR => Some(Infix::Chain(BinaryOperator::Or)),
            Keyword::DIV => Some(Infix::Binary(BinaryOperator::MyIntegerDivide)),
            Keyword::MOD => Some(Infix::Binary(BinaryOperator::Modulo)),
            _ => None,
        },
        Token::Overlap => Some(Infix::Chain(BinaryOperator::And)),
        Token::StringConcat if dialect.pipes_as_concat => Some(Infix::Concat),
        Token::StringConcat => Some(Infix::Chain(BinaryOperator::Or)),
        _ => None,
    }
}

/// Reads `op operand [op operand …]` whole and builds a balanced tree: AND and OR are associative, also with NULL.
fn parse_chain(
    dialect: &StarRocks,
    parser: &mut Parser,
    first: Expr,
    op: BinaryOperator,
    precedence: u8,
) -> Result<Expr, ParserError> {
    let mut operands = vec![first];
    while let Some(Infix::Chain(next)) = infix(dialect, &parser.peek_token_ref().token) {
        if next != op {
            break;
        }
        parser.advance_token();
        operands.push(parser.parse_subexpr(precedence)?);
    }
    Ok(balance(operands, &op))
}

/// A tree of the least depth whose leaves are `operands` in order. `operands` is never empty.
fn balance(mut operands: Vec<Expr>, op: &BinaryOperator) -> Expr {
    while operands.len() > 1 {
        let mut level = Vec::with_capacity(operands.len().div_ceil(2));
        let mut rest = operands.into_iter();
        while let Some(left) = rest.next() {
            level.push(match rest.next() {
                Some(right) => binary(left, op.clone(), right),
                None => left,
            });
        }
        operands = level;
    }
    operands.pop().unwrap_or_else(|| Expr::value(sqlparser::ast::Value::Null))
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// Reads `|| operand [|| operand …]` whole, as one call of `concat`: a printed statement then means the same in every
/// `sql_mode`, and the tree does not grow with the chain.
fn parse_concat(dialect: &StarRocks, parser: &mut Parser, first: Expr, precedence: u8) -> Result<Expr, ParserError> {
    let mut operands = vec![first];
    while let Some(Infix::Concat) = infix(dialect, &parser.peek_token_ref().token) {
        parser.advance_token();
        operands.push(parser.parse_subexpr(precedence)?);
    }
    Ok(call("concat", operands))
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// True when the word that comes next is followed by several items in parentheses: `INTERVAL(n, a, b)` is a function, and
/// `INTERVAL (n) DAY` is none.
fn is_list_next(parser: &Parser) -> bool {
    let mut depth = 0_usize;
    for nth in 1.. {
        match &parser.peek_nth_token_ref(nth).token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 1 => return false,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Comma if depth == 1 => return true,
            Token::EOF => return false,
            _ if depth == 0 => return false,
            _ => {}
        }
    }
    false
}

/// What comes after INTERVAL when it is a function.
fn parse_interval_function(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let args = parser.parse_comma_separated(Parser::parse_expr)?;
    parser.expect_token(&Token::RParen)?;
    Ok(call("interval", args))
}

/// True when a token can only begin an operand, which makes the word before it a prefix operator.
fn starts_operand(token: &Token) -> bool {
    match token {
        Token::SingleQuotedString(_) | Token::Number(..) | Token::LParen | Token::Placeholder(_) | Token::Minus => true,
        Token::Word(word) => {
            word.quote_style.is_some()
                || !keywords::RESERVED_FOR_COLUMN_ALIAS.contains(&word.keyword) && !is_operator(word.keyword)
        }
        _ => false,
    }
}

fn is_operator(keyword: Keyword) -> bool {
    use Keyword::{AND, AS, ASC, BETWEEN, COLLATE, DESC, DIV, ESCAPE, IN, IS, LIKE, MOD, NOT, OR, REGEXP, RLIKE, XOR};
    matches!(
        keyword,
        AND | AS
            | ASC
            | BETWEEN
            | COLLATE
            | DESC
            | DIV
            | ESCAPE
            | IN
            | IS
            | LIKE
            | MOD
            | NOT
            | OR
            | REGEXP
            | RLIKE
            | XOR
    )
}
