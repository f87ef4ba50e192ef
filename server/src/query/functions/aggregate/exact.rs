//! SUM and AVG of exact numbers: the exact result, or an error, whatever the order of the rows.
//!
//! The total of BIGINTs is kept in 128 bits, where no table is long enough to overflow it, so that a sum is judged when
//! it is complete: rows that pass the limit and come back are no error. Totals of DECIMAL and LARGEINT are checked at
//! every addition. A state is the total and how many values it is of; the result is fitted to its type at the end.

use std::collections::HashSet;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array as _, ArrayRef, ArrowNativeTypeOp, AsArray, BooleanArray, Decimal128Array, Decimal256Array, Int64Array,
    PrimitiveArray, UInt64Array,
};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Decimal256Type, Field, FieldRef, Int64Type, UInt64Type, i256,
};
use datafusion::common::ScalarValue;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::error::Result;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::super::arithmetic::{DECIMAL128_DIGITS, scale_of};
use crate::query::error::QueryError;

/// What is made of the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// The total itself.
    Sum,
    /// The total by the number of values, rounded half away from zero.
    Average,
}

/// An aggregate of one input type, with the type of its result.
#[derive(Debug, Clone)]
pub(super) struct Exact {
    pub(super) finish: Finish,
    pub(super) input: DataType,
    pub(super) output: DataType,
}

/// Calls a generic function with the type of an input.
macro_rules! of_input {
    ($input:expr, $function:ident($($argument:expr),*)) => {
        match $input {
            DataType::Decimal128(..) => $function::<Decimal128Type>($($argument),*),
            DataType::Decimal256(..) => $function::<Decimal256Type>($($argument),*),
            _ => $function::<Int64Type>($($argument),*),
        }
    };
}

impl Exact {
    /// Whether values of this type are exact and added up here.
    pub(super) fn covers(finish: Finish, input: &DataType) -> bool {
        match input {
            DataType::Int64 => finish == Finish::Sum,
            DataType::Decimal128(..) | DataType::Decimal256(..) => true,
            _ => false,
        }
    }

    /// The type in which totals travel between the two phases of an aggregation.
    fn total_type(&self) -> DataType {
        match &self.input {
            DataType::Decimal256(_, scale) => DataType::Decimal256(76, *scale),
            other => DataType::Decimal128(DECIMAL128_DIGITS, scale_of(other)),
        }
    }

    /// The columns of a state.
    pub(super) fn state_fields(&self, name: &str, distinct: bool) -> Vec<FieldRef> {
        if distinct {
            let item = Arc::new(Field::new_list_field(self.input.clone(), true));
            return vec![Arc::new(Field::new(format!("{name}[values]"), DataType::List(item), true))];
        }
        vec![
            Arc::new(Field::new(format!("{name}[total]"), self.total_type(), true)),
            Arc::new(Field::new(format!("{name}[count]"), DataType::UInt64, true)),
        ]
    }

    /// For all rows.
    pub(super) fn accumulator(self, distinct: bool) -> Box<dyn Accumulator> {
        fn make<I: Input>(rules: Exact, distinct: bool) -> Box<dyn Accumulator> {
            if distinct {
                Box::new(Distinct::<I> { rules, values: HashSet::new() })
            } else {
                Box::new(Single::<I> { rules, total: <I::Total as ArrowPrimitiveType>::Native::ZERO, count: 0 })
            }
        }
        of_input!(self.input, make(self, distinct))
    }

    /// For many groups at once.
    pub(super) fn groups(self) -> Box<dyn GroupsAccumulator> {
        fn make<I: Input>(rules: Exact) -> Box<dyn GroupsAccumulator> {
            Box::new(Groups::<I> { rules, totals: Vec::new(), counts: Vec::new(), input: PhantomData })
        }
        of_input!(self.input, make(self))
    }

    fn overflow(&self) -> QueryError {
        let name = if self.finish == Finish::Sum { "sum" } else { "avg" };
        match &self.output {
            DataType::Decimal128(precision, _) | DataType::Decimal256(precision, _) => {
                QueryError::decimal_out_of_range(name, *precision)
            }
            _ => QueryError::bigint_out_of_range(name),
        }
    }

