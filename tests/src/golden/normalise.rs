//! What differs from run to run, made the same: instants, durations, names of buckets, ports, and whole columns.
//!
//! Tables of the command-line client are taken apart and laid out again, so that a shorter name does not move the
//! borders; records printed with `\G` are known by their `Name: value` lines.

/// Replacements, applied in a fixed order: literals, columns, then instants and durations.
#[derive(Debug, Clone, Default)]
pub struct Normaliser {
    columns: Vec<(String, String)>,
    literals: Vec<(String, String)>,
}

impl Normaliser {
    /// Instants, durations and the server's version only.
    pub fn new() -> Normaliser {
        Normaliser::default()
    }

    /// Replaces every value of a column that is not NULL.
    #[must_use]
    pub fn column(mut self, name: &str, placeholder: &str) -> Normaliser {
        self.columns.push((name.to_string(), placeholder.to_string()));
        self
    }

    /// Replaces a text wherever it stands.
    #[must_use]
    pub fn literal(mut self, text: &str, placeholder: &str) -> Normaliser {
        self.literals.push((text.to_string(), placeholder.to_string()));
        self
    }

    /// The text with everything replaced.
    pub fn apply(&self, text: &str) -> String {
        let lines: Vec<&str> = text.lines().collect();
        let mut out = String::new();
        let mut at = 0;
        while at < lines.len() {
            if let Some(borders) = borders(lines[at]) {
                let rows = lines[at..].iter().take_while(|line| line.starts_with(['+', '|'])).count();
                self.table(&lines[at..at + rows], &borders, &mut out);
                at += rows;
            } else {
                out.push_str(&self.line(lines[at]));
                out.push('\n');
                at += 1;
            }
        }
        out
    }

    /// Lays a table out again with its values replaced.
    fn table(&self, lines: &[&str], borders: &[usize], out: &mut String) {
        let mut rows: Vec<Option<Vec<Cell>>> = Vec::new();
        for line in lines {
            rows.push(if line.starts_with('+') { None } else { Some(cells(line, borders)) });
        }
        let names: Vec<String> = rows
            .iter()
            .flatten()
            .next()
            .map(|row| row.iter().map(|cell| cell.text.clone()).collect())
            .unwrap_or_default();
        if names.is_empty() {
            // A border left alone by a cell with line breaks in it.
            lines.iter().for_each(|line| out.push_str(&format!("{line}\n")));
            return;
        }
        let mut is_head = true;
        for row in rows.iter_mut().flatten() {
            for (cell, name) in row.iter_mut().zip(&names) {
                if !is_head {
                    cell.text = self.value(name, &cell.text);
                }
            }
            is_head = false;
        }
        let width =
            |column: usize| rows.iter().flatten().map(|row| row[column].text.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..names.len()).map(width).collect();
        // A column of numbers is set to the right; one cell with room before it shows that.
        let replaced = |name: &String| self.columns.iter().any(|(column, _)| column == name);
        let to_right = |column: usize| rows.iter().flatten().skip(1).any(|row| row[column].to_right);
        let right: Vec<bool> = (0..names.len()).map(|column| !replaced(&names[column]) && to_right(column)).collect();
        let mut is_head = true;
        for row in &rows {
            match row {
                None => {
                    for width in &widths {
                        out.push('+');
                        out.push_str(&"-".repeat(width + 2));
                    }
                    out.push_str("+\n");
                }
                Some(row) => {
                    for (column, cell) in row.iter().enumerate() {
                        let (text, width) = (&cell.text, widths[column]);
                        let padded = if right[column] && !is_head {
                            format!("{text:>width$}")
                        } else {
                            format!("{text:<width$}")
                        };
                        out.push_str(&format!("| {padded} "));
                    }
                    out.push_str("|\n");
                    is_head = false;
                }
            }
        }
    }

    /// A line outside tables; a record's field is one of them.
    fn line(&self, line: &str) -> String {
        if let Some((name, value)) = line.split_once(": ")
            && self.columns.iter().any(|(column, _)| column == name.trim())
        {
            return format!("{name}: {}", self.value(name.trim(), value));
        }
        self.text(line)
    }

    fn value(&self, column: &str, value: &str) -> String {
        match self.columns.iter().find(|(name, _)| name == column) {
            Some((_, placeholder)) if value != "NULL" && !value.is_empty() => placeholder.clone(),
            _ => self.text(value),
        }
    }

    fn text(&self, text: &str) -> String {
        let mut text = text.to_string();
        for (literal, placeholder) in &self.literals {
            text = text.replace(literal, placeholder);
        }
        let text = shapes(&text);
        durations(&text)
    }
}

#[derive(Debug)]
struct Cell {
    text: String,
    to_right: bool,
}

