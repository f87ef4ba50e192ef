//! `cargo xtask torture` and `cargo xtask soak`: the two trials that take minutes to hours and are played again by a seed.
//!
//! The work of each is done by the end-to-end test of its name; this builds it and the server, by default in release, and
//! hands over how much and with which seed. The test's last lines tell what was seen, and a finding names the seed.

use crate::cargo::{built_binary, cargo, check};
use crate::{Outcome, counterparts};

/// What a trial is called, what there can be more or less of, and the test that does it.
#[derive(Debug)]
pub struct Trial {
    /// The command, and the test's program.
    name: &'static str,
    /// The one test in it.
    test: &'static str,
    /// What is counted: the argument is `--` and this word, the variable `EBLA_`, the name and this word.
    unit: &'static str,
    /// How many when nobody says.
    default: u64,
    /// The fewest that tell something.
    least: u64,
}

/// Kills the server at random moments under a mixed load, and looks what it has lost.
pub const TORTURE: Trial = Trial { name: "torture", test: "nothing_is_lost", unit: "kills", default: 2_000, least: 1 };

/// Lets a server live through a month in minutes, and looks whether what it takes stays flat. Of fewer days than the least
/// too few are left behind those in which a server has nothing yet to throw away.
pub const SOAK: Trial = Trial { name: "soak", test: "what_it_takes", unit: "days", default: 30, least: 12 };

#[derive(Debug, PartialEq, Eq)]
struct Options {
    amount: u64,
    seed: u64,
    profile: &'static str,
}

impl Trial {
    /// Runs it.
    pub fn run(&self, args: &[String]) -> Outcome {
        let options = self.parse(args)?;
        counterparts::install_all()?.print();
        let release: &[&str] = if options.profile == "release" { &["--release"] } else { &[] };
        // One call builds both, so that their dependencies are compiled once, with one set of features.
        let mut build = cargo();
        build.args(["build", "--workspace", "--bins", "--test", self.name]).args(release);
        check(build)?;
        let mut test = cargo();
        test.args(["test", "--workspace", "--test", self.name]).args(release).args(["--", "--nocapture", self.test]);
        test.env("EBLA_BIN", built_binary(options.profile)?);
        test.env(self.variable(self.unit), options.amount.to_string());
        test.env(self.variable("seed"), options.seed.to_string());
        // Without what the test needs there is nothing to say, and that must not look like success.
        test.env("CI", "true");
        println!("{}: {} {}, seed {}", self.name, options.amount, self.unit, options.seed);
        check(test)
    }

    /// The variable by which the test is told.
    fn variable(&self, what: &str) -> String {
        format!("EBLA_{}_{}", self.name, what).to_uppercase()
    }

    fn parse(&self, args: &[String]) -> Outcome<Options> {
        let usage = format!("usage: cargo xtask {} [--{} N] [--seed S] [--debug]", self.name, self.unit);
        let mut options = Options { amount: self.default, seed: 1, profile: "release" };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let number = |value: Option<&String>| {
                let number = value.and_then(|value| value.parse::<u64>().ok());
                number.ok_or_else(|| format!("{arg} wants a number\n{usage}"))
            };
            match arg.strip_prefix("--") {
                Some("seed") => options.seed = number(args.next())?,
                Some("debug") => options.profile = "debug",
                Some(unit) if unit == self.unit => options.amount = number(args.next())?,
                _ => return Err(format!("unknown argument {arg:?}\n{usage}")),
            }
        }
        if options.amount < self.least {
            return Err(format!(
                "{} {} are too few to see anything: give {} or more\n{usage}",
                options.amount, self.unit, self.least
            ));
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(trial: &Trial, args: &[&str]) -> Outcome<Options> {
        trial.parse(&args.iter().map(|arg| (*arg).to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_come_in_any_order() {
        assert_eq!(parse(&TORTURE, &[]), Ok(Options { amount: 2_000, seed: 1, profile: "release" }));
        let all = parse(&TORTURE, &["--debug", "--seed", "7", "--kills", "200"]);
        assert_eq!(all, Ok(Options { amount: 200, seed: 7, profile: "debug" }));
        let all = parse(&SOAK, &["--days", "14", "--seed", "7"]);
        assert_eq!(all, Ok(Options { amount: 14, seed: 7, profile: "release" }));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_usage() {
        for (trial, args, words) in [
            (&TORTURE, ["--kills", "many"], "--kills wants a number"),
            (&TORTURE, ["--days", "14"], "\"--days\""),
            (&TORTURE, ["--kills", "0"], "too few"),
            (&SOAK, ["--days", "3"], "give 12 or more"),
            (&SOAK, ["days", "14"], "\"days\""),
        ] {
            let error = parse(trial, &args).unwrap_err();
            assert!(error.contains(words) && error.contains("usage: cargo xtask"), "{error}");
        }
    }

    #[test]
    fn the_tests_are_told_by_their_variables() {
        assert_eq!(TORTURE.variable(TORTURE.unit), "EBLA_TORTURE_KILLS");
        assert_eq!(SOAK.variable("seed"), "EBLA_SOAK_SEED");
    }
}
