//! Function calls: session functions become literals, MySQL's special forms plain calls, other names the engine's.

use sqlparser::ast::{
    AccessExpr, CaseWhen, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, ObjectNamePart, OrderByExpr, OrderByOptions, Subscript, UnaryOperator, Value, WindowType,
    helpers::attached_token::AttachedToken,
};

use super::Rewriter;
use super::expr::{call, date, function, interval_parts, moment, null, number, shifted, string, truth, unit_named};
use super::select::is_aggregate_name;
use crate::query::context::VariableScope;
use crate::query::convert::datetime::{self, SECOND};
use crate::query::error::QueryError;
use crate::query::value::Value as Constant;

/// The function that cuts what GROUP_CONCAT joins: nobody else calls it.
pub(crate) const FIRST_BYTES: &str = "ebla_first_bytes";

/// What separates the items of GROUP_CONCAT when nothing is said.
const GROUP_CONCAT_SEPARATOR: &str = ",";

impl Rewriter<'_> {
    /// Rewrites a call whose arguments are rewritten already.
    pub(super) fn call(&self, mut called: Function) -> Result<Expr, QueryError> {
        let name = match called.name.0.as_slice() {
            [ObjectNamePart::Identifier(ident)] => ident.value.to_lowercase(),
            _ => return Err(QueryError::UnknownFunction(called.name.to_string())),
        };
        if called.over.is_none() {
            if let Some(literal) = self.session_value(&name, &called)? {
                return Ok(literal);
            }
            if let Some(expr) = self.special(&name, &mut called)? {
                return Ok(expr);
            }
        }
        if let Some(condition) = called.filter.take() {
            called.filter = Some(Box::new(truth(*condition)));
        }
        if let Some(WindowType::WindowSpec(window)) = &mut called.over {
            super::frames::plain(window)?;
        }
        let name = canonical(&name);
        if !self.functions.contains(name) {
            if called.over.is_some() && is_aggregate_name(name) {
                return Err(QueryError::Unsupported(format!(
                    "Function {name} is no window function: use it with GROUP BY in a subquery, and join that"
                )));
            }
            return Err(QueryError::UnknownFunction(name.to_owned()));
        }
        called.name = function(name, Vec::new()).name;
        if matches!(called.args, FunctionArguments::None) {
            called.args = function(name, Vec::new()).args;
        }
        Ok(Expr::Function(called))
    }

    /// Functions whose value the session knows.
    fn session_value(&self, name: &str, called: &Function) -> Result<Option<Expr>, QueryError> {
        let context = self.context;
        let now = context.local_now();
        let seconds = now - now.rem_euclid(SECOND);
        let arguments = plain_args(called).map_or(0, |args| args.len());
        let value = match name {
            "now" | "current_timestamp" | "localtime" | "localtimestamp" | "sysdate" => {
                moment(if arguments == 0 { seconds } else { with_digits(now, called)? })
            }
            "utc_timestamp" => {
                let utc = context.now.timestamp_micros();
                moment(utc - utc.rem_euclid(SECOND))
            }
            "curdate" | "current_date" => date(datetime::days_of(now)),
            "utc_date" => date(datetime::days_of(context.now.timestamp_micros())),
            "curtime" | "current_time" => string(&clock_text(seconds)),
            "utc_time" => {
                let utc = context.now.timestamp_micros();
                string(&clock_text(utc - utc.rem_euclid(SECOND)))
            }
            "unix_timestamp" if arguments == 0 => number(&context.now.timestamp().to_string()),
            "database" | "schema" => context.database.as_deref().map_or_else(null, string),
            "user" | "session_user" | "system_user" => string(&context.user),
            "current_user" => string(&context.current_user),
            "current_role" => string(&context.current_role),
            "current_catalog" | "catalog" if arguments == 0 => string("default_catalog"),
            "connection_id" => number(&context.connection_id.to_string()),
            "version" => string(&context.version),
            "current_version" => string(&context.current_version),
            "last_insert_id" if arguments == 0 => number(&context.last_insert_id.to_string()),
            "last_query_id" | "host_name" if arguments == 0 => null(),
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    /// What GROUP_CONCAT joined, as far as `group_concat_max_len` lets it be.
    fn of_group_concat(&self, joined: Expr) -> Expr {
        let bytes_max = match self.context.variables.system(VariableScope::Session, "group_concat_max_len") {
            Some(Constant::Int(bytes)) => bytes.to_string(),
            // More than any text has.
            Some(Constant::UInt(_)) => return joined,
            _ => return joined,
        };
        call(FIRST_BYTES, vec![joined, number(&bytes_max)])
    }

    /// Calls with a syntax or meaning of their own.
    fn special(&self, name: &str, called: &mut Function) -> Result<Option<Expr>, QueryError> {
        if let Some(expr) = aggregate(name, called)? {
            return Ok(Some(match expr {
                joined if name == "group_concat" => self.of_group_concat(joined),
                Expr::Function(mut inner) => {
                    inner.filter = inner.filter.or_else(|| called.filter.take()).map(|filter| Box::new(truth(*filter)));
                    Expr::Function(inner)
                }
                other => other,
            }));
        }
        let Some(mut args) = plain_args(called) else {
            return Ok(None);
        };
        let zone = || string(&self.context.time_zone.name());
        let expr = match (name, args.len()) {
            ("if", 3) => {
                let otherwise = args.remove(2);
                let then = args.remove(1);
                case(truth(args.remove(0)), then, otherwise)
            }
            ("ifnull" | "nvl", 2) => call("coalesce", args),
            ("nvl2", 3) => {
                let otherwise = args.remove(2);
                let then = args.remove(1);
                case(Expr::IsNotNull(Box::new(args.remove(0))), then, otherwise)
            }
            ("nullif", 2) => {
                let other = args.remove(1);
                let value = args.remove(0);
                let same = Expr::BinaryOp {
                    left: Box::new(value.clone()),
                    op: sqlparser::ast::BinaryOperator::Eq,
                    right: Box::new(other),
                };
                case(same, null(), value)
            }
            ("isnull", 1) => Expr::IsNull(Box::new(args.remove(0))),
            ("isnotnull", 1) => Expr::IsNotNull(Box::new(args.remove(0))),
            // What brackets mean: an item of an ARRAY by its place, a value of a MAP by its key.
            ("element_at", 2) => {
                let index = args.remove(1);
                Expr::CompoundFieldAccess {
                    root: Box::new(args.remove(0)),
                    access_chain: vec![AccessExpr::Subscript(Subscript::Index { index })],
                }
            }
            ("mod", 2) => binary(args, sqlparser::ast::BinaryOperator::Modulo),
            ("date_add" | "adddate", 2) => shift(args, "add")?,
            ("date_sub" | "subdate", 2) => shift(args, "sub")?,
            ("get_format", 2) => string(format_of(&args[0], &args[1])?),
            ("timestampadd", 3) => {
                let unit = unit_argument(&args[0])?;
                call(&format!("{unit}s_add"), vec![args.remove(2), args.remove(1)])
            }
            ("timestampdiff", 3) => {
                let unit = unit_argument(&args[0])?;
                call(&format!("{unit}s_diff"), vec![args.remove(2), args.remove(1)])
            }
            ("date_diff", 3) => {
                let unit = unit_argument(&args[0])?;
                let right = args.remove(2);
                call(&format!("{unit}s_diff"), vec![args.remove(1), right])
            }
            ("addtime", 2) => call("seconds_add", vec![args.remove(0), call("time_to_sec", args)]),
            ("subtime", 2) => call("seconds_sub", vec![args.remove(0), call("time_to_sec", args)]),
            ("time_slice" | "date_slice" | "date_floor" | "date_ceil", 2 | 3) => {
                let bound = args.get(2).map(|bound| bound.to_string().trim_matches('\'').to_lowercase());
                let bound = bound.unwrap_or_else(|| if name == "date_ceil" { "ceil" } else { "floor" }.to_owned());
                let Expr::Interval(interval) = args.swap_remove(1) else {
                    return Err(QueryError::Semantic(format!("{name} needs an INTERVAL")));
                };
                let (count, unit) = interval_parts(interval)?;
                call("time_slice", vec![args.swap_remove(0), count, string(unit), string(&bound)])
            }
            ("unix_timestamp", 1 | 2) => {
                args.push(zone());
                call("unix_timestamp", args)
            }
            ("from_unixtime", 1 | 2) => {
                if args.len() == 1 {
                    args.push(null());
                }
                args.push(zone());
                call("from_unixtime", args)
            }
            ("any_match" | "all_match", _) => {
                return Err(QueryError::Unsupported(format!("Function {name} is not supported")));
            }
            ("coalesce", 1..) => return Ok(None),
            (name, given) => match arguments(name) {
                Some(wanted) => {
                    return Err(QueryError::Semantic(format!(
                        "Function {name} takes {wanted} argument(s), {given} given"
                    )));
                }
                None => return Ok(None),
            },
        };
        Ok(Some(expr))
    }
}

/// How many arguments a function takes that is another expression by the time it is computed.
fn arguments(name: &str) -> Option<&'static str> {
    Some(match name {
        "isnull" | "isnotnull" => "1",
        "ifnull" | "nvl" | "nullif" | "element_at" | "mod" | "date_add" | "adddate" | "date_sub" | "subdate"
        | "get_format" | "addtime" | "subtime" => "2",
        "if" | "nvl2" | "timestampadd" | "timestampdiff" => "3",
        "coalesce" => "1 or more",
        _ => return None,
    })
}

