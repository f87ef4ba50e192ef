//! What function bodies are written with: a table entry that becomes a function, and readers for arguments.
//!
//! Bodies never see whether an argument was one value or a column: readers answer by row. When every argument is a
//! single value, the body runs for one row and the result is a single value again.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, PrimitiveArray, StringArray,
    StringViewArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{ArrowPrimitiveType, DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::text::{self, Constant, Memory, Room, Text};
use crate::query::convert;
use crate::query::error::QueryError;
use crate::query::scan::MYSQL_TYPE;

/// No upper limit to the number of arguments.
pub(crate) const MANY: usize = usize::MAX;

/// The type of a function's result.
#[derive(Debug, Clone)]
pub(crate) enum Returns {
    /// Always this.
    Type(DataType),
    /// JSON text.
    Json,
    /// Depends on the types of the arguments.
    Of(fn(&[DataType]) -> DataType),
    /// Depends on the types of the arguments and on those that are literals.
    From(fn(&[DataType], &[Option<&ScalarValue>]) -> DataType),
}

/// A function body: as many results as [`Args::rows`].
pub(crate) type Body = fn(&Args<'_>) -> Result<ArrayRef>;

/// An entry of a family's table.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    name: &'static str,
    aliases: Vec<String>,
    arguments: (usize, usize),
    returns: Returns,
    signature: Signature,
    body: Body,
    memory: Memory,
}

impl Scalar {
    /// A function of `least` to `most` arguments.
    pub(crate) fn new(name: &'static str, least: usize, most: usize, returns: Returns, body: Body) -> Self {
        Self {
            name,
            aliases: Vec::new(),
            arguments: (least, most),
            returns,
            signature: Signature::user_defined(Volatility::Immutable),
            body,
            memory: Memory::uncounted(),
        }
    }

    /// A function that answers text.
    pub(crate) fn text(name: &'static str, least: usize, most: usize, body: Body) -> Self {
        Self::new(name, least, most, Returns::Type(DataType::Utf8), body)
    }

    /// A function that answers BIGINT.
    pub(crate) fn int(name: &'static str, least: usize, most: usize, body: Body) -> Self {
        Self::new(name, least, most, Returns::Type(DataType::Int64), body)
    }

    /// A function that answers DOUBLE.
    pub(crate) fn double(name: &'static str, least: usize, most: usize, body: Body) -> Self {
        Self::new(name, least, most, Returns::Type(DataType::Float64), body)
    }

    /// A function that answers BOOLEAN.
    pub(crate) fn boolean(name: &'static str, least: usize, most: usize, body: Body) -> Self {
        Self::new(name, least, most, Returns::Type(DataType::Boolean), body)
    }

    /// A function that answers DATE.
    pub(crate) fn date(name: &'static str, least: usize, most: usize, body: Body) -> Self {
        Self::new(name, least, most, Returns::Type(DataType::Date32), body)
    }

    /// A function that answers DATETIME.
    pub(crate) fn datetime(name: &'static str, least: usize, most: usize, body: Body) -> Self {
        Self::new(name, least, most, Returns::Type(convert::DATETIME), body)
    }

    /// Other names of the function.
    pub(crate) fn alias(mut self, aliases: &[&str]) -> Self {
        self.aliases.extend(aliases.iter().map(|alias| (*alias).to_owned()));
        self
    }

    /// Marks a function that answers differently each time.
    pub(crate) fn volatile(mut self) -> Self {
        self.signature = Signature::user_defined(Volatility::Volatile);
        self
    }

    /// The function with its texts counted against this memory.
    pub(crate) fn counted(self, memory: &Memory) -> Self {
        Self { memory: memory.clone(), ..self }
    }

    /// The engine's form of it.
    pub(crate) fn into_udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::from(self))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        check_arguments(self.name, types.len(), self.arguments)?;
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        check_arguments(self.name, types.len(), self.arguments)?;
        Ok(match &self.returns {
            Returns::Type(data_type) => data_type.clone(),
            Returns::Json => DataType::Utf8,
            Returns::Of(of) => of(types),
            Returns::From(from) => from(types, &vec![None; types.len()]),
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let data_type = match &self.returns {
            Returns::From(from) => {
                check_arguments(self.name, types.len(), self.arguments)?;
                from(&types, args.scalar_arguments)
            }
            _ => self.return_type(&types)?,
        };
        let mut field = Field::new(self.name, data_type, true);
        if matches!(self.returns, Returns::Json) {
            field = field.with_metadata([(MYSQL_TYPE.to_owned(), "JSON".to_owned())].into());
        }
        Ok(Arc::new(field))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let volatile = self.signature.volatility == Volatility::Volatile;
        run(&args, self.name, volatile, &self.memory, self.body)
    }
}

fn check_arguments(name: &str, given: usize, (least, most): (usize, usize)) -> Result<()> {
    if (least..=most).contains(&given) {
        return Ok(());
    }
    let wanted = match (least, most) {
        (least, MANY) => format!("at least {least}"),
        (least, most) if least == most => least.to_string(),
        (least, most) => format!("{least} to {most}"),
    };
    Err(QueryError::Semantic(format!("Function {name} takes {wanted} argument(s), {given} given")).wrap())
}

/// Runs a body over the arguments of a call.
pub(crate) fn run(
    call: &ScalarFunctionArgs,
    name: &str,
    volatile: bool,
    memory: &Memory,
    body: impl Fn(&Args<'_>) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let single = !volatile && call.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
    let of_rows =
        move |rows| Args { name, memory, values: &call.args, rows, return_type: call.return_field.data_type() };
    if !single {
        return Ok(ColumnarValue::Array(body(&of_rows(call.number_rows))?));
    }
    let result = body(&of_rows(1))?;
    let constant = text::constant(name, result.to_data().get_slice_memory_size().unwrap_or(0))?;
    let is_text = result.as_string_opt::<i32>().is_some_and(|texts| texts.is_valid(0));
    if constant == Constant::One || !is_text {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
    }
    if call.number_rows == 1 {
        return Ok(ColumnarValue::Array(result));
    }
    let value = result.as_string::<i32>().value(0);
    let every_row = Text::column(name, memory, call.number_rows, |_, out| {
        out.push_str(value);
        Some(())
    });
    Ok(ColumnarValue::Array(every_row?))
}

/// The arguments of one call.
pub(crate) struct Args<'a> {
    name: &'a str,
    memory: &'a Memory,
    values: &'a [ColumnarValue],
    rows: usize,
    return_type: &'a DataType,
}

impl Args<'_> {
    /// How many results are wanted.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// How many arguments there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The type the planner was promised.
    pub(crate) fn return_type(&self) -> &DataType {
        self.return_type
    }

    /// The type of an argument.
    pub(crate) fn data_type(&self, index: usize) -> DataType {
        self.values[index].data_type()
    }

    /// An argument as it came; a single value gives an array of one.
    pub(crate) fn raw(&self, index: usize) -> Result<ArrayRef> {
        Ok(match &self.values[index] {
            ColumnarValue::Array(array) => Arc::clone(array),
            ColumnarValue::Scalar(scalar) => scalar.to_array()?,
        })
    }

    /// An argument with one value for every row.
    pub(crate) fn array(&self, index: usize) -> Result<ArrayRef> {
        match &self.values[index] {
            ColumnarValue::Array(array) => Ok(Arc::clone(array)),
            ColumnarValue::Scalar(scalar) => scalar.to_array_of_size(self.rows),
        }
    }

    /// Whether an argument is one value for all rows.
    pub(crate) fn is_single(&self, index: usize) -> bool {
        matches!(self.values[index], ColumnarValue::Scalar(_))
    }

    /// An argument as text.
    pub(crate) fn strings(&self, index: usize) -> Result<Strings> {
        let raw = self.raw(index)?;
        let single = self.is_single(index);
        Ok(match raw.data_type() {
            DataType::Utf8View => Strings::View(raw.as_string_view().clone(), single),
            _ => Strings::Plain(convert::to_strings(&raw)?, single),
        })
    }

    /// An argument as BIGINT.
    pub(crate) fn ints(&self, index: usize) -> Result<Values<Int64Array>> {
        Ok(Values(convert::to_ints(&self.raw(index)?)?, self.is_single(index)))
    }

    /// An argument as DOUBLE.
    pub(crate) fn doubles(&self, index: usize) -> Result<Values<Float64Array>> {
        Ok(Values(convert::to_doubles(&self.raw(index)?)?, self.is_single(index)))
    }

    /// An argument as DATETIME, in microseconds.
    pub(crate) fn datetimes(&self, index: usize) -> Result<Values<TimestampMicrosecondArray>> {
        Ok(Values(convert::to_datetimes(&self.raw(index)?)?, self.is_single(index)))
    }

    /// An argument as DATE, in days.
    pub(crate) fn dates(&self, index: usize) -> Result<Values<Date32Array>> {
        Ok(Values(convert::to_dates(&self.raw(index)?)?, self.is_single(index)))
    }

    /// Builds text row by row; the closure writes it and says whether there is a value.
    pub(crate) fn build_strings(&self, write: impl FnMut(usize, &mut Text<'_>) -> Option<()>) -> Result<ArrayRef> {
        Text::column(self.name, self.memory, self.rows, write)
    }

    /// Room for results of these lengths, for what makes them without asking.
    pub(crate) fn room(&self, lengths: impl Iterator<Item = usize>) -> Result<Room> {
        Room::for_texts(self.name, self.memory, lengths)
    }

    /// Builds numbers or times row by row.
    pub(crate) fn build<T: ArrowPrimitiveType>(&self, value: impl FnMut(usize) -> Option<T::Native>) -> ArrayRef
    where
        PrimitiveArray<T>: From<Vec<Option<T::Native>>>,
    {
        Arc::new(PrimitiveArray::<T>::from((0..self.rows).map(value).collect::<Vec<_>>()))
    }

    /// Builds numbers row by row, some of which may be errors.
    pub(crate) fn try_build<T: ArrowPrimitiveType>(
        &self,
        value: impl FnMut(usize) -> Result<Option<T::Native>, QueryError>,
    ) -> Result<ArrayRef>
    where
        PrimitiveArray<T>: From<Vec<Option<T::Native>>>,
    {
        let values = (0..self.rows).map(value).collect::<Result<Vec<_>, QueryError>>()?;
        Ok(Arc::new(PrimitiveArray::<T>::from(values)))
    }

    /// Builds truth values row by row.
    pub(crate) fn build_booleans(&self, value: impl FnMut(usize) -> Option<bool>) -> ArrayRef {
        Arc::new((0..self.rows).map(value).collect::<BooleanArray>())
    }
}

/// Text by row.
pub(crate) enum Strings {
    /// A column or one value of plain strings.
    Plain(StringArray, bool),
    /// The same over string views.
    View(StringViewArray, bool),
}

impl Strings {
    /// The text of a row; `None` for NULL.
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Plain(array, single) => {
                let row = if *single { 0 } else { row };
                array.is_valid(row).then(|| array.value(row))
            }
            Self::View(array, single) => {
                let row = if *single { 0 } else { row };
                array.is_valid(row).then(|| array.value(row))
            }
        }
    }

    /// The one text of an argument that is the same for every row.
    pub(crate) fn single(&self) -> Option<Option<&str>> {
        match self {
            Self::Plain(_, true) | Self::View(_, true) => Some(self.get(0)),
            _ => None,
        }
    }
}

/// Values of one type by row.
pub(crate) struct Values<A>(A, bool);

impl<T: ArrowPrimitiveType> Values<PrimitiveArray<T>> {
    /// The value of a row; `None` for NULL.
    pub(crate) fn get(&self, row: usize) -> Option<T::Native> {
        let row = if self.1 { 0 } else { row };
        self.0.is_valid(row).then(|| self.0.value(row))
    }
}
