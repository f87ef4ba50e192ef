//! KILL and ADMIN.

use ebla_protocol::sql::ast::admin::Admin;
use ebla_protocol::sql::ast::session::{Kill, KillTarget};
use ebla_protocol::sql::ast::show::ShowFilter;
use ebla_protocol::wire::Outcome;

use super::rows::{TextRows, text};
use super::{done, lifecycle};
use crate::auth::privilege::Object;
use crate::error::{Error, Result};
use crate::session::Session;

/// KILL.
pub fn kill(session: &Session, statement: Kill) -> Result<Outcome> {
    let id = statement.id.unwrap_or(session.process.id.into());
    let found = session.server.processes.find(id);
    // Of connections of others nobody learns whether they are there.
    if found.as_ref().is_none_or(|process| process.user != session.identity.user) {
        session.access()?.require("OPERATE", Object::System)?;
    }
    let process = found.ok_or(Error::UnknownThread(id))?;
    match statement.target {
        KillTarget::Query => {
            process.cancel_statement();
        }
        KillTarget::Connection => process.kill.cancel(),
    }
    done()
}

/// ADMIN SHOW FRONTEND CONFIG, ADMIN SET FRONTEND CONFIG, ADMIN CLEAN REPOSITORY.
pub async fn execute(session: &Session, statement: Admin) -> Result<Outcome> {
    session.access()?.require("OPERATE", Object::System)?;
    match statement {
        Admin::CleanRepository { name } => lifecycle::clean(session, &name).await,
        Admin::ShowConfig { like } => {
            let config = &session.server.config;
            let items = [
                ("cluster_id", session.server.storage.catalog().cluster_id().to_owned(), "String"),
                ("http_addr", session.server.addresses.http.to_string(), "String"),
                ("load_memory_limit", config.load_memory_limit.to_string(), "long"),
                ("max_allowed_packet", config.max_allowed_packet.to_string(), "long"),
                ("max_backup_bandwidth", config.max_backup_bandwidth.unwrap_or(0).to_string(), "long"),
                ("max_concurrent_jobs", config.max_concurrent_jobs.to_string(), "int"),
                ("max_connections", config.max_connections.to_string(), "int"),
                ("mysql_addr", session.server.addresses.mysql.to_string(), "String"),
                ("query_memory_limit", config.query_memory_limit.to_string(), "long"),
                ("run_mode", "shared_nothing".to_owned(), "String"),
            ];
            let mut rows = TextRows::new(["Key", "AliasNames", "Value", "Type", "IsMutable", "Comment"]);
            for (key, value, kind) in items {
                rows.push(vec![text(key), text("[]"), text(value), text(kind), text("false"), text("")]);
            }
            let filter = like.map(ShowFilter::Like);
            rows.filtered(session, filter.as_ref()).await
        }
        Admin::SetConfig { properties, .. } => match properties.iter().next() {
            Some((key, _)) => Err(Error::Config(format!(
                "Config '{key}' does not exist or is not mutable: set it in the configuration file and restart"
            ))),
            None => Err(Error::Config("ADMIN SET FRONTEND CONFIG names no config".to_owned())),
        },
    }
}
