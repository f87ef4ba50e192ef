//! CREATE, ALTER and DROP REPOSITORY.

use super::cursor::{Cursor, Result};
use crate::sql::ast::Statement;
use crate::sql::ast::repository::{AlterRepository, CreateRepository, DropRepository, RepositoryStorage};

/// `CREATE [READ ONLY] REPOSITORY r WITH {BROKER [b] | S3 | HDFS} ON LOCATION "uri" [PROPERTIES (…)]`
pub(super) fn create(c: &mut Cursor) -> Result<Statement> {
    c.need("CREATE")?;
    let read_only = c.accept("READ ONLY");
    c.need("REPOSITORY")?;
    let if_not_exists = c.accept("IF NOT EXISTS");
    let name = c.name_or_string("a repository")?;
    c.need("WITH")?;
    let storage = storage(c)?;
    c.need("ON LOCATION")?;
    let location = c.string("a location")?;
    let properties = c.properties()?;
    Ok(Statement::CreateRepository(CreateRepository { read_only, if_not_exists, name, storage, location, properties }))
}

fn storage(c: &mut Cursor) -> Result<RepositoryStorage> {
    if c.accept("S3") {
        return Ok(RepositoryStorage::S3);
    }
    if c.accept("HDFS") {
        return Ok(RepositoryStorage::Hdfs);
    }
    if !c.accept("BROKER") {
        return Err(c.expected("BROKER, S3 or HDFS"));
    }
    let broker = if c.is("ON") { None } else { Some(c.name_or_string("a broker")?) };
    Ok(RepositoryStorage::Broker(broker))
}

/// `ALTER REPOSITORY r [SET] PROPERTIES (…)`
pub(super) fn alter(c: &mut Cursor) -> Result<Statement> {
    c.need("ALTER REPOSITORY")?;
    let name = c.name_or_string("a repository")?;
    c.accept("SET");
    c.need("PROPERTIES")?;
    Ok(Statement::AlterRepository(AlterRepository { name, properties: c.property_list()? }))
}

/// `DROP REPOSITORY [IF EXISTS] r`
pub(super) fn drop_repository(c: &mut Cursor) -> Result<Statement> {
    c.need("DROP REPOSITORY")?;
    let if_exists = c.accept("IF EXISTS");
    Ok(Statement::DropRepository(DropRepository { if_exists, name: c.name_or_string("a repository")? }))
}
