//! What queries see of storage: names resolved, privileges checked, a table snapshot as the query engine's view.
//!
//! All tables that a query names are seen as they are at one moment, however often it names them: a restore, which shows
//! several tables in one transaction, is in all of them or in none.

use std::collections::{BTreeSet, HashMap};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use ebla_storage::catalog::{PartitionState, TabletState, ZoneMap};
use ebla_storage::schema::{
    Bound, Column, DefaultValue, PartitionBounds, PartitionKey, TableDefinition, Value as StoredValue,
};
use ebla_storage::table_snapshot::TableSnapshot;
use ebla_storage::tablet::{SegmentHandle, bucket_of};
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use sqlparser::ast::{ObjectName, Query, visit_relations};

use super::information_schema;
use crate::auth::privilege::{Access, Object};
use crate::error::{Error, Result};
use crate::query::source::{
    Catalog, Distribution, INFORMATION_SCHEMA, KeyPart, PartitionRange, PartitionView, Relation, SegmentData,
    SegmentFile, TableView, TabletView, VirtualTables, Zone,
};
use crate::query::{QueryError, Value};
use crate::server::Server;
use crate::session::Session;

/// The tables of a server as one session may read them, for one statement.
pub struct SessionTables {
    server: Arc<Server>,
    access: Access,
    virtual_tables: VirtualTables,
    /// Every table that the statement may mean, by database and name.
    names: BTreeSet<(String, String)>,
    /// Those of them that are there, all of one moment; taken when the first is asked for.
    cut: Mutex<Option<Cut>>,
}

type Cut = HashMap<(String, String), Arc<TableSnapshot>>;

impl SessionTables {
    /// The tables this session may read now, for a statement without a query.
    pub fn of(session: &Session) -> Result<SessionTables> {
        Ok(SessionTables {
            server: Arc::clone(&session.server),
            access: session.access()?,
            virtual_tables: information_schema::tables_of(session)?,
            names: BTreeSet::new(),
            cut: Mutex::default(),
        })
    }

    /// The tables this session may read now, for a query.
    pub fn of_query(session: &Session, query: &Query) -> Result<SessionTables> {
        let names = relations(query, session.database.as_deref());
        Ok(SessionTables { names, ..SessionTables::of(session)? })
    }

    fn snapshot(&self, database: &str, name: &str) -> ebla_storage::Result<Option<Arc<TableSnapshot>>> {
        let mut cut = self.cut.lock();
        let cut = match &mut *cut {
            Some(cut) => cut,
            none => none.insert(self.take_cut()?),
        };
        let key = (database.to_owned(), name.to_owned());
        if self.names.contains(&key) {
            return Ok(cut.get(&key).map(Arc::clone));
        }
        match self.server.storage.table_snapshot(database, name) {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(ebla_storage::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn take_cut(&self) -> ebla_storage::Result<Cut> {
        let names: Vec<(String, String)> = self.names.iter().cloned().collect();
        let snapshots = self.server.storage.table_snapshots(&names)?;
        Ok(names.into_iter().zip(snapshots).filter_map(|(name, snapshot)| Some((name, snapshot?))).collect())
    }
}

/// Every table that a query may mean. Names of its own, of WITH, are among them and do no harm.
fn relations(query: &Query, database: Option<&str>) -> BTreeSet<(String, String)> {
    let mut names = BTreeSet::new();
    let _: ControlFlow<()> = visit_relations(query, |name: &ObjectName| {
        let mut parts = name.0.iter().rev().filter_map(|part| part.as_ident()).map(|ident| ident.value.as_str());
        if let (Some(table), Some(database)) = (parts.next(), parts.next().or(database)) {
            names.insert((database.to_owned(), table.to_owned()));
        }
        ControlFlow::Continue(())
    });
    names
}

impl Catalog for SessionTables {
    fn has_database(&self, database: &str) -> Result<bool, QueryError> {
        if database.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
            return Ok(true);
        }
        // Of a database that the account may not see nobody says whether it is there: its tables are refused.
        if !self.access.sees_database(database) {
            return Ok(true);
        }
        let found = self.server.storage.catalog().read(|read| read.find_database(database)).map_err(internal)?;
        Ok(found.is_some())
    }

    fn relation(&self, database: &str, name: &str) -> Result<Option<Relation>, QueryError> {
        if database.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
            return Ok(self.virtual_tables.get(name).cloned().map(Relation::Virtual));
        }
        self.access
            .require("SELECT", Object::Table(database, name))
            .map_err(|error| QueryError::AccessDenied(error.to_string()))?;
        let Some(snapshot) = self.snapshot(database, name).map_err(from_storage)? else { return Ok(None) };
        let view = table_view(&snapshot);
        Ok(Some(Relation::Table(Arc::new(view))))
    }
}

/// One version of a table as the query engine reads it. The snapshot is the view's pin.
fn table_view(snapshot: &Arc<TableSnapshot>) -> TableView {
    let definition = snapshot.definition();
    let position = |id| definition.position(id);
    let partitions = snapshot.state().partitions.iter().map(|partition| partition_view(snapshot, partition)).collect();
    let distribution_columns: Vec<usize> =
        definition.distribution_columns().iter().filter_map(|id| position(*id)).collect();
    let distribution = (!distribution_columns.is_empty()).then(|| Distribution {
        columns: distribution_columns,
        bucket_of: Arc::new(|columns, buckets| {
            bucket_of(columns, buckets).map_err(|error| QueryError::Internal(error.to_string()))
        }),
    });
    TableView {
        database: snapshot.database().to_owned(),
        name: snapshot.table().name.clone(),
        schema: Arc::clone(snapshot.schema()),
        defaults: definition.columns.iter().map(default_of_older_rows).collect(),
        partition_columns: definition.partition_columns().iter().filter_map(|id| position(*id)).collect(),
        partitions,
        distribution,
        pin: Arc::clone(snapshot) as Arc<_>,
    }
}

/// What rows have in a column that is younger than their file.
fn default_of_older_rows(column: &Column) -> Value {
    match &column.default {
        // It was read as a value of this type when the column was made.
        Some(DefaultValue::Constant(text)) => {
            StoredValue::parse(text, &column.data_type).map_or(Value::Null, |stored| value(&stored))
        }
        // What is worked out a row was never worked out for these.
        Some(DefaultValue::CurrentTimestamp | DefaultValue::Uuid | DefaultValue::UuidNumeric) | None => Value::Null,
    }
}

fn partition_view(snapshot: &TableSnapshot, state: &PartitionState) -> PartitionView {
    let tablets = state
        .tablets
        .iter()
        .map(|tablet| TabletView {
            id: tablet.tablet.id.0.unsigned_abs(),
            bucket: tablet.tablet.bucket,
            segments: segment_files(snapshot, tablet),
        })
        .collect();
    PartitionView {
        id: state.partition.id.0.unsigned_abs(),
        name: state.partition.name.clone(),
        range: range(&state.partition.bounds),
        buckets: state.partition.buckets,
        tablets,
    }
}

fn segment_files(snapshot: &TableSnapshot, tablet: &TabletState) -> Vec<SegmentFile> {
    tablet
        .segments()
        .map(|segment| SegmentFile {
            name: format!("{}.parquet", segment.digest),
            size_bytes: segment.bytes,
            rows: segment.rows,
            deleted_rows: segment.rows - segment.live_rows(),
            zones: zones(snapshot.definition(), &segment.zone_maps),
            data: Arc::new(StoredSegment(snapshot.segment(tablet, segment))),
        })
        .collect()
}

/// The bytes of a segment on disk, from whichever replica has them whole. The view's pin keeps the file.
#[derive(Debug)]
struct StoredSegment(Arc<SegmentHandle>);

impl SegmentData for StoredSegment {
    fn read(&self, ranges: &[Range<u64>]) -> std::result::Result<Vec<Bytes>, QueryError> {
        self.0.read_ranges(ranges).map_err(from_storage)
    }

