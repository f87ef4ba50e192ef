//! What result columns are called: inside the planner, and in front of the user.
//!
//! Inside, names are lower case and unique. In front of the user stands what the user wrote: the alias, else the text
//! of the expression; under `*` the name each column was defined with.

use std::collections::{HashMap, HashSet};

use datafusion::arrow::datatypes::Field;
use sqlparser::ast::{Expr, Ident, Select, SelectItem, SetExpr, Value};

use super::is_values;
use crate::query::scan::DEFINED_NAME;

/// The longest header. An expression's text is cut there, as in MySQL; an alias that is longer is an error.
pub(super) const HEADER_LETTERS_MAX: usize = 256;

/// The headers of a result.
#[derive(Debug, Default)]
pub(crate) struct Headers {
    /// One for each output, when there is no `*` among them.
    positions: Option<Vec<String>>,
    /// By internal name, for outputs beside a `*`.
    by_name: HashMap<String, String>,
    /// How aliases anywhere in the query were written, by their lower-case form.
    spelling: HashMap<String, String>,
}

impl Headers {
    /// The header of an output.
    pub(crate) fn of(&self, index: usize, field: &Field) -> String {
        if let Some(header) = self.positions.as_ref().and_then(|headers| headers.get(index)) {
            return header.clone();
        }
        if let Some(header) = self.by_name.get(field.name()) {
            return header.clone();
        }
        if let Some(defined) = field.metadata().get(DEFINED_NAME)
            && defined.to_lowercase() == *field.name()
        {
            return defined.clone();
        }
        self.spelling.get(field.name()).cloned().unwrap_or_else(|| field.name().clone())
    }

    /// Notes the header of an output that the planner knows by this name.
    pub(super) fn spell_as(&mut self, name: &str, written: &str) {
        self.spell(written);
        if written.to_lowercase() != name {
            self.by_name.insert(name.to_owned(), written.to_owned());
        }
    }

    /// An output is called otherwise inside the planner, and not in front of the user.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(written) = self.by_name.remove(from) {
            self.by_name.insert(to.to_owned(), written);
        }
    }

    /// Notes how an alias was written; the first spelling stays.
    pub(super) fn spell(&mut self, written: &str) {
        self.spelling.entry(written.to_lowercase()).or_insert_with(|| written.to_owned());
    }
}

/// Names the outputs of the whole query. The first SELECT of a UNION names its result.
pub(super) fn name_outputs(body: &mut SetExpr, headers: &mut Headers) {
    match body {
        SetExpr::Select(select) => name_top(select, headers),
        SetExpr::Query(query) => name_outputs(&mut query.body, headers),
        SetExpr::SetOperation { left, right, .. } => {
            name_outputs(left, headers);
            // The other sides need unique names, too, but their headers count for nothing.
            name_outputs(right, &mut Headers::default());
        }
        body if is_values(body) => {}
        _ => {}
    }
}

/// Tells columns of the later SELECTs of a UNION and its like apart, wherever it stands: the first SELECT alone says what
/// they are called, so two of them may have one name.
pub(super) fn name_later(body: &mut SetExpr) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            name_later(left);
            tell_apart(right);
        }
        SetExpr::Query(query) => name_later(&mut query.body),
        _ => {}
    }
}

fn tell_apart(body: &mut SetExpr) {
    let select = match body {
        SetExpr::SetOperation { left, right, .. } => {
            tell_apart(left);
            return tell_apart(right);
        }
        SetExpr::Query(query) => return tell_apart(&mut query.body),
        SetExpr::Select(select) => select,
        _ => return,
    };
    let beside_wildcard = select.projection.iter().any(is_wildcard);
    let mut taken = HashSet::new();
    for item in &mut select.projection {
        let (expr, base, is_bare) = match item {
            SelectItem::UnnamedExpr(expr) if is_column(expr) => {
                let base = whole_text_of(expr);
                (expr, base, true)
            }
            SelectItem::ExprWithAlias { expr, alias } => (expr, alias.value.clone(), false),
            _ => continue,
        };
        let base = base.to_lowercase();
        let (mut name, mut number) = (base.clone(), 0);
        let by_wildcard = is_bare && beside_wildcard;
        if !by_wildcard && taken.insert(name.clone()) {
            continue;
        }
        while !taken.insert(name.clone()) || (by_wildcard && number == 0) {
            number += 1;
            name = format!("{base}:{number}");
        }
        let expr = std::mem::replace(expr, Expr::Value(Value::Null.into()));
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::new(name) };
    }
}

