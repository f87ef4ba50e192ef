//! Looking at an object without reading it.
//!
//! The answer to a HEAD has no body, so a refused one does not say why: whether credentials have ended, a clock is wrong or a
//! right is missing. Then the first byte is asked for, by the same right, and what the store says to that is the reason.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;

use super::super::{Operation, StoreErrorKind};
use super::Inner;
use super::failure::{self, Failed};

/// The first byte: offset and length.
const FIRST_BYTE: (u64, u64) = (0, 1);

impl Inner {
    /// What the store says of an object.
    pub(super) async fn head_once(&self, key: &str) -> Result<HeadObjectOutput, Failed> {
        let request = self.client.head_object().bucket(&self.bucket).key(self.full_key(key));
        let failed = match request.send().await {
            Ok(found) => return Ok(found),
            Err(error) => failure::failed(self, Operation::Head, key, &error),
        };
        let is_unexplained =
            failed.error.code().is_none() && matches!(failed.error.http_status(), Some(400 | 401 | 403));
        if !is_unexplained {
            return Err(failed);
        }
        match self.get_once(Operation::Head, key, Some(FIRST_BYTE), FIRST_BYTE.1).await {
            // It can be read: what hindered the look is over.
            Ok(_) => Err(Failed::worth_another_try(failed.error)),
            Err(said) if matches!(said.error.kind(), StoreErrorKind::NotFound | StoreErrorKind::Corrupt) => Err(failed),
            Err(said) => Err(said),
        }
    }
}
