//! Who sends a request, and what they may load. The server's accounts implement both traits.

use std::net::SocketAddr;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::load::LoadError;

/// An account that was matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpIdentity {
    /// Its name.
    pub user: String,
    /// Its host pattern.
    pub host: String,
}

/// Checks passwords. Called off the runtime's threads, so it may read the catalog.
pub trait HttpAuth: Send + Sync + 'static {
    /// The account, when there is one for this user and address and the password is right.
    fn authenticate(&self, user: &str, password: &str, peer: SocketAddr) -> Result<Option<HttpIdentity>, LoadError>;
}

/// Checks privileges. Called off the runtime's threads.
pub trait HttpPrivileges: Send + Sync + 'static {
    /// Errors with [`LoadError::AccessDenied`] unless this account may insert into this table.
    fn check_insert(&self, identity: &HttpIdentity, database: &str, table: &str) -> Result<(), LoadError>;
}

/// User and password of Basic authentication.
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

impl Credentials {
    /// Reads the Authorization header; `None` when there is none that says Basic.
    pub(super) fn of(headers: &HeaderMap) -> Option<Credentials> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, encoded) = value.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some(Credentials { user: user.to_owned(), password: password.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn reads_basic() {
        let read = |text: &str| {
            let headers =
                HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(text).expect("a value"))]);
            Credentials::of(&headers).map(|credentials| (credentials.user, credentials.password))
        };
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(read(&format!("Basic {}", STANDARD.encode("root:"))), pair("root", ""));
        assert_eq!(read(&format!("basic  {}", STANDARD.encode("u:a:b"))), pair("u", "a:b"));
        for text in ["Bearer x", "Basic", "Basic !!!", "Basic cm9vdA=="] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
