//! Who may connect and what they may do.
//!
//! Accounts live in the catalog. [`Accounts`] answers from a copy that is renewed when the catalog changes, so that a
//! check costs no query. Passwords are known only as `SHA1(SHA1(password))`. What a privilege opens is in `privilege`.

pub mod privilege;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ebla_protocol::wire::Credential;
use ebla_storage::catalog::{Catalog, Grantee, PrivilegeRow, ReadTransaction, UserRow};
use parking_lot::RwLock;
use sha1::{Digest as _, Sha1};

use crate::error::{Error, Result};
use privilege::{Access, BUILTIN_ROLES};

/// The account with every privilege, which cannot be dropped.
pub const ROOT: &str = "root";

/// The host pattern that matches every host.
pub const ANY_HOST: &str = "%";

/// An account that was matched, and what is in force for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account's name.
    pub user: String,
    /// The account's host pattern.
    pub host: String,
}

impl Identity {
    /// As the catalog names it.
    pub fn grantee(&self) -> Grantee {
        Grantee::User { name: self.user.clone(), host: self.host.clone() }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "'{}'@'{}'", self.user, self.host)
    }
}

/// The accounts of a server.
#[derive(Debug)]
pub struct Accounts {
    catalog: Arc<Catalog>,
    cache: RwLock<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    catalog_version: i64,
    users: Vec<UserRow>,
}

impl Accounts {
    /// The accounts in this catalog.
    pub fn new(catalog: Arc<Catalog>) -> Accounts {
        Accounts { catalog, cache: RwLock::default() }
    }

    /// Makes the built-in roles, and root at the very first start. `password` is root's, the empty one when `None`. Gives
    /// root its role back where an earlier version let it be revoked: without it nobody may do everything, nor grant that.
    /// Returns whether root was made.
    pub fn bootstrap(&self, password: impl FnOnce() -> Result<Option<String>>) -> Result<bool> {
        let root_is_new = self.catalog.read(|read| Ok(read.find_user(ROOT, ANY_HOST)?.is_none()))?;
        let password = if root_is_new { password()? } else { None };
        let root = Grantee::User { name: ROOT.to_owned(), host: ANY_HOST.to_owned() };
        let role_is_back = self.catalog.write(|write| {
            for (role, comment) in BUILTIN_ROLES {
                if write.find_role(role)?.is_none() {
                    write.create_role(role, true, comment)?;
                }
            }
            if root_is_new {
                let hash = password.as_deref().and_then(hash_password);
                write.create_user(ROOT, ANY_HOST, hash.as_ref().map(|hash| hash.as_slice()))?;
            }
            let held = write.roles_of(&root)?;
            if held.iter().any(|(role, _)| role == privilege::ROLE_ROOT) {
                return Ok(false);
            }
            write.grant_role(&root, privilege::ROLE_ROOT)?;
            let was_default = |role: &str| held.iter().any(|(name, is_default)| name == role && *is_default);
            write.set_default_roles(&root, |role| role == privilege::ROLE_ROOT || was_default(role))?;
            Ok(!root_is_new)
        })?;
        if role_is_back {
            tracing::warn!("the account root had lost the role root, and has been given it again");
        }
        Ok(root_is_new)
    }

    /// The account that a user from this address gets: the most exact host pattern wins.
    pub fn find(&self, user: &str, peer: IpAddr) -> Result<Option<UserRow>> {
        self.refresh()?;
        let cache = self.cache.read();
        let found = cache
            .users
            .iter()
            .filter(|row| row.name == user && host_matches(&row.host, peer))
            .max_by_key(|row| row.host.chars().filter(|letter| *letter != '%').count());
        Ok(found.cloned())
    }

    /// What the wire needs to check a password.
    pub fn credential(&self, user: &str, peer: SocketAddr) -> Result<Option<Credential>> {
        let row = self.find(user, peer.ip())?;
        Ok(row.map(|row| match row.password_hash.and_then(|hash| <[u8; 20]>::try_from(hash.as_slice()).ok()) {
            Some(hash) => Credential::NativePassword(hash),
            None => Credential::Empty,
        }))
    }

