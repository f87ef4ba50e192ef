//! The part of `deny.toml` that we judge ourselves.
//!
//! This reads the shape the file is kept in, not all of TOML: tables, one `key = "text"` or `key = [ … ]` at a time, inline
//! tables inside arrays, comments. Anything else is refused, so that a rule is never silently lost.

use std::collections::BTreeMap;

use crate::Outcome;

/// What may be in the dependency tree.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Licences that may be used.
    pub(super) licences: Vec<String>,
    /// Licences of crates that do not state one in their manifest.
    pub(super) clarified: BTreeMap<String, String>,
    /// Crates that may not appear.
    pub(super) banned: Vec<String>,
    /// Crates of which there may be one version only.
    pub(super) single: Vec<String>,
    /// Registries that crates may come from.
    pub(super) registries: Vec<String>,
}

impl Rules {
    /// Reads the rules; an empty list of licences or registries is refused, for it would be a typing error.
    pub(super) fn parse(text: &str) -> Outcome<Rules> {
        let mut rules = Rules::default();
        let mut table = String::new();
        let mut clarified_crate = String::new();
        let mut lines = text.lines().map(without_comment);
        while let Some(line) = lines.next() {
            if line.is_empty() {
                continue;
            }
            if let Some(name) = line.strip_prefix('[') {
                table = name.trim_matches(['[', ']']).to_string();
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                return Err(format!("deny.toml: cannot read `{line}`"));
            };
            let mut value = value.trim().to_string();
            while value.starts_with('[') && !value.ends_with(']') {
                let Some(more) = lines.next() else {
                    return Err(format!("deny.toml: the list of `{}` does not end", key.trim()));
                };
                value.push_str(&more);
            }
            match (table.as_str(), key.trim()) {
                ("licenses", "allow") => rules.licences = quoted(&value),
                ("licenses.clarify", "crate") => clarified_crate = quoted(&value).concat(),
                ("licenses.clarify", "expression") => {
                    rules.clarified.insert(clarified_crate.clone(), quoted(&value).concat());
                }
                ("bans", "deny") => {
                    for entry in value.split('{').skip(1) {
                        let Some(name) = quoted(entry).into_iter().next() else {
                            return Err(format!("deny.toml: a ban without a crate: `{entry}`"));
                        };
                        let single = entry.contains("deny-multiple-versions = true");
                        if single { &mut rules.single } else { &mut rules.banned }.push(name);
                    }
                }
                ("sources", "allow-registry") => rules.registries = quoted(&value),
                _ => {} // For cargo-deny itself.
            }
        }
        if rules.licences.is_empty() || rules.registries.is_empty() {
            return Err("deny.toml: [licenses] allow or [sources] allow-registry is empty".to_string());
        }
        Ok(rules)
    }
}

fn without_comment(line: &str) -> String {
    let mut in_quotes = false;
    let end = line.find(|c| {
        in_quotes ^= c == '"';
        c == '#' && !in_quotes
    });
    line[..end.unwrap_or(line.len())].trim().to_string()
}

/// The texts in double quotes, in order.
fn quoted(value: &str) -> Vec<String> {
    value.split('"').skip(1).step_by(2).map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_shape_the_file_is_kept_in() {
        let rules = Rules::parse(
            "# a comment\n[licenses]\nallow = [\n  \"MIT\", # the usual one\n  \"ISC\",\n]\n\
             [[licenses.clarify]]\ncrate = \"quiet\"\nexpression = \"MIT\"\n\
             [bans]\ndeny = [\n  { crate = \"openssl\" },\n  { crate = \"arrow\", deny-multiple-versions = true },\n]\n\
             [sources]\nallow-registry = [\"https://r/#i\"]\n",
        )
        .unwrap();
        assert_eq!(rules.licences, ["MIT", "ISC"]);
        assert_eq!(rules.clarified["quiet"], "MIT");
        assert_eq!(rules.banned, ["openssl"]);
        assert_eq!(rules.single, ["arrow"]);
        assert_eq!(rules.registries, ["https://r/#i"]);
        assert!(Rules::parse("[licenses]\nallow = []\n").is_err());
        assert!(Rules::parse("[licenses]\nallow = [\n").is_err());
        assert!(Rules::parse("licences allowed\n").is_err());
    }
}
