//! Results on their way out: batches with the user's headers, in types the wire knows.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::mpsc;

use super::convert::{self, DATETIME};
use super::error::QueryError;
use super::interrupt::Interrupt;

/// Batches that wait for a slow client; the query stands still behind them.
const BATCHES_AHEAD: usize = 2;

/// The batches of a running query. Dropping it stops the query.
pub struct QueryStream {
    columns: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch, QueryError>>,
    task: tokio::task::JoinHandle<()>,
    interrupt: Interrupt,
}

impl QueryStream {
    /// Drives `source` on the engine's threads.
    pub(super) fn start(
        runtime: &tokio::runtime::Handle,
        mut source: SendableRecordBatchStream,
        columns: SchemaRef,
        interrupt: Interrupt,
    ) -> Self {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let schema = Arc::clone(&columns);
        let task = runtime.spawn(async move {
            let run = async {
                while let Some(batch) = source.next().await {
                    let batch = batch.map_err(QueryError::from).and_then(|batch| present(&batch, &schema));
                    let failed = batch.is_err();
                    if sender.send(batch).await.is_err() || failed {
                        break;
                    }
                }
            };
            // A panic in an operator is an error of this query, not the end of its connection.
            if std::panic::AssertUnwindSafe(run).catch_unwind().await.is_err() {
                let _ = sender.send(Err(QueryError::Internal("an operator panicked; see the log".to_owned()))).await;
            }
        });
        Self { columns, batches, task, interrupt }
    }

    /// The columns of every batch.
    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// Reads everything.
    pub async fn collect_all(mut self) -> Result<Vec<RecordBatch>, QueryError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.batches.recv().await {
            batches.push(batch?);
        }
        Ok(batches)
    }
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch, QueryError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.poll_recv(context)
    }
}

impl Drop for QueryStream {
    fn drop(&mut self) {
        self.interrupt.raise();
        self.task.abort();
    }
}

/// A batch under the result's headers and types.
fn present(batch: &RecordBatch, columns: &SchemaRef) -> Result<RecordBatch, QueryError> {
    let arrays: Result<Vec<ArrayRef>, _> = batch
        .columns()
        .iter()
        .zip(columns.fields())
        .map(|(array, field)| convert::cast(array, field.data_type()))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(columns), arrays?, &options)?)
}

/// The type a result column is delivered in: what storage knows, plus UINT64 and NULL.
pub(super) fn output_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 | DataType::Timestamp(..) => DATETIME,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Dictionary(_, value) => output_type(value),
        DataType::RunEndEncoded(_, value) => output_type(value.data_type()),
        DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) | DataType::Interval(_) => DataType::Utf8,
        other => other.clone(),
    }
}
