//! `cargo xtask torture`: kills the server at random moments under a mixed load, and looks what it has lost.
//!
//! The work is done by the end-to-end test `torture`; this builds it and the server, by default in release, and hands over
//! how often and with which seed. The last lines tell what was seen; a finding names the seed to play it again with.

use crate::cargo::{built_binary, cargo, check};
use crate::{Outcome, counterparts};

const USAGE: &str = "usage: cargo xtask torture [--kills N] [--seed S] [--debug]";

/// Kills when nobody says how many.
const KILLS: u64 = 2_000;

#[derive(Debug, PartialEq, Eq)]
struct Options {
    kills: u64,
    seed: u64,
    profile: &'static str,
}

/// Runs it.
pub fn run(args: &[String]) -> Outcome {
    let options = parse(args)?;
    counterparts::install_all()?.print();
    let release: &[&str] = if options.profile == "release" { &["--release"] } else { &[] };
    // One call builds both, so that their dependencies are compiled once, with one set of features.
    let mut build = cargo();
    build.args(["build", "--workspace", "--bins", "--test", "torture"]).args(release);
    check(build)?;
    let mut test = cargo();
    test.args(["test", "--workspace", "--test", "torture"]).args(release).args([
        "--",
        "--nocapture",
        "nothing_is_lost",
    ]);
    test.env("EBLA_BIN", built_binary(options.profile)?);
    test.env("EBLA_TORTURE_KILLS", options.kills.to_string()).env("EBLA_TORTURE_SEED", options.seed.to_string());
    // Without SeaweedFS there is nothing to say, and that must not look like success.
    test.env("CI", "true");
    println!("torture: {} kills, seed {}", options.kills, options.seed);
    check(test)
}

fn parse(args: &[String]) -> Outcome<Options> {
    let mut options = Options { kills: KILLS, seed: 1, profile: "release" };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let number = |value: Option<&String>| {
            let number = value.and_then(|value| value.parse::<u64>().ok());
            number.ok_or_else(|| format!("{arg} wants a number\n{USAGE}"))
        };
        match arg.as_str() {
            "--kills" => options.kills = number(args.next())?,
            "--seed" => options.seed = number(args.next())?,
            "--debug" => options.profile = "debug",
            other => return Err(format!("unknown argument {other:?}\n{USAGE}")),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_in_any_order() {
        let parse = |args: &[&str]| parse(&args.iter().map(|arg| (*arg).to_string()).collect::<Vec<_>>());
        assert_eq!(parse(&[]), Ok(Options { kills: KILLS, seed: 1, profile: "release" }));
        let all = parse(&["--debug", "--seed", "7", "--kills", "200"]);
        assert_eq!(all, Ok(Options { kills: 200, seed: 7, profile: "debug" }));
        assert!(parse(&["--kills"]).unwrap_err().contains("wants a number"));
        assert!(parse(&["--kill", "9"]).unwrap_err().contains("--kill"));
    }
}
