//! What listings tell: of all keys of a repository, or of as many pages as cost no more than asking for each object.
//!
//! Listings are made after the tree was read: what a snapshot needs was there before its commit object was. An object
//! that a listing lacks all the same, or shows with another size, is asked for once more before it is a finding.

use super::Depth;
use super::census::Census;
use super::reader::{Fault, Finding, Reader};
use crate::catalog::Problem;
use crate::error::Result;
use crate::repository::layout;

/// Most keys of a repository that are listed. None is held in memory.
const KEYS_MAX: usize = 100_000_000;

/// Objects from which on listing is worth a request.
const LIST_WORTH_OBJECTS_MIN: usize = 16;

/// Pages come one after the other, requests for objects many at a time: so many of those take the time of a page.
const REQUESTS_PER_PAGE: usize = 16;

/// Keys that are none of a repository's and are named; more are counted.
const FOREIGN_LISTED_MAX: usize = 100;

/// What a listing of the whole repository told beside the sizes of objects.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) unreferenced: u64,
    pub(super) unreferenced_bytes: u64,
    pub(super) foreign: u64,
    pub(super) findings: Vec<Finding>,
    /// Size of each object of the census, in its order.
    sizes: Vec<Option<u64>>,
}

/// Lists everything of the repository.
pub(super) async fn whole(reader: &Reader<'_>, census: &mut Census) -> Result<Listed> {
    let known = &*census;
    let mut listed = reader
        .ask("list the repository", || async move {
            let mut listed = Listed { sizes: vec![None; known.objects.len()], ..Listed::default() };
            let each = |key: String, bytes: u64| listed.see(known, key, bytes);
            reader.repository.list_keys(layout::ROOT, KEYS_MAX, each).await?;
            Ok(listed)
        })
        .await?;
    // Those below the snapshots were found when they were listed.
    listed.foreign += known.findings.values().filter(|fault| fault.problem == Problem::Foreign).count() as u64;
    keep_sizes(census, &listed.sizes);
    Ok(listed)
}

/// Lists objects, when only names and sizes are asked for and there are more than a few; gives up when the repository
/// turns out so large that asking for each is cheaper. What was listed until then counts.
pub(super) async fn of_objects(reader: &Reader<'_>, census: &mut Census, depth: Depth) -> Result<Option<Listed>> {
    if depth > Depth::Length || census.objects.len() < LIST_WORTH_OBJECTS_MIN {
        return Ok(None);
    }
    let pages_max = census.objects.len().div_ceil(REQUESTS_PER_PAGE);
    let mut listed = Listed { sizes: vec![None; census.objects.len()], ..Listed::default() };
    let mut page = None;
    for _ in 0..pages_max {
        let from = &page;
        let ask = || reader.repository.list_page(layout::OBJECTS, from.as_ref());
        let (keys, next) = reader.ask("list objects", ask).await?;
        for (key, bytes) in keys {
            listed.see(census, key, bytes);
        }
        match next {
            Some(next) => page = Some(next),
            None => break,
        }
    }
    keep_sizes(census, &listed.sizes);
    // A part of a listing tells nothing of what is referred to by others.
    Ok(None)
}

fn keep_sizes(census: &mut Census, sizes: &[Option<u64>]) {
    for (wanted, size) in census.objects.iter_mut().zip(sizes) {
        wanted.listed = *size;
    }
}

impl Listed {
    fn see(&mut self, census: &Census, key: String, bytes: u64) {
        if let Some((kind, digest)) = layout::parse_object(&key) {
            match census.objects.binary_search_by_key(&(digest, kind), |wanted| wanted.place()) {
                Ok(position) => self.sizes[position] = Some(bytes),
                Err(_) => self.see_unreferenced(bytes),
            }
        } else if let Some(digest) = layout::parse_tree(&key) {
            if !census.nodes.contains(&digest) {
                self.see_unreferenced(bytes);
            }
        } else if !is_known(&key) {
            self.foreign += 1;
            if self.findings.len() < FOREIGN_LISTED_MAX {
                let fault = Fault::new(Problem::Foreign, "a key that a repository has", format!("{bytes} bytes"));
                self.findings.push(Finding { key, fault });
            }
        }
    }

    fn see_unreferenced(&mut self, bytes: u64) {
        self.unreferenced += 1;
        self.unreferenced_bytes = self.unreferenced_bytes.saturating_add(bytes);
    }
}

/// Whether a key that is none of an object or a node is one that repositories have.
fn is_known(key: &str) -> bool {
    key.starts_with(layout::SNAPSHOTS)
        || layout::repository_info().as_str() == key
        || layout::is_probe(key)
        || layout::OTHER_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
        || layout::parse_mended(key).is_some()
}
