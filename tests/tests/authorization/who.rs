//! Accounts with exactly these privileges, made when they are first asked for.

use std::collections::{BTreeMap, BTreeSet};

use ebla_tests::client::Client;
use ebla_tests::server::Server;

use crate::table::{ANY, Privilege, Requirement};

/// The password of all of them.
pub const PASSWORD: &str = "w4x-and-wood";

/// On what somebody holds their privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On the database and all its tables, on the catalog, on the system.
    Here,
    /// On another database and its tables.
    Elsewhere,
    /// On another table of the same database.
    NextDoor,
}

/// Who holds what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    pub place: Place,
    pub privileges: BTreeSet<Privilege>,
}

/// An account and its connection.
#[derive(Debug)]
pub struct Account {
    pub name: String,
    pub client: Client,
}

/// The accounts so far.
#[derive(Debug, Default)]
pub struct Accounts {
    made: BTreeMap<Holder, Account>,
}

impl Holder {
    pub fn of(privileges: impl IntoIterator<Item = Privilege>) -> Holder {
        Holder { place: Place::Here, privileges: privileges.into_iter().collect() }
    }

    /// Whether what they hold suffices.
    pub fn suffices(&self, requirement: &Requirement) -> bool {
        requirement.iter().any(|set| set.iter().all(|wanted| self.holds(wanted)))
    }

    /// Whether they hold a privilege on what the statements of the test are about.
    pub fn holds(&self, wanted: &Privilege) -> bool {
        let on = |kinds: &[&str]| self.privileges.iter().any(|held| kinds.contains(&held.kind.as_str()));
        match (self.place, wanted.name.as_str(), wanted.kind.as_str()) {
            (Place::Elsewhere, ..) => false,
            (_, ANY, "DATABASE") => on(&["DATABASE", "TABLE"]),
            (Place::NextDoor, ..) => false,
            (Place::Here, ANY, kind) => on(&[kind]),
            (Place::Here, ..) => self.privileges.contains(wanted),
        }
    }
}

impl Accounts {
    /// The account of this holder.
    pub async fn get(&mut self, server: &Server, root: &mut Client, holder: &Holder) -> &mut Account {
        if !self.made.contains_key(holder) {
            let name = format!("u{}", self.made.len());
            root.query(&format!("CREATE USER {name} IDENTIFIED BY '{PASSWORD}'")).await;
            for privilege in &holder.privileges {
                let object = match (privilege.kind.as_str(), holder.place) {
                    ("SYSTEM", _) => "SYSTEM",
                    ("CATALOG", _) => "CATALOG default_catalog",
                    ("DATABASE", Place::Here) => "DATABASE zvault",
                    ("DATABASE", _) => "DATABASE elsewhere",
                    ("TABLE", Place::Here) => "ALL TABLES IN DATABASE zvault",
                    ("TABLE", Place::Elsewhere) => "ALL TABLES IN DATABASE elsewhere",
                    ("TABLE", Place::NextDoor) => "TABLE zvault.next_door",
                    (kind, _) => panic!("the test does not know how to grant on {kind}"),
                };
                root.query(&format!("GRANT {} ON {object} TO USER {name}", privilege.name)).await;
            }
            let client = server.client_as(&name, PASSWORD).await;
            self.made.insert(holder.clone(), Account { name, client });
        }
        self.made.get_mut(holder).expect("it has just been made")
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.made.len()
    }
}
