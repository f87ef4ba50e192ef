//! Goal: `docker-compose.yml` is one that compose accepts, and says what the README promises.
//! Method: the real compose reads it (it needs no engine for that), and the parts that people rely on are looked for.

use std::path::Path;
use std::process::Command;

use ebla_tests::skip;

#[test]
fn compose_accepts_the_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let plugin = Command::new("docker").args(["compose", "version"]).output();
    let mut compose = if plugin.is_ok_and(|output| output.status.success()) {
        let mut docker = Command::new("docker");
        docker.arg("compose");
        docker
    } else {
        let Some(program) = skip::counterpart("docker-compose") else {
            return;
        };
        Command::new(program)
    };
    let output = compose.args(["--file", "docker-compose.yml", "config"]).current_dir(root).output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    for promised in ["ebla:", "s3:", "9030", "8030", "8333", "condition: service_healthy"] {
        assert!(text.contains(promised), "{promised} is not in what compose reads:\n{text}");
    }
}