    /// The result of one total; `None` when there was no value.
    fn result(&self, total: i256, count: u64) -> Result<Option<i256>, QueryError> {
        if count == 0 {
            return Ok(None);
        }
        let value = match self.finish {
            Finish::Sum => Some(total),
            Finish::Average => average(total, count, scale_of(&self.output) - scale_of(&self.input)),
        };
        let fits = |value: &i256| match &self.output {
            DataType::Decimal128(precision, _) | DataType::Decimal256(precision, _) => {
                let limit = i256::from_i128(10).checked_pow(u32::from(*precision));
                limit.is_none_or(|limit| *value < limit && *value > limit.wrapping_neg())
            }
            _ => value.to_i128().is_some_and(|value| i64::try_from(value).is_ok()),
        };
        value.filter(fits).map(Some).ok_or_else(|| self.overflow())
    }

    /// The result of one total, for an aggregate over all rows.
    fn only(&self, total: i256, count: u64) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.results(std::iter::once((total, count)))?, 0)
    }

    fn results(&self, totals: impl Iterator<Item = (i256, u64)>) -> Result<ArrayRef> {
        let values: Vec<Option<i256>> =
            totals.map(|(total, count)| self.result(total, count)).collect::<Result<_, QueryError>>()?;
        // Every value was found to fit.
        Ok(match &self.output {
            DataType::Decimal256(precision, scale) => {
                Arc::new(Decimal256Array::from(values).with_precision_and_scale(*precision, *scale)?)
            }
            DataType::Decimal128(precision, scale) => {
                let values: Decimal128Array = values.into_iter().map(|value| value.and_then(i256::to_i128)).collect();
                Arc::new(values.with_precision_and_scale(*precision, *scale)?)
            }
            _ => {
                let narrow = |value: i256| value.to_i128().and_then(|value| i64::try_from(value).ok());
                Arc::new(values.into_iter().map(|value| value.and_then(narrow)).collect::<Int64Array>())
            }
        })
    }
}

/// `total / count` with `digits` more digits after the point than the total has.
fn average(total: i256, count: u64, digits: i8) -> Option<i256> {
    let factor = i256::from_i128(10).checked_pow(u32::try_from(digits).ok()?)?;
    let (dividend, divisor) = (total.checked_mul(factor)?, i256::from_i128(i128::from(count)));
    let (quotient, rest) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?);
    if rest.wrapping_abs().wrapping_add(rest.wrapping_abs()) < divisor {
        return Some(quotient);
    }
    quotient.checked_add(if dividend < i256::ZERO { i256::MINUS_ONE } else { i256::ONE })
}

/// A type that is added up here, and the type of its totals.
trait Input: ArrowPrimitiveType<Native: Eq + std::hash::Hash> + Debug + Send + Sync {
    type Total: ArrowPrimitiveType + Debug + Send + Sync;

    fn widen(value: Self::Native) -> <Self::Total as ArrowPrimitiveType>::Native;

    fn widest(total: <Self::Total as ArrowPrimitiveType>::Native) -> i256;
}

impl Input for Int64Type {
    type Total = Decimal128Type;

    fn widen(value: i64) -> i128 {
        i128::from(value)
    }

    fn widest(total: i128) -> i256 {
        i256::from_i128(total)
    }
}

impl Input for Decimal128Type {
    type Total = Decimal128Type;

    fn widen(value: i128) -> i128 {
        value
    }

    fn widest(total: i128) -> i256 {
        i256::from_i128(total)
    }
}

impl Input for Decimal256Type {
    type Total = Decimal256Type;

    fn widen(value: i256) -> i256 {
        value
    }

    fn widest(total: i256) -> i256 {
        total
    }
}

type TotalOf<I> = <<I as Input>::Total as ArrowPrimitiveType>::Native;

/// One total.
#[derive(Debug)]
struct Single<I: Input> {
    rules: Exact,
    total: TotalOf<I>,
    count: u64,
}

impl<I: Input> Single<I> {
    fn add(&mut self, value: TotalOf<I>) -> Result<()> {
        self.total = self.total.add_checked(value).map_err(|_| self.rules.overflow())?;
        Ok(())
    }
}