/// The engine's name of a function.
fn canonical(name: &str) -> &str {
    match name {
        "ndv" | "approx_count_distinct" => "approx_distinct",
        // MySQL's and StarRocks's plain names mean the population.
        "std" | "stddev" | "stddev_pop" => "stddev_pop",
        "variance" | "var_pop" | "variance_pop" => "var_pop",
        "variance_samp" => "var_samp",
        "any_value" => "first_value",
        "percentile_approx" => "approx_percentile_cont",
        "grouping_id" => "grouping",
        "every" => "bool_and",
        "bitmap_union_count" | "multi_distinct_count" => "count",
        other => other,
    }
}

/// Aggregates that are written differently below.
fn aggregate(name: &str, called: &mut Function) -> Result<Option<Expr>, QueryError> {
    let FunctionArguments::List(list) = &mut called.args else {
        return Ok(None);
    };
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    match name {
        "group_concat" => group_concat(called).map(Some),
        "count" if distinct && list.args.len() > 1 => {
            let Some(args) = plain_args(called) else {
                return Ok(None);
            };
            // A row counts when none of its values is NULL.
            let unknown = args.iter().map(|arg| Expr::IsNull(Box::new(arg.clone()))).reduce(|chain, next| {
                Expr::BinaryOp { left: Box::new(chain), op: sqlparser::ast::BinaryOperator::Or, right: Box::new(next) }
            });
            let Some(unknown) = unknown else {
                return Ok(None);
            };
            let mut count = function("count", vec![case(unknown, null(), call("struct", args))]);
            if let FunctionArguments::List(list) = &mut count.args {
                list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
            }
            Ok(Some(Expr::Function(count)))
        }
        "sum_distinct" | "multi_distinct_sum" | "multi_distinct_count" => {
            list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
            let name = if name == "multi_distinct_count" { "count" } else { "sum" };
            let mut renamed = function(name, Vec::new());
            renamed.args = called.args.clone();
            Ok(Some(Expr::Function(renamed)))
        }
        "count_if" => {
            let Some(mut args) = plain_args(called).filter(|args| args.len() == 1) else {
                return Ok(None);
            };
            Ok(Some(call("count", vec![case(truth(args.remove(0)), number("1"), null())])))
        }
        "max_by" | "min_by" => {
            let Some(mut args) = plain_args(called).filter(|args| args.len() == 2) else {
                return Ok(None);
            };
            let by = args.remove(1);
            let mut first = function("first_value", args);
            if let FunctionArguments::List(list) = &mut first.args {
                list.clauses.push(FunctionArgumentClause::OrderBy(vec![OrderByExpr {
                    expr: by.clone(),
                    options: OrderByOptions { asc: Some(name == "min_by"), nulls_first: Some(false) },
                    with_fill: None,
                }]));
            }
            first.filter = Some(Box::new(Expr::IsNotNull(Box::new(by))));
            Ok(Some(Expr::Function(first)))
        }
        "bool_or" | "bool_and" | "every" | "boolor_agg" | "booland_agg" => {
            let Some(mut args) = plain_args(called).filter(|args| args.len() == 1) else {
                return Ok(None);
            };
            let name = if matches!(name, "bool_or" | "boolor_agg") { "bool_or" } else { "bool_and" };
            Ok(Some(call(name, vec![truth(args.remove(0))])))
        }
        _ => Ok(None),
    }
}