    /// The account, when the password is right. For HTTP, where the password itself arrives.
    pub fn check_password(&self, user: &str, password: &str, peer: IpAddr) -> Result<Option<Identity>> {
        let row = self.find(user, peer)?;
        let given = hash_password(password);
        // An unknown user is compared too, so that the time taken tells nothing.
        let expected = row.as_ref().and_then(|row| row.password_hash.clone()).unwrap_or_default();
        let given = given.map(|hash| hash.to_vec()).unwrap_or_default();
        let equal = bool::from(subtle::ConstantTimeEq::ct_eq(expected.as_slice(), given.as_slice()));
        Ok(row.filter(|_| equal).map(|row| Identity { user: row.name, host: row.host }))
    }

    /// What an account may do with these of its roles active; `None` activates the default ones.
    pub fn access(&self, identity: &Identity, active_roles: Option<&[String]>) -> Result<Access> {
        let grantee = identity.grantee();
        let access = self.catalog.read(|read| {
            let held = read.roles_of(&grantee)?;
            let active: Vec<String> = match active_roles {
                Some(roles) => {
                    held.iter().filter(|(role, _)| roles.contains(role)).map(|(role, _)| role.clone()).collect()
                }
                None => held.iter().filter(|(_, is_default)| *is_default).map(|(role, _)| role.clone()).collect(),
            };
            let inactive: Vec<String> =
                held.iter().map(|(role, _)| role.clone()).filter(|role| !active.contains(role)).collect();
            let mut roles = active.clone();
            roles.push(privilege::ROLE_PUBLIC.to_owned());
            let roles = with_inner_roles(read, roles)?;
            let mut privileges: Vec<PrivilegeRow> = read.privileges_of(&grantee)?;
            for role in &roles {
                privileges.extend(read.privileges_of(&Grantee::Role(role.clone()))?);
                privileges.extend(privilege::builtin_privileges(role));
            }
            let is_root = roles.iter().any(|role| role == privilege::ROLE_ROOT);
            Ok(Access { is_root, active_roles: active, inactive_roles: inactive, privileges })
        })?;
        Ok(access)
    }

    /// Whether an account holds the role that may do everything, active or not.
    pub fn holds_root(&self, identity: &Identity) -> Result<bool> {
        let held = self.catalog.read(|read| read.roles_of(&identity.grantee()))?;
        self.brings_root(held.into_iter().map(|(role, _)| role).collect())
    }

    /// Whether one of these roles is the one that may do everything, or brings it.
    pub fn brings_root(&self, roles: Vec<String>) -> Result<bool> {
        let roles = self.catalog.read(|read| with_inner_roles(read, roles))?;
        Ok(roles.iter().any(|role| role == privilege::ROLE_ROOT))
    }

    fn refresh(&self) -> Result<()> {
        let version = self.catalog.version();
        if self.cache.read().catalog_version == version {
            return Ok(());
        }
        let users = self.catalog.read(|read| read.users())?;
        *self.cache.write() = Cache { catalog_version: version, users };
        Ok(())
    }
}

/// These roles, and those they bring: the roles granted to them, and so on.
fn with_inner_roles(read: &ReadTransaction<'_>, mut roles: Vec<String>) -> ebla_storage::Result<Vec<String>> {
    // The list grows while it is walked.
    let mut next = 0;
    while next < roles.len() {
        for (inner, _) in read.roles_of(&Grantee::Role(roles[next].clone()))? {
            if !roles.contains(&inner) {
                roles.push(inner);
            }
        }
        next += 1;
    }
    Ok(roles)
}

/// `SHA1(SHA1(password))`; `None` for the empty password.
pub fn hash_password(password: &str) -> Option<[u8; 20]> {
    (!password.is_empty()).then(|| Sha1::digest(Sha1::digest(password.as_bytes())).into())
}

/// Reads a hash as MySQL writes it: `*` and 40 hex digits.
pub fn parse_password_hash(text: &str) -> Result<Option<[u8; 20]>> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || Error::analysis("Password hash should be a 41-digit hexadecimal number");
    let digits = text.strip_prefix('*').filter(|digits| digits.len() == 40 && digits.is_ascii()).ok_or_else(wrong)?;
    let mut hash = [0; 20];
    for (position, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * position..2 * position + 2], 16).map_err(|_| wrong())?;
    }
    Ok(Some(hash))
}

