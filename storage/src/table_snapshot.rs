//! A table as one reader sees it: immutable, and readable as long as the value lives.
//!
//! [`crate::Storage::table_snapshot`] hands them out, the same one to everybody while nothing about the table changes.
//! Files that become garbage meanwhile stay on disk until the last snapshot that names them is gone.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use roaring::RoaringBitmap;

use crate::catalog::{SegmentMeta, TableRow, TableState, TabletState};
use crate::error::Result;
use crate::schema::TableDefinition;
use crate::tablet::{SegmentHandle, TabletFiles};

/// A table as one reader sees it.
#[derive(Debug)]
pub struct TableSnapshot {
    database: String,
    state: TableState,
    schema: SchemaRef,
    files: Arc<TabletFiles>,
}

impl TableSnapshot {
    pub(crate) fn new(database: String, state: TableState, files: Arc<TabletFiles>) -> Self {
        let schema = state.table.definition.to_arrow();
        TableSnapshot { database, state, schema, files }
    }

    /// The name of its database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The table. Its AUTO_INCREMENT counter may be behind.
    pub fn table(&self) -> &TableRow {
        &self.state.table
    }

    /// What the table is.
    pub fn definition(&self) -> &TableDefinition {
        &self.state.table.definition
    }

    /// The table with its partitions, tablets and segments.
    pub fn state(&self) -> &TableState {
        &self.state
    }

    /// The Arrow schema of the table.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A segment to read from: what it gives is checked, and comes from whichever replica has it whole. It reads well
    /// as long as this snapshot lives.
    pub fn segment(&self, tablet: &TabletState, segment: &SegmentMeta) -> Arc<SegmentHandle> {
        Arc::new(self.files.segment(tablet, segment))
    }

    /// Where a segment's file is. Its bytes are not looked at: read them by [`TableSnapshot::segment`].
    pub fn segment_path(&self, tablet: &TabletState, segment: &SegmentMeta) -> Result<PathBuf> {
        self.files.segment_path(tablet, segment)
    }

    /// Which rows of a segment are deleted; `None` when none is.
    pub fn delete_vector(&self, tablet: &TabletState, segment: &SegmentMeta) -> Result<Option<Arc<RoaringBitmap>>> {
        self.files.delete_vector(tablet, segment)
    }

    /// Finds and reads the files of tablets.
    pub fn files(&self) -> &Arc<TabletFiles> {
        &self.files
    }
}
