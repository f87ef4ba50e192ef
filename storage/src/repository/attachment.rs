//! What the catalog keeps of a repository, beside its name and location.

use serde::{Deserialize, Serialize};

use super::format::RepositoryInfo;
use super::properties::{PropertiesError, RepositoryProperties, Secret};
use super::store::Capabilities;

/// A proven repository: who it is, what its store can do, how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its identity.
    pub info: RepositoryInfo,
    /// What its store was seen to do.
    pub capabilities: Capabilities,
    /// How to reach it.
    pub properties: RepositoryProperties,
}

/// The stored form. Written and read only here, because the pairs hold secrets.
#[derive(Serialize, Deserialize)]
struct Stored {
    info: RepositoryInfo,
    capabilities: Capabilities,
    properties: Vec<(String, String)>,
}

impl Attachment {
    /// The text for the catalog **with the secrets in it**, hence itself a [`Secret`].
    #[must_use]
    pub fn to_catalog_json(&self) -> Secret {
        let stored = Stored {
            info: self.info.clone(),
            capabilities: self.capabilities,
            properties: self.properties.exposed_pairs(),
        };
        Secret::new(serde_json::json!(stored).to_string())
    }

    /// Reads what [`Self::to_catalog_json`] wrote.
    pub fn from_catalog_json(json: &Secret) -> Result<Self, PropertiesError> {
        // serde_json's messages may quote a value, so only the position is passed on.
        let stored: Stored = serde_json::from_str(json.expose())
            .map_err(|error| PropertiesError::Stored(format!("column {}", error.column())))?;
        let properties = RepositoryProperties::from_exposed_pairs(stored.properties)?;
        Ok(Self { info: stored.info, capabilities: stored.capabilities, properties })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_without_a_leak() {
        let pairs = [("aws.s3.access_key", "AKIDCANARY"), ("aws.s3.secret_key", "SECRETCANARY"), ("hadoop.x", "z")];
        let attachment = Attachment {
            info: RepositoryInfo {
                format_version: 1,
                repository_id: "r".into(),
                created_at_ms: 5,
                engine_version: "0".into(),
            },
            capabilities: Capabilities::ALL,
            properties: RepositoryProperties::parse(pairs).unwrap(),
        };
        let stored = attachment.to_catalog_json();
        assert_eq!(Attachment::from_catalog_json(&stored).unwrap(), attachment);
        assert!(!format!("{attachment:?} {stored:?} {stored}").contains("CANARY"));
        let broken = Secret::new("{\"info\": \"CANARY");
        let error = Attachment::from_catalog_json(&broken).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("CANARY"));
    }
}