/// `GROUP_CONCAT([DISTINCT] x, ... [ORDER BY ...] [SEPARATOR s])`.
fn group_concat(called: &mut Function) -> Result<Expr, QueryError> {
    let Some(args) = plain_args(called).filter(|args| !args.is_empty()) else {
        return Err(QueryError::Semantic("GROUP_CONCAT needs an argument".to_owned()));
    };
    let FunctionArguments::List(list) = &mut called.args else {
        return Err(QueryError::Semantic("GROUP_CONCAT needs an argument".to_owned()));
    };
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    let mut separator = GROUP_CONCAT_SEPARATOR.to_owned();
    let mut order = Vec::new();
    for clause in std::mem::take(&mut list.clauses) {
        match clause {
            FunctionArgumentClause::Separator(value) => {
                if let Some(text) = value.clone().into_string() {
                    separator = text;
                }
            }
            FunctionArgumentClause::OrderBy(exprs) => order = exprs,
            other => return Err(QueryError::Unsupported(format!("GROUP_CONCAT ... {other} is not supported"))),
        }
    }
    let filter = called.filter.take().map(|filter| Box::new(truth(*filter)));
    if distinct && args.len() == 1 {
        // Distinct values are ordered as what they are, then joined.
        let value = args[0].clone();
        let mut items = function("array_agg", args);
        if let FunctionArguments::List(list) = &mut items.args {
            list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
            if !order.is_empty() {
                list.clauses.push(FunctionArgumentClause::OrderBy(order));
            }
        }
        let known = Expr::IsNotNull(Box::new(value));
        items.filter = Some(match filter {
            Some(filter) => Box::new(Expr::BinaryOp {
                left: filter,
                op: sqlparser::ast::BinaryOperator::And,
                right: Box::new(known),
            }),
            None => Box::new(known),
        });
        return Ok(call("array_to_string", vec![Expr::Function(items), string(&separator)]));
    }
    let mut joined = function("string_agg", vec![call("concat", args), string(&separator)]);
    joined.filter = filter;
    if let FunctionArguments::List(list) = &mut joined.args {
        if distinct {
            list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
        }
        if !order.is_empty() {
            list.clauses.push(FunctionArgumentClause::OrderBy(order));
        }
    }
    Ok(Expr::Function(joined))
}

