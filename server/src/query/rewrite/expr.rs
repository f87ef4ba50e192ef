//! Expressions of MySQL's syntax in terms of operators and functions.

use sqlparser::ast::{
    self, BinaryOperator, CastKind, CharacterLength, DataType as SqlType, DateTimeField, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, Interval, ObjectName, ObjectNamePart,
    TrimWhereField, UnaryOperator, Value,
};

use super::Rewriter;
use crate::query::context::VariableScope;
use crate::query::convert::datetime;
use crate::query::error::{QueryError, Reason};
use crate::query::operators::TRUTH;
use crate::query::value::typed;

impl Rewriter<'_> {
    /// Rewrites one expression whose children are rewritten already.
    pub(super) fn expr(&self, expr: &mut Expr) -> Result<(), QueryError> {
        let taken = std::mem::replace(expr, Expr::Tuple(Vec::new()));
        *expr = self.rewritten(taken)?;
        Ok(())
    }

    fn rewritten(&self, expr: Expr) -> Result<Expr, QueryError> {
        Ok(match expr {
            Expr::Identifier(ident) => self.identifier(ident)?,
            Expr::CompoundIdentifier(parts) => self.compound(parts)?,
            Expr::QualifiedWildcard(mut name, token) => {
                self.relations.wildcard(&mut name);
                Expr::QualifiedWildcard(name, token)
            }
            Expr::Value(value) => literal(value)?,
            Expr::TypedString(typed) => typed_string(typed)?,
            Expr::Prefixed { value, .. } => *value,
            Expr::Collate { expr, .. } => *expr,
            Expr::BinaryOp { left, op, right } => binary(*left, op, *right)?,
            Expr::UnaryOp { op, expr } => unary(op, *expr)?,
            Expr::IsTrue(expr) => Expr::IsTrue(Box::new(truth(*expr))),
            Expr::IsNotTrue(expr) => Expr::IsNotTrue(Box::new(truth(*expr))),
            Expr::IsFalse(expr) => Expr::IsFalse(Box::new(truth(*expr))),
            Expr::IsNotFalse(expr) => Expr::IsNotFalse(Box::new(truth(*expr))),
            Expr::IsUnknown(expr) => Expr::IsNull(expr),
            Expr::IsNotUnknown(expr) => Expr::IsNotNull(expr),
            Expr::RLike { negated, expr, pattern, .. } => {
                let test = call("regexp", vec![*expr, *pattern]);
                if negated { not(test) } else { test }
            }
            Expr::Like { negated, any, expr, pattern, escape_char: Some(escape) } => {
                let pattern = Box::new(with_backslash(*pattern, &escape.value)?);
                Expr::Like { negated, any, expr, pattern, escape_char: None }
            }
            Expr::InList { expr, list, negated } => in_list(*expr, list, negated)?,
            Expr::InSubquery { expr, .. } if matches!(*expr, Expr::Tuple(_)) => return Err(row_of_subquery()),
            Expr::AnyOp { left, .. } | Expr::AllOp { left, .. } if matches!(*left, Expr::Tuple(_)) => {
                return Err(row_of_subquery());
            }
            // IN by other names.
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, is_some } => match *right {
                Expr::Subquery(subquery) => Expr::InSubquery { expr: left, subquery, negated: false },
                right => Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right: Box::new(right), is_some },
            },
            Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => match *right {
                Expr::Subquery(subquery) => Expr::InSubquery { expr: left, subquery, negated: true },
                right => Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right: Box::new(right) },
            },
            Expr::Cast { kind: _, expr, data_type, format, .. } => {
                if format.is_some() {
                    return Err(QueryError::Unsupported("CAST ... FORMAT is not supported".to_owned()));
                }
                cast(*expr, data_type)
            }
            Expr::Convert { expr, data_type, .. } => match data_type {
                Some(data_type) => cast(*expr, data_type),
                // CONVERT(x USING charset): everything is UTF-8.
                None => *expr,
            },
            Expr::Extract { field, expr, .. } => extract(&field, *expr)?,
            Expr::Ceil { expr, .. } => call("ceil", vec![*expr]),
            Expr::Floor { expr, .. } => call("floor", vec![*expr]),
            Expr::Position { expr, r#in } => call("locate", vec![*expr, *r#in]),
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut args = vec![*expr];
                args.push(substring_from.map_or_else(|| number("1"), |from| *from));
                args.extend(substring_for.map(|length| *length));
                call("substring", args)
            }
            Expr::Trim { expr, trim_where, trim_what, trim_characters } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    Some(TrimWhereField::Both) | None => "trim",
                };
                let mut args = vec![*expr];
                args.extend(trim_what.map(|what| *what));
                args.extend(trim_characters.into_iter().flatten());
                call(name, args)
            }
            Expr::Case { case_token, end_token, operand, mut conditions, else_result } => {
                if operand.is_none() {
                    for condition in &mut conditions {
                        let when = std::mem::replace(&mut condition.condition, Expr::Tuple(Vec::new()));
                        condition.condition = truth(when);
                    }
                }
                Expr::Case { case_token, end_token, operand, conditions, else_result }
            }
            Expr::Function(function) => self.call(function)?,
            Expr::MatchAgainst { .. } => {
                return Err(QueryError::Unsupported("MATCH ... AGAINST is not supported".to_owned()));
            }
            other => other,
        })
    }

    fn identifier(&self, ident: Ident) -> Result<Expr, QueryError> {
        if ident.quote_style.is_none() {
            if ident.value.starts_with('@') {
                return self.variable(&[ident]);
            }
            // Written without parentheses they are read as names.
            if ident.value.eq_ignore_ascii_case("current_user") {
                return Ok(string(&self.context.current_user));
            }
            if ident.value.eq_ignore_ascii_case("current_role") {
                return Ok(string(&self.context.current_role));
            }
        }
        Ok(self.common.value(&ident.value).unwrap_or_else(|| self.relations.column(vec![ident])))
    }

    fn compound(&self, parts: Vec<Ident>) -> Result<Expr, QueryError> {
        if parts.first().is_some_and(|part| part.value.starts_with('@')) {
            return self.variable(&parts);
        }
        Ok(self.relations.column(parts))
    }

    /// `@@x`, `@@session.x`, `@@global.x`, `@x`.
    fn variable(&self, parts: &[Ident]) -> Result<Expr, QueryError> {
        let written: Vec<String> = parts.iter().map(|part| part.value.to_lowercase()).collect();
        let joined = written.join(".");
        let Some(name) = joined.strip_prefix("@@") else {
            let name = joined.trim_start_matches('@').trim_matches(['`', '\'', '"']);
            return Ok(self.context.variables.user(name).to_ast());
        };
        let (scope, name) = match name.split_once('.') {
            Some(("session" | "local", name)) => (VariableScope::Session, name),
            Some(("global", name)) => (VariableScope::Global, name),
            _ => (VariableScope::Default, name),
        };
        let name = name.trim_matches('`');
        match self.context.variables.system(scope, name) {
            Some(value) => Ok(value.to_ast()),
            None => Err(QueryError::UnknownVariable(name.to_owned())),
        }
    }
}

