//! Users, grants: how an identity is written, and that no secret is in an error or in `Debug`.

use super::{error, one};
use crate::sql::ast::Statement;
use crate::sql::ast::account::{
    Credential, Grantee, NamedKind, PatternPart, PrivilegeObject, RelationKind, RoleChoice, UserIdentity,
};

fn user(user: &str, host: Option<&str>) -> UserIdentity {
    UserIdentity { user: user.to_owned(), host: host.map(str::to_owned) }
}

#[test]
fn an_identity_is_written_in_many_ways() {
    for (text, expected) in [
        ("u", user("u", None)),
        ("'u'", user("u", None)),
        ("'u'@'h'", user("u", Some("h"))),
        ("'u'@'%'", user("u", Some("%"))),
        ("\"u\"@\"h\"", user("u", Some("h"))),
        ("`u`@`h`", user("u", Some("h"))),
        ("u@localhost", user("u", Some("localhost"))),
        ("u@'10.0.%'", user("u", Some("10.0.%"))),
        ("'u'@localhost", user("u", Some("localhost"))),
        ("u@127.0.0.1", user("u", Some("127.0.0.1"))),
        ("u@my-host.example.com", user("u", Some("my-host.example.com"))),
        ("u@%", user("u", Some("%"))),
        ("'a@b.c'", user("a@b.c", None)),
        ("'a@b.c'@'%'", user("a@b.c", Some("%"))),
        ("''@'%'", user("", Some("%"))),
    ] {
        let Statement::DropUser(drop) = one(&format!("DROP USER {text}")) else { panic!("{text}") };
        assert_eq!(drop.user, expected, "{text}");
    }
    assert!(error("DROP USER u@").contains("expected the user's host"));
}

#[test]
fn a_credential_is_a_password_or_a_hash() {
    for (text, expected) in [
        ("CREATE USER u IDENTIFIED BY 'p'", Credential::Plain("p".to_owned())),
        ("CREATE USER u IDENTIFIED BY PASSWORD '*h'", Credential::Hash("*h".to_owned())),
        ("CREATE USER u IDENTIFIED WITH x BY 'p'", Credential::Plain("p".to_owned())),
        ("CREATE USER u IDENTIFIED WITH x AS '*h'", Credential::Hash("*h".to_owned())),
    ] {
        let Statement::CreateUser(create) = one(text) else { panic!("{text}") };
        let credential = create.authentication.and_then(|authentication| authentication.credential);
        assert_eq!(credential, Some(expected), "{text}");
    }
}

#[test]
fn debug_and_errors_never_show_a_secret() {
    for text in [
        "CREATE USER u IDENTIFIED BY 'canary'",
        "ALTER USER u IDENTIFIED WITH mysql_native_password AS 'canary'",
        "SET PASSWORD = PASSWORD('canary')",
        "SET PASSWORD FOR u = 'canary'",
        "CREATE REPOSITORY r WITH S3 ON LOCATION 's3://b' PROPERTIES ('aws.s3.secret_key' = 'canary')",
        "CREATE CATALOG c PROPERTIES ('aws.s3.secret_key' = 'canary')",
    ] {
        let debug = format!("{:?}", one(text));
        assert!(!debug.contains("canary"), "{debug}");
    }
    for text in [
        "CREATE USER u IDENTIFIED 'canary'",
        "CREATE USER u IDENTIFIED BY canary",
        "CREATE USER u IDENTIFIED canary",
        "CREATE USER u IDENTIFIED BY PASSWORD canary",
        "CREATE USER u 'canary'",
        "ALTER USER u 'canary'",
        "SET PASSWORD 'canary'",
        "SET PASSWORD = canary",
        "SET PASSWORD = PASSWORD(canary)",
        "SET PASSWORD = PASSWORD 'canary'",
        "SELECT 'canary' 5 'canary'",
        "SELECT FROM WHERE 'canary'",
        "CREATE REPOSITORY r WITH S3 ON LOCATION 's3://b' PROPERTIES ('aws.s3.secret_key' 'canary')",
        "CREATE REPOSITORY r WITH S3 ON LOCATION 's3://b' PROPERTIES ('aws.s3.secret_key' = (canary))",
        "CREATE USER u IDENTIFIED BY 'canary",
    ] {
        let message = error(text);
        assert!(!message.contains("canary"), "{text}: {message}");
    }
}

#[test]
fn privileges_are_upper_case_words() {
    let Statement::GrantPrivileges(grant) = one("grant create  table, all privileges on database d to u, role 'r'")
    else {
        panic!()
    };
    assert_eq!(grant.privileges, ["CREATE TABLE", "ALL"]);
    assert_eq!(grant.object, PrivilegeObject::Named { kind: NamedKind::Database, names: vec!["d".to_owned()] });
    assert_eq!(grant.grantees, [Grantee::User(user("u", None)), Grantee::Role("r".to_owned())]);
    assert!(!grant.with_grant_option);
}

#[test]
fn the_forms_of_2x_are_patterns() {
    for (text, database, table) in [
        ("*.*", PatternPart::Any, PatternPart::Any),
        ("*", PatternPart::Any, PatternPart::Any),
        ("d.*", PatternPart::Name("d".to_owned()), PatternPart::Any),
        ("d.t", PatternPart::Name("d".to_owned()), PatternPart::Name("t".to_owned())),
        ("t", PatternPart::Current, PatternPart::Name("t".to_owned())),
    ] {
        let Statement::GrantPrivileges(grant) = one(&format!("GRANT SELECT_PRIV ON {text} TO u")) else { panic!() };
        assert_eq!(grant.object, PrivilegeObject::Pattern { database, table }, "{text}");
    }
    let Statement::GrantPrivileges(grant) = one("GRANT SELECT ON TABLE d.t TO u") else { panic!() };
    assert!(matches!(grant.object, PrivilegeObject::Relations { kind: RelationKind::Table, .. }));
    assert!(error("GRANT SELECT (a) ON t TO u").contains("privileges on columns"));
}

#[test]
fn roles_are_chosen() {
    assert_eq!(one("SET ROLE 'all'"), Statement::SetRole(RoleChoice::Roles(vec!["all".to_owned()])));
    assert_eq!(one("SET ROLE ALL"), Statement::SetRole(RoleChoice::All { except: Vec::new() }));
    // A variable may be called role.
    assert!(matches!(one("SET role = 5"), Statement::Set(_)));
}
