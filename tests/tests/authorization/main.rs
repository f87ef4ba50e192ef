//! Goal: whoever lacks a privilege that a statement needs is refused with the documented error, changes nothing and learns
//! nothing; whoever holds what suffices, and nothing else, is not refused.
//!
//! Method: the table in docs/sql.md says what each statement needs (`table`); it must have a row for every kind of
//! statement that the parser knows, and every row has a statement here (`cases`). Each is said by accounts (`who`) with
//! no privilege, with each single one there is, with all but the needed ones, with those that suffice and no other, with
//! these less one, with every privilege on another database, and with every privilege on another table. What must come of
//! it follows from the table. After the refused ones the world is compared with what it was before. And an account without
//! privileges is told the same about what is not there as about what is.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a failing helper is a failing test")]

mod cases;
mod table;
mod who;

use std::collections::BTreeSet;

use ebla_tests::client::{Client, SqlError};
use ebla_tests::http::{Body, Request};
use ebla_tests::server::Server;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};

use cases::{CASES, Case, Then, WORLD};
use table::{Privilege, Requirement, Row, known, rows};
use who::{Accounts, Holder, PASSWORD, Place};

/// Error number of a missing privilege.
const FORBIDDEN: u16 = 5203;

/// What root is shown of the world.
const LOOKS: &[&str] = &[
    "SHOW DATABASES",
    "SELECT table_schema, table_name, table_comment FROM information_schema.tables ORDER BY 1, 2",
    "SELECT db_name, table_name, partition_name FROM information_schema.partitions_meta ORDER BY 1, 2, 3",
    "SHOW USERS",
    "SHOW ROLES",
    "SHOW GRANTS FOR zbob",
    "SHOW GRANTS FOR ROLE zclerk",
    "SHOW ALL AUTHENTICATION",
    "SHOW REPOSITORIES",
    "SHOW SNAPSHOT ON zrepo",
    "SHOW GLOBAL VARIABLES",
    "SELECT job_id FROM information_schema.backup_jobs ORDER BY 1",
    "SELECT job_id FROM information_schema.restore_jobs ORDER BY 1",
    "SELECT job_id FROM information_schema.verify_jobs ORDER BY 1",
];

/// Tables that some statements take away before they are refused.
const ROWS: &[&str] = &["SELECT * FROM zvault.zcoins ORDER BY id", "SELECT * FROM zvault.znotes ORDER BY id"];

/// A world, those who live in it, and what was counted.
struct Walk {
    server: Server,
    root: Client,
    accounts: Accounts,
    /// Every privilege there is.
    all: BTreeSet<Privilege>,
    tablet: String,
    next: u32,
    refused: u32,
    allowed: u32,
    wrong: Vec<String>,
}

#[test]
fn every_statement_and_path_has_a_row_and_every_row_a_statement() {
    let rows = rows();
    let known = known();
    let written: BTreeSet<String> = rows.iter().flat_map(|row| row.statements.clone()).collect();
    let missing: Vec<_> = known.difference(&written).collect();
    assert!(missing.is_empty(), "docs/sql.md says under Privileges nothing of {missing:?}");
    let unknown: Vec<_> = written.difference(&known).collect();
    assert!(unknown.is_empty(), "docs/sql.md names under Privileges what is not there: {unknown:?}");
    assert!(known.len() > 100, "only {} kinds of statements were found in the source", known.len());
    for row in &rows {
        for statement in row.statements.iter().filter(|statement| !statement.contains('/')) {
            let is_it = |case: &&Case| case.kind == statement && case.form == row.form;
            assert!(CASES.iter().any(|case| is_it(&case)), "no case says {statement} {}", row.form);
        }
    }
    for case in CASES {
        row_of(&rows, case);
    }
}

#[tokio::test]
async fn privileges_suffice_as_documented_and_nothing_else_does() {
    let mut walk = Walk::begin().await;
    let rows = rows();
    for case in CASES {
        let requirement = row_of(&rows, case).requirement.clone();
        walk.take(case, &requirement).await;
    }
    println!(
        "{} statements by {} accounts: {} refused, {} allowed",
        CASES.len(),
        walk.accounts.len(),
        walk.refused,
        walk.allowed
    );
    assert!(walk.wrong.is_empty(), "{} wrong:\n{}", walk.wrong.len(), walk.wrong.join("\n"));
    assert!(walk.refused > 2_000 && walk.allowed > 200, "{} {}", walk.refused, walk.allowed);
}

