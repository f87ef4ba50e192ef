//! Object locks: set with a put, extended on what was there before, and proven when a repository is created.
//!
//! A lock is only ever made longer. It is asked for without a look at the one that is there, because most often that one
//! ends earlier; S3 refuses to shorten a lock, and only then the object is looked at: one that is locked long enough
//! already is as good. One in the other mode gets the stricter of both.

use std::fmt;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sdk_s3::types::{ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode};
use bytes::Bytes;

use super::super::{ObjectKey, ObjectStore, Operation, Put, StoreError, StoreErrorKind, StoreResult};
use super::failure::{self, Failed};
use super::{Inner, S3Store};
use crate::repository::layout;
use crate::repository::properties::{LockMode, ObjectLock};

/// How long the object that proves locks is locked: longer than clocks differ, and over soon.
const PROOF_MS: i64 = 3_600_000;

/// By how much the proof extends that lock at least, and what an end may lack of what was asked for: more than a store loses
/// that keeps whole seconds.
const PROOF_STEP_MS: i64 = 2_000;

/// What to do where there are no locks.
pub(super) const LOCKLESS_ADVICE: &str =
    "make the bucket with Object Lock, or leave aws.s3.object_lock_mode and its days out";

/// What to do where a lock of one mode cannot become one of the other.
const MODE_ADVICE: &str = "the object is locked in another mode: keep aws.s3.object_lock_mode as it was, or allow \
                           s3:BypassGovernanceRetention for these credentials until the snapshot is there";

/// Whether a right to lift locks is to be used: S3 asks for it when a lock is made stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bypass {
    Yes,
    No,
}

/// A lock as it stands on an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) mode: LockMode,
    pub(super) until_ms: i64,
}

impl Standing {
    /// The lock that an object of this key is put with.
    pub(super) fn of_put(lock: &ObjectLock, key: &str, now_ms: i64) -> Option<Standing> {
        let until_ms = match key {
            _ if layout::is_of_snapshots(key) => now_ms.saturating_add(lock.granted_ms()),
            _ if layout::proves_lock(key, lock.mode) => now_ms.saturating_add(PROOF_MS),
            // Proofs and whatever is taken away again stay free.
            _ => return None,
        };
        Some(Standing { mode: lock.mode, until_ms })
    }

    /// Whether it keeps an object as well as `wanted` does.
    fn suffices(&self, wanted: &Standing) -> bool {
        self.mode >= wanted.mode && self.until_ms >= wanted.until_ms
    }

    pub(super) fn put_mode(&self) -> ObjectLockMode {
        match self.mode {
            LockMode::Governance => ObjectLockMode::Governance,
            LockMode::Compliance => ObjectLockMode::Compliance,
        }
    }

    pub(super) fn until(&self) -> DateTime {
        DateTime::from_millis(self.until_ms)
    }

    fn retention(&self) -> ObjectLockRetention {
        let mode = match self.mode {
            LockMode::Governance => ObjectLockRetentionMode::Governance,
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
        };
        ObjectLockRetention::builder().mode(mode).retain_until_date(self.until()).build()
    }

    /// What a store says of an object; `None` when it is not locked, or these credentials may not know.
    fn of_object(found: &HeadObjectOutput) -> Option<Standing> {
        let mode = match found.object_lock_mode()? {
            ObjectLockMode::Governance => LockMode::Governance,
            ObjectLockMode::Compliance => LockMode::Compliance,
            _ => return None,
        };
        let until_ms = found.object_lock_retain_until_date()?.to_millis().ok()?;
        Some(Standing { mode, until_ms })
    }
}

