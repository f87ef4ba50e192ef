//! One command at work: asks the session, sends the answer.
//!
//! A task runs to its end or is dropped at any await; it does not know what watches over it (see
//! `connection.rs`). What it has not flushed when it is dropped stays in the writer, whole packets only.

use std::io;

use arrow_schema::SchemaRef;
use opensrv_mysql::CapabilityFlags;
use tokio::io::AsyncWrite;

use super::packet::PacketWriter;
use super::results::{self, RowFormat};
use super::statements::Statements;
use super::{Completion, Outcome, Parameter, Session, WireError, reply};

/// A checked command, ready to run.
#[derive(Debug)]
pub(super) enum Task {
    Query(String),
    InitDb(String),
    Prepare(String),
    Execute {
        statement_id: u32,
        parameters: Vec<Parameter>,
    },
    /// A statement the client closed.
    Close {
        statement_id: u32,
    },
    /// A statement the session has dropped already, which opensrv has yet to forget.
    Forget {
        statement_id: u32,
    },
    FieldList {
        table: String,
    },
    Reset,
    SetMultiStatements(bool),
    Statistics(String),
    Ping,
    ResetStatement,
}

/// What a task leaves behind for its caller.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// The id of a statement just prepared.
    pub prepared: Option<u32>,
}

impl Task {
    /// Whether opensrv routes it. It does the wrong thing, or nothing, for the others.
    pub(super) fn is_routed(&self) -> bool {
        matches!(
            self,
            Self::Query(_)
                | Self::InitDb(_)
                | Self::Prepare(_)
                | Self::Execute { .. }
                | Self::Close { .. }
                | Self::Forget { .. }
        )
    }

    /// Whether SHOW STATUS would count it as a question.
    pub(super) fn is_question(&self) -> bool {
        matches!(self, Self::Query(_) | Self::Execute { .. })
    }
}

/// What a task works with: everything of a connection but what watches over it.
pub(super) struct Work<'a, S, W> {
    pub session: &'a mut S,
    pub writer: &'a mut PacketWriter<W>,
    pub statements: &'a mut Statements,
    pub forgotten: &'a mut Vec<u32>,
    pub capabilities: CapabilityFlags,
}

impl<S: Session, W: AsyncWrite + Send + Unpin> Work<'_, S, W> {
    /// Does a task and sends its answer. The outer error is the socket's, the inner one is for the client.
    pub(super) async fn perform(mut self, task: Task) -> io::Result<Result<Done, WireError>> {
        let mut done = Done::default();
        let answered = match task {
            Task::Query(sql) => {
                let outcome = self.session.query(&sql).await;
                self.send_outcomes(outcome, RowFormat::Text).await?
            }
            Task::Execute { statement_id, parameters } => {
                let outcome = self.session.execute(statement_id, parameters).await;
                self.send_outcomes(outcome, RowFormat::Binary).await?
            }
            Task::Prepare(sql) => self.prepare(&sql).await.map(|id| done.prepared = Some(id)),
            Task::InitDb(name) => {
                let changed = self.session.use_database(&name).await;
                changed.map(|()| self.put_ok(&Completion::default()))
            }
            Task::Reset => self.reset().await,
            Task::FieldList { table } => {
                let fields = self.session.list_fields(&table).await;
                fields.map(|fields| self.put_fields(fields))
            }
            Task::SetMultiStatements(allowed) => {
                self.session.set_multi_statements(allowed);
                self.writer.packet(|out| reply::end_of_rows(out, self.capabilities, 0, reply::status(false)));
                Ok(())
            }
            Task::Statistics(line) => {
                self.writer.packet(|out| out.extend_from_slice(line.as_bytes()));
                Ok(())
            }
            Task::Ping | Task::ResetStatement => {
                self.put_ok(&Completion::default());
                Ok(())
            }
            Task::Close { statement_id } => {
                self.session.close_statement(statement_id).await;
                Ok(())
            }
            Task::Forget { .. } => Ok(()),
        };
        self.writer.flush().await?;
        Ok(answered.map(|()| done))
    }

    /// Sends an outcome and those that follow it.
    async fn send_outcomes(
        &mut self,
        mut outcome: Result<Outcome, WireError>,
        format: RowFormat,
    ) -> io::Result<Result<(), WireError>> {
        loop {
            match outcome {
                Err(error) => return Ok(Err(error)),
                Ok(Outcome::Ok(completion)) => self.put_ok(&completion),
                Ok(Outcome::Rows(mut rows)) => {
                    let sent = results::send_rows(self.writer, &mut rows, format, self.capabilities);
                    if let Err(error) = sent.await? {
                        return Ok(Err(error));
                    }
                    let status = reply::status(self.session.more_results());
                    self.writer.packet(|out| {
                        reply::end_of_rows(out, self.capabilities, rows.warnings, status);
                    });
                }
            }
            if !self.session.more_results() {
                return Ok(Ok(()));
            }
            outcome = self.session.next_result().await;
        }
    }

    async fn prepare(&mut self, sql: &str) -> Result<u32, WireError> {
        let prepared = self.session.prepare(sql).await?;
        if let Err(error) = results::put_prepared(self.writer, &prepared, self.capabilities) {
            self.session.close_statement(prepared.statement_id).await;
            return Err(error);
        }
        self.statements.opened(prepared.statement_id, prepared.parameter_count);
        Ok(prepared.statement_id)
    }

    async fn reset(&mut self) -> Result<(), WireError> {
        self.session.reset().await?;
        self.forgotten.extend(self.statements.close_all());
        self.put_ok(&Completion::default());
        Ok(())
    }

    fn put_ok(&mut self, completion: &Completion) {
        let status = reply::status(self.session.more_results());
        self.writer.packet(|out| reply::ok(out, completion, status));
    }

    fn put_fields(&mut self, fields: Option<SchemaRef>) {
        if let Some(schema) = fields {
            results::put_listed_fields(self.writer, &schema);
        }
        self.writer.packet(|out| {
            reply::end_of_rows(out, self.capabilities, 0, reply::status(false));
        });
    }
}