#[tokio::test]
async fn who_holds_nothing_sees_nothing() {
    let mut walk = Walk::begin().await;
    walk.root.query("GRANT SELECT ON TABLE elsewhere.t TO ROLE zclerk").await;
    let tables = walk
        .root
        .query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'information_schema'")
        .await;
    let account = walk.accounts.get(&walk.server, &mut walk.root, &Holder::of([])).await;
    for table in tables.column("table_name") {
        let shown = account.client.query(&format!("SELECT * FROM information_schema.{table}")).await.to_string();
        for word in ["zvault", "zcoins", "elsewhere", "zbob", "zclerk"] {
            assert!(!shown.contains(word), "information_schema.{table} tells of {word}:\n{shown}");
        }
    }
    // One privilege on one table shows this table and no other.
    let holder = Holder { place: Place::NextDoor, privileges: BTreeSet::from([privilege("SELECT", "TABLE")]) };
    let account = walk.accounts.get(&walk.server, &mut walk.root, &holder).await;
    for statement in
        ["SHOW TABLES FROM zvault", "SELECT table_name FROM information_schema.tables WHERE table_schema = 'zvault'"]
    {
        let shown = account.client.query(statement).await;
        assert_eq!(shown.rows, [[Some("next_door".to_owned())]], "{statement}");
    }
    // Of a backup of everything it is told that something is missing, and not its name.
    let operator = BTreeSet::from([privilege("REPOSITORY", "SYSTEM")]);
    let system =
        walk.accounts.get(&walk.server, &mut walk.root, &Holder { place: Place::Here, privileges: operator }).await;
    let name = system.name.clone();
    walk.root.query(&format!("GRANT EXPORT ON TABLE zvault.next_door TO USER {name}")).await;
    let system =
        walk.accounts.get(&walk.server, &mut walk.root, &Holder::of([privilege("REPOSITORY", "SYSTEM")])).await;
    let refusal = system.client.refused("BACKUP SNAPSHOT zvault.all_of_it TO zrepo").await;
    assert_eq!(refusal.code, FORBIDDEN);
    assert!(refusal.message.contains("EXPORT privilege(s) on TABLE * for"), "{refusal}");
}

/// The connection of the one account with these privileges.
async fn client_of<'walk>(walk: &'walk mut Walk, holder: &Holder) -> &'walk mut Client {
    &mut walk.accounts.get(&walk.server, &mut walk.root, holder).await.client
}

