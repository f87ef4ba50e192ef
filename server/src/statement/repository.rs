//! Repositories: CREATE, ALTER, DROP, SHOW. A repository is proven by storage before it, or a change of it, is kept.

use ebla_protocol::sql::ast::repository::{AlterRepository, CreateRepository, DropRepository, RepositoryStorage};
use ebla_protocol::wire::Outcome;
use ebla_storage::repositories::RepositorySpec;
use ebla_storage::repository::{Access, RepositoryProperties};

use super::done;
use super::rows::{TextRows, text};
use super::show_create::{identifier, quoted};
use crate::auth::privilege::Object;
use crate::error::{Error, Result};
use crate::session::Session;

/// Longest name, in characters.
const NAME_LENGTH_MAX: usize = 64;

/// CREATE REPOSITORY.
pub async fn create(session: &Session, statement: CreateRepository) -> Result<Outcome> {
    session.access()?.require("REPOSITORY", Object::System)?;
    check_name(&statement.name)?;
    let broker = match statement.storage {
        RepositoryStorage::Broker(name) => name.unwrap_or_default(),
        RepositoryStorage::S3 => String::new(),
        RepositoryStorage::Hdfs => return Err(Error::not_yet("WITH HDFS (use s3a:// or file:// locations)")),
    };
    if statement.location.trim().is_empty() {
        return Err(Error::analysis("You must specify a location on the repository"));
    }
    let location = without_slash(&statement.location).to_owned();
    let repositories = &session.server.repositories;
    let known = session.server.storage.catalog().read(|read| read.find_repository(&statement.name))?;
    if known.is_some() {
        if statement.if_not_exists {
            return done();
        }
        return Err(Error::refused(format!(
            "Failed to create repository: repository with same name already exist: {}",
            statement.name
        )));
    }
    let properties = RepositoryProperties::parse(statement.properties.0)
        .map_err(|error| Error::refused(format!("Failed to create repository: {error}")))?;
    let access = if statement.read_only { Access::ReadOnly } else { Access::ReadWrite };
    repositories
        .create(RepositorySpec { name: statement.name, location, access, broker, properties })
        .await
        .map_err(|error| Error::refused(format!("Failed to create repository: {error}")))?;
    done()
}

/// ALTER REPOSITORY. What is wrong with the new properties is said before the old ones are given up.
pub async fn alter(session: &Session, statement: AlterRepository) -> Result<Outcome> {
    session.access()?.require("REPOSITORY", Object::System)?;
    if statement.properties.0.is_empty() {
        return Err(Error::analysis("ALTER REPOSITORY needs at least one property to set"));
    }
    let altered = session.server.repositories.alter(&statement.name, statement.properties.0).await;
    altered.map_err(|error| Error::refused(format!("Failed to alter repository: {error}")))?;
    done()
}

/// DROP REPOSITORY.
pub fn drop(session: &Session, statement: DropRepository) -> Result<Outcome> {
    session.access()?.require("REPOSITORY", Object::System)?;
    let dropped = session.server.storage.catalog().write(|write| match write.find_repository(&statement.name)? {
        Some(repository) => write.drop_repository(repository.id).map(|()| true),
        None => Ok(false),
    })?;
    if !dropped && !statement.if_exists {
        return Err(Error::refused(format!("Repository does not exist: '{}'", statement.name)));
    }
    done()
}

/// SHOW REPOSITORIES. Credentials that cannot be opened are an error of the repository, whatever was last found.
pub fn show(session: &Session) -> Result<Outcome> {
    let mut rows = TextRows::new(["RepoId", "RepoName", "CreateTime", "IsReadOnly", "Location", "Broker", "ErrMsg"]);
    for repository in session.server.storage.catalog().read(|read| read.repositories())? {
        let closed = session.server.repositories.attachment(&repository).err().map(|error| error.to_string());
        rows.push(vec![
            text(repository.id),
            text(repository.name),
            text(session.format_time(repository.created_at_ms)),
            text(repository.read_only),
            text(repository.location),
            text(repository.broker),
            closed.or(repository.error),
        ]);
    }
    rows.into_outcome()
}

/// SHOW CREATE REPOSITORY, secrets masked.
pub fn show_create(session: &Session, name: &str) -> Result<Outcome> {
    session.access()?.require("REPOSITORY", Object::System)?;
    let repository = session
        .server
        .storage
        .catalog()
        .read(|read| read.find_repository(name))?
        .ok_or_else(|| Error::refused(format!("Repository [{name}] does not exist")))?;
    let read_only = if repository.read_only { "READ ONLY " } else { "" };
    let broker = match repository.broker.as_str() {
        "" => String::new(),
        broker => format!(" {}", identifier(broker)),
    };
    let attachment = session.server.repositories.attachment(&repository)?;
    let properties: Vec<String> = attachment
        .properties
        .masked()
        .into_iter()
        .map(|(key, value)| format!("    {} = {}", quoted(&key), quoted(&value)))
        .collect();
    let properties = match properties.is_empty() {
        true => String::new(),
        false => format!("\nPROPERTIES (\n{}\n)", properties.join(",\n")),
    };
    // Comments, so that the text stays a statement. Of a repository that is only read nothing of this is known.
    let fallbacks = if repository.read_only { Vec::new() } else { attachment.capabilities.fallbacks() };
    let fallbacks: String = fallbacks.iter().map(|fallback| format!("\n-- this store has {fallback}")).collect();
    let ignored = attachment.properties.ignored_keys();
    let ignored: String =
        ignored.iter().map(|key| format!("\n-- {} is of no consequence here", comment(key))).collect();
    let statement = format!(
        "CREATE {read_only}REPOSITORY {}\nWITH BROKER{broker}\nON LOCATION {}{properties};{fallbacks}{ignored}",
        identifier(&repository.name),
        quoted(&repository.location)
    );
    TextRows::new(["Repository", "Create Repository"]).with(vec![text(name), Some(statement)]).into_outcome()
}

/// A key within a comment, which a line's end would end.
fn comment(key: &str) -> String {
    quoted(key).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A location as it is kept and shown: a slash at its end says nothing, unless it is all there is.
fn without_slash(location: &str) -> &str {
    let shorter = location.trim_end_matches('/');
    if shorter.ends_with(':') { location } else { shorter }
}

/// A letter, or an underscore and a letter or digit; then letters, digits and underscores; at most 64 in all.
fn check_name(name: &str) -> Result<()> {
    let mut letters = name.chars();
    let starts_well = match (letters.next(), letters.next()) {
        (Some(first), _) if first.is_ascii_alphabetic() => true,
        (Some('_'), Some(second)) => second.is_ascii_alphanumeric(),
        _ => false,
    };
    let goes_on_well = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if starts_well && goes_on_well && name.len() <= NAME_LENGTH_MAX {
        return Ok(());
    }
    Err(Error::BadName(format!(
        "Incorrect repository name '{name}': use 1 to {NAME_LENGTH_MAX} letters, digits and underscores, a letter first"
    )))
}

#[cfg(test)]
mod tests {
    use super::{check_name, without_slash};

    #[test]
    fn a_slash_at_the_end_says_nothing() {
        for (given, kept) in
            [("s3a://bucket/path/", "s3a://bucket/path"), ("s3://bucket//", "s3://bucket"), ("file:///", "file:///")]
        {
            assert_eq!(without_slash(given), kept);
        }
    }

    #[test]
    fn names() {
        for name in ["r", "test_repo", "R2", "_a", &"x".repeat(64)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "2r", "_", "__", "a-b", "a b", "é", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
