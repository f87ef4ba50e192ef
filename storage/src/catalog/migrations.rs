//! The catalog's schema, as numbered migrations. A migration that has been released is never edited: a change is a
//! new one.

use std::sync::LazyLock;

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use crate::disk;
use crate::error::Result;

static MIGRATIONS: LazyLock<Migrations<'static>> = LazyLock::new(|| {
    Migrations::new(vec![
        M::up(include_str!("migrations/0001_ground.sql")),
        M::up(include_str!("migrations/0002_verify.sql")),
        M::up(include_str!("migrations/0003_targets.sql")),
        M::up(include_str!("migrations/0004_known_snapshots.sql")),
        M::up(include_str!("migrations/0005_damaged_snapshots.sql")),
    ])
});

/// Brings the schema to the newest version; refuses a catalog that is newer than this program.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    disk::migrate(connection, &MIGRATIONS)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::MIGRATIONS;

    #[test]
    fn migrations_apply_to_an_empty_catalog() {
        MIGRATIONS.validate().expect("every migration applies");
    }
}