#[tokio::test]
async fn nobody_rises_above_what_they_hold() {
    let mut walk = Walk::begin().await;
    let holder = Holder::of([privilege("GRANT", "SYSTEM")]);
    let grantor = walk.accounts.get(&walk.server, &mut walk.root, &holder).await;
    let name = grantor.name.clone();
    // Others who may do everything: by the role, by one that brings it, and by one that is not active.
    for statement in [
        "CREATE ROLE zchief",
        "GRANT root TO ROLE zchief",
        "CREATE USER zruler IDENTIFIED BY 'r' DEFAULT ROLE root",
        "CREATE USER zregent IDENTIFIED BY 'r'",
        "GRANT zchief TO USER zregent",
    ] {
        walk.root.query(statement).await;
    }
    let grantor = walk.accounts.get(&walk.server, &mut walk.root, &holder).await;
    for statement in [
        format!("GRANT root TO USER {name}"),
        format!("GRANT zchief TO USER {name}"),
        "CREATE USER zmade DEFAULT ROLE root".to_owned(),
        "CREATE USER zmade DEFAULT ROLE zchief".to_owned(),
        "SET PASSWORD FOR zruler = PASSWORD('x')".to_owned(),
        "ALTER USER zruler IDENTIFIED BY 'x'".to_owned(),
        "SET PASSWORD FOR zregent = PASSWORD('x')".to_owned(),
        "SET DEFAULT ROLE ALL TO zregent".to_owned(),
        "DROP USER zruler".to_owned(),
        "SET PASSWORD FOR root = PASSWORD('x')".to_owned(),
        "ALTER USER root IDENTIFIED BY 'x'".to_owned(),
        "SET DEFAULT ROLE NONE TO root".to_owned(),
        // An account that those who may do everything would get instead of their own.
        "CREATE USER 'root'@'127.0.0.1' IDENTIFIED BY 'x'".to_owned(),
        "CREATE USER IF NOT EXISTS 'root'@'localhost'".to_owned(),
        "CREATE USER 'zruler'@'127.0.0.1'".to_owned(),
        "CREATE USER 'zregent'@'10.%'".to_owned(),
        // The role that brings theirs.
        "REVOKE zchief FROM zregent".to_owned(),
        "REVOKE root FROM ROLE zchief".to_owned(),
        "DROP ROLE zchief".to_owned(),
        "DROP ROLE IF EXISTS znothing, zchief".to_owned(),
    ] {
        let refusal = grantor.client.refused(&statement).await;
        assert_eq!(refusal.code, FORBIDDEN, "{statement}: {refusal}");
    }
    assert_ne!(grantor.client.refused("DROP USER root").await.code, 0);
    // Nobody else is protected from who may manage accounts, and nobody is from root.
    grantor.client.query("SET PASSWORD FOR zbob = PASSWORD('b')").await;
    let mut ruler = Client::connect(walk.server.mysql_addr(), "zruler", "r").await;
    for statement in [
        "SET PASSWORD FOR zregent = PASSWORD('x')",
        "CREATE USER 'zregent'@'10.%'",
        "DROP USER zregent",
        "DROP ROLE zchief",
        "SET PASSWORD FOR zruler = PASSWORD('x')",
    ] {
        ruler.query(statement).await;
    }
    // The name is free again.
    client_of(&mut walk, &holder).await.query("SET PASSWORD FOR 'zregent'@'10.%' = PASSWORD('y')").await;

    // Root may stand before root, and no other may then touch it; that account can go again, and the first one never.
    walk.root.query("CREATE USER 'root'@'127.0.0.1' IDENTIFIED BY 'near'").await;
    for statement in ["SET PASSWORD FOR 'root'@'127.0.0.1' = PASSWORD('x')", "DROP USER 'root'@'127.0.0.1'"] {
        let refusal = client_of(&mut walk, &holder).await.refused(statement).await;
        assert_eq!(refusal.code, FORBIDDEN, "{statement}: {refusal}");
    }
    let mut near = Client::connect(walk.server.mysql_addr(), "root", "near").await;
    assert_eq!(near.value("SELECT CURRENT_USER()").await, "'root'@'127.0.0.1'");
    walk.root.query("DROP USER 'root'@'127.0.0.1'").await;
    assert_eq!(walk.server.client().await.value("SELECT CURRENT_USER()").await, "'root'@'%'");
    for statement in ["DROP USER root", "REVOKE root FROM root", "REVOKE root FROM USER 'root'@'%'"] {
        let mut ruler = Client::connect(walk.server.mysql_addr(), "zruler", "x").await;
        for client in [&mut walk.root, &mut ruler] {
            let refusal = client.refused(statement).await;
            assert!(refusal.code == 5064 && refusal.message.contains("root"), "{statement}: {refusal}");
        }
    }
    // Roles that are not active are not lost.
    walk.root.query("SET DEFAULT ROLE NONE TO root").await;
    let mut again = walk.server.client().await;
    assert_eq!(again.refused("SHOW USERS").await.code, FORBIDDEN);
    for statement in ["SET ROLE ALL", "SHOW USERS", "SET DEFAULT ROLE ALL TO root"] {
        again.query(statement).await;
    }
    walk.server.client().await.query("SHOW USERS").await;

    // A privilege that is held with the grant option may be handed on, and no other, and on nothing else.
    let nobody = walk.accounts.get(&walk.server, &mut walk.root, &Holder::of([])).await.name.clone();
    walk.root.query(&format!("GRANT SELECT ON TABLE zvault.zcoins TO USER {nobody} WITH GRANT OPTION")).await;
    let holder = &mut walk.accounts.get(&walk.server, &mut walk.root, &Holder::of([])).await.client;
    holder.query("GRANT SELECT ON TABLE zvault.zcoins TO USER zbob").await;
    for statement in [
        "GRANT INSERT ON TABLE zvault.zcoins TO USER zbob",
        "GRANT SELECT ON TABLE zvault.znotes TO USER zbob",
        "GRANT SELECT ON ALL TABLES IN DATABASE zvault TO USER zbob",
        "GRANT SELECT, INSERT ON TABLE zvault.zcoins TO USER zbob",
    ] {
        assert_eq!(holder.refused(statement).await.code, FORBIDDEN, "{statement}");
    }
}

