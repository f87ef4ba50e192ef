//! SQL as a person speaks it: the real `mariadb` command-line client.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::skip;

/// No script of the tests runs longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// The client with everything it needs to connect.
#[derive(Debug, Clone)]
pub struct Cli {
    program: PathBuf,
    host: String,
    port: String,
    user: String,
    password: String,
}

/// What a run of the client has given.
#[derive(Debug, Clone)]
pub struct CliOutput {
    /// Whether it ended with 0.
    pub success: bool,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
}

impl Cli {
    /// The client for `host:port`. `None` after a skip when there is no client.
    pub fn new(addr: &str, user: &str, password: &str) -> Option<Cli> {
        let program = skip::counterpart("mariadb")?;
        let (host, port) = addr.rsplit_once(':').expect("host:port");
        let [host, port, user, password] = [host, port, user, password].map(str::to_string);
        Some(Cli { program, host, port, user, password })
    }

    /// What `mariadb-dump`, which comes with the client, writes of a database: bytes, as some columns hold them.
    pub async fn dump(&self, options: &[&str], database: &str) -> Vec<u8> {
        let program = self.program.with_file_name("mariadb-dump");
        let output = self.output(&program, &[options, &[database]].concat(), &[]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        output.stdout
    }

    /// Reads a dump back into a database.
    pub async fn read_back(&self, database: &str, dump: &[u8]) {
        let output = self.output(&self.program, &["--binary-mode", database], dump).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs a script with the client's own options before it.
    pub async fn run(&self, options: &[&str], script: &str) -> CliOutput {
        let output = self.output(&self.program, options, script.as_bytes()).await;
        CliOutput {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    async fn output(&self, program: &Path, options: &[&str], script: &[u8]) -> Output {
        let mut command = Command::new(program);
        command.arg("--no-defaults").args(["--protocol=tcp", "--host", &self.host, "--port", &self.port]);
        command.args(["--user", &self.user, "--default-character-set=utf8mb4"]).args(options);
        // The environment, for a password among the arguments would be seen in the process list.
        command.env("MYSQL_PWD", &self.password);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let script = script.to_vec();
        tokio::time::timeout(PATIENCE, async move {
            let write = async move {
                // A client that could not connect does not read its script.
                let _ = stdin.write_all(&script).await;
                drop(stdin);
            };
            let (output, ()) = tokio::join!(child.wait_with_output(), write);
            output.unwrap()
        })
        .await
        .unwrap_or_else(|_| panic!("{} has not ended after {PATIENCE:?}", program.display()))
    }

    /// Runs a script in batch mode: rows as lines, cells between tabs, no headings.
    pub async fn batch(&self, script: &str) -> String {
        let output = self.run(&["--batch", "--skip-column-names"], script).await;
        assert!(output.success, "{script}\n{}", output.stderr);
        output.stdout
    }

    /// Runs a script and gives what a person at a terminal would see of it: each statement, then its table or its count.
    pub async fn transcript(&self, script: &str) -> String {
        let output = self.run(&["--table", "-vvv"], script).await;
        assert!(output.success, "{script}\n{}\n{}", output.stdout, output.stderr);
        tidy(&output.stdout)
    }

    /// Runs a script that must fail and gives the client's error lines.
    pub async fn error(&self, script: &str) -> String {
        let output = self.run(&["--table"], script).await;
        assert!(!output.success, "{script}\nwas expected to fail, and gave\n{}", output.stdout);
        // The client tells the line of the script, which is not the server's word.
        output.stderr.lines().filter(|line| !line.starts_with("--------------")).collect::<Vec<_>>().join("\n") + "\n"
    }
}

/// `-vvv` prints each statement between dashed lines and says goodbye; a prompt and a semicolon read better.
fn tidy(output: &str) -> String {
    let mut text = String::new();
    let mut in_statement = false;
    for line in output.lines().filter(|line| *line != "Bye") {
        if line == "--------------" {
            in_statement = !in_statement;
            if in_statement {
                text.push_str("mysql> ");
            } else {
                text.truncate(text.trim_end().len());
                text.push_str(";\n");
            }
            continue;
        }
        text.push_str(line);
        text.push('\n');
    }
    let mut tidied = String::new();
    let mut blank = true;
    for line in text.lines() {
        // One empty line between things, none at the start or after a statement.
        let is_blank = line.is_empty();
        if !(is_blank && blank) {
            tidied.push_str(line);
            tidied.push('\n');
        }
        blank = is_blank || line.ends_with(';');
    }
    tidied.truncate(tidied.trim_end().len());
    tidied.push('\n');
    tidied
}

#[cfg(test)]
mod tests {
    use super::tidy;

    #[test]
    fn transcripts_read_as_at_a_terminal() {
        let output = "--------------\nSELECT 1\n--------------\n\n+---+\n| 1 |\n+---+\n| 1 |\n+---+\n1 row in set (0.000 sec)\n\n\
                      --------------\nUSE\n  d\n--------------\n\nQuery OK, 0 rows affected (0.000 sec)\n\nBye\n";
        assert_eq!(
            tidy(output),
            "mysql> SELECT 1;\n+---+\n| 1 |\n+---+\n| 1 |\n+---+\n1 row in set (0.000 sec)\n\n\
             mysql> USE\n  d;\nQuery OK, 0 rows affected (0.000 sec)\n"
        );
    }
}
