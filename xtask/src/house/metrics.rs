//! The metrics that the code counts and those that `docs/operations.md` describes are the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::files_under;

/// What every metric's name begins with.
const PREFIX: &str = "ebla_";

/// Metrics that are in the code and not in the document, and the other way round.
pub fn undescribed_metrics(root: &Path) -> Vec<String> {
    let document = root.join("docs/operations.md");
    let described = names_in(&fs::read_to_string(&document).unwrap_or_default(), '`');
    let mut counted = BTreeSet::new();
    for member in ["protocol/src", "storage/src", "server/src"] {
        for file in files_under(&root.join(member), "rs") {
            for line in fs::read_to_string(file).unwrap_or_default().lines().filter(|line| is_a_recording(line)) {
                counted.extend(names_in(line, '"'));
            }
        }
    }
    let missing = counted.difference(&described).map(|name| format!("docs/operations.md does not describe {name}"));
    let stale =
        described.difference(&counted).map(|name| format!("docs/operations.md describes {name}: nothing counts it"));
    missing.chain(stale).collect()
}

fn is_a_recording(line: &str) -> bool {
    ["counter!(", "gauge!(", "histogram!("].iter().any(|call| line.contains(call))
}

/// Every name with the prefix that stands between two of these quotes.
fn names_in(text: &str, quote: char) -> BTreeSet<String> {
    let is_of_a_name = |c: char| c.is_ascii_lowercase() || c == '_';
    text.split(quote)
        .filter(|word| word.starts_with(PREFIX) && word.chars().all(is_of_a_name))
        .map(str::to_string)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_between_quotes() {
        let line = r#"counter!("ebla_loads_total", "state" => "visible"); // "ebla_ log""#;
        assert_eq!(names_in(line, '"'), BTreeSet::from(["ebla_loads_total".to_string()]));
    }
}
