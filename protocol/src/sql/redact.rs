//! Secrets leave no statement: every text that goes to a log, an error or SHOW PROCESSLIST passes through here.
//!
//! [`redact`] takes any text, also one that is no statement. A text without a telling word (`password`, `secret`, …) is passed
//! on as it is. Otherwise it is cut into pieces by a lexer of its own, which never fails, and what stands where a secret
//! stands is replaced by [`MASK`]. That rests on the quotes being where the writer meant them; so when the text does not
//! parse, nothing after the first telling word is kept at all.

use super::ast::Statement;
use super::parse::parse;

/// What stands where a secret was.
pub const MASK: &str = "***";

/// Words that make a property's value secret when its key contains one, once separators are dropped.
const SECRET_WORDS: [&str; 14] = [
    "secret",
    "token",
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "accesskey",
    "privatekey",
    "sharedkey",
    "accountkey",
    "credential",
    "externalid",
    "keytab",
    "signature",
];

/// The same as a whole part of a property's key, such as `s3.sk`. Columns are called so as well (`d_date_sk`), so these
/// tell only where they are in quotes or followed by a value in quotes.
const SECRET_PARTS: [&str; 2] = ["ak", "sk"];

/// True when the value of a property or variable with this key must not be shown: `aws.s3.secret_key`,
/// `fs.s3a.access.key`, `session_token`, `AWS_ACCESS_KEY`, `password`, …
pub fn is_secret_key(key: &str) -> bool {
    has_secret_word(key) || has_secret_part(key)
}

fn has_secret_word(key: &str) -> bool {
    let key = squeeze(key);
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

fn has_secret_part(key: &str) -> bool {
    let mut parts = key.split(|c: char| !c.is_alphanumeric());
    parts.any(|part| SECRET_PARTS.iter().any(|word| part.eq_ignore_ascii_case(word)))
}

/// Lower case, without separators.
fn squeeze(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

impl Statement {
    /// The statement as text with every secret masked.
    pub fn redacted(&self) -> String {
        // What is printed is known to be well formed, so there is no need to parse it again.
        mask(&self.to_string())
    }
}

/// The text with every secret masked. Never fails, and when in doubt masks too much.
pub fn redact(text: &str) -> String {
    let Some(first) = first_telling_word(text) else { return hide_user_info(text) };
    if text.len() <= PARSED_BYTES_MAX && parse(text).is_ok() {
        return mask(text);
    }
    format!("{}{MASK}", hide_user_info(&text[..first]))
}

/// Longer texts are cut at the first telling word without asking the parser: they are loads, and logs cut them anyway.
const PARSED_BYTES_MAX: usize = 1 << 20;

/// Where the first word stands that tells of a secret. One or two separators within it do not hide it.
fn first_telling_word(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len()).find(|&at| {
        let here = |word: &&str| begins_with(&bytes[at..], word.as_bytes());
        bytes[at].is_ascii_alphabetic()
            && (SECRET_WORDS.iter().any(here)
                || here(&"identified")
                || is_telling_part(bytes, at)
                || is_azure_signature(bytes, at))
    })
}

/// True when the signature of a presigned URL of Azure stands at `at`; those of others have telling words.
fn is_azure_signature(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    matches!(before, Some(b'?' | b'&')) && bytes[at..].starts_with(b"sig=")
}

/// True when one of [`SECRET_PARTS`] stands at `at` by itself, as the end of a key in quotes or with a value in quotes
/// after it.
fn is_telling_part(bytes: &[u8], at: usize) -> bool {
    let is_of_word = |byte: u8| byte.is_ascii_alphanumeric();
    let before = at.checked_sub(1).and_then(|before| bytes.get(before)).copied();
    if before.is_some_and(is_of_word) {
        return false;
    }
    let Some(word) = SECRET_PARTS
        .iter()
        .find(|word| bytes.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes())))
    else {
        return false;
    };
    let rest = &bytes[at + word.len()..];
    let is_quote = |byte: u8| matches!(byte, b'\'' | b'"');
    let blank = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let closed = rest.first().copied().is_some_and(is_quote);
    // `d_date_sk = '…'` is a column.
    if !closed && before == Some(b'_') {
        return false;
    }
    let rest = if closed { &rest[1..] } else { rest };
    let rest = &rest[blank(rest)..];
    match rest.first() {
        Some(b'=' | b':') => {
            let value = &rest[1..];
            closed || value.get(blank(value)).copied().is_some_and(is_quote)
        }
        _ => false,
    }
}

