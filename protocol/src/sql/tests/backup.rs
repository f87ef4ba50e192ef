//! Repositories, BACKUP, RESTORE and snapshots: what the statements mean, and what is refused.

use super::{error, one, round_trip};
use crate::sql::ast::Statement;
use crate::sql::ast::backup::{
    Backup, CancelTarget, DropSnapshotTarget, ObjectRef, ObjectScope, RelationRef, Restore, ShowSnapshot,
};
use crate::sql::ast::name::Properties;
use crate::sql::ast::repository::{CreateRepository, RepositoryStorage};
use crate::sql::ast::show::{Show, ShowTail};

/// The statements of the page that the product implements, with its line breaks.
const PAGE: &str = r#"
CREATE REPOSITORY test_repo
WITH BROKER
ON LOCATION "s3a://bucket_s3/backup"
PROPERTIES(
"aws.s3.use_instance_profile" = "true",
    "aws.s3.iam_role_arn" = "arn:aws:iam::xxxxxxxxxx:role/yyyyyyyy",
    "aws.s3.region" = "us-west-2"
);
BACKUP SNAPSHOT sr_hub.sr_member_backup
TO test_repo
ON (sr_member);

SHOW SNAPSHOT ON test_repo;

RESTORE SNAPSHOT sr_hub.sr_member_backup
FROM test_repo
ON (sr_member)
PROPERTIES (
"backup_timestamp"="2023-02-07-14-45-53-143",
"replication_num" = "1"
);
"#;

fn table(name: &str) -> ObjectRef {
    ObjectRef::Relation(RelationRef {
        kind: None,
        database: None,
        name: name.to_owned(),
        partitions: Vec::new(),
        temporary_partitions: false,
        alias: None,
    })
}

#[test]
fn the_page_parses_to_what_it_says() {
    let statements = crate::sql::parse::parse(PAGE).unwrap();
    let properties = [
        ("aws.s3.use_instance_profile", "true"),
        ("aws.s3.iam_role_arn", "arn:aws:iam::xxxxxxxxxx:role/yyyyyyyy"),
        ("aws.s3.region", "us-west-2"),
    ];
    let create = CreateRepository {
        read_only: false,
        if_not_exists: false,
        name: "test_repo".to_owned(),
        storage: RepositoryStorage::Broker(None),
        location: "s3a://bucket_s3/backup".to_owned(),
        properties: properties.into_iter().collect(),
    };
    let backup = Backup {
        database: Some("sr_hub".to_owned()),
        label: "sr_member_backup".to_owned(),
        repository: "test_repo".to_owned(),
        catalogs: None,
        scope: ObjectScope::On(vec![table("sr_member")]),
        properties: Properties::default(),
    };
    let show = ShowSnapshot {
        repository: "test_repo".to_owned(),
        labels: Vec::new(),
        timestamp: None,
        tail: ShowTail::default(),
    };
    let restore = Restore {
        target_database: Some("sr_hub".to_owned()),
        source_database: None,
        label: "sr_member_backup".to_owned(),
        repository: "test_repo".to_owned(),
        catalogs: None,
        scope: ObjectScope::On(vec![table("sr_member")]),
        properties: [("backup_timestamp", "2023-02-07-14-45-53-143"), ("replication_num", "1")].into_iter().collect(),
    };
    let expected = [
        Statement::CreateRepository(create),
        Statement::Backup(backup),
        Statement::Show(Box::new(Show::Snapshot(show))),
        Statement::Restore(restore),
    ];
    assert_eq!(statements, expected);
}

#[test]
fn both_grammars_mean_the_same() {
    assert_eq!(one("BACKUP DATABASE d SNAPSHOT l TO r"), one("BACKUP SNAPSHOT d.l TO r"));
    let Statement::Restore(restore) = one("RESTORE SNAPSHOT l FROM r DATABASE a AS b") else { panic!() };
    assert_eq!((restore.source_database.as_deref(), restore.target_database.as_deref()), (Some("a"), Some("b")));
    let Statement::Restore(restore) = one("RESTORE SNAPSHOT l FROM r DATABASE a") else { panic!() };
    assert_eq!((restore.source_database.as_deref(), restore.target_database.as_deref()), (Some("a"), None));
}