    fn deleted(&self) -> std::result::Result<Option<Arc<RoaringBitmap>>, QueryError> {
        self.0.delete_vector().map_err(from_storage)
    }
}

fn zones(definition: &TableDefinition, zone_maps: &[ZoneMap]) -> Vec<Zone> {
    let mut zones = vec![Zone::default(); definition.columns.len()];
    for zone_map in zone_maps {
        let Some(zone) = definition.position(zone_map.column).and_then(|position| zones.get_mut(position)) else {
            continue;
        };
        zone.null_count = Some(zone_map.nulls);
        // A column that is NULL throughout has no bounds.
        if zone_map.min != StoredValue::Null && zone_map.max != StoredValue::Null {
            zone.min = Some(value(&zone_map.min));
            zone.max = Some(value(&zone_map.max));
        }
    }
    zones
}

fn range(bounds: &PartitionBounds) -> Option<PartitionRange> {
    let PartitionBounds::Range { lower, upper } = bounds else { return None };
    let all = |key: &PartitionKey, bound: Bound| key.0.iter().all(|part| *part == bound);
    let parts = |key: &PartitionKey| {
        key.0
            .iter()
            .map(|bound| match bound {
                Bound::MinValue => KeyPart::Min,
                Bound::MaxValue => KeyPart::Max,
                Bound::Value(stored) => KeyPart::Value(value(stored)),
            })
            .collect()
    };
    Some(PartitionRange {
        lower: (!all(lower, Bound::MinValue)).then(|| parts(lower)),
        upper: (!all(upper, Bound::MaxValue)).then(|| parts(upper)),
    })
}

/// A stored value as the query engine has it.
pub fn value(stored: &StoredValue) -> Value {
    use arrow::datatypes::i256;
    match stored {
        StoredValue::Null => Value::Null,
        StoredValue::Boolean(flag) => Value::Boolean(*flag),
        StoredValue::Int(number) => match i64::try_from(*number) {
            Ok(number) => Value::Int(number),
            Err(_) => Value::Decimal(i256::from_i128(*number), 0),
        },
        StoredValue::Float(number) => Value::Double(*number),
        StoredValue::Decimal { unscaled, scale } => {
            Value::Decimal(i256::from_i128(*unscaled), i8::try_from(*scale).unwrap_or(i8::MAX))
        }
        StoredValue::Date(days) => Value::Date(*days),
        StoredValue::DateTime(micros) => Value::DateTime(*micros),
        StoredValue::String(text) => Value::String(text.clone()),
        StoredValue::Binary(bytes) => Value::Bytes(bytes.clone()),
    }
}

fn internal(error: ebla_storage::Error) -> QueryError {
    QueryError::Internal(error.to_string())
}

fn from_storage(error: ebla_storage::Error) -> QueryError {
    match error {
        ebla_storage::Error::Corrupt { .. } => QueryError::Corrupt(error.to_string()),
        ebla_storage::Error::NotFound { .. } => QueryError::UnknownTable(error.to_string()),
        other => QueryError::Internal(other.to_string()),
    }
}

impl From<QueryError> for ebla_protocol::wire::WireError {
    fn from(error: QueryError) -> Self {
        Error::Query(error).into()
    }
}
