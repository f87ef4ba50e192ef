//! The router against the definition of what a partition holds.

use arrow_array::{Int32Array, StringArray};
use proptest::prelude::*;

use super::*;
use crate::schema::{Column, DataType, Partitioning};
use crate::testing::{column, table_of};

fn definition(types: &[DataType]) -> TableDefinition {
    let columns: Vec<Column> =
        types.iter().zip(1..).map(|(data_type, id)| column(id, &format!("c{id}"), data_type.clone())).collect();
    let partitioning = Partitioning::Range { columns: columns.iter().map(|column| column.id).collect() };
    TableDefinition { partitioning, ..table_of(columns) }
}

fn bound() -> impl Strategy<Value = Bound> {
    prop_oneof![
        1 => Just(Bound::MinValue),
        1 => Just(Bound::MaxValue),
        6 => (0..10_i128).prop_map(|value| Bound::Value(Value::Int(value))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn agrees_with_the_bounds(
        cuts in prop::collection::vec((bound(), prop::option::of("[ab]{0,2}")), 2..6),
        rows in prop::collection::vec((prop::option::of(0..10), prop::option::of("[ab]{0,2}")), 1..40),
        holes in prop::collection::vec(any::<bool>(), 6),
    ) {
        let mut cuts: Vec<PartitionKey> = cuts.into_iter()
            .map(|(first, second)| {
                let second = second.map(|text| Bound::Value(Value::String(text)));
                PartitionKey(std::iter::once(first).chain(second).collect())
            })
            .collect();
        cuts.sort_by(PartitionKey::compare);
        let bounds: Vec<PartitionBounds> = cuts.windows(2).zip(holes)
            .map(|(pair, hole)| (PartitionBounds::Range { lower: pair[0].clone(), upper: pair[1].clone() }, hole))
            .filter(|(bounds, hole)| !bounds.is_empty() && !hole)
            .map(|(bounds, _)| bounds)
            .collect();
        let definition = definition(&[DataType::Int, DataType::Varchar { length: 9 }]);
        let numbers: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<Int32Array>());
        let texts: ArrayRef = Arc::new(rows.iter().map(|row| row.1.as_deref()).collect::<StringArray>());
        let batch = RecordBatch::try_new(definition.to_arrow(), vec![numbers, texts]).unwrap();
        let routed = PartitionRouter::new(&definition, &bounds).unwrap().route(&batch).unwrap();
        for ((number, text), found) in rows.into_iter().zip(routed) {
            let key = [
                number.map_or(Value::Null, |number| Value::Int(number.into())),
                text.map_or(Value::Null, Value::String),
            ];
            let mut wanted = bounds.iter().position(|bounds| bounds.contains(&key));
            if number.is_none() && wanted.is_none() && !bounds.is_empty() {
                wanted = Some(0);
            }
            prop_assert_eq!(found, wanted, "{:?} in {:?}", key, bounds);
        }
    }
}

#[test]
fn an_unpartitioned_table_has_one_place_for_every_row() {
    let mut definition = definition(&[DataType::Int]);
    definition.partitioning = Partitioning::Unpartitioned;
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let batch = RecordBatch::try_new(definition.to_arrow(), vec![numbers]).unwrap();
    let router = PartitionRouter::new(&definition, &[PartitionBounds::All]).unwrap();
    assert_eq!(router.route(&batch).unwrap(), [Some(0), Some(0)]);
    let nowhere = PartitionRouter::new(&definition, &[]).unwrap();
    assert_eq!(nowhere.route(&batch).unwrap(), [None, None]);
}