/// A value taken for its truth; what is a truth value by its form stays as it is.
pub(super) fn truth(expr: Expr) -> Expr {
    let plain = match &expr {
        Expr::BinaryOp { op, .. } => matches!(
            op,
            BinaryOperator::And
                | BinaryOperator::Or
                | BinaryOperator::Eq
                | BinaryOperator::NotEq
                | BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq
        ),
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::InList { .. }
        | Expr::InSubquery { .. }
        | Expr::Between { .. }
        | Expr::Like { .. }
        | Expr::Exists { .. } => true,
        _ => false,
    };
    if plain {
        return expr;
    }
    Expr::BinaryOp { left: Box::new(expr), op: BinaryOperator::Custom(TRUTH.to_owned()), right: Box::new(null()) }
}

/// NOT, of any value.
pub(super) fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(truth(expr)) }
}

/// A call of a function.
pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(function(name, args))
}

/// A call of a function, to be changed further.
pub(super) fn function(name: &str, args: Vec<Expr>) -> Function {
    Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

/// A text literal.
pub(super) fn string(text: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.to_owned()).into())
}

/// A number literal.
pub(super) fn number(text: &str) -> Expr {
    Expr::Value(Value::Number(text.to_owned(), false).into())
}

/// NULL.
pub(super) fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

