//! Goal: the crates know only whom they may know, and the documents' links lead somewhere.
//! Method: read manifests, sources and documents as text.

use xtask::{house, workspace_root};

#[test]
fn imports_point_down_only() {
    let complaints = house::forbidden_imports(&workspace_root());
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let broken = house::broken_links(&workspace_root());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_metric_is_described() {
    let complaints = house::undescribed_metrics(&workspace_root());
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
