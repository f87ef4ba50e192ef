//! `cargo xtask deny`: licences, bans and sources of every dependency, judged by `deny.toml`.
//!
//! The file is cargo-deny's own, so `cargo deny check` reads the same rules. We judge them ourselves because
//! cargo-deny takes minutes to compile and these three checks take a second: licences come from `cargo tree`, bans and
//! sources from `Cargo.lock`. Security advisories need their database from a network; they are not judged here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::cargo::{cargo, output};
use crate::{Outcome, workspace_root};

mod rules;
mod spdx;

use rules::Rules;

/// Prints what breaks the rules; fails when anything does.
pub fn run() -> Outcome {
    let root = workspace_root();
    let read = |name: &str| fs::read_to_string(root.join(name)).map_err(|error| format!("read {name}: {error}"));
    let rules = Rules::parse(&read("deny.toml")?)?;
    let locked = locked_packages(&read("Cargo.lock")?);
    let mut tree = cargo();
    tree.args(["tree", "--workspace", "--locked", "--edges", "normal,build,dev", "--prefix", "none"]);
    tree.args(["--format", "{p}|{l}"]);
    let tree = output(tree)?;

    let mut complaints = judge_licences(&rules, &tree);
    complaints.extend(judge_bans(&rules, &locked));
    complaints.extend(judge_sources(&rules, &locked));
    if complaints.is_empty() {
        println!("{} packages: licences, bans and sources are as deny.toml wants them", locked.len());
        return Ok(());
    }
    Err(complaints.join("\n"))
}

/// A `[[package]]` of Cargo.lock.
#[derive(Debug, PartialEq)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
}

fn locked_packages(lock: &str) -> Vec<Locked> {
    let mut packages = Vec::new();
    for block in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            block.lines().find_map(|line| {
                let value = line.strip_prefix(key)?.strip_prefix(" = \"")?;
                value.strip_suffix('"').map(str::to_string)
            })
        };
        if let (Some(name), Some(version)) = (value("name"), value("version")) {
            packages.push(Locked { name, version, source: value("source") });
        }
    }
    packages
}

fn judge_licences(rules: &Rules, tree: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut complaints = Vec::new();
    for line in tree.lines() {
        let line = line.trim_end_matches(" (*)");
        let Some((package, licence)) = line.rsplit_once('|') else {
            continue;
        };
        if !seen.insert(package) {
            continue;
        }
        let name = package.split(' ').next().unwrap_or(package);
        let clarified = rules.clarified.get(name).map(String::as_str);
        let expression = if licence.is_empty() { clarified.unwrap_or("") } else { licence };
        if expression.is_empty() {
            complaints.push(format!("{package}: states no licence, and deny.toml does not clarify it"));
        } else if !spdx::allowed(expression, &rules.licences) {
            complaints.push(format!("{package}: licence `{expression}` is not allowed"));
        }
    }
    complaints
}

fn judge_bans(rules: &Rules, locked: &[Locked]) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in locked {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    let banned = rules.banned.iter().filter(|name| versions.contains_key(name.as_str()));
    let banned = banned.map(|name| format!("{name}: banned, and in Cargo.lock"));
    let doubled = rules.single.iter().filter_map(|name| {
        let versions = versions.get(name.as_str())?;
        (versions.len() > 1).then(|| format!("{name}: more than one version: {}", versions.join(", ")))
    });
    banned.chain(doubled).collect()
}

fn judge_sources(rules: &Rules, locked: &[Locked]) -> Vec<String> {
    let foreign = |package: &&Locked| {
        let source = package.source.as_deref();
        source.is_some_and(|source| !rules.registries.iter().any(|r| source == format!("registry+{r}")))
    };
    let complaint = |package: &Locked| {
        let source = package.source.as_deref().unwrap_or_default();
        format!("{} {}: comes from {source}", package.name, package.version)
    };
    locked.iter().filter(foreign).map(complaint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"arrow\"\nversion = \"58.4.1\"\nsource = \"registry+https://r/i\"\n\n\
        [[package]]\nname = \"arrow\"\nversion = \"57.0.0\"\nsource = \"git+https://elsewhere\"\n\n\
        [[package]]\nname = \"ours\"\nversion = \"0.1.0\"\ndependencies = [\n \"arrow\",\n]\n";

    #[test]
    fn bans_and_sources_are_read_from_the_lock_file() {
        let rules = Rules {
            banned: vec!["ours".to_string(), "absent".to_string()],
            single: vec!["arrow".to_string()],
            registries: vec!["https://r/i".to_string()],
            ..Rules::default()
        };
        let locked = locked_packages(LOCK);
        assert_eq!(locked.len(), 3);
        assert_eq!(
            judge_bans(&rules, &locked),
            ["ours: banned, and in Cargo.lock", "arrow: more than one version: 58.4.1, 57.0.0"]
        );
        assert_eq!(judge_sources(&rules, &locked), ["arrow 57.0.0: comes from git+https://elsewhere"]);
    }

    #[test]
    fn licences_are_judged_once_a_package() {
        let rules = Rules {
            licences: vec!["MIT".to_string()],
            clarified: BTreeMap::from([("silent".to_string(), "MIT".to_string())]),
            ..Rules::default()
        };
        let tree = "a v1.0.0|MIT OR GPL-3.0\nb v2.0.0|GPL-3.0\nb v2.0.0|GPL-3.0 (*)\nsilent v1.0.0|\nmute v1.0.0|\n";
        assert_eq!(
            judge_licences(&rules, tree),
            [
                "b v2.0.0: licence `GPL-3.0` is not allowed",
                "mute v1.0.0: states no licence, and deny.toml does not clarify it",
            ]
        );
    }
}
