//! The connections there are and what each is doing: SHOW PROCESSLIST and KILL.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The connections of a server.
#[derive(Debug, Default)]
pub struct ProcessList {
    processes: Mutex<BTreeMap<u32, Arc<Process>>>,
}

/// One connection.
#[derive(Debug)]
pub struct Process {
    /// Its id, which KILL names.
    pub id: u32,
    /// The account's name.
    pub user: String,
    /// Where the client is.
    pub peer: SocketAddr,
    /// When it connected, in milliseconds since the Unix epoch.
    pub connected_at_ms: i64,
    /// Ends the connection when cancelled.
    pub kill: CancellationToken,
    state: Mutex<ProcessState>,
}

#[derive(Debug)]
struct ProcessState {
    database: Option<String>,
    since_ms: i64,
    running: Option<RunningStatement>,
}

/// The statement a connection is running.
#[derive(Debug, Clone)]
pub struct RunningStatement {
    /// Its text, secrets masked.
    pub text: String,
    /// Stops it when cancelled.
    pub cancel: CancellationToken,
}

/// What SHOW PROCESSLIST tells of a connection at one moment.
#[derive(Debug, Clone)]
pub struct ProcessView {
    /// See [`Process`].
    pub id: u32,
    /// See [`Process`].
    pub user: String,
    /// See [`Process`].
    pub peer: SocketAddr,
    /// Its database.
    pub database: Option<String>,
    /// See [`Process`].
    pub connected_at_ms: i64,
    /// Since when it is in its state.
    pub since_ms: i64,
    /// What it runs; `None` when it waits for a statement.
    pub statement: Option<String>,
}

impl ProcessList {
    /// Adds a connection.
    pub fn add(&self, id: u32, user: &str, peer: SocketAddr, kill: CancellationToken, now_ms: i64) -> Arc<Process> {
        let process = Arc::new(Process {
            id,
            user: user.to_owned(),
            peer,
            connected_at_ms: now_ms,
            kill,
            state: Mutex::new(ProcessState { database: None, since_ms: now_ms, running: None }),
        });
        self.processes.lock().insert(id, Arc::clone(&process));
        process
    }

    /// Takes a connection away. One that was replaced under the same id (COM_CHANGE_USER) stays.
    pub fn remove(&self, process: &Arc<Process>) {
        let mut processes = self.processes.lock();
        if processes.get(&process.id).is_some_and(|known| Arc::ptr_eq(known, process)) {
            processes.remove(&process.id);
        }
    }

    /// The connection of this id.
    pub fn find(&self, id: u64) -> Option<Arc<Process>> {
        let id = u32::try_from(id).ok()?;
        self.processes.lock().get(&id).cloned()
    }

    /// Every connection, by id.
    pub fn list(&self) -> Vec<ProcessView> {
        self.processes.lock().values().map(|process| process.view()).collect()
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.processes.lock().len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Process {
    /// Notes the database in use.
    pub fn set_database(&self, database: Option<&str>) {
        self.state.lock().database = database.map(str::to_owned);
    }

    /// Notes that a statement began, and returns what stops it.
    pub fn begin(&self, text: String, now_ms: i64) -> CancellationToken {
        let cancel = CancellationToken::new();
        let mut state = self.state.lock();
        state.since_ms = now_ms;
        state.running = Some(RunningStatement { text, cancel: cancel.clone() });
        cancel
    }

    /// Notes that the statement ended.
    pub fn end(&self, now_ms: i64) {
        let mut state = self.state.lock();
        state.since_ms = now_ms;
        state.running = None;
    }

    /// Stops the running statement. Returns whether there was one.
    pub fn cancel_statement(&self) -> bool {
        match &self.state.lock().running {
            Some(running) => {
                running.cancel.cancel();
                true
            }
            None => false,
        }
    }

    fn view(&self) -> ProcessView {
        let state = self.state.lock();
        ProcessView {
            id: self.id,
            user: self.user.clone(),
            peer: self.peer,
            database: state.database.clone(),
            connected_at_ms: self.connected_at_ms,
            since_ms: state.since_ms,
            statement: state.running.as_ref().map(|running| running.text.clone()),
        }
    }
}
