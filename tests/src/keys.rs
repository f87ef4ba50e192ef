//! Keys that live for a while, for a store that asks for each request whether they still do.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};

/// A key pair with its token and its end, as STS or a metadata service hands it out.
#[derive(Debug, Clone)]
pub struct TemporaryKeys {
    /// Who.
    pub access_key: String,
    /// And the proof.
    pub secret_key: String,
    /// What belongs to both.
    pub session_token: String,
    /// When they end.
    pub expiration: SystemTime,
}

/// The keys of a store.
#[derive(Clone, Default)]
pub struct LiveKeys {
    known: Arc<Mutex<BTreeMap<String, Known>>>,
}

struct Known {
    secret_key: String,
    until: Option<SystemTime>,
    uses: usize,
}

impl LiveKeys {
    /// Takes a pair, until then or for ever.
    pub fn add(&self, access_key: &str, secret_key: &str, until: Option<SystemTime>) {
        let known = Known { secret_key: secret_key.to_string(), until, uses: 0 };
        self.known.lock().unwrap().insert(access_key.to_string(), known);
    }

    /// Makes a pair that lives this long.
    pub fn mint(&self, life: Duration) -> TemporaryKeys {
        // Whole seconds: that is how an expiration is told.
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let expiration = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + life;
        let access_key = format!("ASIA{:016X}", rand::random::<u64>());
        let secret_key = format!("live-secret-{:032x}", rand::random::<u128>());
        self.add(&access_key, &secret_key, Some(expiration));
        let session_token = format!("live-token-{:032x}", rand::random::<u128>());
        TemporaryKeys { access_key, secret_key, session_token, expiration }
    }

    /// Ends a pair now.
    pub fn revoke(&self, access_key: &str) {
        if let Some(known) = self.known.lock().unwrap().get_mut(access_key) {
            known.until = Some(SystemTime::UNIX_EPOCH);
        }
    }

    /// Requests that came with this key.
    pub fn uses(&self, access_key: &str) -> usize {
        self.known.lock().unwrap().get(access_key).map_or(0, |known| known.uses)
    }

    /// How many keys were used at least once.
    pub fn used(&self) -> usize {
        self.known.lock().unwrap().values().filter(|known| known.uses > 0).count()
    }
}

impl fmt::Debug for LiveKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveKeys").field("known", &self.known.lock().unwrap().len()).finish()
    }
}

#[async_trait]
impl S3Auth for LiveKeys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let mut known = self.known.lock().unwrap();
        let Some(known) = known.get_mut(access_key) else {
            return Err(s3_error!(InvalidAccessKeyId, "The key is not in the records."));
        };
        known.uses += 1;
        if known.until.is_some_and(|until| until < SystemTime::now()) {
            return Err(s3_error!(ExpiredToken, "The provided token has expired."));
        }
        Ok(SecretKey::from(known.secret_key.clone()))
    }
}