/// A DATE literal.
pub(super) fn date(days: i32) -> Expr {
    typed(datetime::format_date(days), SqlType::Date)
}

/// A DATETIME literal.
pub(super) fn moment(micros: i64) -> Expr {
    typed(datetime::format_datetime(micros), SqlType::Datetime(None))
}

fn literal(value: ast::ValueWithSpan) -> Result<Expr, QueryError> {
    Ok(match value.value {
        Value::DoubleQuotedString(text)
        | Value::NationalStringLiteral(text)
        | Value::EscapedStringLiteral(text)
        | Value::SingleQuotedByteStringLiteral(text)
        | Value::DoubleQuotedByteStringLiteral(text) => string(&text),
        // An exponent makes a DOUBLE; other numbers with a point are decimals.
        Value::Number(text, _) if text.contains(['e', 'E']) => typed(text, SqlType::Double(ast::ExactNumberInfo::None)),
        Value::Placeholder(_) => {
            return Err(QueryError::Semantic("A parameter marker is only allowed in a prepared statement".to_owned()));
        }
        value => Expr::Value(value.into()),
    })
}

/// DATE '...', TIMESTAMP '...': unlike a cast, a text that is no date is an error.
fn typed_string(literal: ast::TypedString) -> Result<Expr, QueryError> {
    let Some(text) = literal.value.clone().into_string() else {
        return Err(QueryError::Semantic("A typed literal needs a text".to_owned()));
    };
    let wrong = |kind: &str| QueryError::Refused(Reason::Value, format!("Incorrect {kind} value: '{text}'"));
    Ok(match literal.data_type {
        SqlType::Date => {
            let micros = datetime::parse_datetime(&text).ok_or_else(|| wrong("DATE"))?;
            date(datetime::days_of(micros))
        }
        SqlType::Datetime(_) | SqlType::Timestamp(..) => {
            moment(datetime::parse_datetime(&text).ok_or_else(|| wrong("DATETIME"))?)
        }
        SqlType::Time(..) => call("time", vec![string(&text)]),
        data_type => cast(string(&text), data_type),
    })
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Result<Expr, QueryError> {
    match (&op, left, right) {
        (BinaryOperator::Plus, left, Expr::Interval(interval)) => shifted(left, interval, "add"),
        (BinaryOperator::Plus, Expr::Interval(interval), right) => shifted(right, interval, "add"),
        (BinaryOperator::Minus, left, Expr::Interval(interval)) => shifted(left, interval, "sub"),
        (
            BinaryOperator::Eq | BinaryOperator::NotEq | BinaryOperator::Spaceship,
            Expr::Tuple(left),
            Expr::Tuple(right),
        ) => tuples_equal(left, &op, right),
        (_, Expr::Tuple(_), Expr::Subquery(_)) | (_, Expr::Subquery(_), Expr::Tuple(_)) => Err(row_of_subquery()),
        (
            BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Spaceship
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq,
            Expr::Tuple(row),
            other,
        ) if !matches!(other, Expr::Tuple(_)) => Err(QueryError::columns(row.len())),
        (BinaryOperator::Regexp, left, right) => Ok(call("regexp", vec![left, right])),
        (_, left, right) => Ok(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }),
    }
}

