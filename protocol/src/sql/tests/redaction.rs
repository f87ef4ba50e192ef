//! A canary secret is put into every place where a secret may stand, and must come out of none.

use super::{lines, one};
use crate::sql::redact::{is_secret_key, redact};

/// What stands for secrets in `statements.sql`.
const CANARY: &str = "canary-secret";

#[test]
fn no_secret_of_the_list_comes_through() {
    let mut with_secrets = 0;
    for text in lines(include_str!("../../../testdata/sql/statements.sql")) {
        let (of_text, of_statement) = (redact(&text), one(&text).redacted());
        assert!(!of_text.contains(CANARY), "{of_text}");
        assert!(!of_statement.contains(CANARY), "{of_statement}");
        with_secrets += usize::from(text.contains(CANARY));
    }
    assert!(with_secrets > 15, "{with_secrets}");
}

#[test]
fn what_does_not_parse_shows_nothing_after_the_first_telling_word() {
    for (text, expected) in [
        ("CREATE USER 'u'@'% IDENTIFIED BY 'canary'", "CREATE USER 'u'@'% ***"),
        ("CREATE USER u IDENTIFIED BY canary", "CREATE USER u ***"),
        ("CREATE USER u IDENTIFIED BY 'canary", "CREATE USER u ***"),
        ("CREATE USER u IDENTIFED BY 'x' PASSWORD 'canary'", "CREATE USER u IDENTIFED BY 'x' ***"),
        ("SET PASSWORD 'canary'", "SET ***"),
        ("SETPASSWORD='canary'", "SET***"),
        (
            "CREATE REPOSITORY r PROPERTIES ('aws.s3.region' = 'x' 'aws.s3.access_key' = 'canary')",
            "CREATE REPOSITORY r PROPERTIES ('aws.s3.region' = 'x' 'aws.s3.***",
        ),
        ("EXPORT t TO 's3://user:canary@bucket/' broken", "EXPORT t TO 's3://***@bucket/' broken"),
        ("EXPORT t TO 's3://user:can/ary@bucket/' broken", "EXPORT t TO 's3://***@bucket/' broken"),
        ("EXPORT t TO 'http://h:9000/a@b' broken", "EXPORT t TO 'http://h:9000/a@b' broken"),
        ("CREATE R PROPERTIES ('s3.sk' = 'canary'", "CREATE R PROPERTIES ('s3.***"),
        ("CREATE R PROPERTIES ('my_ak'='canary'", "CREATE R PROPERTIES ('my_***"),
        ("CREATE R PROPERTIES (s3.sk = 'canary'", "CREATE R PROPERTIES (s3.***"),
        ("CREATE R PROPERTIES ('db.pwd' = 'canary'", "CREATE R PROPERTIES ('db.***"),
        (
            "SELCT d_date_sk FROM d WHERE d_date_sk = 5 AND ak.x = 'y'",
            "SELCT d_date_sk FROM d WHERE d_date_sk = 5 AND ak.x = 'y'",
        ),
        ("SELCT ask, task, sk, ak FROM d WHERE ask = 'x'", "SELCT ask, task, sk, ak FROM d WHERE ask = 'x'"),
        ("garbage with nothing to hide 'x'", "garbage with nothing to hide 'x'"),
    ] {
        assert_eq!(redact(text), expected, "{text}");
    }
}

