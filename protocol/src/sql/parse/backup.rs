//! BACKUP, RESTORE, CANCEL, DROP SNAPSHOT, VERIFY, and the WHERE of SHOW SNAPSHOT.
//!
//! Both grammars are read by the same functions: the clauses of the newer one are optional. Clauses that cannot stand
//! together are refused here, with StarRocks's texts where it has one. What is wrong with the objects is refused after
//! repository and database have been looked for: see `Backup::refusal`.

use std::collections::HashSet;

use sqlparser::ast::{BinaryOperator, Expr};

use super::cursor::{Cursor, Result};
use super::show;
use crate::sql::ast::Statement;
use crate::sql::ast::backup::{
    Backup, CancelTarget, CatalogRef, CatalogScope, DropSnapshot, DropSnapshotTarget, ObjectKind, ObjectRef,
    ObjectScope, RelationKind, RelationRef, Restore, ShowSnapshot, SnapshotFilter, VerifySnapshot,
};
use crate::sql::ast::repository::VerifyRepository;

/// The one catalog that is not external.
const DEFAULT_CATALOG: &str = "default_catalog";

/// What SHOW SNAPSHOT answers to a WHERE that is none of its three forms.
const SNAPSHOT_WHERE: &str = "Where clause should looks like: SNAPSHOT = 'your_snapshot_name' \
                              [AND TIMESTAMP = '2018-04-18-19-19-10']";

/// `BACKUP [catalogs] [DATABASE d] SNAPSHOT [d.]label TO r [ON (…)] [PROPERTIES (…)]`
pub(super) fn backup(c: &mut Cursor) -> Result<Statement> {
    c.need("BACKUP")?;
    let catalogs = catalogs(c)?;
    let clause_database = if c.accept("DATABASE") { Some(c.name("a database")?) } else { None };
    c.need("SNAPSHOT")?;
    let (label_database, label) = label(c)?;
    c.need("TO")?;
    let repository = c.name_or_string("a repository")?;
    let scope = scope(c)?;
    let properties = c.properties()?;
    c.need_end()?;

    if clause_database.is_some() && label_database.is_some() {
        return Err(c.analysis("The database is specified twice: by DATABASE and before the snapshot's name"));
    }
    let database = clause_database.or(label_database);
    if catalogs.is_some() && database.is_some() {
        return Err(c.analysis("Can not specify database for external catalog backup"));
    }
    if catalogs.is_some() && scope != ObjectScope::Everything {
        return Err(c.analysis("Can not specify objects of a database for external catalog backup"));
    }
    if let Some(CatalogScope::Named(named)) = &catalogs
        && let Some(aliased) = named.iter().find(|catalog| catalog.alias.is_some())
    {
        return Err(c.analysis(format!("Can not set alias for catalog in Backup Stmt: {}", aliased.name)));
    }
    Ok(Statement::Backup(Backup { database, label, repository, catalogs, scope, properties }))
}

/// `RESTORE SNAPSHOT [d.]label FROM r [catalogs] [DATABASE d [AS e]] [ON (…)] [PROPERTIES (…)]`
pub(super) fn restore(c: &mut Cursor) -> Result<Statement> {
    c.need("RESTORE SNAPSHOT")?;
    let (label_database, label) = label(c)?;
    c.need("FROM")?;
    let repository = c.name_or_string("a repository")?;
    let catalogs = catalogs(c)?;
    let mut source_database = None;
    let mut alias_database = None;
    if c.accept("DATABASE") {
        source_database = Some(c.name("a database")?);
        alias_database = alias(c, "a database")?;
    }
    let scope = scope(c)?;
    let properties = c.properties()?;
    c.need_end()?;

    if source_database.is_some() && label_database.is_some() {
        return Err(c.analysis("The database is specified twice: by DATABASE and before the snapshot's name"));
    }
    if catalogs.is_some() && (source_database.is_some() || label_database.is_some()) {
        return Err(c.analysis("Can not specify database for external catalog snapshot"));
    }
    if catalogs.is_some() && scope != ObjectScope::Everything {
        return Err(c.analysis("Can not specify objects of a database for external catalog snapshot"));
    }
    check_catalogs(c, catalogs.as_ref())?;
    let target_database = label_database.or(alias_database);
    Ok(Statement::Restore(Restore { target_database, source_database, label, repository, catalogs, scope, properties }))
}

