//! What a scan need not read: partitions by range, tablets by bucket, segments by zone map.
//!
//! Pruning only ever drops what cannot hold a matching row; anything unknown is kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{Guarantee, LiteralGuarantee};
use datafusion::physical_optimizer::pruning::PruningPredicate;

use super::{ScanReport, live_rows, scalars_to_array};
use crate::query::source::{KeyPart, PartitionView, SegmentFile, TableView, TabletView};
use crate::query::value::Value;

/// More combinations of distribution values than this are not looked up.
const BUCKET_LOOKUPS_MAX: usize = 1024;

/// What is left to read.
pub(super) struct Pruned<'a> {
    partitions: usize,
    tablets: usize,
    pub(super) segments: Vec<&'a SegmentFile>,
}

impl Pruned<'_> {
    pub(super) fn report(&self, view: &TableView) -> ScanReport {
        let tablets: usize = view.partitions.iter().map(|partition| partition.tablets.len()).sum();
        let segments: usize =
            view.partitions.iter().flat_map(|partition| &partition.tablets).map(|tablet| tablet.segments.len()).sum();
        ScanReport {
            table: format!("{}.{}", view.database, view.name),
            partitions: (self.partitions, view.partitions.len()),
            tablets: (self.tablets, tablets),
            segments: (self.segments.len(), segments),
            rows: self.segments.iter().map(|segment| live_rows(segment)).sum(),
        }
    }
}

/// Drops what the filters exclude.
pub(super) fn prune<'a>(
    view: &'a TableView,
    schema: &SchemaRef,
    only_partitions: &[String],
    filters: &[Expr],
    state: &dyn Session,
) -> Result<Pruned<'a>> {
    let predicate = physical_predicate(schema, filters, state)?;
    let pruning = match &predicate {
        Some(predicate) => PruningPredicate::try_new(Arc::clone(predicate), Arc::clone(schema)).ok(),
        None => None,
    };

    let partitions = named_partitions(view, only_partitions);
    let partitions = prune_partitions(view, schema, partitions, pruning.as_ref());
    let tablets = prune_tablets(view, schema, &partitions, predicate.as_ref());
    let segments: Vec<&SegmentFile> = tablets.iter().flat_map(|tablet| &tablet.segments).collect();
    let segments = prune_segments(schema, segments, pruning.as_ref());
    Ok(Pruned { partitions: partitions.len(), tablets: tablets.len(), segments })
}

fn physical_predicate(
    schema: &SchemaRef,
    filters: &[Expr],
    state: &dyn Session,
) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let Some(filter) = conjunction(filters.to_vec()) else {
        return Ok(None);
    };
    let df_schema = DFSchema::try_from(Arc::clone(schema))?;
    state.create_physical_expr(filter, &df_schema).map(Some)
}

fn named_partitions<'a>(view: &'a TableView, only: &[String]) -> Vec<&'a PartitionView> {
    view.partitions
        .iter()
        .filter(|partition| only.is_empty() || only.iter().any(|name| partition.name.eq_ignore_ascii_case(name)))
        .collect()
}

fn prune_partitions<'a>(
    view: &TableView,
    schema: &SchemaRef,
    partitions: Vec<&'a PartitionView>,
    pruning: Option<&PruningPredicate>,
) -> Vec<&'a PartitionView> {
    let (Some(pruning), Some(&column)) = (pruning, view.partition_columns.first()) else {
        return partitions;
    };
    let ranges = PartitionRanges {
        column: schema.field(column).name(),
        data_type: schema.field(column).data_type(),
        single: view.partition_columns.len() == 1,
        lowest: lowest_partition(view).map(|partition| partition.id),
        partitions: &partitions,
    };
    keep(pruning, &ranges, &partitions)
}

fn prune_segments<'a>(
    schema: &SchemaRef,
    segments: Vec<&'a SegmentFile>,
    pruning: Option<&PruningPredicate>,
) -> Vec<&'a SegmentFile> {
    let segments: Vec<&SegmentFile> = segments.into_iter().filter(|segment| live_rows(segment) > 0).collect();
    let Some(pruning) = pruning else {
        return segments;
    };
    let zones = SegmentZones { schema, segments: &segments };
    keep(pruning, &zones, &segments)
}