/// The pattern of `LIKE pattern ESCAPE c`, with the backslash in the place of `c`.
fn with_backslash(pattern: Expr, escape: &Value) -> Result<Expr, QueryError> {
    let (Value::SingleQuotedString(escape) | Value::DoubleQuotedString(escape)) = escape else {
        return Err(QueryError::Semantic(
            "Incorrect arguments to ESCAPE: a text of one character is wanted".to_owned(),
        ));
    };
    let mut letters = escape.chars();
    let escape = match (letters.next(), letters.next()) {
        (Some('\\'), None) => return Ok(pattern),
        (first, None) => first,
        _ => return Err(QueryError::Semantic("Incorrect arguments to ESCAPE: it takes one character".to_owned())),
    };
    let Expr::Value(value) = &pattern else {
        return Err(QueryError::Unsupported("LIKE ... ESCAPE needs its pattern written as a text".to_owned()));
    };
    let Some(text) = value.value.clone().into_string() else {
        return Ok(pattern);
    };
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        // What is escaped stands for itself; a backslash is but a letter here.
        let (letter, escaped) =
            if Some(letter) == escape { (letters.next().unwrap_or(letter), true) } else { (letter, false) };
        if letter == '\\' || (escaped && matches!(letter, '%' | '_')) {
            plain.push('\\');
        }
        plain.push(letter);
    }
    Ok(string(&plain))
}

/// Rows of several columns are compared item by item, and a subquery has no items to take apart.
fn row_of_subquery() -> QueryError {
    QueryError::Unsupported(
        "A row of several columns is not compared with a subquery: use a join, or EXISTS (SELECT … WHERE c = a AND d = b)"
            .to_owned(),
    )
}

/// (a, b) = (c, d), item by item.
fn tuples_equal(left: Vec<Expr>, op: &BinaryOperator, right: Vec<Expr>) -> Result<Expr, QueryError> {
    if left.len() != right.len() {
        return Err(QueryError::columns(left.len()));
    }
    let join = if *op == BinaryOperator::NotEq { BinaryOperator::Or } else { BinaryOperator::And };
    left.into_iter()
        .zip(right)
        .map(|(left, right)| Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) })
        .reduce(|chain, next| Expr::BinaryOp { left: Box::new(chain), op: join.clone(), right: Box::new(next) })
        .ok_or_else(|| QueryError::columns(1))
}

fn in_list(expr: Expr, list: Vec<Expr>, negated: bool) -> Result<Expr, QueryError> {
    let Expr::Tuple(columns) = expr else {
        return Ok(Expr::InList { expr: Box::new(expr), list, negated });
    };
    let mut chain: Option<Expr> = None;
    for item in list {
        let Expr::Tuple(values) = item else {
            return Err(QueryError::columns(columns.len()));
        };
        let equal = tuples_equal(columns.clone(), &BinaryOperator::Eq, values)?;
        chain = Some(match chain {
            Some(chain) => Expr::BinaryOp { left: Box::new(chain), op: BinaryOperator::Or, right: Box::new(equal) },
            None => equal,
        });
    }
    let chain = chain.unwrap_or_else(|| Expr::Value(Value::Boolean(false).into()));
    Ok(if negated { not(chain) } else { chain })
}

fn unary(op: UnaryOperator, expr: Expr) -> Result<Expr, QueryError> {
    Ok(match op {
        UnaryOperator::Not | UnaryOperator::BangNot => not(expr),
        UnaryOperator::Plus => expr,
        UnaryOperator::BitwiseNot => call("bitnot", vec![expr]),
        UnaryOperator::Minus => match &expr {
            Expr::Value(value) if matches!(value.value, Value::Number(..)) => {
                Expr::UnaryOp { op, expr: Box::new(expr) }
            }
            Expr::Interval(_) => Expr::UnaryOp { op, expr: Box::new(expr) },
            // Through subtraction, which knows what number a text or a date is.
            _ => Expr::BinaryOp { left: Box::new(number("0")), op: BinaryOperator::Minus, right: Box::new(expr) },
        },
        other => return Err(QueryError::Unsupported(format!("Operator '{other}' is not supported"))),
    })
}

