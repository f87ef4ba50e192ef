//! What a packet of the command phase asks for.
//!
//! A packet becomes a [`Command`] or an error for the client; nothing else. Statement text must be UTF-8,
//! but for the values of an INSERT: one that is not gets 1300 and the connection goes on.

use super::packet::Fields;
use super::{WireError, errors, literals};

const QUIT: u8 = 0x01;
const INIT_DB: u8 = 0x02;
const QUERY: u8 = 0x03;
const FIELD_LIST: u8 = 0x04;
const STATISTICS: u8 = 0x09;
const PROCESS_KILL: u8 = 0x0c;
const PING: u8 = 0x0e;
const CHANGE_USER: u8 = 0x11;
const STMT_PREPARE: u8 = 0x16;
const STMT_EXECUTE: u8 = 0x17;
const STMT_SEND_LONG_DATA: u8 = 0x18;
const STMT_CLOSE: u8 = 0x19;
const STMT_RESET: u8 = 0x1a;
const SET_OPTION: u8 = 0x1b;
const STMT_FETCH: u8 = 0x1c;
const RESET_CONNECTION: u8 = 0x1f;

const OPTION_MULTI_STATEMENTS_ON: u16 = 0;
const OPTION_MULTI_STATEMENTS_OFF: u16 = 1;

/// A command as it came, its payload split but not judged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Quit,
    InitDb(String),
    Query(String),
    FieldList {
        table: String,
    },
    Statistics,
    ProcessKill {
        connection_id: u32,
    },
    Ping,
    /// What follows the command's byte.
    ChangeUser(Vec<u8>),
    Prepare(String),
    /// What follows the statement's id.
    Execute {
        statement_id: u32,
        payload: Vec<u8>,
    },
    SendLongData {
        statement_id: u32,
        parameter: u16,
        data: Vec<u8>,
    },
    CloseStatement {
        statement_id: u32,
    },
    ResetStatement {
        statement_id: u32,
    },
    SetMultiStatements(bool),
    Fetch {
        statement_id: u32,
    },
    ResetConnection,
}

/// A packet that is no command, and what to say about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    Answer(WireError),
    /// The command is one that never gets an answer.
    Ignore,
}

impl Command {
    pub(super) fn parse(packet: Vec<u8>) -> Result<Self, Invalid> {
        let mut fields = Fields::new(&packet);
        let Some(code) = fields.u8() else {
            return Err(Invalid::Answer(errors::unknown_command()));
        };
        match code {
            QUIT => Ok(Self::Quit),
            INIT_DB => text_after_code(packet).map(Self::InitDb),
            QUERY => statement(packet).map(Self::Query),
            STMT_PREPARE => statement(packet).map(Self::Prepare),
            FIELD_LIST => Ok(Self::FieldList { table: utf8(fields.nul_string().to_vec())? }),
            STATISTICS => Ok(Self::Statistics),
            PING => Ok(Self::Ping),
            RESET_CONNECTION => Ok(Self::ResetConnection),
            CHANGE_USER => Ok(Self::ChangeUser(fields.rest().to_vec())),
            STMT_SEND_LONG_DATA => send_long_data(fields).ok_or(Invalid::Ignore),
            STMT_CLOSE => match fields.u32() {
                Some(statement_id) => Ok(Self::CloseStatement { statement_id }),
                None => Err(Invalid::Ignore),
            },
            PROCESS_KILL | STMT_EXECUTE | STMT_RESET | STMT_FETCH | SET_OPTION => with_number(code, fields),
            _ => Err(Invalid::Answer(errors::unknown_command())),
        }
    }
}

/// Commands that begin with a number and are answered.
fn with_number(code: u8, mut fields: Fields<'_>) -> Result<Command, Invalid> {
    let malformed = || Invalid::Answer(errors::malformed_packet());
    if code == SET_OPTION {
        return match fields.u16().ok_or_else(malformed)? {
            OPTION_MULTI_STATEMENTS_ON => Ok(Command::SetMultiStatements(true)),
            OPTION_MULTI_STATEMENTS_OFF => Ok(Command::SetMultiStatements(false)),
            _ => Err(Invalid::Answer(errors::unknown_command())),
        };
    }
    let number = fields.u32().ok_or_else(malformed)?;
    Ok(match code {
        PROCESS_KILL => Command::ProcessKill { connection_id: number },
        STMT_RESET => Command::ResetStatement { statement_id: number },
        STMT_FETCH => Command::Fetch { statement_id: number },
        _ => Command::Execute { statement_id: number, payload: fields.rest().to_vec() },
    })
}

fn send_long_data(mut fields: Fields<'_>) -> Option<Command> {
    Some(Command::SendLongData { statement_id: fields.u32()?, parameter: fields.u16()?, data: fields.rest().to_vec() })
}

fn text_after_code(mut packet: Vec<u8>) -> Result<String, Invalid> {
    packet.remove(0);
    utf8(packet)
}

fn utf8(text: Vec<u8>) -> Result<String, Invalid> {
    String::from_utf8(text).map_err(|error| Invalid::Answer(errors::not_utf8(error.as_bytes())))
}

/// A statement; the values of an INSERT may be any bytes.
fn statement(mut packet: Vec<u8>) -> Result<String, Invalid> {
    packet.remove(0);
    String::from_utf8(packet).or_else(|error| {
        literals::in_hexadecimal(error.as_bytes()).ok_or_else(|| Invalid::Answer(errors::not_utf8(error.as_bytes())))
    })
}
