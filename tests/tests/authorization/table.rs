//! The table of privileges in docs/sql.md as a value, and what there must be a row for.

use std::collections::BTreeSet;
use std::path::Path;

/// A privilege on a kind of object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Privilege {
    pub name: String,
    pub kind: String,
}

/// Any one of these sets of privileges suffices. One that is empty is "none".
pub type Requirement = Vec<BTreeSet<Privilege>>;

/// A row: the statements, what tells this form of them from others, and what they need.
#[derive(Debug, Clone)]
pub struct Row {
    pub statements: Vec<String>,
    pub form: String,
    pub requirement: Requirement,
}

/// Any privilege on the object.
pub const ANY: &str = "ANY";

/// The rows of the document.
pub fn rows() -> Vec<Row> {
    let text = source("docs/sql.md");
    let (_, section) = text.split_once("\n## Privileges\n").expect("docs/sql.md has a section on privileges");
    let (section, _) = section.split_once("\n## ").expect("it is not the last section");
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let form = cells[1].rsplit_once('`').map_or("", |(_, form)| form.trim());
        Row { statements: quoted(cells[1]), form: form.to_owned(), requirement: requirement(cells[2]) }
    })
    .collect()
}

fn requirement(text: &str) -> Requirement {
    let set = |text: &str| -> BTreeSet<Privilege> {
        let atoms = text.split(" and ").filter(|atom| *atom != "none");
        atoms
            .map(|atom| {
                let (name, kind) = atom.split_once("` on ").unwrap_or_else(|| panic!("'{atom}' names no privilege"));
                Privilege { name: name.trim_start_matches('`').to_owned(), kind: kind.to_owned() }
            })
            .collect()
    };
    text.split(" or ").map(set).collect()
}

/// Every kind of statement that the parser knows, and every path that the HTTP side answers.
pub fn known() -> BTreeSet<String> {
    let ast = source("protocol/src/sql/ast.rs");
    // Each variant stands in one of these matches, or the crate does not compile.
    let kinds = ast.split("pub fn kind(&self) -> &'static str {").skip(1).flat_map(|body| {
        let body = body.split("\n    }\n").next().expect("a split has a first part");
        body.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    });
    let http = source("server/src/http.rs");
    let routes = http.split(".route(\"").skip(1).map(|rest| {
        let (path, rest) = rest.split_once("\", ").expect("a route has a handler");
        let (method, _) = rest.split_once('(').expect("a route has a method");
        format!("{} {path}", method.to_uppercase())
    });
    kinds.chain(routes).collect()
}

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
