//! What a query comes to once every common table expression stands wherever it is named.
//!
//! The planner puts them there, and walks through all of it for each name. A few lines in which each names the one before
//! twice would keep it busy for ever and take all memory, so they are counted here, where each is looked at once.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sqlparser::ast::{ObjectName, ObjectNamePart, Query, Visit, Visitor};

use crate::query::effort::{EFFORT_MAX, too_much};
use crate::query::error::QueryError;

/// Refuses a query that names more relations than any plan may have nodes.
pub(super) fn check(query: &Query) -> Result<(), QueryError> {
    let mut counter = Counter { open: vec![Level::default()] };
    match query.visit(&mut counter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(too_much()),
    }
}

/// A query that is being looked at.
#[derive(Default)]
struct Level {
    /// Relations that it names itself, or by what it names.
    relations: u64,
    /// Its common table expressions by the place of their queries, for as long as these have not been looked at.
    awaited: HashMap<*const Query, String>,
    /// What each of them comes to.
    known: HashMap<String, u64>,
}

struct Counter {
    open: Vec<Level>,
}

impl Counter {
    fn add(&mut self, relations: u64) -> ControlFlow<()> {
        let Some(level) = self.open.last_mut() else { return ControlFlow::Continue(()) };
        level.relations = level.relations.saturating_add(relations);
        if level.relations > EFFORT_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Visitor for Counter {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        let awaited = ctes.map(|cte| (&raw const *cte.query, cte.alias.name.value.clone())).collect();
        self.open.push(Level { awaited, ..Level::default() });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let relations = self.open.pop().map_or(0, |level| level.relations.max(1));
        match self.open.last_mut().and_then(|level| Some((level.awaited.remove(&(&raw const *query))?, level))) {
            Some((name, level)) => {
                level.known.insert(name, relations);
                ControlFlow::Continue(())
            }
            None => self.add(relations),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let named = match relation.0.as_slice() {
            [ObjectNamePart::Identifier(name)] => {
                self.open.iter().rev().find_map(|level| level.known.get(&name.value).copied())
            }
            _ => None,
        };
        self.add(named.unwrap_or(1))
    }
}
