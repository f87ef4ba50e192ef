//! Encryption and storage class: whether a store keeps to what it is asked for.
//!
//! A store that does not know a header may pass over it, and say nothing. Somebody relies on an encryption, so one object
//! is put as segments are, and what the store says of it must be what was asked for. An encryption is said in the answer
//! to the put and in every later look at the object: the look alone proves nothing, because there are stores that keep the
//! headers of a put and give them back, and encrypt nothing. A storage class is said by a listing, for the same reason;
//! where that says none, by a look.

use aws_sdk_s3::primitives::ByteStream;

use super::super::error::one_line;
use super::super::{ObjectKey, Operation, StoreError, StoreResult};
use super::failure::{self, Failed};
use super::{Inner, S3Store};
use crate::repository::layout;
use crate::repository::properties::WriteOptions;

/// The class of objects of which none is said.
const STANDARD: &str = "STANDARD";

/// What a store says of the encryption of an object.
#[derive(Debug)]
struct Told {
    encryption: Option<String>,
    key_id: Option<String>,
}

impl S3Store {
    /// Whether there is anything to prove.
    pub fn asks_for_settings(&self) -> bool {
        self.inner().writes.are_asked_for()
    }

    /// Puts an object and looks at it. Gives its key, and what of its settings the store does not keep to, if anything.
    pub async fn prove_settings(&self, body: &'static [u8]) -> StoreResult<(ObjectKey, Option<String>)> {
        let (probe, told) = self.persist(async |inner| inner.put_telling(body).await).await?;
        let key = probe.as_str();
        let found = self.persist(async |inner| inner.head_once(key).await).await?;
        let listed = self.persist(async |inner| inner.listed_class(key).await).await?;
        let kept = Told {
            encryption: found.server_side_encryption().map(|name| name.as_str().to_owned()),
            key_id: found.ssekms_key_id().map(str::to_owned),
        };
        let class = listed.as_deref().or(found.storage_class().map(|class| class.as_str())).unwrap_or(STANDARD);
        let inner = self.inner();
        let asked = &inner.writes;
        let wrong = wrong_encryption(asked, &told).or_else(|| wrong_encryption(asked, &kept));
        Ok((probe, wrong.or_else(|| wrong_class(asked, class))))
    }

    /// A proof that failed, with the settings that may be why: a store that does not know one of them seldom names it.
    pub fn blame_settings(&self, error: StoreError) -> StoreError {
        let inner = self.inner();
        let may_be_why = matches!(error.operation(), Operation::Put | Operation::PutPart | Operation::StartMultipart)
            && matches!(error.code(), Some("NotImplemented" | "InvalidArgument" | "InvalidRequest" | "InternalError"));
        match (&inner.writes.encryption, &inner.writes.storage_class) {
            (Some(encryption), _) if may_be_why => error.with_advice(format!(
                "aws.s3.sse asks for '{}': leave it out if this store does not encrypt so, or give the store and \
                 aws.s3.sse_kms_key_id what it takes",
                encryption.name()
            )),
            (None, Some(class)) if may_be_why => error.with_advice(format!(
                "aws.s3.storage_class asks for '{class}': leave it out if this store does not have it"
            )),
            _ => error,
        }
    }
}

impl Inner {
    /// Puts an object of a new name, also when it is tried again: where the answer to a put is lost, nothing tells what it
    /// said. Gives what the store says of it.
    async fn put_telling(&self, body: &'static [u8]) -> Result<(ObjectKey, Told), Failed> {
        let probe = layout::probe_settings(&self.random.identifier());
        let put = self.creating_put(probe.as_str()).body(ByteStream::from_static(body)).send().await;
        let answer = put.map_err(|error| failure::failed(self, Operation::Put, probe.as_str(), &error))?;
        let told = Told {
            encryption: answer.server_side_encryption().map(|name| name.as_str().to_owned()),
            key_id: answer.ssekms_key_id().map(str::to_owned),
        };
        Ok((probe, told))
    }

    /// The storage class that a listing gives of an object.
    async fn listed_class(&self, key: &str) -> Result<Option<String>, Failed> {
        let full = self.full_key(key);
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&full).max_keys(1);
        let listed = request.send().await.map_err(|error| failure::failed(self, Operation::List, key, &error))?;
        let entry = listed.contents().iter().find(|entry| entry.key() == Some(&full));
        Ok(entry.and_then(|entry| entry.storage_class()).map(|class| class.as_str().to_owned()))
    }
}