/// Where a border line has its `+`, counted in characters.
fn borders(line: &str) -> Option<Vec<usize>> {
    if !line.starts_with("+-") || !line.ends_with('+') || line.contains(|c| c != '+' && c != '-') {
        return None;
    }
    Some(line.char_indices().filter(|(_, c)| *c == '+').map(|(at, _)| at).collect())
}

fn cells(line: &str, borders: &[usize]) -> Vec<Cell> {
    let chars: Vec<char> = line.chars().collect();
    let between = |pair: &[usize]| {
        let inside: String = chars.get(pair[0] + 1..pair[1].min(chars.len())).unwrap_or_default().iter().collect();
        let to_right = inside.starts_with("  ") && !inside.ends_with("  ");
        Cell { text: inside.trim().to_string(), to_right }
    };
    borders.windows(2).map(between).collect()
}

/// Instants by their shape; `d` stands for a digit. Longer shapes first. The replacements are as long as what they replace.
const SHAPES: &[(&str, &str)] = &[
    ("dddd-dd-dd-dd-dd-dd-ddd", "YYYY-MM-DD-hh-mm-ss-mmm"),
    ("dddd-dd-dd dd:dd:dd.dddddd", "YYYY-MM-DD hh:mm:ss.ffffff"),
    ("dddd-dd-dd dd:dd:dd", "YYYY-MM-DD hh:mm:ss"),
];

fn shapes(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let fits = |at: usize, shape: &str| {
        let before = at.checked_sub(1).and_then(|before| chars.get(before));
        let after = chars.get(at + shape.len());
        let is_digit = |c: Option<&char>| c.is_some_and(char::is_ascii_digit);
        !is_digit(before)
            && !is_digit(after)
            && shape.chars().enumerate().all(|(i, want)| {
                chars.get(at + i).is_some_and(|c| if want == 'd' { c.is_ascii_digit() } else { *c == want })
            })
    };
    let mut out = String::new();
    let mut at = 0;
    while at < chars.len() {
        match SHAPES.iter().find(|(shape, _)| fits(at, shape)) {
            Some((shape, placeholder)) => {
                out.push_str(placeholder);
                at += shape.len();
            }
            None => {
                out.push(chars[at]);
                at += 1;
            }
        }
    }
    out
}

/// The client's `(0.012 sec)` and `(1 min 2.345 sec)`.
fn durations(text: &str) -> String {
    let Some(end) = text.find(" sec)") else {
        return text.to_string();
    };
    let Some(start) = text[..end].rfind('(') else {
        return text.to_string();
    };
    let inside = &text[start + 1..end];
    if inside.is_empty() || !inside.chars().all(|c| c.is_ascii_digit() || " .minhour".contains(c)) {
        return text.to_string();
    }
    format!("{}(n sec){}", &text[..start], durations(&text[end + 5..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_laid_out_again() {
        let normaliser = Normaliser::new().column("JobId", "<id>").literal("bucket-1a2b3c4d", "bucket_s3");
        let table = |id: &str, bucket: &str, rule: &str| {
            format!(
                "+{rule}\n| JobId | Location{} | Rows |\n+{rule}\n| {id} | s3a://{bucket}/x | {:>4} |\n| NULL  | {:<w$} |   12 |\n+{rule}\n1 row in set (0.123 sec)\n",
                " ".repeat(bucket.len()),
                7,
                "2023-02-07 14:45:53",
                w = bucket.len() + 8,
            )
        };
        let found = normaliser.apply(&table("10431", "bucket-1a2b3c4d", "-------+-------------------------+------+"));
        assert_eq!(
            found,
            "+-------+---------------------+------+\n\
             | JobId | Location            | Rows |\n\
             +-------+---------------------+------+\n\
             | <id>  | s3a://bucket_s3/x   |    7 |\n\
             | NULL  | YYYY-MM-DD hh:mm:ss |   12 |\n\
             +-------+---------------------+------+\n\
             1 row in set (n sec)\n"
        );
    }

    #[test]
    fn records_and_plain_lines_are_known() {
        let normaliser = Normaliser::new().column("JobId", "<id>");
        let text = "*** 1. row ***\n      JobId: 10431\n  Timestamp: 2023-02-07-14-45-53-143\nLocation: s3a://b\nNot (12 seconds)\n";
        assert_eq!(
            normaliser.apply(text),
            "*** 1. row ***\n      JobId: <id>\n  Timestamp: YYYY-MM-DD-hh-mm-ss-mmm\nLocation: s3a://b\nNot (12 seconds)\n"
        );
        assert_eq!(durations("OK (1 min 2.345 sec) and (0.1 sec)"), "OK (n sec) and (n sec)");
        assert_eq!(shapes("12023-02-07 14:45:53"), "12023-02-07 14:45:53");
    }
}