#[test]
fn a_word_for_a_kind_may_also_be_a_name() {
    let Statement::Backup(backup) = one("BACKUP SNAPSHOT d.l TO r ON (view, tables, function PARTITION (p))") else {
        panic!()
    };
    let ObjectScope::On(objects) = backup.scope else { panic!() };
    let names: Vec<_> = objects
        .iter()
        .map(|object| match object {
            ObjectRef::Relation(relation) => (relation.kind, relation.name.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, [(None, "view"), (None, "tables"), (None, "function")]);
}

#[test]
fn what_needs_no_catalog_is_refused_at_once() {
    for (text, detail) in [
        (
            "BACKUP DATABASE d SNAPSHOT e.l TO r",
            "The database is specified twice: by DATABASE and before the snapshot's name",
        ),
        (
            "BACKUP ALL EXTERNAL CATALOGS DATABASE d SNAPSHOT l TO r",
            "Can not specify database for external catalog backup",
        ),
        ("BACKUP EXTERNAL CATALOG (c) SNAPSHOT d.l TO r", "Can not specify database for external catalog backup"),
        (
            "RESTORE SNAPSHOT d.l FROM r DATABASE e",
            "The database is specified twice: by DATABASE and before the snapshot's name",
        ),
        (
            "RESTORE SNAPSHOT l FROM r ALL EXTERNAL CATALOGS DATABASE d",
            "Can not specify database for external catalog snapshot",
        ),
        (
            "RESTORE SNAPSHOT l FROM r EXTERNAL CATALOG (c AS default_catalog)",
            "Can not restore an external catalog as default_catalog",
        ),
    ] {
        let refused = crate::sql::parse::parse(text).unwrap_err();
        assert_eq!(refused.kind, crate::sql::error::SyntaxErrorKind::Analysis, "{text}");
        assert_eq!(refused.to_string(), format!("Getting analyzing error. Detail message: {detail}."), "{text}");
    }
}

#[test]
fn objects_are_refused_in_their_turn() {
    for (text, refusal) in [
        ("BACKUP SNAPSHOT d.l TO r ON (t AS u)", "Can not set alias for table in Backup Stmt: t"),
        ("BACKUP SNAPSHOT d.l TO r ON (t, t)", "Duplicated table: t"),
        ("BACKUP SNAPSHOT d.l TO r ON (t PARTITION (p, P))", "Duplicated partition: P of table t"),
        ("BACKUP SNAPSHOT d.l TO r ON (d.t)", "Names in ON must not be qualified by a database: d.t"),
        ("RESTORE SNAPSHOT d.l FROM r ON (t AS u, v AS u)", "Duplicated alias name: u"),
        ("RESTORE SNAPSHOT d.l FROM r ON (t AS v, v)", "Duplicated alias name: v"),
        ("BACKUP SNAPSHOT d.l TO r EXCLUDE (t AS t)", "Can not set alias for table in Backup Stmt: t"),
        ("BACKUP SNAPSHOT d.l TO r ON (FUNCTION f, FUNCTION f)", "Duplicated function: f"),
        ("RESTORE SNAPSHOT d.l FROM r ON (d.t)", "Names in ON must not be qualified by a database: d.t"),
        ("RESTORE SNAPSHOT d.l FROM r EXCLUDE (t AS u)", "Can not set alias for table in EXCLUDE: t"),
    ] {
        let found = match one(text) {
            Statement::Backup(backup) => backup.refusal(),
            Statement::Restore(restore) => restore.refusal(),
            other => panic!("{other:?}"),
        };
        assert_eq!(found.as_deref(), Some(refusal), "{text}");
    }
    let Statement::Restore(restore) = one("RESTORE SNAPSHOT d.l FROM r ON (t AS u, u AS t, FUNCTION t)") else {
        panic!()
    };
    assert_eq!(restore.refusal().as_deref(), Some("Duplicated alias name: u"));
    let Statement::Restore(restore) = one("RESTORE SNAPSHOT d.l FROM r ON (t AS t, v AS w, FUNCTION t)") else {
        panic!()
    };
    assert_eq!(restore.refusal(), None);
}

#[test]
fn show_snapshot_knows_three_forms_only() {
    let expected = "Getting analyzing error. Detail message: Where clause should looks like: \
                    SNAPSHOT = 'your_snapshot_name' [AND TIMESTAMP = '2018-04-18-19-19-10'].";
    for condition in [
        "TIMESTAMP = 'x'",
        "SNAPSHOT = 'a' OR SNAPSHOT = 'b'",
        "SNAPSHOT LIKE 'a%'",
        "SNAPSHOT > 'a'",
        "SNAPSHOT = ''",
        "SNAPSHOT = 'a' AND TIMESTAMP = ''",
        "SNAPSHOT = 'a' AND SNAPSHOT = 'b'",
        "SNAPSHOT IN ('a', 'b') AND TIMESTAMP = 'x'",
        "SNAPSHOT NOT IN ('a')",
        "SNAPSHOT = 'a' AND TIMESTAMP <= 'x'",
        "SNAPSHOT = 5",
        "name = 'a'",
    ] {
        assert_eq!(error(&format!("SHOW SNAPSHOT ON r WHERE {condition}")), expected, "{condition}");
    }
}

#[test]
fn drop_snapshot_has_two_forms() {
    let Statement::DropSnapshot(drop) = one("DROP SNAPSHOT l ON r FORCE") else { panic!() };
    assert_eq!((drop.target, drop.force), (DropSnapshotTarget::Label("l".to_owned()), true));
    let Statement::DropSnapshot(drop) = one("DROP SNAPSHOT ON r WHERE SNAPSHOT IN ('a') AND TIMESTAMP <= 'x'") else {
        panic!()
    };
    let DropSnapshotTarget::Where(filter) = drop.target else { panic!() };
    assert_eq!((filter.labels, filter.not_after), (vec!["a".to_owned()], Some("x".to_owned())));
    assert!(error("DROP SNAPSHOT ON r").contains("expected WHERE, found the end of the statement"));
    assert!(
        error("DROP SNAPSHOT ON r WHERE SNAPSHOT = 'a' OR TIMESTAMP = 'b'").contains("Where clause should looks like")
    );
}

#[test]
fn cancel_names_a_database_or_the_catalogs() {
    assert_eq!(one("CANCEL BACKUP"), Statement::CancelBackup(CancelTarget::Database(None)));
    assert_eq!(one("CANCEL RESTORE IN d"), Statement::CancelRestore(CancelTarget::Database(Some("d".to_owned()))));
    assert_eq!(one("CANCEL BACKUP FOR EXTERNAL CATALOG"), Statement::CancelBackup(CancelTarget::ExternalCatalog));
}

#[test]
fn what_is_shown_of_jobs_can_be_ordered_and_limited() {
    for (text, printed) in [
        ("SHOW BACKUP LIMIT 1", "SHOW BACKUP LIMIT 1"),
        ("SHOW BACKUP IN d LIKE '1%' LIMIT 2, 1", "SHOW BACKUP FROM d LIKE '1%' LIMIT 1 OFFSET 2"),
        (
            "SHOW RESTORE FROM d WHERE State = 'FINISHED' ORDER BY JobId DESC LIMIT 1 OFFSET 2",
            "SHOW RESTORE FROM d WHERE State = 'FINISHED' ORDER BY JobId DESC LIMIT 1 OFFSET 2",
        ),
        ("SHOW BRIEF RESTORE ORDER BY 1", "SHOW BRIEF RESTORE ORDER BY 1"),
        ("SHOW VERIFY ON r LIMIT 3", "SHOW VERIFY ON r LIMIT 3"),
        ("SHOW SNAPSHOT ON r LIMIT 1", "SHOW SNAPSHOT ON r LIMIT 1"),
        ("SHOW SNAPSHOT ON r ORDER BY Timestamp DESC, 1", "SHOW SNAPSHOT ON r ORDER BY Timestamp DESC, 1"),
        (
            "SHOW SNAPSHOT ON r WHERE SNAPSHOT IN ('a', 'b') ORDER BY Snapshot LIMIT 1",
            "SHOW SNAPSHOT ON r WHERE SNAPSHOT IN ('a', 'b') ORDER BY Snapshot LIMIT 1",
        ),
        (
            "SHOW SNAPSHOT ON r WHERE SNAPSHOT = 'a' AND TIMESTAMP = 't' LIMIT 1",
            "SHOW SNAPSHOT ON r WHERE SNAPSHOT = 'a' AND TIMESTAMP = 't' LIMIT 1",
        ),
    ] {
        let statement = one(text);
        assert_eq!(statement.to_string(), printed);
        round_trip(&statement);
    }
    assert!(error("SHOW SNAPSHOT ON r LIMIT 1 WHERE SNAPSHOT = 'a'").contains("expected the end of the statement"));
}
