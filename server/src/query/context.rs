//! What a statement may ask about its session: who, where, when, and the variables.
//!
//! Time is given, never taken: NOW() and its kin answer `now` for the whole statement.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset, NaiveDateTime, Offset, TimeZone as _, Utc};
use chrono_tz::Tz;

use super::error::QueryError;
use super::source::{Catalog, INFORMATION_SCHEMA, Relation};
use super::value::Value;

/// The session of one statement, as the planner sees it.
#[derive(Clone)]
pub struct StatementContext {
    /// Resolves names.
    pub catalog: Arc<dyn Catalog>,
    /// Answers `@@x` and `@x`.
    pub variables: Arc<dyn Variables>,
    /// The database in use.
    pub database: Option<String>,
    /// USER(): the name and host the client came with, `'root'@'127.0.0.1'`.
    pub user: String,
    /// CURRENT_USER(): the account that was matched, `'root'@'%'`.
    pub current_user: String,
    /// CURRENT_ROLE().
    pub current_role: String,
    /// CONNECTION_ID().
    pub connection_id: u64,
    /// VERSION(): what the server calls itself to MySQL clients.
    pub version: String,
    /// CURRENT_VERSION(): the version of this server.
    pub current_version: String,
    /// LAST_INSERT_ID().
    pub last_insert_id: u64,
    /// The moment the statement started.
    pub now: DateTime<Utc>,
    /// The session's time zone.
    pub time_zone: TimeZone,
    /// `sql_select_limit`: caps a SELECT that has no LIMIT of its own.
    pub select_limit: Option<u64>,
}

/// Which variables `@@x` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariableScope {
    /// `@@x`: the session's, or the global one where there is no other.
    Default,
    /// `@@session.x` and `@@local.x`.
    Session,
    /// `@@global.x`.
    Global,
}

/// Answers variables for one statement.
pub trait Variables: Send + Sync {
    /// The system variable of this lower-case name; `None` when there is none.
    fn system(&self, scope: VariableScope, name: &str) -> Option<Value>;

    /// The user variable of this lower-case name; NULL when it was never set.
    fn user(&self, name: &str) -> Value;
}

/// A session's time zone: an offset like `+08:00` or a place like `Asia/Shanghai`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TimeZone {
    /// A fixed distance from UTC.
    Offset(FixedOffset),
    /// A place, with its daylight saving rules.
    Place(Tz),
}

impl TimeZone {
    /// Coordinated universal time.
    pub const UTC: Self = Self::Place(Tz::UTC);

    /// Reads `+08:00`, `-3:30`, `UTC`, `SYSTEM` (taken as UTC), `CST` (China, as StarRocks reads it) or a place's name.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let unknown = || QueryError::Semantic(format!("Unknown or incorrect time zone: '{text}'"));
        let name = text.trim();
        if name.eq_ignore_ascii_case("system") || name.eq_ignore_ascii_case("z") {
            return Ok(Self::UTC);
        }
        if name.eq_ignore_ascii_case("cst") {
            return Ok(Self::Place(Tz::Asia__Shanghai));
        }
        if let Some(sign) = name.chars().next().filter(|c| matches!(c, '+' | '-')) {
            let (hours, minutes) = name[1..].split_once(':').unwrap_or((&name[1..], "0"));
            let hours: i32 = hours.parse().map_err(|_| unknown())?;
            let minutes: i32 = minutes.parse().map_err(|_| unknown())?;
            if hours > 14 || minutes > 59 || hours < 0 || minutes < 0 {
                return Err(unknown());
            }
            let seconds = (hours * 60 + minutes) * 60;
            let offset = FixedOffset::east_opt(if sign == '-' { -seconds } else { seconds });
            return offset.map(Self::Offset).ok_or_else(unknown);
        }
        chrono_tz::TZ_VARIANTS
            .iter()
            .find(|place| place.name().eq_ignore_ascii_case(name))
            .map(|place| Self::Place(*place))
            .ok_or_else(unknown)
    }

    /// The name that [`TimeZone::parse`] reads back.
    pub fn name(&self) -> String {
        match self {
            Self::Offset(offset) => {
                let minutes = offset.local_minus_utc() / 60;
                let sign = if minutes < 0 { '-' } else { '+' };
                format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
            }
            Self::Place(place) => place.name().to_owned(),
        }
    }

    /// Local microseconds (as DATETIME stores them) of a moment in UTC microseconds.
    pub fn to_local(&self, utc_micros: i64) -> Option<i64> {
        let moment = DateTime::<Utc>::from_timestamp_micros(utc_micros)?;
        let offset = match self {
            Self::Offset(offset) => offset.local_minus_utc(),
            Self::Place(place) => place.offset_from_utc_datetime(&moment.naive_utc()).fix().local_minus_utc(),
        };
        utc_micros.checked_add(i64::from(offset) * 1_000_000)
    }

    /// UTC microseconds of a DATETIME read in this zone. A time that a clock change skips moves forward with it.
    pub fn to_utc(&self, local_micros: i64) -> Option<i64> {
        let local: NaiveDateTime = DateTime::<Utc>::from_timestamp_micros(local_micros)?.naive_utc();
        let offset = match self {
            Self::Offset(offset) => offset.local_minus_utc(),
            Self::Place(place) => match place.offset_from_local_datetime(&local) {
                chrono::LocalResult::Single(offset) | chrono::LocalResult::Ambiguous(offset, _) => {
                    offset.fix().local_minus_utc()
                }
                chrono::LocalResult::None => {
                    let before = local.checked_sub_signed(chrono::TimeDelta::hours(3))?;
                    place.offset_from_utc_datetime(&before).fix().local_minus_utc()
                }
            },
        };
        local_micros.checked_sub(i64::from(offset) * 1_000_000)
    }
}

impl StatementContext {
    /// NOW() in the session's time zone, as DATETIME stores it.
    pub(crate) fn local_now(&self) -> i64 {
        let utc = self.now.timestamp_micros();
        self.time_zone.to_local(utc).unwrap_or(utc)
    }

    /// The columns of a table, as they were defined; `None` where there is no such table.
    pub(crate) fn columns_of(&self, database: Option<&str>, table: &str) -> Result<Option<Vec<String>>, QueryError> {
        let Some(database) = database.or(self.database.as_deref()) else {
            return Ok(None);
        };
        let database = if database.eq_ignore_ascii_case(INFORMATION_SCHEMA) { INFORMATION_SCHEMA } else { database };
        let schema = match self.catalog.relation(database, table)? {
            Some(Relation::Table(view)) => view.schema.clone(),
            Some(Relation::Virtual(table)) => table.schema,
            None => return Ok(None),
        };
        Ok(Some(schema.fields().iter().map(|field| field.name().clone()).collect()))
    }
}