/// `[database.]label`
fn label(c: &mut Cursor) -> Result<(Option<String>, String)> {
    let mut parts = c.dotted_name("a snapshot", 2)?;
    let label = parts.pop().unwrap_or_default();
    Ok((parts.pop(), label))
}

/// `ALL EXTERNAL CATALOGS` or `EXTERNAL CATALOG[S] (c [AS d], …)` if it comes next.
fn catalogs(c: &mut Cursor) -> Result<Option<CatalogScope>> {
    if c.accept("ALL EXTERNAL") {
        if !c.accept_any(&["CATALOGS", "CATALOG"]) {
            return Err(c.expected("CATALOGS"));
        }
        return Ok(Some(CatalogScope::All));
    }
    if !c.accept("EXTERNAL") {
        return Ok(None);
    }
    if !c.accept_any(&["CATALOGS", "CATALOG"]) {
        return Err(c.expected("CATALOG"));
    }
    let named = c.parenthesised(|c| Ok(CatalogRef { name: c.name("a catalog")?, alias: alias(c, "a catalog")? }))?;
    Ok(Some(CatalogScope::Named(named)))
}

/// `AS name` if it comes next.
fn alias(c: &mut Cursor, what: &str) -> Result<Option<String>> {
    if c.accept("AS") { c.name(what).map(Some) } else { Ok(None) }
}

/// `ON (…)`, `EXCLUDE (…)` or nothing.
fn scope(c: &mut Cursor) -> Result<ObjectScope> {
    if c.accept("ON") {
        return c.parenthesised(object).map(ObjectScope::On);
    }
    if c.accept("EXCLUDE") {
        return c.parenthesised(object).map(ObjectScope::Exclude);
    }
    Ok(ObjectScope::Everything)
}

fn object(c: &mut Cursor) -> Result<ObjectRef> {
    if c.accept("ALL") {
        return if c.accept_any(&["TABLES", "TABLE"]) {
            Ok(ObjectRef::All(ObjectKind::Tables))
        } else if c.accept("MATERIALIZED VIEWS") || c.accept("MATERIALIZED VIEW") {
            Ok(ObjectRef::All(ObjectKind::MaterializedViews))
        } else if c.accept_any(&["VIEWS", "VIEW"]) {
            Ok(ObjectRef::All(ObjectKind::Views))
        } else if c.accept_any(&["FUNCTIONS", "FUNCTION"]) {
            Ok(ObjectRef::All(ObjectKind::Functions))
        } else {
            Err(c.expected("TABLES, VIEWS, MATERIALIZED VIEWS or FUNCTIONS"))
        };
    }
    if c.is_any(&["FUNCTION", "FUNCTIONS"]) && names_object(c, 1) {
        c.skip(1);
        let (database, name) = object_name(c, "a function")?;
        return Ok(ObjectRef::Function { database, name, alias: alias(c, "a function")? });
    }
    let kind = if c.is_any(&["TABLE", "TABLES"]) && names_object(c, 1) {
        c.skip(1);
        Some(RelationKind::Table)
    } else if c.is_any(&["VIEW", "VIEWS"]) && names_object(c, 1) {
        c.skip(1);
        Some(RelationKind::View)
    } else if (c.is("MATERIALIZED VIEW") || c.is("MATERIALIZED VIEWS")) && names_object(c, 2) {
        c.skip(2);
        Some(RelationKind::MaterializedView)
    } else {
        None
    };
    let (database, name) = object_name(c, "a table")?;
    let temporary_partitions = c.is("TEMPORARY PARTITION") || c.is("TEMPORARY PARTITIONS");
    if temporary_partitions {
        c.skip(1);
    }
    let partitions = c.partitions()?;
    let alias = alias(c, "a table")?;
    Ok(ObjectRef::Relation(RelationRef { kind, database, name, partitions, temporary_partitions, alias }))
}

