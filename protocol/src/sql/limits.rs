//! Refuses token lists that would make a tree too deep, before anything recurses over it.
//!
//! The parser guards its own recursion, but not the depth of what its loops build: `1 + 1 + …` is read by a loop and is a
//! tree as deep as it is long, and dropping, printing or planning that tree recurses. So the length of every chain is
//! bounded here by counting tokens: a run ends at a comma, at AND and OR (which become balanced trees, see `sql::dialect`)
//! and at the words that begin a clause. A chain of chains in parentheses is as deep as all of them together, and that is
//! bounded as well. One pass, no recursion.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::error::SyntaxError;

/// How deep parentheses, brackets and CASE may nest. The parser's own limit on expressions is lower; this one
/// holds for everything else.
const NESTING_MAX: usize = 128;

/// How deep types may nest: `ARRAY<ARRAY<…>>`.
const TYPE_NESTING_MAX: usize = 16;

/// How many tokens a run may have. Two make an operator and an operand, so no chain is deeper than half of it, or as deep as
/// it when all operators are postfix.
const RUN_MAX: usize = 400;

/// How many tokens the runs may have that contain each other: a run, and the deepest of what stands in parentheses in it.
const DEPTH_MAX: usize = 600;

/// How many UNION, EXCEPT and INTERSECT one query may have at the same depth of parentheses.
const SET_OPERATORS_MAX: usize = 1000;

/// How often the set operator may change there. Equal ones in a row become a balanced tree (see `sql::parse`), so this is what
/// makes the tree deep.
const SET_OPERATOR_CHANGES_MAX: usize = 30;

/// One level of nesting.
#[derive(Default, Clone, Copy)]
struct Level {
    /// Opened by CASE, so closed by END.
    case: bool,
    /// Tokens since the run began.
    run: usize,
    /// The depth of the deepest level that was closed since the run began.
    inner: usize,
    /// The depth of the deepest run that ended at this level.
    deepest: usize,
    /// BETWEENs whose AND has not come yet: that AND does not end the run.
    between: usize,
    set_operators: usize,
    set_operator: Option<SetOperator>,
    set_operator_changes: usize,
}

impl Level {
    /// What follows is no deeper for what has been.
    fn end_run(&mut self) {
        self.deepest = self.depth();
        self.run = 0;
        self.inner = 0;
    }

    /// Tokens on the way to the deepest point of this level.
    fn depth(&self) -> usize {
        self.deepest.max(self.run + self.inner)
    }

    /// This level, after one in it was closed.
    fn after(self, closed: Self) -> Self {
        Self { inner: self.inner.max(closed.depth()), ..self }
    }
}

/// A set operator and whether ALL follows it.
type SetOperator = (Keyword, bool);