impl S3Store {
    /// Sees to it that the object is locked as if it were put now.
    pub(super) async fn lock(&self, key: &ObjectKey) -> StoreResult<()> {
        self.persist(async |inner| {
            let now_ms = inner.clock.now_ms();
            let Some(lock) = inner.writes.lock else {
                return Ok(());
            };
            let Some(wanted) = Standing::of_put(&lock, key.as_str(), now_ms) else {
                return Ok(());
            };
            let refused = match inner.retain(key.as_str(), &wanted, Bypass::No).await {
                Ok(()) => return Ok(()),
                Err(refused) if is_refusal(&refused.error) => refused,
                Err(failed) => return Err(failed),
            };
            // Whoever locked it for longer, or more strictly, has done what is asked here.
            let least = Standing { until_ms: now_ms.saturating_add(lock.wanted_ms()), ..wanted };
            match inner.standing(key.as_str()).await {
                Ok(Some(standing)) if standing.suffices(&least) => Ok(()),
                Ok(Some(standing)) if standing.mode != wanted.mode => {
                    // The stricter mode and the later end of both: nothing of the lock that stands is lost.
                    let mode = standing.mode.max(wanted.mode);
                    let until_ms = standing.until_ms.max(wanted.until_ms);
                    let bypass = if standing.mode < mode { Bypass::Yes } else { Bypass::No };
                    let stricter = inner.retain(key.as_str(), &Standing { mode, until_ms }, bypass).await;
                    stricter.map_err(|failed| failed.with_advice(MODE_ADVICE))
                }
                // Deleted, or hidden by a marker that says so.
                Err(failed) if failed.error.kind() == StoreErrorKind::NotFound => Err(failed),
                _ => Err(refused),
            }
        })
        .await
    }

    /// Proves that locks of this mode are kept and can be extended, on an object of its own. Gives what is wrong with the
    /// store, if anything is.
    pub async fn fails_to_lock(&self, mode: LockMode, content: &'static [u8]) -> StoreResult<Option<&'static str>> {
        let inner = self.inner();
        let key = layout::probe_lock(mode);
        let put = self.persist(async |inner| inner.put_once(key.as_str(), Bytes::from_static(content)).await).await;
        let put = put.map_err(|error| lockless(&inner, error))?;
        // Looked at before it is extended: a store that knows no locks may take the request for one as a new body.
        let look = || self.persist(async |inner| inner.standing(key.as_str()).await);
        let standing = look().await?;
        let now_ms = inner.clock.now_ms();
        let before_ms = match (standing, put) {
            (Some(standing), _) => standing.until_ms,
            // Put before the bucket had locks; the next request tells whether it has them now.
            (None, Put::Exists) => now_ms,
            (None, Put::Created) => {
                return Ok(Some("it takes an object with a lock and then does not show the lock"));
            }
        };
        let until_ms = before_ms.saturating_add(PROOF_STEP_MS).max(now_ms.saturating_add(PROOF_MS));
        let wanted = Standing { mode, until_ms };
        let extended = self.persist(async |inner| inner.retain(key.as_str(), &wanted, Bypass::No).await).await;
        extended.map_err(|error| lockless(&inner, error))?;
        match look().await? {
            Some(standing) if standing.mode == mode && standing.until_ms > before_ms => Ok(None),
            Some(_) => Ok(Some("it takes a longer lock and keeps the shorter one")),
            None => Ok(Some("it takes a lock and then does not show it")),
        }
    }

    /// Whether an object that is put in parts is locked like one that is put whole: some stores forget what was asked for
    /// when the upload began, or a part of it. Each proof puts an object of its own: what stands on one that was there before
    /// says nothing of what the next upload gets.
    pub async fn locks_parts(&self, mode: LockMode, content: &'static [u8]) -> StoreResult<bool> {
        let inner = self.inner();
        let key = layout::probe_lock_parts(mode, &inner.random.identifier());
        let wanted = Standing { mode, until_ms: inner.clock.now_ms().saturating_add(PROOF_MS - PROOF_STEP_MS) };
        let put = async {
            let upload = self.start_multipart(&key, content.len() as u64).await?;
            upload.put_part(0, Bytes::from_static(content)).await?;
            upload.complete().await
        };
        put.await.map_err(|error| lockless(&inner, error))?;
        let standing = self.persist(async |inner| inner.standing(key.as_str()).await).await?;
        Ok(standing.is_some_and(|standing| standing.suffices(&wanted)))
    }
}

/// What the proof was told, and what to do about it: nothing but the lock can be wrong with its requests.
fn lockless(inner: &Inner, error: StoreError) -> StoreError {
    match error.kind() {
        StoreErrorKind::Invalid => error.with_advice(LOCKLESS_ADVICE),
        // The same credentials have put an object without a lock just before.
        StoreErrorKind::PermissionDenied => error.with_advice(format!(
            "allow s3:PutObjectRetention and s3:GetObjectRetention on arn:aws:s3:::{}/{}{}* for these credentials, or \
             leave aws.s3.object_lock_mode and its days out",
            inner.bucket,
            inner.place.prefix,
            layout::ROOT
        )),
        _ => error,
    }
}

/// Whether a store may have refused because of the lock that stands.
fn is_refusal(error: &StoreError) -> bool {
    matches!(error.kind(), StoreErrorKind::PermissionDenied | StoreErrorKind::Invalid)
}

/// Says until when an object is locked that a store has refused to remove.
pub(super) async fn explain_refusal(inner: &Inner, key: &str, refused: StoreError) -> StoreError {
    if !is_refusal(&refused) {
        return refused;
    }
    match inner.standing(key).await {
        Ok(Some(standing)) if standing.until_ms > inner.clock.now_ms() => refused.with_advice(standing.to_string()),
        // Not locked, or nobody may know: then the lock is not what people have to look at.
        _ => refused,
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = self.until().fmt(DateTimeFormat::DateTime).unwrap_or_else(|_| format!("{} ms", self.until_ms));
        write!(f, "the object is locked ({}) until {until}: it can be removed after that", self.put_mode().as_str())
    }
}

impl Inner {
    async fn retain(&self, key: &str, lock: &Standing, bypass: Bypass) -> Result<(), Failed> {
        let request = self.client.put_object_retention().bucket(&self.bucket).key(self.full_key(key));
        let request = match bypass {
            Bypass::Yes => request.bypass_governance_retention(true),
            Bypass::No => request,
        };
        match request.retention(lock.retention()).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(failure::failed(self, Operation::Lock, key, &error)),
        }
    }

