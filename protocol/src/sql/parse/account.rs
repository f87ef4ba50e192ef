//! Users, passwords, roles, GRANT and REVOKE.
//!
//! Where a password may stand, errors do not say what was found.

use sqlparser::tokenizer::{Token, Word};

use super::cursor::{Cursor, Result};
use super::types;
use crate::sql::ast::Statement;
use crate::sql::ast::account::{
    AlterUser, AlterUserAction, Authentication, ContainedKind, CreateRole, CreateUser, Credential, DropRole, DropUser,
    ExecuteAs, FunctionName, Grantee, NamedKind, PatternPart, PrivilegeGrant, PrivilegeObject, RelationKind,
    RoleChoice, RoleGrant, SetDefaultRole, SetPassword, UserIdentity,
};

/// `CREATE USER [IF NOT EXISTS] u [IDENTIFIED …] [DEFAULT ROLE r, …] [PROPERTIES (…)]`
pub(super) fn create_user(c: &mut Cursor) -> Result<Statement> {
    c.need("CREATE USER")?;
    let if_not_exists = c.accept("IF NOT EXISTS");
    let user = user(c)?;
    let authentication = authentication(c)?;
    let default_roles = if c.accept("DEFAULT ROLE") { role_names(c)? } else { Vec::new() };
    let properties = c.properties()?;
    Ok(Statement::CreateUser(CreateUser { if_not_exists, user, authentication, default_roles, properties }))
}

/// `ALTER USER [IF EXISTS] u …`
pub(super) fn alter_user(c: &mut Cursor) -> Result<Statement> {
    c.need("ALTER USER")?;
    let if_exists = c.accept("IF EXISTS");
    let user = user(c)?;
    let action = if let Some(authentication) = authentication(c)? {
        AlterUserAction::Authentication(authentication)
    } else if c.accept("DEFAULT ROLE") {
        AlterUserAction::DefaultRole(role_choice(c)?)
    } else if c.accept("SET PROPERTIES") {
        AlterUserAction::Properties(c.property_list()?)
    } else {
        return Err(c.expected_secret("IDENTIFIED, DEFAULT ROLE or SET PROPERTIES"));
    };
    Ok(Statement::AlterUser(AlterUser { if_exists, user, action }))
}

/// `DROP USER [IF EXISTS] u`
pub(super) fn drop_user(c: &mut Cursor) -> Result<Statement> {
    c.need("DROP USER")?;
    let if_exists = c.accept("IF EXISTS");
    Ok(Statement::DropUser(DropUser { if_exists, user: user(c)? }))
}

/// `'user'@'host'`, `user@host`, `user`
pub(super) fn user(c: &mut Cursor) -> Result<UserIdentity> {
    let quoted = !matches!(c.peek(0), Token::Word(Word { quote_style: None, .. }));
    let name = c.name_or_string("a user")?;
    // The tokenizer takes an unquoted `@` for a part of the word: `root@localhost`, or `root@` before a quoted host.
    if !quoted && let Some((user, host)) = name.split_once('@') {
        let host = host_name(c, host.to_owned())?;
        return Ok(UserIdentity { user: user.to_owned(), host: Some(host) });
    }
    let beginning = match c.peek(0) {
        Token::Word(Word { value, quote_style: None, .. }) => value.strip_prefix('@').map(str::to_owned),
        _ => None,
    };
    let Some(beginning) = beginning else { return Ok(UserIdentity { user: name, host: None }) };
    c.skip(1);
    Ok(UserIdentity { user: name, host: Some(host_name(c, beginning)?) })
}

/// The rest of a host of which `beginning` was in the word before: `'%'`, `` `h` ``, `127.0.0.1`, `%`.
fn host_name(c: &mut Cursor, beginning: String) -> Result<String> {
    if beginning.is_empty()
        && let Some(host) = c.accept_string()
    {
        return Ok(host);
    }
    let mut host = beginning;
    while c.adjoins_previous() {
        match c.peek(0) {
            Token::Word(word) => host.push_str(&word.value),
            Token::Number(digits, _) => host.push_str(digits),
            symbol @ (Token::Period | Token::Mod | Token::Minus | Token::Colon) => host.push_str(&symbol.to_string()),
            _ => break,
        }
        c.skip(1);
    }
    if host.is_empty() { Err(c.expected("the user's host")) } else { Ok(host) }
}