#[tokio::test]
async fn the_http_side_needs_what_the_document_says() {
    let mut walk = Walk::begin().await;
    let row = rows().into_iter().find(|row| row.statements[0].contains("_stream_load")).expect("the table has a row");
    let body = || Body::Bytes(b"9,0\n".to_vec());
    let columns = [("column_separator", ",")];
    for holder in walk.holders(&row.requirement) {
        let name = walk.accounts.get(&walk.server, &mut walk.root, &holder).await.name.clone();
        for table in ["zcoins", "ycoins"] {
            let answer = walk.server.stream_load_as((&name, PASSWORD), "zvault", table, &columns, body()).await.text();
            let is_denied =
                answer.contains("Access denied; you need (at least one of) the INSERT privilege(s) on TABLE");
            assert_eq!(is_denied, !holder.suffices(&row.requirement), "{holder:?} into {table}: {answer}");
        }
        let wrong = walk.server.stream_load_as((&name, "wrong"), "zvault", "zcoins", &columns, body()).await;
        assert_eq!(wrong.status, 401, "{}", wrong.text());
    }
    let counted = walk.root.value("SELECT count(*) FROM zvault.zcoins WHERE id = 9").await;
    assert_eq!(counted, "1", "who holds INSERT has loaded a row, and nobody else");
    for (path, status) in [("/api/health", 200), ("/metrics", 200), ("/api/_load_error_log?file=none", 404)] {
        let answer = Request::new("GET", path).send(walk.server.http_addr()).await.unwrap();
        assert_eq!(answer.status, status, "{path}");
        for word in ["zvault", "zcoins", "zbob"] {
            assert!(!answer.text().contains(word), "{path} tells of {word}:\n{}", answer.text());
        }
    }
}

impl Walk {
    async fn begin() -> Walk {
        let server = Server::start("authorization").await;
        let mut root = server.client().await;
        let folder = server.folder().display().to_string();
        for statement in WORLD {
            root.query(&statement.replace("{folder}", &folder)).await;
        }
        assert_finished(&wait_backup(&mut root, "zvault").await);
        let shown = root.query("SHOW PRIVILEGES").await;
        let all = shown.column("Privilege").into_iter().zip(shown.column("Context"));
        let all: BTreeSet<Privilege> = all.map(|(name, kind)| privilege(name, kind)).collect();
        assert!(all.len() > 25, "{all:?}");
        let tablet = root.query("SHOW TABLET FROM zvault.zcoins").await.column("TabletId")[0].to_owned();
        Walk {
            server,
            root,
            accounts: Accounts::default(),
            all,
            tablet,
            next: 0,
            refused: 0,
            allowed: 0,
            wrong: Vec::new(),
        }
    }

