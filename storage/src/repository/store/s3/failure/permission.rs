//! What to do about a 403: which statement of a policy is missing, which one is too much, or that no policy is in question.
//!
//! What it asks to allow is what docs/operations.md grants, and no more.

use super::super::super::{Operation, Place};
use crate::repository::layout;

/// What stores say of an account or a bucket that they have closed.
const CLOSED_CODES: [&str; 5] = ["AccountProblem", "AllAccessDisabled", "NotSignedUp", "UserDisable", "UserSuspended"];

/// Kinds of policies as AWS names them behind "with an explicit deny in a …".
const POLICIES: [&str; 7] = [
    "identity-based policy",
    "resource-based policy",
    "service control policy",
    "resource control policy",
    "VPC endpoint policy",
    "permissions boundary",
    "session policy",
];

/// What was asked for, and of what.
pub(super) struct Asked<'a> {
    pub(super) operation: Operation,
    /// The object, or what keys begin with, without the prefix.
    pub(super) key: &'a str,
    pub(super) bucket: &'a str,
    pub(super) place: &'a Place,
}

/// What is to be done when a store refuses `asked` with this code and message.
pub(super) fn advice(asked: &Asked<'_>, code: &str, message: &str) -> String {
    if CLOSED_CODES.contains(&code) {
        return "no policy changes this: the account or the bucket is closed or not signed up; look at the account, or ask who \
                runs the store"
            .to_owned();
    }
    if code == "QuotaExceeded" {
        return "the quota of the bucket or of its owner is used up: raise it, or make room".to_owned();
    }
    let action = asked.operation.iam_action();
    if let Some(policy) = explicit_deny(message) {
        return format!(
            "a statement with \"Effect\": \"Deny\" in {policy} forbids {action}: take it out there, or except these credentials \
             from it; no statement that allows it goes before it"
        );
    }
    let Asked { bucket, place: Place { prefix, .. }, .. } = asked;
    let root = layout::ROOT;
    let allow = match asked.operation {
        Operation::List | Operation::Connect => {
            format!("allow {action} on arn:aws:s3:::{bucket} (s3:prefix {prefix}{root}*) for these credentials")
        }
        _ => format!("allow {action} on arn:aws:s3:::{bucket}/{prefix}{root}* for these credentials"),
    };
    // Where a repository is made, this object is missing, as nothing else is that is read.
    if asked.operation == Operation::Get && asked.key == layout::repository_info().as_str() {
        return format!(
            "{allow}; or, if they have it, this store hides what is missing: allow s3:ListBucket on the bucket without the \
             s3:prefix condition"
        );
    }
    allow
}

/// The kind of policy with a Deny that a message tells of.
fn explicit_deny(message: &str) -> Option<String> {
    let lower = message.to_lowercase();
    let (_, place) = lower.split_once("with an explicit deny")?;
    let named = POLICIES.iter().find(|policy| place.contains(&policy.to_lowercase()));
    Some(match named {
        Some(policy @ &"identity-based policy") => format!("an {policy}"),
        Some(policy) => format!("a {policy}"),
        None => "a policy".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice_of(operation: Operation, key: &str, code: &str, message: &str) -> String {
        let place = Place { prefix: "p/".to_owned(), ..Place::default() };
        advice(&Asked { operation, key, bucket: "bucket", place: &place }, code, message)
    }

    /// Goal: what is asked for is what the documented policies grant.
    #[test]
    fn what_is_missing_is_what_the_documents_grant() {
        for (operation, key, said) in [
            (Operation::Put, "ebla/probe", "allow s3:PutObject on arn:aws:s3:::bucket/p/ebla/* for these credentials"),
            (
                Operation::List,
                "ebla/snapshots/",
                "allow s3:ListBucket on arn:aws:s3:::bucket (s3:prefix p/ebla/*) for these credentials",
            ),
            (Operation::Get, "ebla/probe", "allow s3:GetObject on arn:aws:s3:::bucket/p/ebla/* for these credentials"),
        ] {
            assert_eq!(advice_of(operation, key, "AccessDenied", "Access Denied"), said);
        }
        let hidden = advice_of(Operation::Get, "ebla/repository.json", "AccessDenied", "Access Denied");
        assert!(hidden.starts_with("allow s3:GetObject on arn:aws:s3:::bucket/p/ebla/*"), "{hidden}");
        assert!(hidden.ends_with("allow s3:ListBucket on the bucket without the s3:prefix condition"), "{hidden}");
    }

    #[test]
    fn a_closed_account_is_no_matter_of_policies() {
        for code in CLOSED_CODES {
            assert!(
                advice_of(Operation::Put, "ebla/x", code, "closed").starts_with("no policy changes this"),
                "{code}"
            );
        }
        assert!(advice_of(Operation::Put, "ebla/x", "QuotaExceeded", "").contains("quota"));
    }

    #[test]
    fn a_deny_is_to_be_taken_out() {
        for (place, policy) in [
            (" in a service control policy", "in a service control policy forbids s3:PutObject"),
            (" in an identity-based policy", "in an identity-based policy forbids"),
            (" in a VPC endpoint policy", "in a VPC endpoint policy forbids"),
            ("", "in a policy forbids"),
        ] {
            let message = format!("User: u is not authorized to perform: s3:PutObject with an explicit deny{place}");
            let said = advice_of(Operation::Put, "ebla/x", "AccessDenied", &message);
            assert!(said.contains(policy) && !said.starts_with("allow"), "{said}");
        }
        let implicit = "not authorized to perform: s3:PutObject because no identity-based policy allows the action";
        assert!(advice_of(Operation::Put, "ebla/x", "AccessDenied", implicit).starts_with("allow s3:PutObject"));
    }
}
