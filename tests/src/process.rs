//! A program that the test started: its pid, its output, its end.
//!
//! Output goes to `<folder>/<name>.log` and is shown when the test fails. The program dies with the test process, also when
//! that is killed: `setpriv --pdeathsig` asks the kernel for it. The kernel watches the *thread* that started the
//! program, so all programs are started by one thread that lives as long as the process.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use crate::wait::wait_until;

/// Lines of a program's output shown when its test fails.
const SHOWN_LINES: usize = 60;

/// A running program, killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program. Its output is appended to `<folder>/<name>.log`.
    pub fn start(name: &str, command: Command, folder: &Path) -> Process {
        let log = folder.join(format!("{name}.log"));
        let output = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = tied(command);
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = spawn(command).unwrap_or_else(|error| panic!("start {name}: {error}"));
        Process { name: name.to_string(), child, log }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill9(&mut self) {
        // An error means that it is gone already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Sends a signal by name (`TERM`, `STOP`, `CONT`, …).
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(format!("-{signal}")).arg(self.pid().to_string()).status().unwrap();
        assert!(status.success(), "kill -{signal} {}: {status}", self.name);
    }

    /// SIGTERM, and wait for the end.
    pub async fn terminate(&mut self, patience: Duration) -> ExitStatus {
        self.signal("TERM");
        let name = self.name.clone();
        let child = Mutex::new(&mut self.child);
        wait_until(patience, async || {
            let ended = child.lock().unwrap().try_wait().unwrap();
            ended.ok_or_else(|| format!("{name} has not ended after SIGTERM"))
        })
        .await
    }

    /// The file that takes what it prints.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it has printed, since its first start.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines it has printed, under a heading.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        format!("--- the last lines of {}\n{}\n---", self.name, tail.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
    }
}

/// The same command, asking the kernel to kill it when we are gone, where `setpriv` can ask.
fn tied(command: Command) -> Command {
    static CAN_TIE: LazyLock<bool> = LazyLock::new(|| {
        let mut probe = Command::new("setpriv");
        probe.args(["--pdeathsig", "KILL", "--", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    });
    if !*CAN_TIE {
        return command;
    }
    let mut tied = Command::new("setpriv");
    tied.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(name, value),
            None => tied.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        tied.current_dir(folder);
    }
    tied
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts a command from the thread that never ends.
fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
        let (orders, received) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in received {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (answer, child) = channel();
    ORDERS.lock().unwrap().send((command, answer)).unwrap();
    child.recv().unwrap()
}
