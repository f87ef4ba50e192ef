//! Stream Load through a socket, against a real storage in a temporary directory.
//!
//! The client is a plain socket, so that a test decides what is sent when: half a body, no body, a body nobody asked for.

mod client;
mod loads;
mod serving;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{Int32Type, SchemaRef};
use ebla_storage::catalog::{LoadRow, NewPartition};
use ebla_storage::clock::{SystemClock, SystemRandom};
use ebla_storage::schema::{
    Bound, Column, ColumnId, DataType, Distribution, KeysType, PartitionBounds, PartitionKey, Partitioning,
    TableDefinition, Value,
};
use ebla_storage::{Storage, StorageConfig};
use metrics_exporter_prometheus::PrometheusBuilder;
use sqlparser::ast::{BinaryOperator, Expr};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::auth::{HttpAuth, HttpIdentity, HttpPrivileges};
use super::{HttpLimits, HttpState, serve};
use crate::load::LoadError;
use crate::load::columns::{Expression, Expressions, LoadEnvironment, LoadEnvironments, LoadSession};

/// A server with database `d` and table `t (k INT, v VARCHAR(10))`, `k` below 1000.
struct TestServer {
    address: SocketAddr,
    storage: Arc<Storage>,
    shutdown: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
    _directory: tempfile::TempDir,
}

impl TestServer {
    async fn start() -> TestServer {
        TestServer::with_limits(HttpLimits::default()).await
    }

    async fn with_limits(limits: HttpLimits) -> TestServer {
        let directory = tempfile::tempdir().expect("a directory");
        let storage =
            Storage::open(StorageConfig::new(directory.path()), Arc::new(SystemClock), Arc::new(SystemRandom))
                .expect("opens");
        storage.catalog().write(|write| write.create_database("d", &BTreeMap::new())).expect("a database");
        let partition = NewPartition {
            name: "p1".to_owned(),
            bounds: PartitionBounds::Range {
                lower: PartitionKey(vec![Bound::MinValue]),
                upper: PartitionKey(vec![Bound::Value(Value::Int(1_000))]),
            },
            buckets: 2,
            replication_num: 1,
            properties: BTreeMap::new(),
        };
        storage.create_table("d", "t", &definition(), &[partition]).expect("a table");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let state = HttpState {
            storage: Arc::clone(&storage),
            auth: Arc::new(Everybody),
            privileges: Arc::new(Everybody),
            environments: Arc::new(Everybody),
            health: Arc::new(Vec::new),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            before_metrics: Arc::new(|| {}),
            version: "1.2.3".to_owned(),
            limits,
        };
        let serving = tokio::spawn(serve(listener, state, shutdown.clone()));
        TestServer { address, storage, shutdown, serving, _directory: directory }
    }

    /// Rows of the table that queries see.
    fn rows(&self) -> u64 {
        let snapshot = self.storage.table_snapshot("d", "t").expect("a table");
        snapshot.state().live_rows()
    }

    /// The load that holds a label.
    fn load(&self, label: &str) -> Option<LoadRow> {
        let find =
            |read: &ebla_storage::catalog::ReadTransaction<'_>| read.load_by_label(read.database("d")?.id, label);
        self.storage.catalog().read(find).expect("reads")
    }

    /// Waits until something holds: what a broken connection leaves behind is cleared by somebody else's task.
    async fn wait_until(&self, what: &str, holds: impl Fn(&TestServer) -> bool) {
        for _ in 0..400 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("still not so: {what}");
    }
}

fn definition() -> TableDefinition {
    let column = |id, name: &str, data_type, key: bool| Column {
        id: ColumnId(id),
        name: name.to_owned(),
        data_type,
        nullable: !key,
        key,
        aggregation: None,
        default: None,
        auto_increment: false,
        comment: String::new(),
    };
    TableDefinition {
        columns: vec![column(0, "k", DataType::Int, true), column(1, "v", DataType::Varchar { length: 10 }, false)],
        keys_type: KeysType::Duplicate,
        sort_key: vec![ColumnId(0)],
        partitioning: Partitioning::Range { columns: vec![ColumnId(0)] },
        distribution: Distribution::Hash { columns: vec![ColumnId(0)] },
        buckets: 2,
        properties: BTreeMap::new(),
        indexes: Vec::new(),
        comment: String::new(),
    }
}

/// Lets in root without a password, and nobody else; lets load into every table but `secret`; knows a column's name and
/// `column > number`.
struct Everybody;

impl HttpAuth for Everybody {
    fn authenticate(&self, user: &str, password: &str, _: SocketAddr) -> Result<Option<HttpIdentity>, LoadError> {
        let known = user == "root" && password.is_empty();
        Ok(known.then(|| HttpIdentity { user: user.to_owned(), host: "%".to_owned() }))
    }
}

impl HttpPrivileges for Everybody {
    fn check_insert(&self, _: &HttpIdentity, _: &str, table: &str) -> Result<(), LoadError> {
        if table == "secret" {
            return Err(LoadError::AccessDenied("Access denied; you need INSERT".to_owned()));
        }
        Ok(())
    }
}

impl LoadEnvironments for Everybody {
    fn open(&self, session: &LoadSession) -> Result<LoadEnvironment, LoadError> {
        Ok(LoadEnvironment { expressions: Box::new(Everybody), now_micros: session.now_ms * 1_000 })
    }
}

impl Expressions for Everybody {
    fn compile(&self, expression: &Expr, input: &SchemaRef) -> Result<Box<dyn Expression>, LoadError> {
        let (name, above) = match expression {
            Expr::BinaryOp { left, op: BinaryOperator::Gt, right } => {
                (left.to_string(), right.to_string().parse().ok())
            }
            other => (other.to_string(), None),
        };
        let column =
            input.index_of(&name).map_err(|_| LoadError::invalid(format!("Column '{name}' cannot be resolved")))?;
        Ok(Box::new(ColumnAbove { column, above }))
    }
}

struct ColumnAbove {
    column: usize,
    above: Option<i32>,
}

impl Expression for ColumnAbove {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, LoadError> {
        let column = batch.column(self.column);
        let Some(above) = self.above else {
            return Ok(Arc::clone(column));
        };
        let numbers = column.as_primitive::<Int32Type>();
        Ok(Arc::new(numbers.iter().map(|number| number.map(|number| number > above)).collect::<BooleanArray>()))
    }
}