/// True when a name stands `nth` places ahead, so that the word before it is a kind and no name itself.
fn names_object(c: &Cursor, nth: usize) -> bool {
    c.is_name_at(nth) && !c.is_at(nth, "PARTITIONS") && !c.is_at(nth, "TEMPORARY")
}

/// A name, and the database before it that must not be there: the job is about one, which is named elsewhere.
fn object_name(c: &mut Cursor, what: &str) -> Result<(Option<String>, String)> {
    let mut parts = c.dotted_name(what, 2)?;
    let name = parts.pop().unwrap_or_default();
    Ok((parts.pop(), name))
}

fn check_catalogs(c: &Cursor, catalogs: Option<&CatalogScope>) -> Result<()> {
    let Some(CatalogScope::Named(named)) = catalogs else { return Ok(()) };
    let mut names = HashSet::new();
    for catalog in named {
        if !names.insert(&catalog.name) {
            return Err(c.analysis(format!("Duplicated catalog: {}", catalog.name)));
        }
    }
    for alias in named.iter().filter_map(|catalog| catalog.alias.as_ref()) {
        if alias.eq_ignore_ascii_case(DEFAULT_CATALOG) {
            return Err(c.analysis(format!("Can not restore an external catalog as {DEFAULT_CATALOG}")));
        }
        if !names.insert(alias) {
            return Err(c.analysis(format!("Duplicated alias name: {alias}")));
        }
    }
    Ok(())
}

/// `CANCEL {BACKUP | RESTORE} [{FROM | IN} d | FOR EXTERNAL CATALOG]`, `CANCEL VERIFY {ON | FROM} r`
pub(super) fn cancel(c: &mut Cursor) -> Result<Statement> {
    c.need("CANCEL")?;
    if c.accept("VERIFY") {
        if !c.accept_any(&["ON", "FROM"]) {
            return Err(c.expected("ON"));
        }
        return c.name_or_string("a repository").map(Statement::CancelVerify);
    }
    let of_backup = c.accept("BACKUP");
    if !of_backup && !c.accept("RESTORE") {
        return Err(c.expected("BACKUP, RESTORE or VERIFY"));
    }
    let target = if c.accept("FOR EXTERNAL") {
        if !c.accept_any(&["CATALOG", "CATALOGS"]) {
            return Err(c.expected("CATALOG"));
        }
        CancelTarget::ExternalCatalog
    } else {
        CancelTarget::Database(c.database_clause()?)
    };
    Ok(if of_backup { Statement::CancelBackup(target) } else { Statement::CancelRestore(target) })
}

/// What comes after `SHOW SNAPSHOT`: `ON r [WHERE …] [ORDER BY …] [LIMIT …]`
pub(super) fn show_snapshot(c: &mut Cursor) -> Result<ShowSnapshot> {
    c.need("ON")?;
    let repository = c.name_or_string("a repository")?;
    if !c.accept("WHERE") {
        return Ok(ShowSnapshot {
            repository,
            labels: Vec::new(),
            timestamp: None,
            tail: show::order_and_limit(c, None)?,
        });
    }
    let filter = snapshot_filter(c)?.filter(|filter| {
        let only_equal = filter.not_before.is_none() && filter.not_after.is_none();
        only_equal && !filter.labels.is_empty() && (filter.timestamp.is_none() || filter.labels.len() == 1)
    });
    let Some(filter) = filter else { return Err(c.analysis(SNAPSHOT_WHERE)) };
    Ok(ShowSnapshot {
        repository,
        labels: filter.labels,
        timestamp: filter.timestamp,
        tail: show::order_and_limit(c, None)?,
    })
}

