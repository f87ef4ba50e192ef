//! What a Stream Load answers: the JSON that StarRocks's clients read, key for key.
//!
//! The HTTP status is 200 whatever became of the load; `Status` tells. Only a request without a valid password gets 401.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

/// How a load ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum LoadStatus {
    /// Its rows are visible.
    Success,
    /// Its label is taken: by a load that is running, or one that succeeded.
    #[serde(rename = "Label Already Exists")]
    LabelAlreadyExists,
    /// Nothing was loaded.
    #[default]
    Fail,
}

impl LoadStatus {
    /// Its name in metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            LoadStatus::Success => "success",
            LoadStatus::LabelAlreadyExists => "label_already_exists",
            LoadStatus::Fail => "fail",
        }
    }
}

/// The state of the load that has the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExistingJobStatus {
    /// It has not ended.
    Running,
    /// It succeeded.
    Finished,
}

/// The answer to a Stream Load.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LoadAnswer {
    /// The transaction, -1 when none began.
    pub txn_id: i64,
    /// The label.
    pub label: String,
    /// How it ended.
    pub status: LoadStatus,
    /// Of the load that has the label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub existing_job_status: Option<ExistingJobStatus>,
    /// `OK`, or why it failed.
    pub message: String,
    /// Rows of the input.
    pub number_total_rows: u64,
    /// Rows that were loaded.
    pub number_loaded_rows: u64,
    /// Bad rows.
    pub number_filtered_rows: u64,
    /// Rows that `where` left out.
    pub number_unselected_rows: u64,
    /// Bytes of the body.
    pub load_bytes: u64,
    /// Milliseconds in all.
    pub load_time_ms: u64,
    /// Milliseconds to begin the transaction.
    pub begin_txn_time_ms: u64,
    /// Milliseconds to check and compile the headers.
    pub stream_load_plan_time_ms: u64,
    /// Milliseconds of waiting for the body.
    pub read_data_time_ms: u64,
    /// Milliseconds of reading rows and writing segments.
    pub write_data_time_ms: u64,
    /// Milliseconds to publish.
    pub commit_and_publish_time_ms: u64,
    /// Where the first bad rows are described.
    #[serde(rename = "ErrorURL", skip_serializing_if = "Option::is_none")]
    pub error_url: Option<String>,
}

impl IntoResponse for LoadAnswer {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// The answer to a request whose user is not known or whose password is wrong.
pub(super) fn unauthorized(message: &str) -> Response {
    let body = Json(LoadAnswer { txn_id: -1, message: message.to_owned(), ..LoadAnswer::default() });
    let challenge = HeaderValue::from_static("Basic realm=\"ebla\"");
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)], body).into_response()
}

/// The answer to a request for what is not there.
pub(super) fn not_found(message: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({"status": "FAILED", "msg": message}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_their_order() {
        let answer = LoadAnswer { status: LoadStatus::LabelAlreadyExists, ..LoadAnswer::default() };
        let text = serde_json::to_string(&answer).expect("JSON");
        assert_eq!(
            text,
            "{\"TxnId\":0,\"Label\":\"\",\"Status\":\"Label Already Exists\",\"Message\":\"\",\"NumberTotalRows\":0,\
             \"NumberLoadedRows\":0,\"NumberFilteredRows\":0,\"NumberUnselectedRows\":0,\"LoadBytes\":0,\
             \"LoadTimeMs\":0,\"BeginTxnTimeMs\":0,\"StreamLoadPlanTimeMs\":0,\"ReadDataTimeMs\":0,\
             \"WriteDataTimeMs\":0,\"CommitAndPublishTimeMs\":0}"
        );
        let answer = LoadAnswer {
            status: LoadStatus::Fail,
            existing_job_status: Some(ExistingJobStatus::Running),
            error_url: Some("http://x".into()),
            ..LoadAnswer::default()
        };
        let text = serde_json::to_string(&answer).expect("JSON");
        assert!(text.contains("\"ExistingJobStatus\":\"RUNNING\"") && text.ends_with("\"ErrorURL\":\"http://x\"}"));
    }
}
