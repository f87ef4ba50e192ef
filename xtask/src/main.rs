//! The command line of `cargo xtask`: one match lists every command.

use std::process::ExitCode;

use xtask::{audit, bench, counterparts, coverage, deny, fuzz, golden, test, trial};

const USAGE: &str = "\
usage: cargo xtask <command>

  test                      everything CI checks: fmt, counterparts, licences, clippy, build, tests, docs
  counterparts [name…]      install the real S3 servers and MySQL clients that the tests talk to
  deny                      licences, bans and sources of the dependencies, by deny.toml
  audit                     security advisories on the dependencies (needs cargo-audit and a network)
  golden [cargo test args]  run tests and rewrite their golden files
  bench [name [args…]]      run a benchmark with release builds; without a name, list them
  coverage [--files] [-- test arguments]
                            which lines of storage its unit tests run (needs rustup's llvm-tools)
  torture [--kills N] [--seed S] [--debug]
                            kill a server at random moments under load, and look what it has lost
  soak [--days N] [--seed S] [--debug]
                            let a server live through a month in minutes, and look what rises
  fuzz <target>|all <secs>  run fuzz targets for a while (needs cargo-fuzz and a nightly toolchain)";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[] as &[String]),
    };
    let outcome = match command {
        "test" => test::run(rest),
        "counterparts" => counterparts::run(rest),
        "deny" => deny::run(),
        "audit" => audit::run(rest),
        "coverage" => coverage::run(rest),
        "golden" => golden::run(rest),
        "bench" => bench::run(rest),
        "torture" => trial::TORTURE.run(rest),
        "soak" => trial::SOAK.run(rest),
        "fuzz" => fuzz::run(rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => Err(format!("unknown command {other:?}\n\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