/// `IDENTIFIED {BY 'p' | BY PASSWORD 'h' | WITH plugin [{BY | AS} 's']}` if it comes next.
fn authentication(c: &mut Cursor) -> Result<Option<Authentication>> {
    if !c.accept("IDENTIFIED") {
        return Ok(None);
    }
    let plugin = if c.accept("WITH") { Some(c.name_or_string("an authentication plugin")?) } else { None };
    let credential = if c.accept("BY PASSWORD") {
        Some(Credential::Hash(password(c)?))
    } else if c.accept("BY") {
        Some(Credential::Plain(password(c)?))
    } else if plugin.is_some() && c.accept("AS") {
        Some(Credential::Hash(password(c)?))
    } else if plugin.is_some() {
        None
    } else {
        return Err(c.expected_secret("BY or WITH"));
    };
    Ok(Some(Authentication { plugin, credential }))
}

fn password(c: &mut Cursor) -> Result<String> {
    c.accept_string().ok_or_else(|| c.expected_secret("a password in quotes"))
}

/// What comes after `SET`: `PASSWORD [FOR u] = {PASSWORD('p') | 'h'}`
pub(super) fn set_password(c: &mut Cursor) -> Result<Statement> {
    c.need("PASSWORD")?;
    let user = if c.accept("FOR") { Some(user(c)?) } else { None };
    if !(c.accept_equals() || c.accept_symbol(&Token::Assignment)) {
        return Err(c.expected_secret("'='"));
    }
    let credential = if c.is("PASSWORD") {
        c.skip(1);
        if !c.accept_symbol(&Token::LParen) {
            return Err(c.expected_secret("'('"));
        }
        let plain = password(c)?;
        c.need_symbol(&Token::RParen)?;
        Credential::Plain(plain)
    } else {
        Credential::Hash(password(c)?)
    };
    Ok(Statement::SetPassword(SetPassword { user, credential }))
}

/// `EXECUTE AS u [WITH NO REVERT]`
pub(super) fn execute_as(c: &mut Cursor) -> Result<Statement> {
    c.need("EXECUTE AS")?;
    let user = user(c)?;
    Ok(Statement::ExecuteAs(ExecuteAs { user, revert: !c.accept("WITH NO REVERT") }))
}

/// `CREATE ROLE [IF NOT EXISTS] r[, …] [COMMENT "…"]`
pub(super) fn create_role(c: &mut Cursor) -> Result<Statement> {
    c.need("CREATE ROLE")?;
    let if_not_exists = c.accept("IF NOT EXISTS");
    let roles = role_names(c)?;
    Ok(Statement::CreateRole(CreateRole { if_not_exists, roles, comment: c.comment()? }))
}

/// `DROP ROLE [IF EXISTS] r[, …]`
pub(super) fn drop_role(c: &mut Cursor) -> Result<Statement> {
    c.need("DROP ROLE")?;
    let if_exists = c.accept("IF EXISTS");
    Ok(Statement::DropRole(DropRole { if_exists, roles: role_names(c)? }))
}

/// What comes after `SET`: `ROLE {ALL [EXCEPT …] | NONE | DEFAULT | r, …}`
pub(super) fn set_role(c: &mut Cursor) -> Result<Statement> {
    c.need("ROLE")?;
    if c.accept("DEFAULT") {
        return Ok(Statement::SetRole(RoleChoice::Default));
    }
    role_choice(c).map(Statement::SetRole)
}

/// What comes after `SET`: `DEFAULT ROLE … TO u`
pub(super) fn set_default_role(c: &mut Cursor) -> Result<Statement> {
    c.need("DEFAULT ROLE")?;
    let roles = role_choice(c)?;
    c.need("TO")?;
    Ok(Statement::SetDefaultRole(SetDefaultRole { roles, user: user(c)? }))
}

