//! Statements → text that reads back as the same statement.
//!
//! Names are quoted by need, strings always in single quotes but for properties, which StarRocks writes in double quotes.
//! sqlparser prints its own trees, but not in a way that MySQL's backslashes survive, so literals are written here first (see
//! [`tree`]). Secrets are printed as they are: logs want [`Statement::redacted`].

mod account;
mod backup;
mod schema;
mod session;
mod show;
mod table;

use std::fmt::{self, Display, Formatter, Write};
use std::ops::ControlFlow;

use sqlparser::ast::{Ident, ObjectName, TableFactor, Value, ValueWithSpan, VisitMut, VisitorMut};
use sqlparser::tokenizer::Token;

use super::ast::Statement;
use super::ast::admin::Admin;
use super::ast::dml::{Delete, Insert, InsertMode, InsertSource, InsertValue, Update};
use super::ast::name::{Properties, TableName};
use super::ast::query::{Explain, ExplainLevel};
use super::words::needs_quotes;

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(query) => write!(f, "{}", tree(query.as_ref())),
            Self::Explain(explain) => write!(f, "{explain}"),
            Self::Describe(describe) => write!(f, "{describe}"),
            Self::CreateDatabase(create) => write!(f, "{create}"),
            Self::DropDatabase(drop) => write!(f, "{drop}"),
            Self::AlterDatabase(alter) => write!(f, "{alter}"),
            Self::Use(use_database) => write!(f, "{use_database}"),
            Self::Recover(recover) => write!(f, "{recover}"),
            Self::CreateTable(create) => write!(f, "{create}"),
            Self::CreateTableLike(create) => write!(f, "{create}"),
            Self::CreateTableAs(create) => write!(f, "{create}"),
            Self::DropTable(drop) => write!(f, "{drop}"),
            Self::TruncateTable(truncate) => write!(f, "{truncate}"),
            Self::AlterTable(alter) => write!(f, "{alter}"),
            Self::CreateView(create) => write!(f, "{create}"),
            Self::DropView(drop) => write!(f, "{drop}"),
            Self::Insert(insert) => write!(f, "{insert}"),
            Self::Delete(delete) => write!(f, "{delete}"),
            Self::Update(update) => write!(f, "{update}"),
            Self::Show(show) => write!(f, "{show}"),
            Self::Set(items) => write!(f, "SET {}", list(items)),
            Self::SetCatalog(catalog) => write!(f, "SET CATALOG {}", ident(catalog)),
            Self::Transaction(transaction) => write!(f, "{transaction}"),
            Self::LockTables(tables) => write!(f, "LOCK TABLES {}", list(tables)),
            Self::UnlockTables => f.write_str("UNLOCK TABLES"),
            Self::Flush(what) => write!(f, "FLUSH {what}"),
            Self::Kill(kill) => write!(f, "{kill}"),
            Self::Prepared(prepared) => write!(f, "{prepared}"),
            Self::CreateUser(create) => write!(f, "{create}"),
            Self::AlterUser(alter) => write!(f, "{alter}"),
            Self::DropUser(drop) => write!(f, "{drop}"),
            Self::SetPassword(set) => write!(f, "{set}"),
            Self::ExecuteAs(execute) => write!(f, "{execute}"),
            Self::CreateRole(create) => write!(f, "{create}"),
            Self::DropRole(drop) => write!(f, "{drop}"),
            Self::SetRole(roles) => write!(f, "SET ROLE {roles}"),
            Self::SetDefaultRole(set) => write!(f, "SET DEFAULT ROLE {} TO {}", set.roles, set.user),
            Self::GrantPrivileges(grant) => account::privileges(f, "GRANT", grant, "TO"),
            Self::RevokePrivileges(grant) => account::privileges(f, "REVOKE", grant, "FROM"),
            Self::GrantRoles(grant) => account::roles(f, "GRANT", grant, "TO"),
            Self::RevokeRoles(grant) => account::roles(f, "REVOKE", grant, "FROM"),
            Self::CreateRepository(create) => write!(f, "{create}"),
            Self::AlterRepository(alter) => write!(f, "{alter}"),
            Self::DropRepository(drop) => write!(f, "{drop}"),
            Self::VerifyRepository(verify) => write!(f, "{verify}"),
            Self::Backup(backup) => write!(f, "{backup}"),
            Self::CancelBackup(target) => write!(f, "CANCEL BACKUP{target}"),
            Self::Restore(restore) => write!(f, "{restore}"),
            Self::CancelRestore(target) => write!(f, "CANCEL RESTORE{target}"),
            Self::DropSnapshot(drop) => write!(f, "{drop}"),
            Self::VerifySnapshot(verify) => write!(f, "{verify}"),
            Self::CancelVerify(repository) => write!(f, "CANCEL VERIFY ON {}", ident(repository)),
            Self::Admin(admin) => write!(f, "{admin}"),
            Self::NotYet(not_yet) => f.write_str(&not_yet.text),
        }
    }
}

