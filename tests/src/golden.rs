//! Golden files: text that people see, kept beside the tests and read in review.
//!
//! `golden!("page/show_backup", text)` compares with `golden/page/show_backup.txt` of the calling crate. With `EBLA_UPDATE_GOLDEN=1`
//! (`cargo xtask golden`) it rewrites the file instead. What differs from run to run is made the same first, by a [`Normaliser`].

use std::fmt::Write;
use std::path::Path;

mod normalise;

pub use normalise::Normaliser;

/// Lines shown around a difference.
const CONTEXT_LINES: usize = 3;

/// An error of a store without the store's name for the request.
pub fn without_request_id(text: &str) -> String {
    match text.split_once(", request id ") {
        Some((before, after)) => format!("{before}{}", after.find(')').map_or("", |end| &after[end..])),
        None => text.to_string(),
    }
}

/// Compares text with the golden file of this name.
#[macro_export]
macro_rules! golden {
    ($name:expr, $text:expr) => {
        $crate::golden::check(env!("CARGO_MANIFEST_DIR"), $name, &$text)
    };
}

/// What [`golden!`] does; `crate_folder` holds the folder `golden`.
#[track_caller]
pub fn check(crate_folder: &str, name: &str, text: &str) {
    check_file(&Path::new(crate_folder).join("golden").join(format!("{name}.txt")), text);
}

/// Compares text with a golden file, or rewrites the file.
#[track_caller]
pub fn check_file(file: &Path, text: &str) {
    if std::env::var_os(xtask::golden::UPDATE_ENV).is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
        return;
    }
    let Ok(expected) = std::fs::read_to_string(file) else {
        panic!("there is no golden file {}; `cargo xtask golden` writes it. The text is:\n{text}", file.display());
    };
    assert!(
        expected == text,
        "{} differs (- expected, + found); when the new text is right, `cargo xtask golden`:\n{}",
        file.display(),
        diff(&expected, text)
    );
}

/// A line diff by longest common subsequence, with a little context. Golden files are short enough for the table.
fn diff(expected: &str, found: &str) -> String {
    let old: Vec<&str> = expected.lines().collect();
    let new: Vec<&str> = found.lines().collect();
    let mut common = vec![vec![0usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] =
                if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let mut lines: Vec<(char, &str)> = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            lines.push(('-', old[i]));
            i += 1;
        } else {
            lines.push(('+', new[j]));
            j += 1;
        }
    }
    let changed = |at: usize| lines.get(at).is_some_and(|(mark, _)| *mark != ' ');
    let mut text = String::new();
    let mut gap = false;
    for (at, (mark, line)) in lines.iter().enumerate() {
        if (at.saturating_sub(CONTEXT_LINES)..=at + CONTEXT_LINES).any(changed) {
            let _ = writeln!(text, "{mark} {line}");
            gap = false;
        } else if !gap {
            text.push_str("  …\n");
            gap = true;
        }
    }
    if text.is_empty() || !lines.iter().any(|(mark, _)| *mark != ' ') {
        text.push_str("  (only the ends of lines differ)\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shown_in_their_place() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let new = "1\n2\n3\n4\n5\nsix\n7\n8\n9\nten\n";
        assert_eq!(diff(old, new), "  …\n  3\n  4\n  5\n- 6\n+ six\n  7\n  8\n  9\n+ ten\n");
    }

    #[test]
    fn a_golden_file_is_compared_and_missed() {
        let folder = crate::folder::Folder::new("golden");
        let crate_folder = folder.path().to_str().unwrap();
        if std::env::var_os(xtask::golden::UPDATE_ENV).is_some() {
            return; // There is nothing to compare while everything is rewritten.
        }
        let compare = |text: &'static str| std::panic::catch_unwind(|| check(crate_folder, "a/b", text)).is_ok();
        assert!(!compare("text\n"));
        std::fs::create_dir_all(folder.join("golden/a")).unwrap();
        std::fs::write(folder.join("golden/a/b.txt"), "text\n").unwrap();
        assert!(compare("text\n"));
        assert!(!compare("other\n"));
    }
}