/// True when `bytes` begin with `word`, with up to two separators between letters.
fn begins_with(bytes: &[u8], word: &[u8]) -> bool {
    let mut rest = bytes;
    word.iter().enumerate().all(|(nth, letter)| {
        let separators = rest.iter().take(if nth == 0 { 0 } else { 2 }).take_while(|byte| is_separator(**byte)).count();
        rest = &rest[separators..];
        let found = rest.first().is_some_and(|byte| byte.eq_ignore_ascii_case(letter));
        rest = rest.get(1..).unwrap_or_default();
        found
    })
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'_' | b'-' | b'.' | b' ')
}

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    Comment,
    /// In single or double quotes, which it includes.
    Quoted,
    /// In backticks, which it includes.
    Name,
    Word,
    Symbol,
}

/// Masks by position. The text is taken to be well formed.
fn mask(text: &str) -> String {
    let mut masker = Masker { out: String::with_capacity(text.len()), watch: Watch::Nothing, dotted: String::new() };
    for (kind, piece) in Pieces(text) {
        match kind {
            Kind::Space => masker.out.push_str(piece),
            Kind::Comment if first_telling_word(piece).is_some() => masker.out.push_str("/* *** */"),
            Kind::Comment => masker.out.push_str(piece),
            _ => masker.piece(kind, piece),
        }
    }
    masker.out
}

/// The mask as a string literal, so that the text reads back.
const MASK_QUOTED: &str = "'***'";

/// What the next piece is in for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// Nothing telling came before.
    Nothing,
    /// After IDENTIFIED: a secret follows BY or AS.
    Identified,
    /// After IDENTIFIED WITH: the plugin's name follows.
    Plugin,
    /// After a telling key: a secret follows `=` and the like.
    Key,
    /// After PASSWORD FOR: the user follows, then `=`.
    KeyFor,
    /// Within the secret, so many parentheses deep.
    Secret(usize),
    /// After a literal of the secret: it goes on if another literal or an operator follows.
    AfterSecret,
}

struct Masker {
    out: String,
    watch: Watch,
    /// The name so far, across periods: `fs.s3a.access.key` is telling, `access` is not.
    dotted: String,
}

impl Masker {
    fn piece(&mut self, kind: Kind, piece: &str) {
        match self.watch {
            Watch::Secret(depth) => self.secret(depth, kind, piece),
            Watch::Key if kind == Kind::Quoted => self.secret(0, kind, piece),
            Watch::AfterSecret if kind == Kind::Quoted => {}
            Watch::AfterSecret if kind == Kind::Symbol && !matches!(piece, "," | ")" | ";") => {
                self.secret(0, kind, piece)
            }
            _ => {
                self.watch = self.after(kind, piece);
                match kind {
                    Kind::Quoted if tells_within(piece) => self.out.push_str(MASK_QUOTED),
                    Kind::Quoted => self.out.push_str(&hide_user_info(piece)),
                    _ => self.out.push_str(piece),
                }
            }
        }
    }

    /// A piece of the secret. Parentheses and commas stay, everything else is one mask.
    fn secret(&mut self, depth: usize, kind: Kind, piece: &str) {
        self.watch = match (kind, piece) {
            (Kind::Symbol, "(") => Watch::Secret(depth + 1),
            (Kind::Symbol, ")") if depth == 1 => Watch::AfterSecret,
            (Kind::Symbol, ")") if depth > 1 => Watch::Secret(depth - 1),
            (Kind::Symbol, ")" | "," | ";") if depth == 0 => Watch::Nothing,
            (Kind::Symbol, ",") => Watch::Secret(depth),
            (Kind::Word, word) if word.eq_ignore_ascii_case("password") => Watch::Secret(depth),
            (Kind::Symbol, _) => {
                self.watch = Watch::Secret(depth);
                return;
            }
            _ => {
                if !self.out.trim_end().ends_with(MASK_QUOTED) {
                    self.out.push_str(MASK_QUOTED);
                }
                self.watch = if depth == 0 { Watch::AfterSecret } else { Watch::Secret(depth) };
                return;
            }
        };
        self.out.push_str(piece);
    }

