//! SPDX licence expressions: may we use this under one of the allowed licences?
//!
//! `AND` binds tighter than `OR`; the old `/` of crates.io means `OR`; `X WITH Y` is one licence of its own name.

/// Whether the expression can be satisfied with allowed licences only. Text that is no expression is not allowed.
pub(super) fn allowed(expression: &str, licences: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { tokens: &tokens, licences };
    matches!(parser.any_of(), Some(true)) && parser.tokens.is_empty()
}

struct Parser<'a> {
    tokens: &'a [&'a str],
    licences: &'a [String],
}

impl Parser<'_> {
    fn any_of(&mut self) -> Option<bool> {
        let mut verdict = self.all_of()?;
        while self.take("OR") {
            verdict |= self.all_of()?;
        }
        Some(verdict)
    }

    fn all_of(&mut self) -> Option<bool> {
        let mut verdict = self.one()?;
        while self.take("AND") {
            verdict &= self.one()?;
        }
        Some(verdict)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let verdict = self.any_of()?;
            return self.take(")").then_some(verdict);
        }
        let mut licence = self.next()?.to_string();
        if self.take("WITH") {
            licence = format!("{licence} WITH {}", self.next()?);
        }
        Some(self.licences.contains(&licence))
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.tokens.first() == Some(&word);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn next(&mut self) -> Option<&str> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn expressions_are_read_as_spdx_says() {
        let licences = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_string);
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT/GPL-3.0", true),
            ("GPL-3.0 OR MIT AND ISC", true),
            ("(GPL-3.0 OR MIT) AND BSL-1.0", false),
            ("ISC AND (MIT OR GPL-3.0)", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0", false),
            ("MIT AND", false),
            ("(MIT", false),
            ("MIT ISC", false),
            ("", false),
        ] {
            assert_eq!(allowed(expression, &licences), expected, "{expression}");
        }
    }
}
