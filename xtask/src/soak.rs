//! `cargo xtask soak`: lets a server live through a month in minutes, and looks whether what it takes stays flat.
//!
//! The work is done by the end-to-end test `soak`; this builds it and the server, by default in release, and hands over how
//! many days and which seed. The last lines are a table of what was measured each day.

use crate::cargo::{built_binary, cargo, check};
use crate::{Outcome, counterparts};

const USAGE: &str = "usage: cargo xtask soak [--days N] [--seed S] [--debug]";

/// Days when nobody says how many.
const DAYS: u64 = 30;

/// Below it too few days are left behind those in which a server has nothing yet to throw away.
const DAYS_MIN: u64 = 12;

#[derive(Debug, PartialEq, Eq)]
struct Options {
    days: u64,
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
    build.args(["build", "--workspace", "--bins", "--test", "soak"]).args(release);
    check(build)?;
    let mut test = cargo();
    test.args(["test", "--workspace", "--test", "soak"]).args(release).args(["--", "--nocapture", "what_it_takes"]);
    test.env("EBLA_BIN", built_binary(options.profile)?);
    test.env("EBLA_SOAK_DAYS", options.days.to_string()).env("EBLA_SOAK_SEED", options.seed.to_string());
    // Without a C compiler there is nothing to say, and that must not look like success.
    test.env("CI", "true");
    println!("soak: {} days, seed {}", options.days, options.seed);
    check(test)
}

fn parse(args: &[String]) -> Outcome<Options> {
    let mut options = Options { days: DAYS, seed: 1, profile: "release" };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let number = |value: Option<&String>| {
            let number = value.and_then(|value| value.parse::<u64>().ok());
            number.ok_or_else(|| format!("{arg} wants a number\n{USAGE}"))
        };
        match arg.as_str() {
            "--days" => options.days = number(args.next())?,
            "--seed" => options.seed = number(args.next())?,
            "--debug" => options.profile = "debug",
            other => return Err(format!("unknown argument {other:?}\n{USAGE}")),
        }
    }
    if options.days < DAYS_MIN {
        return Err(format!("{} days are too few to see what rises: give {DAYS_MIN} or more\n{USAGE}", options.days));
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_in_any_order() {
        let parse = |args: &[&str]| parse(&args.iter().map(|arg| (*arg).to_string()).collect::<Vec<_>>());
        assert_eq!(parse(&[]), Ok(Options { days: DAYS, seed: 1, profile: "release" }));
        let all = parse(&["--debug", "--seed", "7", "--days", "14"]);
        assert_eq!(all, Ok(Options { days: 14, seed: 7, profile: "debug" }));
        assert!(parse(&["--days"]).unwrap_err().contains("wants a number"));
        assert!(parse(&["--days", "3"]).unwrap_err().contains("too few"));
        assert!(parse(&["--day", "9"]).unwrap_err().contains("--day"));
    }
}
