//! Whole columns in one type: the parts of a UNION, the rows of VALUES, the keys of a join.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Union, Values, cast};

use super::{cast_expr, coerce, common_type, result_type};
use crate::query::operators::CELL;

/// A union whose columns have one type in all its parts.
pub(super) fn columns_of_one_type(union: Union) -> Result<Union> {
    let targets: Vec<Option<DataType>> = (0..union.schema.fields().len())
        .map(|index| {
            let types: Vec<DataType> =
                union.inputs.iter().map(|input| input.schema().field(index).data_type().clone()).collect();
            // A part that is all NULL has the type of the others: what stands around this union looks at its first part.
            let of_others = || types.iter().find(|data_type| !data_type.is_null()).cloned();
            result_type(&types).or_else(|| types.iter().any(DataType::is_null).then(of_others).flatten())
        })
        .collect();
    // Of three parts the first two are a union of their own, whose type may have become the third's by now.
    let is_of_its_inputs = union.inputs.iter().all(|input| {
        let types = input.schema().fields().iter().zip(union.schema.fields());
        types.into_iter().all(|(input, union)| input.data_type() == union.data_type())
    });
    if targets.iter().all(Option::is_none) && is_of_its_inputs {
        return Ok(union);
    }
    let inputs: Result<Vec<Arc<LogicalPlan>>> = union
        .inputs
        .into_iter()
        .map(|input| {
            let columns: Vec<Expr> = input
                .schema()
                .iter()
                .zip(&targets)
                .map(|((qualifier, field), target)| {
                    let column = Expr::Column(Column::from((qualifier, field)));
                    match target {
                        Some(target) if field.data_type().is_null() => {
                            cast(column, target.clone()).alias_qualified(qualifier.cloned(), field.name())
                        }
                        Some(target) if field.data_type() != target => cast_expr(column, field.data_type(), target)
                            .alias_qualified(qualifier.cloned(), field.name()),
                        _ => column,
                    }
                })
                .collect();
            LogicalPlanBuilder::from(input).project(columns)?.build().map(Arc::new)
        })
        .collect();
    Union::try_new_with_loose_types(inputs?)
}

/// Rows of VALUES whose columns have one type in all of them. The planner has cast the cells to types of its own; what was
/// written is behind the name that the rewriter has given to each.
pub(super) fn rows_of_one_type(rows: Values) -> Result<Values> {
    let none = DFSchema::empty();
    let Values { schema, mut values } = rows;
    let mut fields = Vec::with_capacity(schema.fields().len());
    for (index, (qualifier, field)) in schema.iter().enumerate() {
        let mut written = Vec::with_capacity(values.len());
        for row in &values {
            let Some(cell) = row.get(index).and_then(as_written) else { break };
            let cell = coerce(cell.clone(), &none)?.data;
            let data_type = cell.get_type(&none)?;
            written.push((cell, data_type));
        }
        let types: Vec<DataType> = written.iter().map(|(_, data_type)| data_type.clone()).collect();
        // Truth values alone are numbers to the planner, too.
        let truths = types.iter().find(|data_type| **data_type == DataType::Boolean);
        let target = result_type(&types).or_else(|| truths.cloned()).filter(|_| written.len() == values.len());
        if let Some(target) = &target {
            for (row, (cell, data_type)) in values.iter_mut().zip(written) {
                row[index] = cast_expr(cell, &data_type, target);
            }
        }
        let field = match target {
            Some(target) => Arc::new(field.as_ref().clone().with_data_type(target)),
            None => Arc::clone(field),
        };
        fields.push((qualifier.cloned(), field));
    }
    let schema = DFSchema::new_with_metadata(fields, schema.metadata().clone())?;
    Ok(Values { schema: Arc::new(schema), values })
}

/// What was written for a cell of VALUES.
fn as_written(cell: &Expr) -> Option<&Expr> {
    match cell {
        Expr::Alias(alias) if alias.name == CELL => Some(&alias.expr),
        Expr::Cast(cast) => as_written(&cast.expr),
        Expr::TryCast(cast) => as_written(&cast.expr),
        _ => None,
    }
}

/// A join whose keys have one type on both sides: that in which they are compared or, of EXCEPT and INTERSECT, that of
/// one column of them.
pub(super) fn keys_of_one_type(mut join: Join) -> Result<Join> {
    for (left, right) in &mut join.on {
        let types = [left.get_type(join.left.schema())?, right.get_type(join.right.schema())?];
        if types.iter().any(DataType::is_null) {
            continue;
        }
        // No other join matches NULL with NULL by its keys before it is optimised.
        let of_sets = join.null_equality == NullEquality::NullEqualsNull;
        let column = if of_sets { result_type(&types) } else { None };
        if let Some(common) = column.or_else(|| common_type(&types[0], &types[1])) {
            *left = cast_expr(left.clone(), &types[0], &common);
            *right = cast_expr(right.clone(), &types[1], &common);
        }
    }
    Ok(join)
}