    /// Everybody whose answer to a statement with this requirement says something about it.
    fn holders(&self, requirement: &Requirement) -> Vec<Holder> {
        let mut holders = BTreeSet::from([Holder::of([])]);
        if requirement.iter().any(BTreeSet::is_empty) {
            return holders.into_iter().collect();
        }
        holders.extend(self.all.iter().map(|privilege| Holder::of([privilege.clone()])));
        for place in [Place::Elsewhere, Place::NextDoor] {
            let kinds: &[&str] = if place == Place::Elsewhere { &["DATABASE", "TABLE"] } else { &["TABLE"] };
            let privileges = self.all.iter().filter(|privilege| kinds.contains(&privilege.kind.as_str()));
            holders.insert(Holder { place, privileges: privileges.cloned().collect() });
        }
        for set in requirement {
            let enough: BTreeSet<Privilege> = set.iter().map(|wanted| self.one_of(wanted)).collect();
            holders.insert(Holder::of(enough.clone()));
            for wanted in set {
                let less = enough.iter().filter(|held| **held != self.one_of(wanted));
                holders.insert(Holder::of(less.cloned()));
                // All there are but this one; where others would do as well, without these too.
                let others = requirement.iter().flatten().filter(|other| other.kind == wanted.kind);
                let without: Vec<Privilege> = match requirement.len() {
                    1 => vec![wanted.clone()],
                    _ => others.cloned().collect(),
                };
                let is_left = |held: &&Privilege| {
                    !without.iter().any(|gone| {
                        let database_too = gone.kind == "DATABASE" && held.kind == "TABLE";
                        *held == gone || gone.name == table::ANY && (gone.kind == held.kind || database_too)
                    })
                };
                holders.insert(Holder::of(self.all.iter().filter(is_left).cloned()));
            }
        }
        holders.into_iter().collect()
    }

    /// A privilege that is meant by this one.
    fn one_of(&self, wanted: &Privilege) -> Privilege {
        if wanted.name == table::ANY { privilege("ALTER", &wanted.kind) } else { wanted.clone() }
    }

    /// Has everybody say the statement, and notes what is wrong with the answers.
    async fn take(&mut self, case: &Case, requirement: &Requirement) {
        self.as_root(case.before).await;
        let (enough, too_little): (Vec<Holder>, Vec<Holder>) =
            self.holders(requirement).into_iter().partition(|holder| holder.suffices(requirement));
        let before = self.look(case).await;
        for holder in &too_little {
            let answer = self.say(case, case.sql, holder).await;
            self.refused += 1;
            match answer {
                Err(refusal) if is_documented(&refusal, requirement, holder) => {}
                other => self.complain(case, holder, &format!("was to be refused: {other:?}")),
            }
        }
        if let Some(holder) = too_little.iter().find(|holder| holder.privileges.is_empty()) {
            let there = self.say(case, case.sql, holder).await.expect_err("it has just been refused");
            let missing = self.say(case, &not_there(case.sql), holder).await;
            if missing.as_ref().err().map(|refusal| not_there(&refusal.message)) != Some(not_there(&there.message)) {
                self.complain(case, holder, &format!("learns whether it is there: {there} and {missing:?}"));
            }
        }
        let after = self.look(case).await;
        if before != after {
            self.complain(case, &Holder::of([]), &format!("has changed something:\n{before}\n{after}"));
        }
        for (number, holder) in enough.iter().enumerate() {
            if number > 0 {
                self.as_root(case.before).await;
            }
            let answer = self.say(case, case.sql, holder).await;
            self.allowed += 1;
            let is_right = match (&answer, case.then) {
                (Ok(_), Then::Done | Then::NotForbidden | Then::Job) => true,
                (Err(refusal), Then::Refused(code)) => refusal.code == code,
                (Err(refusal), Then::NotForbidden) => refusal.code != FORBIDDEN,
                _ => false,
            };
            if !is_right {
                self.complain(case, holder, &format!("was to be allowed: {answer:?}"));
            }
            if case.then == Then::Job && answer.is_ok() {
                let restored = if case.sql.contains("zmade") { "zmade" } else { "zvault" };
                match case.kind {
                    "BACKUP" => assert_finished(&wait_backup(&mut self.root, "zvault").await),
                    _ => assert_finished(&wait_restore(&mut self.root, restored).await),
                }
            }
            if answer.is_ok() {
                self.as_root(case.after).await;
            }
        }
    }

