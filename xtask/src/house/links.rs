//! Links between the documents: a relative link must lead to a file that is there and, with `#`, to a heading in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{files_under, read};

/// Links in `*.md` that lead nowhere, as `file:line link: why`. Links to the network are not followed.
pub fn broken_links(root: &Path) -> Vec<String> {
    let mut broken = Vec::new();
    for file in files_under(root, "md") {
        let text = read(&file);
        for (line, link) in links(&text) {
            if let Err(why) = follow(root, &file, &text, &link) {
                let file = file.strip_prefix(root).unwrap_or(&file);
                broken.push(format!("{}:{line} {link}: {why}", file.display()));
            }
        }
    }
    broken
}

fn follow(root: &Path, file: &Path, text: &str, link: &str) -> Result<(), String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(());
    }
    let (path, anchor) = match link.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (link, None),
    };
    let target: PathBuf = if path.is_empty() {
        file.to_path_buf()
    } else if let Some(path) = path.strip_prefix('/') {
        root.join(path)
    } else {
        file.parent().unwrap_or(root).join(path)
    };
    if !target.exists() {
        return Err("there is no such file".to_string());
    }
    let Some(anchor) = anchor.filter(|_| target.extension().is_some_and(|e| e == "md")) else {
        return Ok(());
    };
    let text = if path.is_empty() { text.to_string() } else { read(&target) };
    if anchors(&text).contains(&anchor.to_string()) { Ok(()) } else { Err("there is no such heading".to_string()) }
}

/// Targets of `[text](target)` with their line, outside code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in prose(text) {
        // Code spans are the odd pieces between back quotes; a link's text may itself hold one, so only `](` counts.
        let mut in_code = false;
        let mut from = 0;
        for (at, c) in line.char_indices() {
            in_code ^= c == '`';
            if at >= from && !in_code && line[at..].starts_with("](") {
                let rest = &line[at + 2..];
                let Some(end) = rest.find(')') else { continue };
                let target = rest[..end].split_whitespace().next().unwrap_or_default();
                found.push((index + 1, target.trim_matches(['<', '>']).to_string()));
                from = at + 2 + end;
            }
        }
    }
    found
}

/// The anchors of a document's headings, as the usual forges make them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = Vec::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let mut anchor = String::new();
        for c in heading.trim().chars() {
            match c {
                ' ' => anchor.push('-'),
                '-' | '_' => anchor.push(c),
                c if c.is_alphanumeric() => anchor.extend(c.to_lowercase()),
                _ => {}
            }
        }
        let count = seen.entry(anchor.clone()).or_default();
        anchors.push(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
        *count += 1;
    }
    anchors
}

/// Lines outside fenced code blocks, with their index.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_links_outside_code() {
        let text = "see [a](b.md#c) and [`code`](d)\n```\n[no](no)\n```\n`[no](no)` [e](<f.md>)\n";
        let found: Vec<(usize, String)> = links(text);
        let expected = [(1, "b.md#c"), (1, "d"), (5, "f.md")];
        assert_eq!(found, expected.map(|(line, link)| (line, link.to_string())));
    }

    #[test]
    fn makes_anchors_as_forges_do() {
        let text = "# Try it\n## SHOW BACKUP: the 14 columns\n```\n# not a heading\n```\n## Try it\n#hash\n";
        assert_eq!(anchors(text), ["try-it", "show-backup-the-14-columns", "try-it-1"]);
    }
}
