//! What BACKUP and RESTORE are about, as both of them say it: everything, `ON (…)`, `EXCLUDE (…)`.

use std::collections::BTreeMap;

use ebla_protocol::sql::ast::backup::{ObjectKind, ObjectRef, ObjectScope, RelationKind, RelationRef};
use ebla_protocol::sql::ast::name::Properties;

use crate::error::{Error, Result};

/// The tables of a job, as the statement names them.
#[derive(Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Every table.
    All,
    /// Every table, these in the way they say: `ON (ALL TABLES, t PARTITION (p))`.
    AllWith(Vec<&'a RelationRef>),
    /// Every table but these.
    AllBut(Vec<String>),
    /// These tables.
    Tables(Vec<&'a RelationRef>),
}

impl<'a> Scope<'a> {
    /// Reads the clause. Errors when it names what is not a table: other kinds come later.
    pub fn of(scope: &'a ObjectScope) -> Result<Scope<'a>> {
        match scope {
            ObjectScope::Everything => Ok(Scope::All),
            ObjectScope::On(objects) => Self::on(objects),
            ObjectScope::Exclude(objects) => Self::exclude(objects),
        }
    }

    fn on(objects: &'a [ObjectRef]) -> Result<Scope<'a>> {
        let every_table = objects.contains(&ObjectRef::All(ObjectKind::Tables));
        // Of the other kinds there is none yet, and all of none is no error beside something that is there.
        let named = objects.iter().filter(|object| !matches!(object, ObjectRef::All(_)));
        let relations = named.map(table_of).collect::<Result<Vec<_>>>()?;
        match (every_table, relations.is_empty(), objects.first()) {
            (true, true, _) => Ok(Scope::All),
            (true, false, _) => Ok(Scope::AllWith(relations)),
            (false, true, Some(object)) => Err(not_a_table(object)),
            (false, ..) => Ok(Scope::Tables(relations)),
        }
    }

    fn exclude(objects: &[ObjectRef]) -> Result<Scope<'a>> {
        let mut names = Vec::with_capacity(objects.len());
        for object in objects {
            let relation = table_of(object)?;
            if !relation.partitions.is_empty() || relation.temporary_partitions {
                return Err(Error::not_yet(format!("EXCLUDE of partitions (table '{}')", relation.name)));
            }
            names.push(relation.name.clone());
        }
        Ok(Scope::AllBut(names))
    }

    /// The tables that are named with what is wanted of them.
    pub fn relations(&self) -> &[&'a RelationRef] {
        match self {
            Scope::AllWith(relations) | Scope::Tables(relations) => relations,
            Scope::All | Scope::AllBut(_) => &[],
        }
    }
}

fn table_of(object: &ObjectRef) -> Result<&RelationRef> {
    match object {
        ObjectRef::Relation(relation) if matches!(relation.kind, None | Some(RelationKind::Table)) => Ok(relation),
        ObjectRef::All(ObjectKind::Tables) => Err(Error::analysis("ALL TABLES cannot be combined with EXCLUDE")),
        other => Err(not_a_table(other)),
    }
}

fn not_a_table(object: &ObjectRef) -> Error {
    let kind = match object {
        ObjectRef::Relation(relation) if relation.kind == Some(RelationKind::MaterializedView) => "materialized views",
        ObjectRef::All(ObjectKind::MaterializedViews) => "materialized views",
        ObjectRef::Function { .. } | ObjectRef::All(ObjectKind::Functions) => "functions",
        ObjectRef::Relation(_) | ObjectRef::All(ObjectKind::Views | ObjectKind::Tables) => "views",
    };
    Error::not_yet(format!("BACKUP and RESTORE of {kind}"))
}

/// PROPERTIES as storage reads them; the last of a key that is given twice counts.
pub fn pairs(properties: &Properties) -> BTreeMap<String, String> {
    properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> RelationRef {
        RelationRef {
            kind: None,
            database: None,
            name: name.to_owned(),
            partitions: Vec::new(),
            temporary_partitions: false,
            alias: None,
        }
    }

    #[test]
    fn what_is_named_beside_all_tables_is_not_forgotten() {
        let relation = |relation: &RelationRef| ObjectRef::Relation(relation.clone());
        let aliased = RelationRef { alias: Some("u".into()), ..table("t") };
        let all = ObjectRef::All(ObjectKind::Tables);
        let views = ObjectRef::All(ObjectKind::Views);
        let on = |objects: &[&ObjectRef]| ObjectScope::On(objects.iter().map(|object| (*object).clone()).collect());

        assert_eq!(Scope::of(&on(&[&all, &views])).unwrap(), Scope::All);
        let scope = on(&[&relation(&aliased), &all]);
        assert_eq!(Scope::of(&scope).unwrap(), Scope::AllWith(vec![&aliased]));
        let scope = on(&[&views, &relation(&aliased)]);
        assert_eq!(Scope::of(&scope).unwrap(), Scope::Tables(vec![&aliased]));

        let function = ObjectRef::Function { database: None, name: "f".into(), alias: None };
        for refused in [on(&[&views]), on(&[&all, &function]), ObjectScope::Exclude(vec![all.clone()])] {
            assert!(Scope::of(&refused).is_err(), "{refused:?}");
        }
        let exclude = ObjectScope::Exclude(vec![relation(&table("t"))]);
        assert_eq!(Scope::of(&exclude).unwrap(), Scope::AllBut(vec!["t".into()]));
    }
}
