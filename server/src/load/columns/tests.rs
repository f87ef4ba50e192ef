//! Headers and plans.

use arrow::array::{AsArray, StringArray};
use ebla_storage::schema::{Column, ColumnId, Distribution, KeysType, Partitioning};

use super::*;

/// Evaluates nothing but a column's name, in upper case.
struct Upper;

struct UpperOf(usize);

impl Expressions for Upper {
    fn compile(&self, expression: &Expr, input: &SchemaRef) -> Result<Box<dyn Expression>, LoadError> {
        let name = expression.to_string();
        let position =
            input.index_of(&name).map_err(|_| LoadError::invalid(format!("Column '{name}' cannot be resolved")))?;
        Ok(Box::new(UpperOf(position)))
    }
}

impl Expression for UpperOf {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, LoadError> {
        let texts = batch.column(self.0).as_string::<i32>();
        Ok(Arc::new(texts.iter().map(|text| text.map(str::to_uppercase)).collect::<StringArray>()))
    }
}

fn table(names: &[&str]) -> TableDefinition {
    let columns = names.iter().enumerate().map(|(id, name)| Column {
        id: ColumnId(id as u32),
        name: (*name).to_owned(),
        data_type: DataType::Varchar { length: 10 },
        nullable: true,
        key: false,
        aggregation: None,
        default: None,
        auto_increment: false,
        comment: String::new(),
    });
    TableDefinition {
        columns: columns.collect(),
        keys_type: KeysType::Duplicate,
        sort_key: vec![ColumnId(0)],
        partitioning: Partitioning::Unpartitioned,
        distribution: Distribution::Random,
        buckets: 1,
        properties: Default::default(),
        indexes: Vec::new(),
        comment: String::new(),
    }
}

#[test]
fn headers() {
    let items = parse_columns("a, `b c`, tmp, d = date_format(tmp, '%Y,%m'), e = a + 1").expect("a header");
    let shown: Vec<String> = items
        .iter()
        .map(|item| match item {
            ColumnItem::Source(name) => name.clone(),
            ColumnItem::Computed { name, expression } => format!("{name}={expression}"),
        })
        .collect();
    assert_eq!(shown, ["a", "b c", "tmp", "d=date_format(tmp, '%Y,%m')", "e=a + 1"]);
    for text in ["", "a,", "a b", "a = ", "a; b", "= 1"] {
        assert!(parse_columns(text).is_err(), "{text}");
    }
    assert_eq!(parse_condition("a > 1 and b is null").expect("a condition").to_string(), "a > 1 AND b IS NULL");
    assert!(parse_condition("a > 1; drop table t").is_err());
    assert!(parse_condition(&"(".repeat(100_000)).is_err());
    assert!(parse_condition(&"(".repeat(10_000)).is_err());
}

#[test]
fn plans() {
    let definition = table(&["a", "b", "c"]);
    let header = parse_columns("A, tmp, c = tmp, b").expect("a header");
    let plan = ColumnPlan::new(&definition, Some(header), &Upper).expect("a plan");
    assert_eq!(plan.names(), ["A", "b", "c"]);
    let sources: Vec<&str> = plan.sources().iter().map(|source| source.name.as_str()).collect();
    assert_eq!(sources, ["A", "tmp", "b"]);
    let columns: Vec<ArrayRef> =
        ["x", "y", "z"].iter().map(|text| Arc::new(StringArray::from(vec![*text])) as ArrayRef).collect();
    let fields: Vec<Field> = sources.iter().map(|name| Field::new(*name, ArrowType::Utf8, true)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch");
    let given = plan.apply(&batch).expect("applies");
    let values: Vec<&str> = given.iter().map(|column| column.as_string::<i32>().value(0)).collect();
    assert_eq!(values, ["x", "z", "Y"]);

    let whole = ColumnPlan::new(&definition, None, &Upper).expect("a plan");
    assert_eq!(whole.names(), ["a", "b", "c"]);
    for header in ["a, A", "x = a", "b = a, b = a", "x, y", "b = nothing, a"] {
        let items = parse_columns(header).expect("a header");
        assert!(ColumnPlan::new(&definition, Some(items), &Upper).is_err(), "{header}");
    }
}