#[test]
fn what_parses_keeps_what_is_no_secret() {
    for (text, expected) in [
        (
            "CREATE USER 'u'@'%' IDENTIFIED BY 'canary' DEFAULT ROLE r",
            "CREATE USER 'u'@'%' IDENTIFIED BY '***' DEFAULT ROLE r",
        ),
        ("CREATE USER u IDENTIFIED BY PASSWORD 'canary'", "CREATE USER u IDENTIFIED BY PASSWORD '***'"),
        ("SET PASSWORD FOR 'u'@'h' = PASSWORD('canary')", "SET PASSWORD FOR 'u'@'h' = PASSWORD('***')"),
        ("SET PASSWORD FOR u@h = 'canary'", "SET PASSWORD FOR u@h = '***'"),
        ("set password = \"canary\"", "set password = '***'"),
        ("SET my_password = concat('a', 'canary'), x = 1", "SET my_password = '***'('***', '***'), x = 1"),
        ("SELECT * FROM t WHERE token = 'canary' AND a = 'b'", "SELECT * FROM t WHERE token = '***' AND a = 'b'"),
        (
            "SELECT * FROM t WHERE token IN ('canary', 'canary') AND a = 'b'",
            "SELECT * FROM t WHERE token IN ('***', '***') AND a = 'b'",
        ),
        ("SELECT token, a FROM tokens WHERE b = 'c'", "SELECT token, a FROM tokens WHERE b = 'c'"),
        ("INSERT INTO tokens (a, b) VALUES (1, 'x')", "INSERT INTO tokens (a, b) VALUES (1, 'x')"),
        ("SELECT 1 /* password canary */, 2", "SELECT 1 /* *** */, 2"),
        ("/*!40000 SET PASSWORD = 'canary' */", "/*!40000 SET PASSWORD = '***' */"),
        ("PREPARE s FROM 'SET PASSWORD = ''canary'''", "PREPARE s FROM '***'"),
        ("PREPARE s FROM 'CREATE USER u IDENTIFIED BY ''canary'''", "PREPARE s FROM '***'"),
        ("SELECT '{\"secret\": \"canary\"}'", "SELECT '***'"),
        ("SELECT a FROM t WHERE d_date_sk = 5 AND ak = 'b'", "SELECT a FROM t WHERE d_date_sk = 5 AND ak = 'b'"),
        (
            "CREATE REPOSITORY r WITH S3 ON LOCATION 's3://b' PROPERTIES ('s3.sk' = 'canary', 'x.ak' = 'canary', 'x' = 'y')",
            "CREATE REPOSITORY r WITH S3 ON LOCATION 's3://b' PROPERTIES ('s3.sk' = '***', 'x.ak' = '***', 'x' = 'y')",
        ),
        ("SELECT 'https://h/o?X-Amz-Expires=9&X-Amz-Signature=canary'", "SELECT '***'"),
        ("SELECT 'https://h/o?sv=1&sig=canary'", "SELECT '***'"),
        ("SELECT 'https://user:can/ary@h/o'", "SELECT 'https://***@h/o'"),
        ("SELECT 'no secret in here'", "SELECT 'no secret in here'"),
        (
            "CREATE REPOSITORY r WITH S3 ON LOCATION 's3://b' PROPERTIES ('fs.s3a.access.key' = 'canary', 'x' = 'y')",
            "CREATE REPOSITORY r WITH S3 ON LOCATION 's3://b' PROPERTIES ('fs.s3a.access.key' = '***', 'x' = 'y')",
        ),
    ] {
        assert!(crate::sql::parse::parse(text).is_ok(), "{text}");
        let redacted = redact(text);
        assert!(!redacted.contains("canary"), "{redacted}");
        assert_eq!(redacted, expected);
    }
}

#[test]
fn keys_tell() {
    for key in [
        "aws.s3.secret_key",
        "aws.s3.access_key",
        "aws.s3.session_token",
        "fs.s3a.access.key",
        "fs.s3a.secret.key",
        "fs.oss.accessKeyId",
        "fs.oss.accessKeySecret",
        "fs.cosn.userinfo.secretId",
        "fs.obs.access.key",
        "AWS_ACCESS_KEY",
        "AWS_SECRET_KEY",
        "s3.session_token",
        "aws.s3.external_id",
        "password",
        "PASSWORD",
        "azure.blob.shared_key",
        "azure.blob.sas_token",
        "gcp.gcs.service_account_private_key",
        "hadoop.kerberos.keytab",
        "kerberos_keytab_content",
        "db.passwd",
        "my_pwd",
        "ssl.passphrase",
        "s3.sk",
        "s3.ak",
        "AK",
    ] {
        assert!(is_secret_key(key), "{key}");
    }
    for key in [
        "aws.s3.region",
        "aws.s3.endpoint",
        "aws.s3.iam_role_arn",
        "replication_num",
        "key",
        "type",
        "username",
        "task",
        "disk",
        "sku",
    ] {
        assert!(!is_secret_key(key), "{key}");
    }
}