/// The arguments, when all are plain expressions.
fn plain_args(called: &Function) -> Option<Vec<Expr>> {
    match &called.args {
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
                _ => None,
            })
            .collect(),
        FunctionArguments::None => Some(Vec::new()),
        FunctionArguments::Subquery(_) => None,
    }
}

fn case(condition: Expr, then: Expr, otherwise: Expr) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result: then }],
        else_result: Some(Box::new(otherwise)),
    }
}

fn binary(mut args: Vec<Expr>, op: sqlparser::ast::BinaryOperator) -> Expr {
    let right = args.remove(1);
    Expr::BinaryOp {
        left: Box::new(Expr::Nested(Box::new(args.remove(0)))),
        op,
        right: Box::new(Expr::Nested(Box::new(right))),
    }
}

/// DATE_ADD(x, INTERVAL n unit) or DATE_ADD(x, days).
fn shift(mut args: Vec<Expr>, direction: &str) -> Result<Expr, QueryError> {
    let by = args.remove(1);
    let value = args.remove(0);
    match by {
        Expr::Interval(interval) => shifted(value, interval, direction),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } if matches!(*expr, Expr::Interval(_)) => match *expr {
            Expr::Interval(interval) => shifted(value, interval, if direction == "add" { "sub" } else { "add" }),
            other => Ok(call(&format!("days_{direction}"), vec![value, other])),
        },
        days => Ok(call(&format!("days_{direction}"), vec![value, days])),
    }
}