/// Refuses what is nested or chained beyond the limits above.
pub(crate) fn check(tokens: &[TokenWithSpan]) -> Result<(), SyntaxError> {
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::default();
    let mut angle_depth = 0_usize;
    let mut previous = &Token::EOF;
    for (at, TokenWithSpan { token, span }) in tokens.iter().enumerate() {
        level.run += 1;
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => outer.push(std::mem::take(&mut level)),
            Token::RParen | Token::RBracket | Token::RBrace => {
                while level.case {
                    level = outer.pop().unwrap_or_default().after(level);
                }
                level = outer.pop().unwrap_or_default().after(level);
            }
            Token::Comma => level.end_run(),
            // AND and OR by another name.
            Token::StringConcat | Token::Overlap if ends_operand(previous) => level.end_run(),
            Token::Lt if takes_angle_brackets(previous) => angle_depth += 1,
            Token::Gt => angle_depth = angle_depth.saturating_sub(1),
            Token::ShiftRight => angle_depth = angle_depth.saturating_sub(2),
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::CASE => {
                    outer.push(std::mem::take(&mut level));
                    level.case = true;
                }
                Keyword::END if level.case => level = outer.pop().unwrap_or_default().after(level),
                Keyword::BETWEEN => level.between += 1,
                Keyword::AND if level.between > 0 => level.between -= 1,
                keyword if is_set_operator(keyword) => {
                    let all = tokens.get(at + 1).is_some_and(|next| is_all(&next.token));
                    let operator = Some((keyword, all));
                    level.end_run();
                    level.set_operators += 1;
                    level.set_operator_changes += usize::from(level.set_operator != operator);
                    level.set_operator = operator;
                }
                keyword if ends_run(keyword) && ends_operand(previous) => level.end_run(),
                _ => {}
            },
            _ => {}
        }
        if outer.len() > NESTING_MAX {
            return Err(refuse(*span, format!("the statement is nested deeper than {NESTING_MAX} levels")));
        }
        if angle_depth > TYPE_NESTING_MAX {
            return Err(refuse(*span, format!("a type is nested deeper than {TYPE_NESTING_MAX} levels")));
        }
        if level.run > RUN_MAX {
            return Err(refuse(*span, format!("an expression goes on for more than {RUN_MAX} words; use parentheses")));
        }
        if level.depth() > DEPTH_MAX {
            let detail =
                format!("expressions contain each other more than {DEPTH_MAX} words deep; split the statement");
            return Err(refuse(*span, detail));
        }
        if level.set_operators > SET_OPERATORS_MAX {
            return Err(refuse(*span, format!("a query has more than {SET_OPERATORS_MAX} set operators")));
        }
        if level.set_operator_changes > SET_OPERATOR_CHANGES_MAX {
            let detail =
                format!("a query mixes set operators more than {SET_OPERATOR_CHANGES_MAX} times; use parentheses");
            return Err(refuse(*span, detail));
        }
        previous = token;
    }
    Ok(())
}

pub(super) fn refuse(span: Span, detail: String) -> SyntaxError {
    SyntaxError::syntax(span.start.line, span.start.column, detail)
}

fn is_all(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.keyword == Keyword::ALL)
}

fn is_set_operator(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS)
}

/// Words after which a new expression begins at the same level of the tree, when they follow an operand.
fn ends_run(keyword: Keyword) -> bool {
    use Keyword as K;
    matches!(
        keyword,
        K::AND | K::OR | K::WHEN | K::THEN | K::ELSE | K::SELECT | K::FROM | K::JOIN | K::ON | K::USING | K::WHERE
    ) || matches!(keyword, K::GROUP | K::ORDER | K::BY | K::HAVING | K::LIMIT | K::SET | K::VALUES | K::WITH)
}

/// True for a token that can end an operand. After anything else a clause's word is an odd name: `1 + limit + limit`.
fn ends_operand(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            word.quote_style.is_some()
                || !(is_operator(word.keyword) || ends_run(word.keyword) || word.keyword == Keyword::DISTINCT)
        }
        Token::Number(..) | Token::SingleQuotedString(_) | Token::HexStringLiteral(_) | Token::Placeholder(_) => true,
        Token::RParen | Token::RBracket | Token::RBrace => true,
        _ => false,
    }
}

fn is_operator(keyword: Keyword) -> bool {
    use Keyword as K;
    matches!(
        keyword,
        K::AND
            | K::OR
            | K::XOR
            | K::NOT
            | K::IS
            | K::IN
            | K::LIKE
            | K::ILIKE
            | K::RLIKE
            | K::REGEXP
            | K::BETWEEN
            | K::DIV
    ) || matches!(keyword, K::MOD | K::ESCAPE | K::COLLATE | K::SIMILAR | K::TO | K::MATCH | K::MEMBER | K::OF)
        || matches!(keyword, K::INTERVAL | K::BINARY | K::AT | K::TIME | K::ANY | K::ALL | K::SOME | K::OPERATOR)
}

/// Types whose arguments stand in angle brackets, which are read by recursion.
fn takes_angle_brackets(token: &Token) -> bool {
    matches!(token, Token::Word(word) if ["ARRAY", "MAP", "STRUCT"].iter().any(|name| word.value.eq_ignore_ascii_case(name)))
}
