//! The errors that the wire itself raises, with MySQL's numbers, states and words.
//!
//! Numbers and states come from opensrv's table, so the two cannot drift apart. Which numbers a client's library lets
//! its user see is known here too: [`Numbers`].

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use opensrv_mysql::ErrorKind;

use super::WireError;

/// How much of an offending text an error shows.
const SHOWN_BYTES_MAX: usize = 6;

/// What MariaDB's C library, and so the `mariadb` client and whatever else is built on it, calls itself.
const LIBMARIADB: &str = "libmariadb";

/// Numbers that library gives to faults of its own. From a server it believes none of them: it answers "2027 Malformed
/// packet" and throws the text away. The second range ends at 5024 today; what it may grow by is kept clear.
const LIBMARIADBS_OWN: [RangeInclusive<u16>; 2] = [2000..=2999, 5000..=5049];

/// Which numbers of errors reach the user of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Every one.
    All,
    /// Not those of [`LIBMARIADBS_OWN`]: 1105 goes in their place, because a text that can be read is worth more than
    /// the number.
    NotLibmariadbs,
}

impl Numbers {
    /// What a client with these attributes can show.
    pub(super) fn shown_by(attributes: &[(String, String)]) -> Self {
        let is_libmariadb = |(name, value): &(String, String)| name == "_client_name" && value == LIBMARIADB;
        match attributes.iter().any(is_libmariadb) {
            true => Self::NotLibmariadbs,
            false => Self::All,
        }
    }

    /// The number to send.
    pub(super) fn of(self, error: &WireError) -> u16 {
        match self {
            Self::NotLibmariadbs if LIBMARIADBS_OWN.iter().any(|own| own.contains(&error.code)) => {
                ErrorKind::ER_UNKNOWN_ERROR as u16
            }
            _ => error.code,
        }
    }
}

fn error(kind: ErrorKind, message: impl Into<String>) -> WireError {
    WireError::new(kind as u16, *kind.sqlstate(), message)
}

pub(super) fn too_many_connections() -> WireError {
    error(ErrorKind::ER_CON_COUNT_ERROR, "Too many connections")
}

pub(super) fn bad_handshake() -> WireError {
    error(ErrorKind::ER_HANDSHAKE_ERROR, "Bad handshake")
}

pub(super) fn old_client() -> WireError {
    error(
        ErrorKind::ER_NOT_SUPPORTED_AUTH_MODE,
        "Client does not support authentication protocol requested by server; consider upgrading MySQL client",
    )
}

pub(super) fn handshake_timeout() -> WireError {
    error(ErrorKind::ER_NET_READ_INTERRUPTED, "Got timeout reading communication packets")
}

pub(super) fn access_denied(user: &str, peer: SocketAddr, with_password: bool) -> WireError {
    let host = peer.ip().to_canonical();
    let answer = if with_password { "YES" } else { "NO" };
    error(
        ErrorKind::ER_ACCESS_DENIED_ERROR,
        format!("Access denied for user '{user}'@'{host}' (using password: {answer})"),
    )
}

pub(super) fn packet_too_large() -> WireError {
    error(ErrorKind::ER_NET_PACKET_TOO_LARGE, "Got a packet bigger than 'max_allowed_packet' bytes")
}

pub(super) fn unknown_command() -> WireError {
    error(ErrorKind::ER_UNKNOWN_COM_ERROR, "Unknown command")
}

pub(super) fn malformed_packet() -> WireError {
    error(ErrorKind::ER_MALFORMED_PACKET, "Malformed communication packet.")
}

pub(super) fn not_utf8(text: &[u8]) -> WireError {
    let valid = text.utf8_chunks().next().map_or(0, |c| c.valid().len());
    let mut shown = String::new();
    for byte in text[valid..].iter().take(SHOWN_BYTES_MAX) {
        match byte {
            b' '..=b'~' => shown.push(char::from(*byte)),
            _ => shown.push_str(&format!("\\x{byte:02X}")),
        }
    }
    error(
        ErrorKind::ER_INVALID_CHARACTER_STRING,
        format!("Invalid utf8mb4 character string: '{shown}' at byte {valid}; statements must be sent in UTF-8"),
    )
}

pub(super) fn unknown_statement(id: u32, command: &str) -> WireError {
    error(ErrorKind::ER_UNKNOWN_STMT_HANDLER, format!("Unknown prepared statement handler ({id}) given to {command}"))
}

pub(super) fn no_open_cursor(id: u32) -> WireError {
    error(ErrorKind::ER_STMT_HAS_NO_OPEN_CURSOR, format!("The statement ({id}) has no open cursor."))
}

pub(super) fn too_many_statements(max: usize) -> WireError {
    error(
        ErrorKind::ER_MAX_PREPARED_STMT_COUNT_REACHED,
        format!("Can't create more than max_prepared_stmt_count statements (current value: {max})"),
    )
}

pub(super) fn parameters_not_bound() -> WireError {
    error(ErrorKind::ER_WRONG_ARGUMENTS, "Incorrect arguments to COM_STMT_EXECUTE: no parameter types were sent")
}

pub(super) fn parameter_type(code: u8) -> WireError {
    error(
        ErrorKind::ER_WRONG_ARGUMENTS,
        format!("Incorrect arguments to COM_STMT_EXECUTE: parameter type {code} is not known"),
    )
}

pub(super) fn long_data_too_large() -> WireError {
    error(
        ErrorKind::ER_WRONG_ARGUMENTS,
        "Parameter of prepared statement which is set through mysql_send_long_data() is longer than 'max_allowed_packet' bytes",
    )
}

pub(super) fn interrupted() -> WireError {
    error(ErrorKind::ER_QUERY_INTERRUPTED, "Query execution was interrupted")
}

pub(super) fn shutdown() -> WireError {
    error(ErrorKind::ER_SERVER_SHUTDOWN, "Server shutdown in progress")
}

/// Newer than opensrv's table: MySQL says it since 8.0.24.
pub(super) fn idle() -> WireError {
    WireError::new(
        4031,
        *b"HY000",
        "The client was disconnected by the server because of inactivity. See wait_timeout and interactive_timeout for \
         configuring this behavior.",
    )
}

/// A fault of ours, told to the client and not only to the log.
pub(super) fn internal(what: impl Into<String>) -> WireError {
    error(ErrorKind::ER_UNKNOWN_ERROR, what)
}