/// A unit given as a bare word or as a text.
fn unit_argument(expr: &Expr) -> Result<&'static str, QueryError> {
    match expr {
        Expr::Identifier(ident) => unit_named(&ident.value),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => unit_named(text),
            _ => Err(QueryError::Semantic(format!("'{expr}' is no time unit"))),
        },
        _ => Err(QueryError::Semantic(format!("'{expr}' is no time unit"))),
    }
}

/// NOW(digits): that many digits of the second's fraction.
fn with_digits(micros: i64, called: &Function) -> Result<i64, QueryError> {
    let digits = plain_args(called)
        .and_then(|args| args.first().map(ToString::to_string))
        .and_then(|text| text.parse::<u32>().ok())
        .filter(|digits| *digits <= 6);
    let Some(digits) = digits else {
        return Err(QueryError::Semantic("The precision of a time is 0 to 6".to_owned()));
    };
    let unit = 10i64.pow(6 - digits);
    Ok(micros - micros.rem_euclid(unit))
}

fn clock_text(micros: i64) -> String {
    let mut out = String::new();
    datetime::push_clock(datetime::clock(micros), &mut out);
    out
}

/// GET_FORMAT({DATE | TIME | DATETIME | TIMESTAMP}, place): the format of a place, as DATE_FORMAT reads it.
fn format_of(kind: &Expr, place: &Expr) -> Result<&'static str, QueryError> {
    let wanted = || {
        QueryError::Semantic(
            "GET_FORMAT takes DATE, TIME or DATETIME, and one of 'EUR', 'USA', 'JIS', 'ISO', 'INTERNAL'".to_owned(),
        )
    };
    let kind = match kind {
        Expr::Identifier(ident) => ident.value.to_ascii_uppercase(),
        // Where a table has a column of this name, it was taken for that.
        Expr::CompoundIdentifier(parts) => {
            parts.last().map(|ident| ident.value.to_ascii_uppercase()).unwrap_or_default()
        }
        _ => return Err(wanted()),
    };
    let place = match place {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.to_ascii_uppercase(),
            _ => return Err(wanted()),
        },
        _ => return Err(wanted()),
    };
    Ok(match (kind.as_str(), place.as_str()) {
        ("DATE", "USA") => "%m.%d.%Y",
        ("DATE", "JIS" | "ISO") => "%Y-%m-%d",
        ("DATE", "EUR") => "%d.%m.%Y",
        ("DATE", "INTERNAL") => "%Y%m%d",
        ("DATETIME" | "TIMESTAMP", "USA" | "EUR") => "%Y-%m-%d %H.%i.%s",
        ("DATETIME" | "TIMESTAMP", "JIS" | "ISO") => "%Y-%m-%d %H:%i:%s",
        ("DATETIME" | "TIMESTAMP", "INTERNAL") => "%Y%m%d%H%i%s",
        ("TIME", "USA") => "%h:%i:%s %p",
        ("TIME", "JIS" | "ISO") => "%H:%i:%s",
        ("TIME", "EUR") => "%H.%i.%s",
        ("TIME", "INTERNAL") => "%H%i%s",
        _ => return Err(wanted()),
    })
}