impl<I: Input> Accumulator for Single<I> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<I>();
        for value in values.iter().flatten() {
            self.add(I::widen(value))?;
        }
        self.count += (values.len() - values.null_count()) as u64;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<I>();
        for value in values.iter().flatten() {
            self.total = self.total.sub_checked(I::widen(value)).map_err(|_| self.rules.overflow())?;
        }
        self.count = self.count.saturating_sub((values.len() - values.null_count()) as u64);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.rules.only(I::widest(self.total), self.count)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let total = total_array::<I>(&self.rules, vec![self.total]);
        Ok(vec![ScalarValue::try_from_array(&total, 0)?, ScalarValue::UInt64(Some(self.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (totals, counts) = (states[0].as_primitive::<I::Total>(), states[1].as_primitive::<UInt64Type>());
        for (total, count) in totals.iter().zip(counts) {
            if let (Some(total), Some(count)) = (total, count) {
                self.add(total)?;
                self.count += count;
            }
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

/// Each value once.
#[derive(Debug)]
struct Distinct<I: Input> {
    rules: Exact,
    values: HashSet<I::Native>,
}

impl<I: Input> Accumulator for Distinct<I> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.extend(values[0].as_primitive::<I>().iter().flatten());
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut total = TotalOf::<I>::ZERO;
        for value in &self.values {
            total = total.add_checked(I::widen(*value)).map_err(|_| self.rules.overflow())?;
        }
        self.rules.only(I::widest(total), self.values.len() as u64)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = PrimitiveArray::<I>::from_iter_values(self.values.iter().copied());
        let values: ArrayRef = Arc::new(values.with_data_type(self.rules.input.clone()));
        Ok(vec![SingleRowListArrayBuilder::new(values).with_nullable(true).build_list_scalar()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for values in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[values])?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.values.capacity() * (size_of::<I::Native>() + 1)
    }
}

/// A total for each group.
#[derive(Debug)]
struct Groups<I: Input> {
    rules: Exact,
    totals: Vec<TotalOf<I>>,
    counts: Vec<u64>,
    input: PhantomData<I>,
}

impl<I: Input> Groups<I> {
    fn grow(&mut self, groups: usize) {
        self.totals.resize(groups, TotalOf::<I>::ZERO);
        self.counts.resize(groups, 0);
    }

    fn add(&mut self, group: usize, value: TotalOf<I>, count: u64) -> Result<()> {
        self.totals[group] = self.totals[group].add_checked(value).map_err(|_| self.rules.overflow())?;
        self.counts[group] += count;
        Ok(())
    }

    /// Adds the total and the count of each row that counts to the row's group.
    fn add_rows(
        &mut self,
        groups: &[usize],
        counted: impl Fn(usize) -> bool,
        of: impl Fn(usize) -> (TotalOf<I>, u64),
    ) -> Result<()> {
        groups.iter().enumerate().filter(|(row, _)| counted(*row)).try_for_each(|(row, group)| {
            let (total, count) = of(row);
            self.add(*group, total, count)
        })
    }

    /// Takes the totals and counts of groups that are done.
    fn take(&mut self, done: EmitTo) -> (Vec<TotalOf<I>>, Vec<u64>) {
        (done.take_needed(&mut self.totals), done.take_needed(&mut self.counts))
    }
}

impl<I: Input> GroupsAccumulator for Groups<I> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let values = values[0].as_primitive::<I>();
        if values.null_count() == 0 && opt_filter.is_none() {
            for (group, value) in group_indices.iter().zip(values.values()) {
                self.add(*group, I::widen(*value), 1)?;
            }
            return Ok(());
        }
        let counted = |row| values.is_valid(row) && counts_in(opt_filter, row);
        self.add_rows(group_indices, counted, |row| (I::widen(values.value(row)), 1))
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let (totals, counts) = (values[0].as_primitive::<I::Total>(), values[1].as_primitive::<UInt64Type>());
        let counted = |row| totals.is_valid(row) && counts.is_valid(row) && counts_in(opt_filter, row);
        self.add_rows(group_indices, counted, |row| (totals.value(row), counts.value(row)))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (totals, counts) = self.take(emit_to);
        self.rules.results(totals.into_iter().map(I::widest).zip(counts))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (totals, counts) = self.take(emit_to);
        Ok(vec![total_array::<I>(&self.rules, totals), Arc::new(UInt64Array::from(counts))])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<I>();
        let (mut totals, mut counts) = (Vec::with_capacity(values.len()), Vec::with_capacity(values.len()));
        for row in 0..values.len() {
            let taken = values.is_valid(row) && counts_in(opt_filter, row);
            totals.push(if taken { I::widen(values.value(row)) } else { TotalOf::<I>::ZERO });
            counts.push(u64::from(taken));
        }
        Ok(vec![total_array::<I>(&self.rules, totals), Arc::new(UInt64Array::from(counts))])
    }

    fn supports_convert_to_state(&self) -> bool {
        true
    }

    fn size(&self) -> usize {
        self.totals.capacity() * size_of::<TotalOf<I>>() + self.counts.capacity() * size_of::<u64>()
    }
}

fn total_array<I: Input>(rules: &Exact, totals: Vec<TotalOf<I>>) -> ArrayRef {
    Arc::new(PrimitiveArray::<I::Total>::from_iter_values(totals).with_data_type(rules.total_type()))
}

/// Whether FILTER lets a row through.
fn counts_in(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}
