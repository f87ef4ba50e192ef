//! The payloads that end an answer: OK, EOF and ERR, and what a prepared statement is answered with.
//!
//! Clients that set DEPRECATE_EOF get an OK with header 0xFE where others get an EOF. Written here and not
//! by opensrv, whose OK forgets the warnings and the length of the info text, whose EOF has no status, and
//! whose ERR knows only the numbers of its own enum.

use opensrv_mysql::{CapabilityFlags, StatusFlags};

use super::errors::Numbers;
use super::packet::{put_lenenc_bytes, put_lenenc_int};
use super::{Completion, Prepared, WireError};

const OK_HEADER: u8 = 0x00;
const EOF_HEADER: u8 = 0xfe;
const ERR_HEADER: u8 = 0xff;

/// The status of every answer: there are no transactions, so autocommit is always on.
pub(super) fn status(more_results: bool) -> StatusFlags {
    let mut status = StatusFlags::SERVER_STATUS_AUTOCOMMIT;
    status.set(StatusFlags::SERVER_MORE_RESULTS_EXISTS, more_results);
    status
}

pub(super) fn ok(out: &mut Vec<u8>, completion: &Completion, status: StatusFlags) {
    ok_with_header(out, OK_HEADER, completion, status);
}

/// What ends rows.
pub(super) fn end_of_rows(out: &mut Vec<u8>, capabilities: CapabilityFlags, warnings: u16, status: StatusFlags) {
    if capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) {
        let completion = Completion { warnings, ..Completion::default() };
        ok_with_header(out, EOF_HEADER, &completion, status);
    } else {
        eof(out, warnings, status);
    }
}

/// The plain EOF packet, which also ends column definitions for clients without DEPRECATE_EOF.
pub(super) fn eof(out: &mut Vec<u8>, warnings: u16, status: StatusFlags) {
    out.push(EOF_HEADER);
    out.extend_from_slice(&warnings.to_le_bytes());
    out.extend_from_slice(&status.bits().to_le_bytes());
}

pub(super) fn err(out: &mut Vec<u8>, error: &WireError, numbers: Numbers) {
    out.push(ERR_HEADER);
    out.extend_from_slice(&numbers.of(error).to_le_bytes());
    out.push(b'#');
    out.extend_from_slice(&error.sqlstate);
    out.extend_from_slice(error.message.as_bytes());
}

/// An error in the place of the greeting. What the client understands is not known yet, so it carries no SQLSTATE: with one,
/// drivers would show `#08004` as part of the text.
pub(super) fn err_before_greeting(out: &mut Vec<u8>, error: &WireError) {
    out.push(ERR_HEADER);
    out.extend_from_slice(&error.code.to_le_bytes());
    out.extend_from_slice(error.message.as_bytes());
}

/// The first packet that answers COM_STMT_PREPARE; definitions of parameters and columns follow it.
pub(super) fn prepared(out: &mut Vec<u8>, prepared: &Prepared, column_count: u16) {
    out.push(OK_HEADER);
    out.extend_from_slice(&prepared.statement_id.to_le_bytes());
    out.extend_from_slice(&column_count.to_le_bytes());
    out.extend_from_slice(&prepared.parameter_count.to_le_bytes());
    out.push(0);
    out.extend_from_slice(&[0, 0]); // warnings
}

fn ok_with_header(out: &mut Vec<u8>, header: u8, completion: &Completion, status: StatusFlags) {
    out.push(header);
    put_lenenc_int(out, completion.affected_rows);
    put_lenenc_int(out, completion.last_insert_id);
    out.extend_from_slice(&status.bits().to_le_bytes());
    out.extend_from_slice(&completion.warnings.to_le_bytes());
    if !completion.info.is_empty() {
        put_lenenc_bytes(out, completion.info.as_bytes());
    }
}