fn wrong_encryption(asked: &WriteOptions, told: &Told) -> Option<String> {
    let encryption = asked.encryption.as_ref()?;
    let name = encryption.name();
    let said = match told.encryption.as_deref() {
        Some(told) if told == name => None,
        Some(told) => Some(format!("it says that it encrypts with '{}'", one_line(told))),
        None => Some("it does not say that it encrypts".to_owned()),
    };
    if let Some(said) = said {
        return Some(format!(
            "{said}, where aws.s3.sse asks for '{name}'; give aws.s3.sse what the store does, or leave it out if nobody \
             relies on it"
        ));
    }
    let (asked, told) = (encryption.key_id()?, told.key_id.as_deref()?);
    is_another_key(asked, told).then(|| {
        format!(
            "it says that it encrypts with the key '{}', where aws.s3.sse_kms_key_id asks for '{asked}'; name the key that \
             is meant, or leave it out",
            one_line(told)
        )
    })
}

/// Whether these are surely two keys: a store tells the ARN of one that may be asked for by its id, its ARN or an alias.
fn is_another_key(asked: &str, told: &str) -> bool {
    let id = |key: &str| key.rsplit('/').next().unwrap_or_default().to_owned();
    let is_alias = |key: &str| key.contains("alias/");
    !is_alias(asked) && !is_alias(told) && id(asked) != id(told)
}

fn wrong_class(asked: &WriteOptions, told: &str) -> Option<String> {
    let class = asked.storage_class.as_deref()?;
    (told != class).then(|| {
        format!(
            "it says that it keeps objects in the class '{}', where aws.s3.storage_class asks for '{class}'; use a class \
             that the store has, or leave it out",
            one_line(told)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::properties::Encryption;

    fn kms(key_id: &str) -> Option<Encryption> {
        Some(Encryption::Kms { key_id: Some(key_id.to_owned()) })
    }

    /// Goal: an encryption that is not told is found, by its property; what cannot be known is believed.
    #[test]
    fn encryptions_that_are_passed_over() {
        const ARN: &str = "arn:aws:kms:us-east-1:123456789012:key/one";
        for (encryption, told, key, phrase) in [
            (None, None, None, None),
            (None, Some("aws:kms"), Some(ARN), None),
            (Some(Encryption::Aes256), Some("AES256"), None, None),
            (Some(Encryption::Aes256), None, None, Some("it does not say that it encrypts, where aws.s3.sse asks")),
            (Some(Encryption::Aes256), Some("aws:kms"), Some(ARN), Some("with 'aws:kms', where")),
            (kms("one"), Some("AES256"), None, Some("aws.s3.sse asks for 'aws:kms'")),
            (kms("one"), Some("aws:kms"), Some(ARN), None),
            (kms(ARN), Some("aws:kms"), Some("one"), None),
            (kms("alias/one"), Some("aws:kms"), Some(ARN), None),
            (kms("one"), Some("aws:kms"), None, None),
            (kms("two"), Some("aws:kms"), Some(ARN), Some("where aws.s3.sse_kms_key_id asks for 'two'")),
            (Some(Encryption::Kms { key_id: None }), Some("aws:kms"), Some(ARN), None),
        ] {
            let asked = WriteOptions { encryption, ..WriteOptions::default() };
            let told = Told { encryption: told.map(str::to_owned), key_id: key.map(str::to_owned) };
            match (wrong_encryption(&asked, &told), phrase) {
                (None, None) => {}
                (Some(said), Some(phrase)) => assert!(said.contains(phrase), "{asked:?} {told:?}: {said}"),
                (said, _) => panic!("{asked:?} {told:?}: {said:?}"),
            }
        }
    }

    /// The same of a storage class.
    #[test]
    fn classes_that_are_passed_over() {
        let asked =
            |class: Option<&str>| WriteOptions { storage_class: class.map(str::to_owned), ..WriteOptions::default() };
        assert_eq!(wrong_class(&asked(None), "GLACIER"), None);
        for class in ["STANDARD", "STANDARD_IA"] {
            assert_eq!(wrong_class(&asked(Some(class)), class), None);
        }
        let said = wrong_class(&asked(Some("STANDARD_IA")), STANDARD).unwrap();
        assert!(said.contains("in the class 'STANDARD', where aws.s3.storage_class asks for 'STANDARD_IA'"), "{said}");
    }
}