    async fn standing(&self, key: &str) -> Result<Option<Standing>, Failed> {
        let request = self.client.head_object().bucket(&self.bucket).key(self.full_key(key));
        match request.send().await {
            Ok(found) => Ok(Standing::of_object(&found)),
            Err(error) => Err(failure::failed(self, Operation::Head, key, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::FileKind;
    use crate::digest::Digest;

    const DAY_MS: i64 = 86_400_000;

    #[test]
    fn locks_are_granted_longer_than_wanted_and_never_longer_than_s3_allows() {
        for (days, granted_days) in [(1, 2), (8, 9), (30, 33), (365, 410), (36_500, 36_500)] {
            let lock = ObjectLock { mode: LockMode::Governance, days };
            assert_eq!(lock.granted_ms() / DAY_MS, granted_days, "{days}");
            assert!(lock.granted_ms() >= lock.wanted_ms());
        }
    }

    #[test]
    fn what_is_put_locked() {
        let lock = ObjectLock { mode: LockMode::Compliance, days: 1 };
        let until = |key: &ObjectKey| Standing::of_put(&lock, key.as_str(), 1_000).map(|lock| lock.until_ms - 1_000);
        let segment = layout::object(FileKind::Segment, &Digest::of(b"x"));
        assert_eq!(until(&segment), Some(2 * DAY_MS));
        assert_eq!(until(&layout::probe_lock(LockMode::Compliance)), Some(PROOF_MS));
        let identifier = "0a".repeat(16);
        assert_eq!(until(&layout::probe_lock_parts(LockMode::Compliance, &identifier)), Some(PROOF_MS));
        assert_eq!(until(&layout::probe_lock_parts(LockMode::Governance, &identifier)), None);
        assert_eq!(until(&layout::probe()), None);
    }

    #[test]
    fn people_are_told_until_when_it_lasts() {
        let standing = Standing { mode: LockMode::Compliance, until_ms: 1_700_000_000_000 };
        assert_eq!(
            standing.to_string(),
            "the object is locked (COMPLIANCE) until 2023-11-14T22:13:20Z: it can be removed after that"
        );
    }

    #[test]
    fn a_stricter_and_longer_lock_is_as_good() {
        let wanted = Standing { mode: LockMode::Governance, until_ms: 5 };
        for (mode, until_ms, good) in
            [(LockMode::Governance, 5, true), (LockMode::Governance, 4, false), (LockMode::Compliance, 6, true)]
        {
            assert_eq!(Standing { mode, until_ms }.suffices(&wanted), good);
        }
        let wanted = Standing { mode: LockMode::Compliance, until_ms: 5 };
        assert!(!Standing { mode: LockMode::Governance, until_ms: 9 }.suffices(&wanted));
    }
}