/// The items the predicate cannot exclude; all of them when it cannot be evaluated.
fn keep<T: Copy>(pruning: &PruningPredicate, statistics: &dyn PruningStatistics, items: &[T]) -> Vec<T> {
    if items.is_empty() {
        return Vec::new();
    }
    match pruning.prune(statistics) {
        Ok(kept) => items.iter().zip(kept).filter_map(|(item, keep)| keep.then_some(*item)).collect(),
        Err(error) => {
            tracing::debug!(%error, "pruning skipped");
            items.to_vec()
        }
    }
}

/// The partition that takes NULL: the one that reaches down furthest.
fn lowest_partition(view: &TableView) -> Option<&PartitionView> {
    view.partitions.iter().min_by(|a, b| {
        let lower = |partition: &PartitionView| partition.range.as_ref().and_then(|range| range.lower.clone());
        compare_bounds(lower(a).as_deref(), lower(b).as_deref())
    })
}

fn compare_bounds(a: Option<&[KeyPart]>, b: Option<&[KeyPart]>) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    let rank = |part: &KeyPart| match part {
        KeyPart::Min => 0,
        KeyPart::Value(_) => 1,
        KeyPart::Max => 2,
    };
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => a
            .iter()
            .zip(b)
            .map(|(a, b)| match (a, b) {
                (KeyPart::Value(a), KeyPart::Value(b)) => {
                    a.natural_scalar().partial_cmp(&b.natural_scalar()).unwrap_or(Ordering::Equal)
                }
                (a, b) => rank(a).cmp(&rank(b)),
            })
            .find(|ordering| *ordering != Ordering::Equal)
            .unwrap_or(Ordering::Equal),
    }
}

/// What the first partition column ranges over in each partition.
struct PartitionRanges<'a> {
    column: &'a str,
    data_type: &'a datafusion::arrow::datatypes::DataType,
    single: bool,
    lowest: Option<u64>,
    partitions: &'a [&'a PartitionView],
}

impl PartitionRanges<'_> {
    fn bound(&self, part: Option<&KeyPart>) -> Option<ScalarValue> {
        match part? {
            KeyPart::Value(value) => value.to_scalar(self.data_type).filter(|scalar| !scalar.is_null()),
            KeyPart::Min | KeyPart::Max => None,
        }
    }

    fn upper(&self, partition: &PartitionView) -> Option<ScalarValue> {
        let part = partition.range.as_ref()?.upper.as_ref()?.first();
        let part = match part? {
            // The bound itself is outside, so with one column the largest value inside is the one before it.
            KeyPart::Value(value) if self.single => KeyPart::Value(before(value)),
            other => other.clone(),
        };
        self.bound(Some(&part))
    }
}

/// The value before, where there is one; else the value itself, which only keeps more.
fn before(value: &Value) -> Value {
    match value {
        Value::Int(value) => Value::Int(value.saturating_sub(1)),
        Value::Date(days) => Value::Date(days.saturating_sub(1)),
        Value::DateTime(micros) => Value::DateTime(micros.saturating_sub(1)),
        other => other.clone(),
    }
}

impl PruningStatistics for PartitionRanges<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        if column.name != self.column {
            return None;
        }
        let bounds = self
            .partitions
            .iter()
            .map(|partition| {
                let lower = partition.range.as_ref()?.lower.as_ref()?;
                self.bound(lower.first())
            })
            .collect();
        scalars_to_array(bounds, self.data_type)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        if column.name != self.column {
            return None;
        }
        let bounds = self.partitions.iter().map(|partition| self.upper(partition)).collect();
        scalars_to_array(bounds, self.data_type)
    }

    fn num_containers(&self) -> usize {
        self.partitions.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        if column.name != self.column {
            return None;
        }
        let counts: UInt64Array =
            self.partitions.iter().map(|partition| (Some(partition.id) != self.lowest).then_some(0)).collect();
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// The zone maps of the segments.
struct SegmentZones<'a> {
    schema: &'a SchemaRef,
    segments: &'a [&'a SegmentFile],
}