fn cast(expr: Expr, data_type: SqlType) -> Expr {
    match data_type {
        // BINARY x only asks for comparison byte by byte, which is the only one there is.
        SqlType::Binary(None) => expr,
        SqlType::JSON | SqlType::JSONB => call("parse_json", vec![expr]),
        SqlType::Time(..) => call("time", vec![expr]),
        SqlType::Char(Some(length)) | SqlType::Character(Some(length)) | SqlType::Varchar(Some(length)) => {
            let text = try_cast(expr, SqlType::String(None));
            match length {
                CharacterLength::IntegerLength { length, .. } => call("left", vec![text, number(&length.to_string())]),
                CharacterLength::Max => text,
            }
        }
        data_type => try_cast(expr, data_type),
    }
}

fn try_cast(expr: Expr, data_type: SqlType) -> Expr {
    Expr::Cast { kind: CastKind::TryCast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// EXTRACT(field FROM x).
fn extract(field: &DateTimeField, expr: Expr) -> Result<Expr, QueryError> {
    let name = match field {
        DateTimeField::DayOfWeek | DateTimeField::Dow => "dayofweek".to_owned(),
        DateTimeField::DayOfYear | DateTimeField::Doy => "dayofyear".to_owned(),
        DateTimeField::Isodow => "dayofweek_iso".to_owned(),
        DateTimeField::IsoWeek => "weekofyear".to_owned(),
        DateTimeField::Date => "to_date".to_owned(),
        field => match unit_of(field)? {
            "microsecond" => "microsecond".to_owned(),
            unit => unit.to_owned(),
        },
    };
    Ok(call(&name, vec![expr]))
}

/// The unit in the singular, lower case.
pub(super) fn unit_of(field: &DateTimeField) -> Result<&'static str, QueryError> {
    Ok(match field {
        DateTimeField::Year | DateTimeField::Years => "year",
        DateTimeField::Quarter => "quarter",
        DateTimeField::Month | DateTimeField::Months => "month",
        DateTimeField::Week(_) | DateTimeField::Weeks => "week",
        DateTimeField::Day | DateTimeField::Days => "day",
        DateTimeField::Hour | DateTimeField::Hours => "hour",
        DateTimeField::Minute | DateTimeField::Minutes => "minute",
        DateTimeField::Second | DateTimeField::Seconds => "second",
        DateTimeField::Millisecond | DateTimeField::Milliseconds => "millisecond",
        DateTimeField::Microsecond | DateTimeField::Microseconds => "microsecond",
        DateTimeField::Custom(ident) => unit_named(&ident.value)?,
        other => return Err(QueryError::Unsupported(format!("Time unit '{other}' is not supported"))),
    })
}

/// A unit by its name.
pub(super) fn unit_named(name: &str) -> Result<&'static str, QueryError> {
    const UNITS: [&str; 11] = [
        "year",
        "quarter",
        "month",
        "week",
        "day",
        "hour",
        "minute",
        "second",
        "millisecond",
        "microsecond",
        "year_month",
    ];
    let lower = name.to_lowercase();
    let name = lower.strip_prefix("sql_tsi_").unwrap_or(&lower);
    UNITS
        .into_iter()
        .find(|unit| *unit == name || name.strip_suffix('s') == Some(*unit))
        .ok_or_else(|| QueryError::Unsupported(format!("Time unit '{name}' is not supported")))
}

/// x moved by an interval: `days_add(x, n)`.
pub(super) fn shifted(expr: Expr, interval: Interval, direction: &str) -> Result<Expr, QueryError> {
    let (value, unit) = interval_parts(interval)?;
    Ok(call(&format!("{unit}s_{direction}"), vec![expr, value]))
}

/// How many of which unit.
pub(super) fn interval_parts(interval: Interval) -> Result<(Expr, &'static str), QueryError> {
    let Some(field) = &interval.leading_field else {
        return Err(QueryError::Semantic("An INTERVAL needs a unit".to_owned()));
    };
    let unit = unit_of(field)?;
    if unit == "year_month" || interval.last_field.is_some() {
        return Err(QueryError::Unsupported("Compound INTERVAL units are not supported".to_owned()));
    }
    Ok((*interval.value, unit))
}
