//! What a store was seen to do, and how its lacks are made up for.
//!
//! | lacking | instead |
//! |---|---|
//! | create-only put | every put looks first: [`super::HeadFirst`] |
//! | upload checksums | bodies are signed, over https too, and each object's size is looked up after its put: [`super::SizeChecked`] |
//! | multipart upload | large objects go in one put: [`super::WholePuts`] |
//! | locks of objects in parts | each is locked when it is there: [`super::Relocked`] |

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

/// What a store was seen to do when the repository was created or altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Whether a put, whole or in parts, with `If-None-Match: *` leaves an object alone that exists.
    #[serde(default)]
    pub conditional_put: bool,
    /// Whether a body that does not have the checksum sent with it is refused.
    #[serde(default = "assumed")]
    pub upload_checksums: bool,
    /// Whether an object can be put in parts.
    #[serde(default = "assumed")]
    pub multipart: bool,
    /// Whether an object that is put in parts has the lock that was asked for with it.
    #[serde(default = "assumed")]
    pub locks_parts: bool,
}

/// What catalogs were written with before it was probed.
fn assumed() -> bool {
    true
}

impl Capabilities {
    /// What a good store can do, and what a directory does.
    pub const ALL: Capabilities =
        Capabilities { conditional_put: true, upload_checksums: true, multipart: true, locks_parts: true };

    /// What is lacking and what is done instead, one sentence each.
    #[must_use]
    pub fn fallbacks(&self) -> Vec<&'static str> {
        let lacks = [
            (
                self.conditional_put,
                "no create-only put (If-None-Match): every put looks first whether the object is there",
            ),
            (
                self.upload_checksums,
                "no upload checksums: bodies are signed, and the size of every object is looked up after its put",
            ),
            (self.multipart, "no multipart upload: every object is put with one request"),
            (
                self.locks_parts,
                "no locks of objects that are put in parts: each is locked with a request of its own once it is there",
            ),
        ];
        lacks.into_iter().filter(|(has, _)| !has).map(|(_, text)| text).collect()
    }
}

/// What the layers of one handle go by. It changes when ALTER REPOSITORY leads to another store.
#[derive(Debug)]
pub struct KnownCapabilities(RwLock<Capabilities>);

impl KnownCapabilities {
    /// Begins with what is known.
    #[must_use]
    pub fn new(capabilities: Capabilities) -> Self {
        Self(RwLock::new(capabilities))
    }

    /// What is known now.
    #[must_use]
    pub fn get(&self) -> Capabilities {
        *self.0.read()
    }

    /// From here on, this.
    pub fn set(&self, capabilities: Capabilities) {
        *self.0.write() = capabilities;
    }
}