impl Display for Explain {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            ExplainLevel::Normal => "",
            ExplainLevel::Logical => "LOGICAL ",
            ExplainLevel::Verbose => "VERBOSE ",
            ExplainLevel::Costs => "COSTS ",
            ExplainLevel::Analyze => "ANALYZE ",
        };
        write!(f, "EXPLAIN {level}{}", self.statement)
    }
}

impl Display for Admin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShowConfig { like } => {
                f.write_str("ADMIN SHOW FRONTEND CONFIG")?;
                if let Some(pattern) = like {
                    write!(f, " LIKE {}", string(pattern))?;
                }
                Ok(())
            }
            Self::SetConfig { properties, persistent } => {
                write!(f, "ADMIN SET FRONTEND CONFIG {properties}{}", when(*persistent, " WITH PERSISTENT"))
            }
            Self::CleanRepository { name } => write!(f, "ADMIN CLEAN REPOSITORY {}", ident(name)),
        }
    }
}

impl Display for Insert {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let verb = match self.mode {
            InsertMode::Into => "INSERT INTO",
            InsertMode::Overwrite => "INSERT OVERWRITE",
            InsertMode::Replace => "REPLACE INTO",
        };
        write!(f, "{verb} {}", self.table)?;
        if !self.partitions.is_empty() {
            write!(f, "{} PARTITION {}", when(self.temporary_partitions, " TEMPORARY"), names(&self.partitions))?;
        }
        if let Some(label) = &self.label {
            write!(f, " WITH LABEL {}", ident(label))?;
        }
        write_properties(f, &self.properties)?;
        if !self.columns.is_empty() {
            write!(f, " {}", names(&self.columns))?;
        }
        match &self.source {
            InsertSource::Query(query) => write!(f, " {}", tree(query.as_ref())),
            InsertSource::Values(rows) => {
                f.write_str(" VALUES ")?;
                for (nth, row) in rows.iter().enumerate() {
                    write!(f, "{}({})", when(nth > 0, ", "), list(row))?;
                }
                Ok(())
            }
        }
    }
}

impl Display for InsertValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("DEFAULT"),
            Self::Expr(expr) => write!(f, "{}", tree(expr)),
        }
    }
}

impl Display for Delete {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "DELETE FROM {}", self.table)?;
        if !self.partitions.is_empty() {
            write!(f, " PARTITION {}", names(&self.partitions))?;
        }
        write!(f, " WHERE {}", tree(&self.selection))
    }
}

impl Display for Update {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "UPDATE {} SET ", self.table)?;
        for (nth, (column, value)) in self.assignments.iter().enumerate() {
            write!(f, "{}{} = {value}", when(nth > 0, ", "), ident(column))?;
        }
        if let Some(selection) = &self.selection {
            write!(f, " WHERE {}", tree(selection))?;
        }
        Ok(())
    }
}

impl Display for TableName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(catalog) = &self.catalog {
            write!(f, "{}.", ident(catalog))?;
        }
        if let Some(database) = &self.database {
            write!(f, "{}.", ident(database))?;
        }
        write!(f, "{}", ident(&self.table))
    }
}

/// `("k" = "v", …)`, also when empty.
impl Display for Properties {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('(')?;
        for (nth, (key, value)) in self.iter().enumerate() {
            write!(f, "{}{} = {}", when(nth > 0, ", "), double_quoted(key), double_quoted(value))?;
        }
        f.write_char(')')
    }
}

