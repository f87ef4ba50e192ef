//! The outline of a node's JSON: how long its members are, found in one pass that makes nothing.
//!
//! A reader of JSON makes of a few bytes what is many times as large, most of all where the type of a value stands inside of
//! it and all of it has to be kept until that is found. So what may be large is known before anything is read.
//! Whether the text is JSON at all is for the reader to say: up to the place where it gives up, both see the same.

use super::{FormatError, check_count, inconsistent};

/// Errors when a member of the outermost object, other than `large`, is longer than `bytes_max`.
pub(super) fn members_are_bounded(json: &[u8], large: &str, bytes_max: usize) -> Result<(), FormatError> {
    let mut depth = 0_usize;
    let mut key: &[u8] = b"";
    // Where the value of the member begins that is being walked through.
    let mut value = None;
    let check = |key: &[u8], value: Option<usize>, end: usize| match value {
        Some(start) if key != large.as_bytes() => check_count("a member beside its list", end - start, bytes_max),
        _ => Ok(()),
    };
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                let end = string_end(json, at + 1);
                if depth == 1 && value.is_none() {
                    key = &json[at + 1..end];
                }
                at = end;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b':' if depth == 1 => value = Some(at + 1),
            b',' if depth == 1 => {
                check(key, value, at)?;
                value = None;
            }
            _ => {}
        }
        at += 1;
    }
    check(key, value, json.len())
}

/// Errors when the members `detail` of all entries of the list `list`, a member of the outermost object, are longer than
/// `bytes_max` together. Entries are objects whose names have no escapes: nothing is hidden behind another way to write it.
pub(super) fn details_are_bounded(json: &[u8], list: &str, detail: &str, bytes_max: usize) -> Result<(), FormatError> {
    let (mut depth, mut in_list, mut total) = (0_usize, false, 0_usize);
    // Of the outermost object and of an entry: whether a value is being walked through; and where one begins that counts.
    let (mut outer_value, mut entry_value, mut is_detail, mut start) = (false, false, false, None);
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        let in_entry = in_list && depth == 3;
        if in_entry
            && matches!(byte, b',' | b'}')
            && let Some(start) = start.take()
        {
            total += at - start;
        }
        match byte {
            b'"' => {
                let end = string_end(json, at + 1);
                let text = &json[at + 1..end];
                if depth == 1 && !outer_value {
                    in_list = text == list.as_bytes();
                } else if in_entry && !entry_value {
                    if text.contains(&b'\\') {
                        return Err(inconsistent(format!("a name in an entry of its {list} has an escape")));
                    }
                    is_detail = text == detail.as_bytes();
                }
                at = end;
            }
            b'[' if in_list && depth == 2 => {
                return Err(inconsistent(format!("an entry of its {list} is no object")));
            }
            b'{' | b'[' => {
                depth += 1;
                if depth == 3 {
                    (entry_value, is_detail) = (false, false);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b':' if depth == 1 => outer_value = true,
            b':' if in_entry => {
                entry_value = true;
                start = is_detail.then_some(at + 1);
            }
            b',' if depth == 1 => outer_value = false,
            b',' if in_entry => entry_value = false,
            _ => {}
        }
        at += 1;
    }
    check_count("the list of the properties of its partitions", total, bytes_max)
}

/// Where the string ends whose first byte is at `at`: at its quote, or where the text ends.
fn string_end(json: &[u8], mut at: usize) -> usize {
    loop {
        match json.get(at) {
            None => return json.len(),
            Some(b'"') => return at,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(json: &str) -> bool {
        members_are_bounded(json.as_bytes(), "list", 8).is_ok()
    }

    #[test]
    fn one_member_may_be_large_and_no_other() {
        assert!(fits(r#"{"list":[1,2,3,4,5,6,7,8,9],"a":[1,2,3]}"#));
        assert!(!fits(r#"{"list":[1],"a":[1,2,3,4]}"#));
        assert!(!fits(r#"{"a":"123456789","list":[1]}"#));
        // A large member of a member, a key in other letters, one that only looks like it.
        assert!(!fits(r#"{"a":{"list":[1,2,3,4]}}"#));
        assert!(!fits(r#"{"l\u0069st":[1,2,3,4]}"#));
        assert!(!fits(r#"{"x":"list","a":[1,2,3,4]}"#));
    }

    #[test]
    fn brackets_and_quotes_in_texts_are_text() {
        assert!(fits(r#"{"a":"}\"]:,","list":"xxxxxxxxxxxxx","b":1}"#));
        assert!(!fits(r#"{"a":"\\","b":["\"",{"c":1}]}"#));
        assert!(fits(r#"{"a{":1,"b[":2,"c":3}"#));
    }

    #[test]
    fn details_are_added_up_over_all_entries() {
        let fits = |json: &str| details_are_bounded(json.as_bytes(), "list", "d", 8).is_ok();
        assert!(fits(r#"{"list":[{"d":{"a":1}}]}"#));
        assert!(fits(r#"{"list":[{"d":{}},{"d":{}},{"d":{}},{"e":{"d":[1,2,3]}}],"d":[1,2,3,4,5]}"#));
        assert!(fits(r#"{"other":[{"d":{"a":1}},{"d":{"a":1}}],"list":[]}"#));
        assert!(!fits(r#"{"list":[{"d":{"a":111}}]}"#));
        assert!(!fits(r#"{"list":[{"x":1,"d":{"a":1}},{"d":{},"x":2}]}"#));
        assert!(!fits(r#"{"a":"list","list":[{"n":"}","d":[1,2]},{"d":{"\"":{}}}]}"#));
        // The same in other ways, which the reader of JSON would take.
        assert!(!fits(r#"{"list":[{"\u0064":{}}]}"#));
        assert!(!fits(r#"{"list":[["x",{}]]}"#));
        assert!(fits(r#"{"list":[{"d":{"#), "what is cut off is no JSON");
    }

    #[test]
    fn what_is_no_json_is_walked_to_its_end() {
        for json in ["", "\"", "{\"a", "{\"a\\", "]]]]", "{\"a\":", "[[[[[[[[[[[[[[", "{\"list\":[[[[[[[[[[[[[["] {
            assert!(fits(json), "{json}");
        }
        assert!(!fits("{\"a\":[[[[[[[[["), "cut off inside of a member");
    }
}
