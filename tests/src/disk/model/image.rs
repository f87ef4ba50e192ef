//! A directory as a value: written out, and compared with one that lies on disk.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Name, Node, ROOT};

/// What a disk holds.
#[derive(Debug)]
pub struct Image {
    pub(super) names: BTreeMap<Name, Node>,
    /// Permissions and bytes; what is not here is a directory.
    pub(super) files: HashMap<Node, (u32, Vec<u8>)>,
}

impl Image {
    /// Puts it in the place of what is in a directory.
    pub fn write(&self, root: &Path) {
        for entry in fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        }
        let mut written: HashMap<Node, PathBuf> = HashMap::new();
        for (path, node) in self.paths() {
            let path = root.join(path);
            match (self.files.get(&node), written.get(&node)) {
                (None, _) => fs::create_dir(&path).unwrap(),
                (Some(_), Some(other)) => fs::hard_link(other, &path).unwrap(),
                (Some((mode, bytes)), None) => {
                    let mut options = fs::OpenOptions::new();
                    let file = options.write(true).create_new(true).mode(*mode).open(&path).unwrap();
                    file.write_all_at(bytes, 0).unwrap();
                    written.insert(node, path);
                }
            }
        }
    }

    /// Says where a directory differs from it.
    pub fn difference(&self, root: &Path) -> Option<String> {
        let mut expected = BTreeMap::new();
        for (path, node) in self.paths() {
            expected.insert(path, self.files.get(&node).cloned());
        }
        let mut found = BTreeMap::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root.join(&folder)).unwrap() {
                let entry = entry.unwrap();
                let path = folder.join(entry.file_name());
                if is_derived(&path.to_string_lossy()) {
                    continue;
                }
                let metadata = entry.metadata().unwrap();
                let mode = metadata.permissions().mode() & 0o7777;
                let bytes = (!metadata.is_dir()).then(|| (mode, fs::read(root.join(&path)).unwrap()));
                if metadata.is_dir() {
                    folders.push(path.clone());
                }
                found.insert(path, bytes);
            }
        }
        for path in expected.keys().chain(found.keys()) {
            match (expected.get(path), found.get(path)) {
                (None, _) => return Some(format!("{} is not in the log", path.display())),
                (_, None) => return Some(format!("{} is only in the log", path.display())),
                (one, other) if one != other => {
                    return Some(format!("{} is not what the log says", path.display()));
                }
                _ => {}
            }
        }
        None
    }

    /// Every path that can be reached, directories before what is in them.
    pub(super) fn paths(&self) -> Vec<(PathBuf, Node)> {
        let mut paths = Vec::new();
        let mut folders = vec![(PathBuf::new(), ROOT)];
        while let Some((folder, node)) = folders.pop() {
            for ((_, name), child) in self.names.range((node, String::new())..(node + 1, String::new())) {
                let path = folder.join(name);
                if is_derived(name) {
                    continue;
                }
                if !self.files.contains_key(child) {
                    folders.push((path.clone(), *child));
                }
                paths.push((path, *child));
            }
        }
        paths
    }
}

/// Files that hold nothing of their own and are written by `mmap`.
fn is_derived(path: &str) -> bool {
    path.ends_with("-shm")
}