/// A name, in backticks when it needs them. Public so that SHOW CREATE prints names as statements do.
pub fn ident(name: &str) -> impl Display + '_ {
    display(move |f| if needs_quotes(name) { write!(f, "`{}`", name.replace('`', "``")) } else { f.write_str(name) })
}

/// A string literal in single quotes.
pub fn string(text: &str) -> impl Display + '_ {
    display(move |f| quoted(f, text, '\''))
}

/// A string literal in double quotes, as properties and comments have it.
pub fn double_quoted(text: &str) -> impl Display + '_ {
    display(move |f| quoted(f, text, '"'))
}

fn quoted(f: &mut Formatter<'_>, text: &str, quote: char) -> fmt::Result {
    f.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\\' => f.write_str("\\\\")?,
            '\0' => f.write_str("\\0")?,
            '\u{1a}' => f.write_str("\\Z")?,
            c if c == quote => write!(f, "\\{c}")?,
            c => f.write_char(c)?,
        }
    }
    f.write_char(quote)
}

/// A query or expression of sqlparser's.
pub fn tree<T: VisitMut + Display + Clone>(tree: &T) -> impl Display + '_ {
    display(move |f| {
        let mut tree = tree.clone();
        let _: ControlFlow<()> = tree.visit(&mut WriteLiterals);
        write!(f, "{tree}")
    })
}

/// Replaces what sqlparser would not print as this dialect reads it. Literals become their text here. A placeholder's name is printed as it
/// stands, so that is where the text goes; real placeholders become `?` again.
struct WriteLiterals;

impl VisitorMut for WriteLiterals {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        let text = match &value.value {
            Value::SingleQuotedString(text) => string(text).to_string(),
            Value::Placeholder(_) => "?".to_owned(),
            _ => return ControlFlow::Continue(()),
        };
        value.value = Value::Placeholder(text);
        ControlFlow::Continue(())
    }

    /// sqlparser puts no space before PARTITION, so the name brings its own.
    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, partitions, .. } = factor
            && !partitions.is_empty()
        {
            let spaced = Ident::new(format!("{name} "));
            *name = ObjectName::from(vec![spaced]);
        }
        ControlFlow::Continue(())
    }
}

/// One token, as NOT YET statements keep them.
pub(super) fn token(token: &Token) -> String {
    match token {
        Token::SingleQuotedString(text) => string(text).to_string(),
        Token::Word(word) if word.quote_style.is_some() => format!("`{}`", word.value.replace('`', "``")),
        Token::Placeholder(_) => "?".to_owned(),
        other => other.to_string(),
    }
}

/// `a, b, c`
fn list<T: Display>(items: &[T]) -> impl Display + '_ {
    display(move |f| {
        for (nth, item) in items.iter().enumerate() {
            write!(f, "{}{item}", when(nth > 0, ", "))?;
        }
        Ok(())
    })
}

/// `(a, b, c)` of names.
fn names(names: &[String]) -> impl Display + '_ {
    display(move |f| write!(f, "({})", bare_names(names)))
}

/// `a, b, c` of names.
fn bare_names(names: &[String]) -> impl Display + '_ {
    display(move |f| {
        for (nth, name) in names.iter().enumerate() {
            write!(f, "{}{}", when(nth > 0, ", "), ident(name))?;
        }
        Ok(())
    })
}

/// ` PROPERTIES (…)`, or nothing when there are none.
fn write_properties(f: &mut Formatter<'_>, properties: &Properties) -> fmt::Result {
    if properties.is_empty() { Ok(()) } else { write!(f, " PROPERTIES {properties}") }
}

/// ` COMMENT "…"`, or nothing.
fn write_comment(f: &mut Formatter<'_>, comment: Option<&String>) -> fmt::Result {
    match comment {
        Some(text) => write!(f, " COMMENT {}", double_quoted(text)),
        None => Ok(()),
    }
}

/// The words when the flag is set.
fn when(flag: bool, words: &'static str) -> &'static str {
    if flag { words } else { "" }
}

/// Makes a `Display` of a closure, so that pieces of text nest without being allocated.
fn display<F: Fn(&mut Formatter<'_>) -> fmt::Result>(write: F) -> impl Display {
    struct Piece<F>(F);
    impl<F: Fn(&mut Formatter<'_>) -> fmt::Result> Display for Piece<F> {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            (self.0)(f)
        }
    }
    Piece(write)
}
