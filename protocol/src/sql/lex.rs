//! Text → tokens, one list a statement.
//!
//! sqlparser's tokenizer does the lexing. What is made simpler here, the grammar need not know: comments and hints are
//! gone, `"text"` and `N'text'` are `'text'`, placeholders are numbered `$1, $2, …` in the order of the text, and `;` has cut
//! the statements apart. What is nested too deep is refused at once (`sql::limits`).

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use super::dialect::StarRocks;
use super::error::SyntaxError;
use super::limits;

/// The tokens of one statement.
#[derive(Debug, Clone)]
pub(crate) struct StatementTokens {
    /// No whitespace, no comments, no `;`.
    pub(crate) tokens: Vec<TokenWithSpan>,
    /// Where the statement ends, for errors about something missing.
    pub(crate) end: Location,
}

/// Cuts a text into statements. Empty ones vanish.
pub(crate) fn split(dialect: &'static StarRocks, text: &str) -> Result<Vec<StatementTokens>, SyntaxError> {
    let mut raw = Vec::new();
    Tokenizer::new(dialect, text).tokenize_with_location_into_buf(&mut raw).map_err(|error| {
        // Its messages are fixed texts and begin with a capital.
        let detail = error.message.replacen("Unterminated", "unterminated", 1);
        SyntaxError::syntax(error.location.line.max(1), error.location.column.max(1), detail)
    })?;

    let mut statements = Vec::new();
    let mut current = Vec::new();
    for token in raw {
        match token.token {
            Token::Whitespace(_) => {}
            Token::SemiColon => finish(&mut statements, &mut current, token.span.start)?,
            _ => current.push(token),
        }
    }
    let end = current.last().map_or(Location::new(1, 1), |token| token.span.end);
    finish(&mut statements, &mut current, end)?;
    Ok(statements)
}

fn finish(
    statements: &mut Vec<StatementTokens>,
    current: &mut Vec<TokenWithSpan>,
    end: Location,
) -> Result<(), SyntaxError> {
    if current.is_empty() {
        return Ok(());
    }
    let tokens = simplify(std::mem::take(current));
    limits::check(&tokens)?;
    check_printable(&tokens)?;
    statements.push(StatementTokens { tokens, end });
    Ok(())
}

/// What is said of such names.
pub(super) const MISPRINTED: &str =
    "a name has two backticks side by side, or one behind a backslash: choose another name";

/// Whether sqlparser would print a name as another: it writes a backtick in a name twice, but not where it takes it for one that
/// somebody has escaped already.
pub(super) fn is_misprinted(name: &str) -> bool {
    name.contains("``") || name.contains("\\`")
}

/// What is said of `t.'a'`, which sqlparser takes for a name, prints as another, and MySQL refuses.
const IN_QUOTES: &str = "a name beside a dot stands in backticks, not in quotes";

/// What is said of `a..1b` and `a.0.0e`: `.1b` and `0.0` are names to sqlparser, and are not read as such in every place.
const DOTTED: &str = "a name that has a dot stands in backticks";

/// What is said of `x'a''b'`, which sqlparser prints as `X'a'b'`.
const QUOTE_IN_DIGITS: &str = "a literal of bits or bytes has digits only";

/// Refuses what sqlparser takes, and prints as something else.
fn check_printable(tokens: &[TokenWithSpan]) -> Result<(), SyntaxError> {
    for pair in tokens.windows(2) {
        let [left, right] = pair else { continue };
        for (dot, string) in [(left, right), (right, left)] {
            if dot.token == Token::Period && matches!(string.token, Token::SingleQuotedString(_)) {
                return Err(limits::refuse(string.span, IN_QUOTES.to_owned()));
            }
        }
    }
    for TokenWithSpan { token, span } in tokens {
        match token {
            Token::Word(Word { quote_style: Some('`'), value, .. }) if is_misprinted(value) => {
                return Err(limits::refuse(*span, MISPRINTED.to_owned()));
            }
            Token::Word(Word { quote_style: None, value, .. }) if value.contains('.') => {
                return Err(limits::refuse(*span, DOTTED.to_owned()));
            }
            Token::SingleQuotedByteStringLiteral(digits)
            | Token::DoubleQuotedByteStringLiteral(digits)
            | Token::HexStringLiteral(digits)
                if digits.contains(['\'', '"', '\\']) =>
            {
                return Err(limits::refuse(*span, QUOTE_IN_DIGITS.to_owned()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// See the file's head. Also takes StarRocks's hints in brackets out: `JOIN [SHUFFLE] t`.
fn simplify(raw: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut placeholders = 0;
    let mut tokens: Vec<TokenWithSpan> = Vec::with_capacity(raw.len());
    let mut rest = raw.into_iter().peekable();
    while let Some(TokenWithSpan { token, span }) = rest.next() {
        let token = match token {
            Token::DoubleQuotedString(text) | Token::NationalStringLiteral(text) => Token::SingleQuotedString(text),
            Token::Placeholder(_) => {
                placeholders += 1;
                Token::Placeholder(format!("${placeholders}"))
            }
            Token::LBracket if tokens.last().is_some_and(|last| is_keyword(&last.token, Keyword::JOIN)) => {
                // A hint may have arguments, `[SKEW|t.a(1)]`; it ends at its bracket or at the statement's end.
                for skipped in rest.by_ref() {
                    if skipped.token == Token::RBracket {
                        break;
                    }
                }
                continue;
            }
            // Before a quoted name: `@'host'`. The tokenizer makes a word of it everywhere else.
            Token::AtSign => Token::make_word("@", None),
            other => other,
        };
        if let Some(last) = tokens.last_mut().filter(|last| last.span.end == span.start)
            && let Some(name) = name_from_digits(&last.token, &token)
        {
            *last = TokenWithSpan { token: Token::make_word(&name, None), span: last.span.union(&span) };
            continue;
        }
        tokens.push(TokenWithSpan { token, span });
    }
    tokens
}

/// The name that digits and the word right behind them are together: sqlparser reads `3d` as one name, but not `3ecret`, where it
/// looks for an exponent first.
fn name_from_digits(digits: &Token, word: &Token) -> Option<String> {
    let (Token::Number(digits, false) | Token::Word(Word { value: digits, quote_style: None, .. })) = digits else {
        return None;
    };
    let Token::Word(Word { value, quote_style: None, .. }) = word else { return None };
    let is_name = value.starts_with(['e', 'E']) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_name.then(|| format!("{digits}{value}"))
}

fn is_keyword(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(Word { quote_style: None, keyword: found, .. }) if *found == keyword)
}