    /// Says a statement as somebody.
    async fn say(&mut self, case: &Case, sql: &str, holder: &Holder) -> Result<String, SqlError> {
        self.next += 1;
        let root_id = self.root.connection_id();
        let folder = self.server.folder().display().to_string();
        let account = self.accounts.get(&self.server, &mut self.root, holder).await;
        let sql = sql
            .replace("{self}", &account.name)
            .replace("{connection}", &account.client.connection_id().to_string())
            .replace("{root}", &root_id.to_string())
            .replace("{tablet}", &self.tablet)
            .replace("{next}", &format!("s{}", self.next))
            .replace("{folder}", &folder);
        if !case.prelude.is_empty() {
            account.client.query(case.prelude).await;
        }
        let answer = account.client.try_query(&sql).await;
        assert!(answer.as_ref().err().is_none_or(|error| error.code != 0), "{sql} ends the connection: {answer:?}");
        answer.map(|rows| rows.to_string())
    }

    async fn as_root(&mut self, statements: &[&str]) {
        let folder = self.server.folder().display().to_string();
        for statement in statements {
            let statement = statement.replace("{folder}", &folder);
            // A backup or restore that has just ended may still be giving back what it held.
            let root = &mut self.root;
            wait_until(std::time::Duration::from_secs(60), async || match root.try_query(&statement).await {
                Ok(_) => Ok(()),
                Err(error) if error.message.contains("job is running") => Err(error.to_string()),
                Err(error) => panic!("{statement}\n{error}"),
            })
            .await;
        }
    }

    async fn look(&mut self, case: &Case) -> String {
        let mut seen = String::new();
        if ["SHOW ", "SELECT ", "EXPLAIN ", "DESC ", "WITH "].iter().any(|verb| case.sql.starts_with(verb)) {
            return seen;
        }
        let takes_rows_away = case.before.iter().any(|statement| statement.starts_with("DROP TABLE"));
        for statement in LOOKS.iter().chain(ROWS.iter().filter(|_| !takes_rows_away)) {
            seen.push_str(&format!("{statement}\n{}\n", self.root.query(statement).await));
        }
        // Accounts are made as they are asked for.
        seen.lines().filter(|line| !line.starts_with("'u")).collect::<Vec<_>>().join("\n")
    }

    fn complain(&mut self, case: &Case, holder: &Holder, what: &str) {
        let held: Vec<String> =
            holder.privileges.iter().map(|held| format!("{} on {}", held.name, held.kind)).collect();
        let held = if held.len() > 6 { format!("{} privileges", held.len()) } else { held.join(", ") };
        let complaint = format!("{} by {:?} [{held}]: {what}", case.sql, holder.place);
        println!("{complaint}");
        self.wrong.push(complaint);
    }
}

/// Whether a refusal is the documented one, and names a privilege that is missing.
fn is_documented(refusal: &SqlError, requirement: &Requirement, holder: &Holder) -> bool {
    let start = "Access denied; you need (at least one of) the ";
    let Some((names, rest)) = refusal.message.strip_prefix(start).and_then(|rest| rest.split_once(" privilege(s) on "))
    else {
        return false;
    };
    let missing = requirement.iter().flatten().filter(|wanted| !holder.holds(wanted));
    let is_named = |wanted: &Privilege| {
        rest.starts_with(wanted.kind.as_str()) && names.split(", ").any(|name| name == wanted.name)
    };
    // Before the tables of a database that is not named further, something in it must be held.
    let is_in_database = names == table::ANY && rest.starts_with("DATABASE");
    refusal.code == FORBIDDEN
        && refusal.sqlstate == "42000"
        && rest.contains("Current role(s): [NONE]. Inactivated role(s): [NONE].")
        && (missing.into_iter().any(is_named) || is_in_database)
}

/// The same text about what is not there.
fn not_there(text: &str) -> String {
    let mut text = text.replace("{tablet}", "999999").replace("{root}", "4000000");
    for name in ["vault", "coins", "notes", "repo", "snap", "bob", "clerk", "spare"] {
        text = text.replace(&format!("z{name}"), &format!("y{name}"));
    }
    text
}

fn privilege(name: &str, kind: &str) -> Privilege {
    Privilege { name: name.to_owned(), kind: kind.to_owned() }
}

fn row_of<'a>(rows: &'a [Row], case: &Case) -> &'a Row {
    let is_it = |row: &&Row| row.form == case.form && row.statements.iter().any(|statement| statement == case.kind);
    rows.iter().find(is_it).unwrap_or_else(|| panic!("docs/sql.md has no row for {} {}", case.kind, case.form))
}