/// Whether a host pattern (`%` for any run of characters) matches an address. `localhost` means loopback.
fn host_matches(pattern: &str, peer: IpAddr) -> bool {
    if pattern == ANY_HOST {
        return true;
    }
    let peer = peer.to_canonical();
    if pattern.eq_ignore_ascii_case("localhost") {
        return peer.is_loopback();
    }
    like(pattern, &peer.to_string())
}

/// SQL LIKE with `%` and `_`, and a backslash before a character that stands for itself. Case matters.
pub(crate) fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last `%` does not fit: that `%` takes one character more.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('%') => {
                retry = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some('_') => {
                p += 1;
                t += 1;
                continue;
            }
            Some('\\') if pattern.get(p + 1) == Some(&text[t]) => {
                p += 2;
                t += 1;
                continue;
            }
            Some(letter) if *letter == text[t] => {
                p += 1;
                t += 1;
                continue;
            }
            _ => {}
        }
        match &mut retry {
            Some((after, start)) => {
                *start += 1;
                (p, t) = (*after, *start);
            }
            None => return false,
        }
    }
    pattern[p..].iter().all(|letter| *letter == '%')
}

#[cfg(test)]
mod tests {
    use ebla_storage::clock::{SystemClock, SystemRandom};

    use super::*;

    #[test]
    fn root_has_its_role_back_after_a_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("catalog.db");
        let catalog = Catalog::open(&path, Arc::new(SystemClock), Arc::new(SystemRandom)).expect("a catalog");
        let accounts = Accounts::new(Arc::new(catalog));
        assert!(accounts.bootstrap(|| Ok(None)).expect("the first start"));
        let root = Identity { user: ROOT.to_owned(), host: ANY_HOST.to_owned() };
        let change = |work: &dyn Fn(&ebla_storage::catalog::WriteTransaction<'_>) -> ebla_storage::Result<()>| {
            accounts.catalog.write(|write| work(write)).expect("a change");
        };
        change(&|write| {
            write.create_role("reader", false, "")?;
            write.grant_role(&root.grantee(), "reader")?;
            write.revoke_role(&root.grantee(), privilege::ROLE_ROOT)
        });
        assert!(!accounts.access(&root, None).expect("access").is_root);

        assert!(!accounts.bootstrap(|| Ok(None)).expect("a later start"));
        let access = accounts.access(&root, None).expect("access");
        assert!(access.is_root);
        assert_eq!((access.active_roles, access.inactive_roles), (vec!["root".to_owned()], vec!["reader".to_owned()]));

        // What root has chosen since stays as it is.
        change(&|write| write.set_default_roles(&root.grantee(), |role| role == "reader"));
        accounts.bootstrap(|| Ok(None)).expect("one more start");
        assert_eq!(accounts.access(&root, None).expect("access").active_roles, ["reader"]);
    }

    #[test]
    fn hash_is_that_of_mysql() {
        // SELECT PASSWORD('mypass') of a MySQL server.
        let expected = parse_password_hash("*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4").expect("a hash");
        assert_eq!(hash_password("mypass"), expected);
        assert_eq!(hash_password(""), None);
        assert!(parse_password_hash("secret").is_err());
    }

    #[test]
    fn host_patterns() {
        let peer: IpAddr = "10.1.2.3".parse().expect("an address");
        assert!(host_matches("%", peer));
        assert!(host_matches("10.1.%", peer));
        assert!(!host_matches("10.2.%", peer));
        assert!(!host_matches("localhost", peer));
        assert!(host_matches("localhost", "127.0.0.1".parse().expect("an address")));
    }

    #[test]
    fn like_patterns() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("%", "", true),
            ("a%", "abc", true),
            ("%c", "abc", true),
            ("%b%", "abc", true),
            ("a_c", "abc", true),
            ("a_c", "abbc", false),
            ("a\\_c", "abc", false),
            ("a\\_c", "a_c", true),
            ("%ab", "aab", true),
            ("ABC", "abc", false),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }
}
