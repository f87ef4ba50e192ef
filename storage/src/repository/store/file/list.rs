//! Listing a directory tree as S3 lists a bucket: whole keys in the order of their bytes, page by page.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::super::{LIST_PAGE_KEYS, ListEntry, ListPage, PageToken};
use super::{Fault, StoreErrorKind, create, is_absent};

/// Deepest directory that is looked into: the layout needs four.
const DEPTH_MAX: usize = 8;

/// One page of the files below `prefix` that come after `after`.
pub(super) fn page(root: &Path, prefix: &str, after: Option<&str>) -> Result<ListPage, Fault> {
    let directory_ok = |segment: &str| !segment.is_empty() && segment != "." && segment != "..";
    let directory = prefix.strip_suffix('/').unwrap_or(prefix);
    if !prefix.is_empty() && (!prefix.ends_with('/') || !directory.split('/').all(directory_ok)) {
        let message = format!("'{prefix}' is not a directory below the location");
        return Err(Fault::Store(StoreErrorKind::Invalid, message));
    }
    let mut walk = Walk { after: after.unwrap_or_default(), page: ListPage::default() };
    match walk.directory(&root.join(directory), prefix, 0) {
        Ok(ControlFlow::Break(())) => {
            walk.page.next = walk.page.entries.last().map(|entry| PageToken(entry.key.clone()));
        }
        Ok(ControlFlow::Continue(())) => {}
        // S3 has no directories, so one that is not there holds nothing; but a root that is not there is a mistake.
        Err(error) if is_absent(&error) && root.is_dir() => {}
        Err(error) => return Err(error.into()),
    }
    Ok(walk.page)
}

struct Walk<'a> {
    after: &'a str,
    page: ListPage,
}

impl Walk<'_> {
    /// Adds the files of a directory whose keys begin with `prefix`; breaks when the page is full.
    fn directory(&mut self, path: &Path, prefix: &str, depth: usize) -> io::Result<ControlFlow<()>> {
        // Sorted with their slash, directories stand where their first key does.
        let mut keys: Vec<(String, bool)> = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?; // Does not follow links, so they are neither.
            if kind.is_dir() && name != create::STAGING {
                keys.push((format!("{prefix}{name}/"), true));
            } else if kind.is_file() {
                keys.push((format!("{prefix}{name}"), false));
            }
        }
        keys.sort_unstable();
        for (key, is_directory) in keys {
            let name = &key[prefix.len()..];
            let wholly_before = key.as_str() <= self.after && !self.after.starts_with(&key);
            if is_directory {
                if wholly_before || depth == DEPTH_MAX {
                    continue;
                }
                match self.directory(&path.join(name), &key, depth + 1) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => return Ok(ControlFlow::Break(())),
                    Err(error) if is_absent(&error) => {} // Removed meanwhile.
                    Err(error) => return Err(error),
                }
                continue;
            }
            if key.as_str() <= self.after {
                continue;
            }
            if self.page.entries.len() == LIST_PAGE_KEYS {
                return Ok(ControlFlow::Break(()));
            }
            let meta = match fs::symlink_metadata(path.join(name)) {
                Ok(meta) => meta,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(error),
            };
            let modified = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let modified_at_ms = modified.and_then(|age| i64::try_from(age.as_millis()).ok()).unwrap_or(0);
            self.page.entries.push(ListEntry { key, bytes: meta.len(), modified_at_ms });
        }
        Ok(ControlFlow::Continue(()))
    }
}