fn role_choice(c: &mut Cursor) -> Result<RoleChoice> {
    if c.accept("ALL") {
        let except = if c.accept("EXCEPT") { role_names(c)? } else { Vec::new() };
        return Ok(RoleChoice::All { except });
    }
    if c.accept("NONE") {
        return Ok(RoleChoice::None);
    }
    role_names(c).map(RoleChoice::Roles)
}

fn role_names(c: &mut Cursor) -> Result<Vec<String>> {
    c.list(|c| c.name_or_string("a role"))
}

/// `GRANT …`
pub(super) fn grant(c: &mut Cursor) -> Result<Statement> {
    c.need("GRANT")?;
    if names_roles(c, "TO") {
        let roles = role_names(c)?;
        c.need("TO")?;
        return Ok(Statement::GrantRoles(RoleGrant { roles, grantees: grantees(c)? }));
    }
    let privileges = c.list(privilege)?;
    let object = object(c)?;
    c.need("TO")?;
    let grantees = grantees(c)?;
    let with_grant_option = c.accept("WITH GRANT OPTION");
    Ok(Statement::GrantPrivileges(PrivilegeGrant { privileges, object, grantees, with_grant_option }))
}

/// `REVOKE …`
pub(super) fn revoke(c: &mut Cursor) -> Result<Statement> {
    c.need("REVOKE")?;
    if names_roles(c, "FROM") {
        let roles = role_names(c)?;
        c.need("FROM")?;
        return Ok(Statement::RevokeRoles(RoleGrant { roles, grantees: grantees(c)? }));
    }
    let privileges = c.list(privilege)?;
    let object = object(c)?;
    c.need("FROM")?;
    let grantees = grantees(c)?;
    Ok(Statement::RevokePrivileges(PrivilegeGrant { privileges, object, grantees, with_grant_option: false }))
}

/// True when the list that comes next ends at `end` with no ON before it: roles have no object.
fn names_roles(c: &Cursor, end: &str) -> bool {
    let mut nth = 0;
    loop {
        if c.is_at(nth, "ON") {
            return false;
        }
        if c.is_at(nth, end) || *c.peek(nth) == Token::EOF {
            return true;
        }
        nth += 1;
    }
}

/// One or more words: `SELECT`, `CREATE EXTERNAL CATALOG`, `ADMIN_PRIV`, `ALL PRIVILEGES`.
fn privilege(c: &mut Cursor) -> Result<String> {
    let mut words = Vec::new();
    while let Some(word) = c.word(0)
        && word != "ON"
    {
        words.push(word);
        c.skip(1);
    }
    if words.is_empty() {
        return Err(c.expected("a privilege"));
    }
    if c.is_symbol(&Token::LParen) {
        return Err(c.refuse("privileges on columns are not of this dialect"));
    }
    let privilege = words.join(" ");
    Ok(if privilege == "ALL PRIVILEGES" { "ALL".to_owned() } else { privilege })
}

/// `ON …`
fn object(c: &mut Cursor) -> Result<PrivilegeObject> {
    c.need("ON")?;
    if c.accept("ALL") {
        return all_objects(c);
    }
    if c.accept("SYSTEM") {
        return Ok(PrivilegeObject::System);
    }
    for (words, kind) in [
        ("TABLE", RelationKind::Table),
        ("TABLES", RelationKind::Table),
        ("VIEW", RelationKind::View),
        ("VIEWS", RelationKind::View),
        ("MATERIALIZED VIEW", RelationKind::MaterializedView),
        ("MATERIALIZED VIEWS", RelationKind::MaterializedView),
    ] {
        if is_kind(c, words) && c.accept(words) {
            return Ok(PrivilegeObject::Relations { kind, names: c.list(Cursor::table_name)? });
        }
    }
    for (words, kind) in NAMED_KINDS {
        if is_kind(c, words) && c.accept(words) {
            return Ok(PrivilegeObject::Named { kind, names: c.list(|c| c.name_or_string("an object"))? });
        }
    }
    for (words, global) in [("FUNCTION", false), ("GLOBAL FUNCTION", true)] {
        if is_kind(c, words) && c.accept(words) {
            return Ok(PrivilegeObject::Functions { global, functions: c.list(function_name)? });
        }
    }
    if is_kind(c, "USER") && c.accept("USER") {
        return Ok(PrivilegeObject::Users(c.list(user)?));
    }
    pattern(c)
}