    /// What to watch for after a piece that is no secret.
    fn after(&mut self, kind: Kind, piece: &str) -> Watch {
        let is = |word: &str| kind == Kind::Word && piece.eq_ignore_ascii_case(word);
        match (self.watch, kind) {
            _ if is("IDENTIFIED") => return Watch::Identified,
            (Watch::Identified, _) if is("BY") || is("AS") => return Watch::Secret(0),
            (Watch::Identified, _) if is("WITH") => return Watch::Plugin,
            (Watch::Plugin, _) => return Watch::Identified,
            (Watch::Key, _) if is("FOR") => return Watch::KeyFor,
            (Watch::KeyFor, Kind::Quoted | Kind::Name | Kind::Word) => return Watch::KeyFor,
            (Watch::KeyFor, Kind::Symbol) if matches!(piece, "@" | "." | "%" | "-") => return Watch::KeyFor,
            // A function such as PASSWORD(…), but not a table named `tokens` and its columns.
            (Watch::Key, Kind::Symbol) if piece == "(" && squeeze(&self.dotted).ends_with("password") => {
                return Watch::Secret(1);
            }
            (Watch::Key | Watch::KeyFor, Kind::Symbol) if matches!(piece, "=" | ":=" | ":" | "<" | ">" | "!") => {
                return Watch::Secret(0);
            }
            (Watch::Key, _) if ["LIKE", "IN", "BETWEEN", "REGEXP", "RLIKE", "BY", "AS"].iter().any(|word| is(word)) => {
                return Watch::Secret(0);
            }
            _ => {}
        }
        if kind == Kind::Symbol && piece == "." {
            self.dotted.push('.');
            return self.watch;
        }
        if !self.dotted.ends_with('.') {
            self.dotted.clear();
        }
        self.dotted.push_str(piece);
        let tells = has_secret_word(&self.dotted) || kind == Kind::Quoted && has_secret_part(piece);
        if kind != Kind::Symbol && tells { Watch::Key } else { Watch::Nothing }
    }
}

/// True for a string that holds a statement or a list of keys and values with a secret in it.
fn tells_within(quoted: &str) -> bool {
    let Some(at) = first_telling_word(quoted) else { return false };
    let after = &quoted[at..];
    after.contains(['=', ':']) || begins_with(after.as_bytes(), b"identified")
}

/// `scheme://user:password@host` without the user and password. A secret key may hold slashes: what follows a colon and
/// is no port belongs to it up to the last `@`.
fn hide_user_info(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let authority =
            after.find(|c: char| c.is_whitespace() || matches!(c, '/' | '\'' | '"' | '`' | ',' | ')' | ';'));
        let authority = &after[..authority.unwrap_or(after.len())];
        let has_port = authority.rsplit_once(':').is_none_or(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let all = after.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | ',' | ')' | ';'));
        let searched = if has_port { authority } else { &after[..all.unwrap_or(after.len())] };
        rest = match searched.rfind('@') {
            Some(sign) => {
                out.push_str(MASK);
                &after[sign..]
            }
            None => after,
        };
    }
    out.push_str(rest);
    out
}

/// Cuts a text into pieces that together are the text. Never fails: what is not closed goes to the end.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = (Kind, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0;
        let first = text.chars().next()?;
        let (kind, length) = match first {
            '\'' | '"' => (Kind::Quoted, quoted_length(text, first, true)),
            '`' => (Kind::Name, quoted_length(text, first, false)),
            '#' => (Kind::Comment, line_length(text)),
            '-' if text.starts_with("-- ") || text.starts_with("--\n") || text.starts_with("--\t") => {
                (Kind::Comment, line_length(text))
            }
            // What is in a version comment is run, so it is code: only its brackets are passed over.
            '/' if text.starts_with("/*!") => (Kind::Space, 3 + digits_length(&text[3..])),
            '/' if text.starts_with("/*") => (Kind::Comment, text[2..].find("*/").map_or(text.len(), |at| at + 4)),
            '*' if text.starts_with("*/") => (Kind::Space, 2),
            ':' if text.starts_with(":=") => (Kind::Symbol, 2),
            c if c.is_whitespace() => (Kind::Space, run_length(text, char::is_whitespace)),
            c if is_word(c) => (Kind::Word, run_length(text, is_word)),
            c => (Kind::Symbol, c.len_utf8()),
        };
        let (piece, rest) = text.split_at(length);
        self.0 = rest;
        Some((kind, piece))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}

fn run_length(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

fn digits_length(text: &str) -> usize {
    run_length(text, |c| c.is_ascii_digit())
}

fn line_length(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// The length with both quotes; a doubled quote is inside, and so is one after a backslash.
fn quoted_length(text: &str, quote: char, backslash: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && backslash {
            chars.next();
        } else if c == quote {
            match chars.peek() {
                Some((_, next)) if *next == quote => {
                    chars.next();
                }
                _ => return at + c.len_utf8(),
            }
        }
    }
    text.len()
}