impl SegmentZones<'_> {
    fn bounds(
        &self,
        column: &Column,
        pick: impl Fn(&crate::query::source::Zone) -> Option<&Value>,
    ) -> Option<ArrayRef> {
        let (index, field) = self.schema.column_with_name(&column.name)?;
        let bounds: Vec<Option<ScalarValue>> = self
            .segments
            .iter()
            .map(|segment| {
                pick(segment.zones.get(index)?)?.to_scalar(field.data_type()).filter(|scalar| !scalar.is_null())
            })
            .collect();
        if bounds.iter().all(Option::is_none) {
            return None;
        }
        scalars_to_array(bounds, field.data_type())
    }
}

impl PruningStatistics for SegmentZones<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |zone| zone.min.as_ref())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |zone| zone.max.as_ref())
    }

    fn num_containers(&self) -> usize {
        self.segments.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let (index, _) = self.schema.column_with_name(&column.name)?;
        let counts: UInt64Array =
            self.segments.iter().map(|segment| segment.zones.get(index).and_then(|zone| zone.null_count)).collect();
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts: UInt64Array = self.segments.iter().map(|segment| Some(segment.rows)).collect();
        Some(Arc::new(counts))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// Keeps the tablets whose bucket some row that the predicate accepts can be in: only when it fixes every distribution
/// column to a few values.
fn prune_tablets<'a>(
    view: &TableView,
    schema: &SchemaRef,
    partitions: &[&'a PartitionView],
    predicate: Option<&Arc<dyn PhysicalExpr>>,
) -> Vec<&'a TabletView> {
    let keys = predicate.and_then(|predicate| distribution_keys(view, schema, predicate));
    let mut wanted: HashMap<u32, Option<HashSet<u32>>> = HashMap::new();
    let mut tablets = Vec::new();
    for partition in partitions {
        let buckets = wanted.entry(partition.buckets).or_insert_with(|| {
            let keys = keys.as_ref()?;
            let distribution = view.distribution.as_ref()?;
            (distribution.bucket_of)(keys, partition.buckets).ok().map(|buckets| buckets.into_iter().collect())
        });
        tablets.extend(
            partition
                .tablets
                .iter()
                .filter(|tablet| buckets.as_ref().is_none_or(|buckets| buckets.contains(&tablet.bucket))),
        );
    }
    tablets
}

/// Every combination of values the predicate allows in the distribution columns, one array a column.
fn distribution_keys(view: &TableView, schema: &SchemaRef, predicate: &Arc<dyn PhysicalExpr>) -> Option<Vec<ArrayRef>> {
    let distribution = view.distribution.as_ref()?;
    let guarantees = LiteralGuarantee::analyze(predicate);
    let mut choices: Vec<Vec<ScalarValue>> = Vec::with_capacity(distribution.columns.len());
    let mut combinations: usize = 1;
    for &column in &distribution.columns {
        let field = schema.fields().get(column)?;
        let guarantee = guarantees
            .iter()
            .filter(|guarantee| guarantee.guarantee == Guarantee::In && guarantee.column.name == *field.name())
            .min_by_key(|guarantee| guarantee.literals.len())?;
        let values: Option<Vec<ScalarValue>> =
            guarantee.literals.iter().map(|literal| exactly(literal, field.data_type())).collect();
        let values = values?;
        combinations = combinations.checked_mul(values.len())?;
        choices.push(values);
    }
    if combinations == 0 || combinations > BUCKET_LOOKUPS_MAX {
        return None;
    }
    let mut repeat = combinations;
    choices
        .into_iter()
        .map(|values| {
            // Column by column the values vary slower to faster, so that the rows are all combinations.
            repeat /= values.len();
            let rows = (0..combinations).map(|row| values[row / repeat % values.len()].clone());
            ScalarValue::iter_to_array(rows).ok()
        })
        .collect()
}

/// The literal in the column's type, if that changes nothing about it.
fn exactly(literal: &ScalarValue, data_type: &datafusion::arrow::datatypes::DataType) -> Option<ScalarValue> {
    if literal.data_type() == *data_type {
        return Some(literal.clone());
    }
    let cast = literal.cast_to(data_type).ok().filter(|cast| !cast.is_null())?;
    (cast.cast_to(&literal.data_type()).ok()? == *literal).then_some(cast)
}