/// `DROP SNAPSHOT label ON r [FORCE]`, `DROP SNAPSHOT ON r WHERE … [FORCE]`
pub(super) fn drop_snapshot(c: &mut Cursor) -> Result<Statement> {
    c.need("DROP SNAPSHOT")?;
    let label = if c.is("ON") { None } else { Some(c.name_or_string("a snapshot")?) };
    c.need("ON")?;
    let repository = c.name_or_string("a repository")?;
    let target = match label {
        Some(label) => DropSnapshotTarget::Label(label),
        None => {
            c.need("WHERE")?;
            let refusal = "Where clause should looks like: SNAPSHOT = 'name' | SNAPSHOT IN ('name', ...) | \
                           TIMESTAMP <= 'time' | TIMESTAMP >= 'time', joined by AND";
            DropSnapshotTarget::Where(snapshot_filter(c)?.ok_or_else(|| c.analysis(refusal))?)
        }
    };
    let force = c.accept("FORCE");
    Ok(Statement::DropSnapshot(DropSnapshot { repository, target, force }))
}

/// Conditions on SNAPSHOT and TIMESTAMP joined by AND. None when it is anything else.
fn snapshot_filter(c: &mut Cursor) -> Result<Option<SnapshotFilter>> {
    let condition = c.expr()?;
    let mut filter = SnapshotFilter::default();
    Ok(add_condition(c, &condition, &mut filter).map(|()| filter))
}

/// The tree of ANDs is balanced and the text bounded, so this cannot recurse deep.
fn add_condition(c: &Cursor, condition: &Expr, filter: &mut SnapshotFilter) -> Option<()> {
    match condition {
        Expr::Nested(inner) => add_condition(c, inner, filter),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            add_condition(c, left, filter)?;
            add_condition(c, right, filter)
        }
        Expr::BinaryOp { left, op, right } => {
            let value = text(c, right)?;
            let slot = match (column(left)?.as_str(), op) {
                ("SNAPSHOT", BinaryOperator::Eq) if filter.labels.is_empty() => {
                    filter.labels.push(value);
                    return Some(());
                }
                ("TIMESTAMP", BinaryOperator::Eq) => &mut filter.timestamp,
                ("TIMESTAMP", BinaryOperator::GtEq) => &mut filter.not_before,
                ("TIMESTAMP", BinaryOperator::LtEq) => &mut filter.not_after,
                _ => return None,
            };
            slot.is_none().then(|| *slot = Some(value))
        }
        Expr::InList { expr, list, negated: false } if filter.labels.is_empty() && column(expr)? == "SNAPSHOT" => {
            filter.labels = list.iter().map(|item| text(c, item)).collect::<Option<_>>()?;
            Some(())
        }
        _ => None,
    }
}

fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(ident.value.to_ascii_uppercase()),
        _ => None,
    }
}

/// The text of a string literal that is not empty.
fn text(c: &Cursor, expr: &Expr) -> Option<String> {
    c.literal_text(expr).filter(|text| !text.is_empty())
}

/// `VERIFY SNAPSHOT label ON r [WHERE TIMESTAMP = 't'] [PROPERTIES (…)]`, `VERIFY REPOSITORY r [PROPERTIES (…)]`
pub(super) fn verify(c: &mut Cursor) -> Result<Statement> {
    c.need("VERIFY")?;
    if c.accept("REPOSITORY") {
        let name = c.name_or_string("a repository")?;
        return Ok(Statement::VerifyRepository(VerifyRepository { name, properties: c.properties()? }));
    }
    if !c.accept("SNAPSHOT") {
        return Err(c.expected("SNAPSHOT or REPOSITORY"));
    }
    let label = c.name_or_string("a snapshot")?;
    c.need("ON")?;
    let repository = c.name_or_string("a repository")?;
    let timestamp = if c.accept("WHERE") { Some(only_timestamp(c)?) } else { None };
    Ok(Statement::VerifySnapshot(VerifySnapshot { label, repository, timestamp, properties: c.properties()? }))
}

/// `TIMESTAMP = 't'` and nothing else.
fn only_timestamp(c: &mut Cursor) -> Result<String> {
    let filter = snapshot_filter(c)?.unwrap_or_default();
    let rest = SnapshotFilter { timestamp: None, ..filter.clone() };
    match filter.timestamp {
        Some(timestamp) if rest == SnapshotFilter::default() => Ok(timestamp),
        _ => Err(c.analysis("Where clause should looks like: TIMESTAMP = '2018-04-18-19-19-10'")),
    }
}
