//! What the HTTP side may ask of the server: accounts, privileges, the evaluation of a load's expressions, health.

use std::net::SocketAddr;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use ebla_storage::catalog::JobKind;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlparser::ast::Expr;

use crate::auth::Identity;
use crate::auth::privilege::Object;
use crate::error::Error;
use crate::http::auth::{HttpAuth, HttpIdentity, HttpPrivileges};
use crate::http::{HttpLimits, HttpState};
use crate::load::LoadError;
use crate::load::columns::{Expression, Expressions, LoadEnvironment, LoadEnvironments, LoadSession};
use crate::query::source::{Catalog, Relation};
use crate::query::{
    CompiledExpr, QueryEngine, QueryError, StatementContext, TimeZone, Value, VariableScope, Variables,
};
use crate::server::{MYSQL_VERSION, Server, VERSION};

/// Everything the HTTP side needs.
pub fn state(server: &Arc<Server>, metrics: PrometheusHandle) -> HttpState {
    let bridge = Arc::new(Bridge { server: Arc::clone(server) });
    let health_of = Arc::clone(server);
    let metrics_of = Arc::clone(server);
    HttpState {
        storage: Arc::clone(&server.storage),
        auth: Arc::clone(&bridge) as Arc<dyn HttpAuth>,
        privileges: Arc::clone(&bridge) as Arc<dyn HttpPrivileges>,
        environments: bridge,
        health: Arc::new(move || problems(&health_of)),
        metrics,
        before_metrics: Arc::new(move || count_for_metrics(&metrics_of)),
        version: VERSION.to_owned(),
        limits: HttpLimits::default(),
    }
}

/// What is wrong with a server that still runs.
fn problems(server: &Server) -> Vec<String> {
    let mut problems = Vec::new();
    if let Err(error) = server.storage.catalog().read(|read| read.version()) {
        problems.push(format!("the catalog cannot be read: {error}"));
    }
    let roots = server.storage.roots();
    for root in roots.all().iter().filter(|root| roots.configured().contains(&root.id)) {
        if !root.path.is_dir() {
            problems.push(format!("storage root {} is not there", root.path.display()));
        }
    }
    problems
}

/// Metrics that are a count of what there is now, worked out when they are asked for.
fn count_for_metrics(server: &Server) {
    metrics::gauge!("ebla_connections").set(server.processes.len() as f64);
    match server.storage.catalog().read(|read| read.running_jobs()) {
        Ok(running) => {
            for kind in [JobKind::Backup, JobKind::Restore, JobKind::Verify] {
                let count = running.iter().filter(|job| job.kind == kind).count();
                metrics::gauge!("ebla_unfinished_jobs", "kind" => kind.to_string().to_lowercase()).set(count as f64);
            }
        }
        Err(error) => tracing::warn!(%error, "count unfinished jobs"),
    }
}

struct Bridge {
    server: Arc<Server>,
}

impl HttpAuth for Bridge {
    fn authenticate(&self, user: &str, password: &str, peer: SocketAddr) -> Result<Option<HttpIdentity>, LoadError> {
        let identity = self.server.accounts.check_password(user, password, peer.ip()).map_err(internal)?;
        Ok(identity.map(|identity| HttpIdentity { user: identity.user, host: identity.host }))
    }
}

impl HttpPrivileges for Bridge {
    fn check_insert(&self, identity: &HttpIdentity, database: &str, table: &str) -> Result<(), LoadError> {
        let identity = Identity { user: identity.user.clone(), host: identity.host.clone() };
        let access = self.server.accounts.access(&identity, None).map_err(internal)?;
        access
            .require("INSERT", Object::Table(database, table))
            .map_err(|error| LoadError::AccessDenied(error.to_string()))
    }
}

fn internal(error: Error) -> LoadError {
    LoadError::Internal(error.to_string())
}

impl LoadEnvironments for Bridge {
    fn open(&self, session: &LoadSession) -> Result<LoadEnvironment, LoadError> {
        let time_zone = match &session.time_zone {
            Some(name) => TimeZone::parse(name).map_err(|error| LoadError::invalid(error.to_string()))?,
            None => TimeZone::UTC,
        };
        let micros = session.now_ms.saturating_mul(1000);
        let context = StatementContext {
            catalog: Arc::new(NoTables),
            variables: Arc::new(NoVariables),
            database: None,
            user: session.user.clone(),
            current_user: session.user.clone(),
            current_role: "NONE".to_owned(),
            connection_id: 0,
            version: MYSQL_VERSION.to_owned(),
            current_version: format!("Ebla {VERSION}"),
            last_insert_id: 0,
            now: chrono::DateTime::from_timestamp_millis(session.now_ms).unwrap_or_default(),
            time_zone,
            select_limit: None,
        };
        Ok(LoadEnvironment {
            now_micros: time_zone.to_local(micros).unwrap_or(micros),
            expressions: Box::new(LoadExpressions { engine: Arc::clone(&self.server.engine), context }),
        })
    }
}

/// The expressions of one load, which see its columns and no table.
struct LoadExpressions {
    engine: Arc<QueryEngine>,
    context: StatementContext,
}

impl Expressions for LoadExpressions {
    fn compile(&self, expression: &Expr, input: &SchemaRef) -> Result<Box<dyn Expression>, LoadError> {
        let compiled = self
            .engine
            .compile_expr(expression, input, &self.context)
            .map_err(|error| LoadError::invalid(error.to_string()))?;
        Ok(Box::new(LoadExpression(compiled)))
    }
}

struct LoadExpression(CompiledExpr);

impl Expression for LoadExpression {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, LoadError> {
        self.0.evaluate(batch).map_err(|error| LoadError::invalid(error.to_string()))
    }
}

struct NoTables;

impl Catalog for NoTables {
    fn has_database(&self, _: &str) -> Result<bool, QueryError> {
        Ok(false)
    }

    fn relation(&self, _: &str, _: &str) -> Result<Option<Relation>, QueryError> {
        Ok(None)
    }
}

struct NoVariables;

impl Variables for NoVariables {
    fn system(&self, _: VariableScope, _: &str) -> Option<Value> {
        None
    }

    fn user(&self, _: &str) -> Value {
        Value::Null
    }
}