fn name_top(select: &mut Select, headers: &mut Headers) {
    let has_wildcard = select.projection.iter().any(is_wildcard);
    let mut taken = HashSet::new();
    let mut positions = Vec::with_capacity(select.projection.len());
    for item in &mut select.projection {
        let (expr, written) = match std::mem::replace(item, placeholder()) {
            SelectItem::UnnamedExpr(expr) => {
                let written = text_of(&expr);
                (expr, written)
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                headers.spell(&alias.value);
                (expr, alias.value)
            }
            wildcard => {
                *item = wildcard;
                continue;
            }
        };
        let base = written.to_lowercase();
        let mut name = base.clone();
        // Beside a `*` any plain name may be taken by one of its columns.
        let mut number = usize::from(has_wildcard);
        if number > 0 {
            name = format!("{base}:{number}");
        }
        while !taken.insert(name.clone()) {
            number += 1;
            name = format!("{base}:{number}");
        }
        headers.by_name.insert(name.clone(), written.clone());
        positions.push(written);
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::new(name) };
    }
    if !has_wildcard {
        headers.positions = Some(positions);
    }
}

/// Names what an inner SELECT gives to the query around it.
pub(super) fn name_nested(select: &mut Select, headers: &mut Headers) {
    let mut taken = HashSet::new();
    for item in &mut select.projection {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => {
                headers.spell(&alias.value);
                alias.value = alias.value.to_lowercase();
                alias.quote_style = None;
                taken.insert(alias.value.clone());
            }
            SelectItem::UnnamedExpr(expr) => {
                if is_column(expr) {
                    continue;
                }
                let written = text_of(expr);
                headers.spell(&written);
                let base = written.to_lowercase();
                let mut name = base.clone();
                let mut number = 0;
                while !taken.insert(name.clone()) {
                    number += 1;
                    name = format!("{base}:{number}");
                }
                if let SelectItem::UnnamedExpr(expr) = std::mem::replace(item, placeholder()) {
                    *item = SelectItem::ExprWithAlias { expr, alias: Ident::new(name) };
                }
            }
            _ => {}
        }
    }
}

/// Whether an item of a select list is `*` or `t.*`.
pub(super) fn is_wildcard(item: &SelectItem) -> bool {
    matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
}

/// What an item of a select list is called; `None` where it stands for several columns.
pub(super) fn name_of(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        SelectItem::UnnamedExpr(expr) => Some(text_of(expr)),
        _ => None,
    }
}

/// Stands in an item's place while it is rebuilt.
fn placeholder() -> SelectItem {
    SelectItem::UnnamedExpr(Expr::Value(Value::Null.into()))
}

fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(ident) => !ident.value.starts_with('@'),
        Expr::CompoundIdentifier(parts) => parts.first().is_some_and(|part| !part.value.starts_with('@')),
        _ => false,
    }
}

/// What MySQL shows above an expression without an alias: its text, or the beginning of it.
fn text_of(expr: &Expr) -> String {
    let mut text = whole_text_of(expr);
    if let Some((end, _)) = text.char_indices().nth(HEADER_LETTERS_MAX) {
        text.truncate(end);
    }
    text
}

fn whole_text_of(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(parts) if is_column(expr) => {
            parts.last().map_or_else(String::new, |last| last.value.clone())
        }
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
            Value::Boolean(value) => value.to_string().to_uppercase(),
            _ => expr.to_string(),
        },
        _ => expr.to_string(),
    }
}