const NAMED_KINDS: [(&str, NamedKind); 6] = [
    ("DATABASE", NamedKind::Database),
    ("CATALOG", NamedKind::Catalog),
    ("RESOURCE GROUP", NamedKind::ResourceGroup),
    ("RESOURCE", NamedKind::Resource),
    ("STORAGE VOLUME", NamedKind::StorageVolume),
    ("REPOSITORY", NamedKind::Repository),
];

/// True when these words come next and a name after them, so that they are no name themselves.
fn is_kind(c: &Cursor, words: &str) -> bool {
    let count = words.split(' ').count();
    c.is(words) && (c.is_name_at(count) || c.is_string_at(count))
}

/// What comes after `ON ALL`.
fn all_objects(c: &mut Cursor) -> Result<PrivilegeObject> {
    for (words, kind) in [
        ("TABLES", ContainedKind::Tables),
        ("VIEWS", ContainedKind::Views),
        ("MATERIALIZED VIEWS", ContainedKind::MaterializedViews),
        ("FUNCTIONS", ContainedKind::Functions),
    ] {
        if c.accept(words) {
            c.need("IN")?;
            if c.accept("ALL DATABASES") {
                return Ok(PrivilegeObject::AllIn { kind, databases: Vec::new() });
            }
            c.need("DATABASE")?;
            return Ok(PrivilegeObject::AllIn { kind, databases: c.list(|c| c.name("a database"))? });
        }
    }
    for (words, kind) in [
        ("DATABASES", NamedKind::Database),
        ("CATALOGS", NamedKind::Catalog),
        ("RESOURCE GROUPS", NamedKind::ResourceGroup),
        ("RESOURCES", NamedKind::Resource),
        ("STORAGE VOLUMES", NamedKind::StorageVolume),
        ("REPOSITORIES", NamedKind::Repository),
    ] {
        if c.accept(words) {
            return Ok(PrivilegeObject::All(kind));
        }
    }
    if c.accept("GLOBAL FUNCTIONS") {
        return Ok(PrivilegeObject::AllGlobalFunctions);
    }
    if c.accept("USERS") {
        return Ok(PrivilegeObject::AllUsers);
    }
    Err(c.expected("TABLES, VIEWS, DATABASES, CATALOGS, …"))
}

/// `[database.]f(type, …)`
fn function_name(c: &mut Cursor) -> Result<FunctionName> {
    let mut parts = c.dotted_name("a function", 2)?;
    let name = parts.pop().unwrap_or_default();
    c.need_symbol(&Token::LParen)?;
    let arguments = if c.is_symbol(&Token::RParen) { Vec::new() } else { c.list(types::data_type)? };
    c.need_symbol(&Token::RParen)?;
    Ok(FunctionName { database: parts.pop(), name, arguments })
}

/// `*`, `*.*`, `d.*`, `d.t`, `t`
fn pattern(c: &mut Cursor) -> Result<PrivilegeObject> {
    let first = pattern_part(c)?;
    if !c.accept_symbol(&Token::Period) {
        let database = if first == PatternPart::Any { PatternPart::Any } else { PatternPart::Current };
        return Ok(PrivilegeObject::Pattern { database, table: first });
    }
    Ok(PrivilegeObject::Pattern { database: first, table: pattern_part(c)? })
}

fn pattern_part(c: &mut Cursor) -> Result<PatternPart> {
    if c.accept_symbol(&Token::Mul) {
        return Ok(PatternPart::Any);
    }
    c.name("an object").map(PatternPart::Name)
}

fn grantees(c: &mut Cursor) -> Result<Vec<Grantee>> {
    c.list(grantee)
}

/// `ROLE r`, `[USER] u`
pub(super) fn grantee(c: &mut Cursor) -> Result<Grantee> {
    if is_kind(c, "ROLE") && c.accept("ROLE") {
        return c.name_or_string("a role").map(Grantee::Role);
    }
    if is_kind(c, "USER") && c.accept("USER") {
        return user(c).map(Grantee::User);
    }
    user(c).map(Grantee::User)
}
