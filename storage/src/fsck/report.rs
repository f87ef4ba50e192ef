//! What a check has found, in words, and what it comes to.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use crate::ids::TabletId;

/// Lines of one kind that are printed; the rest is counted.
const LINES_MAX: usize = 50;

/// What a check of a data directory has found.
#[derive(Debug, Clone, Default)]
pub struct FsckReport {
    findings: Vec<Finding>,
    /// Tablets looked at.
    pub tablets: u64,
    /// Replicas looked at.
    pub replicas: u64,
    /// Files hashed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What was found before a repair and is not found any more.
    healed: Vec<Finding>,
}

/// One thing that a check has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub place: String,
    /// What is wrong.
    pub detail: String,
}

/// What a finding is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The catalog is not what was written.
    CatalogDamaged,
    /// A damaged catalog is taken for true, as was asked.
    CatalogTrusted,
    /// The directory of a storage root is not there.
    RootMissing,
    /// A replica's file is missing or has other bytes, and another replica has it whole.
    Damaged {
        /// The tablet.
        tablet: TabletId,
        /// The file.
        path: PathBuf,
        /// Where it is whole.
        whole: PathBuf,
    },
    /// A file that no replica has whole.
    Lost {
        /// The tablet.
        tablet: TabletId,
        /// The file, on one of the replicas.
        path: PathBuf,
    },
    /// A file does not have the digest it is named by, and the catalog cannot say whose it is.
    NotItsName,
    /// The properties of a repository are sealed, and the secret key does not open them.
    Sealed,
    /// A replica that is marked as bad and has everything.
    MarkedBad,
    /// The hash tree beside a segment is not its tree. It is derived: nothing is lost.
    WrongTree {
        /// The file.
        path: PathBuf,
    },
    /// A file in a tablet's directory that nothing names.
    Unnamed {
        /// Its storage root.
        root: PathBuf,
        /// The file.
        path: PathBuf,
    },
    /// Something else that is worth knowing.
    Note,
}

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Everything is what was written.
    Whole,
    /// Something was damaged; every file of it has, or had, a whole copy.
    Healable,
    /// Something is damaged of which no whole copy is here.
    Lost,
}

impl FsckReport {
    pub(super) fn add(&mut self, kind: Kind, place: impl fmt::Display, detail: impl Into<String>) {
        self.findings.push(Finding { kind, place: place.to_string(), detail: detail.into() });
    }

    /// Everything that was found, in the order of the look.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What a repair has healed.
    pub fn healed(&self) -> &[Finding] {
        &self.healed
    }

    /// What it comes to.
    pub fn verdict(&self) -> Verdict {
        let found = self.findings.iter().map(|finding| finding.kind.verdict()).max().unwrap_or(Verdict::Whole);
        let healed = self.healed.iter().map(|finding| finding.kind.verdict()).max().unwrap_or(Verdict::Whole);
        // What was healed has been found: a script that runs this every night must hear of it.
        found.max(healed.min(Verdict::Healable))
    }

    /// This, found after a repair of what `before` had found.
    pub(super) fn after_repair_of(mut self, before: FsckReport) -> FsckReport {
        let left: BTreeSet<String> = self.findings.iter().map(|finding| finding.place.clone()).collect();
        let mut healed = before.findings;
        healed.retain(|finding| finding.kind == Kind::CatalogDamaged || !left.contains(&finding.place));
        self.healed = healed;
        self
    }
}

impl Kind {
    /// What a finding of this kind comes to by itself.
    pub fn verdict(&self) -> Verdict {
        match self {
            Kind::CatalogDamaged | Kind::Lost { .. } | Kind::NotItsName | Kind::Sealed => Verdict::Lost,
            Kind::Damaged { .. } | Kind::RootMissing | Kind::MarkedBad => Verdict::Healable,
            Kind::CatalogTrusted | Kind::WrongTree { .. } | Kind::Unnamed { .. } | Kind::Note => Verdict::Whole,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Kind::CatalogDamaged => "damaged catalog",
            Kind::CatalogTrusted => "trusted catalog",
            Kind::RootMissing => "missing root",
            Kind::Damaged { .. } => "damaged",
            Kind::Lost { .. } => "LOST",
            Kind::NotItsName => "damaged",
            Kind::Sealed => "sealed",
            Kind::MarkedBad => "marked as bad",
            Kind::WrongTree { .. } => "wrong tree",
            Kind::Unnamed { .. } => "unnamed",
            Kind::Note => "note",
        }
    }
}

impl fmt::Display for FsckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "looked at {} tablets, {} replicas, {} files, {} bytes",
            self.tablets, self.replicas, self.files, self.bytes
        )?;
        write_all(f, &self.healed, "healed: ")?;
        write_all(f, &self.findings, "")?;
        let catalog = self.findings.iter().any(|finding| finding.kind == Kind::CatalogDamaged);
        let mut lost = self.findings.iter().map(|finding| &finding.kind).filter(|kind| kind.verdict() == Verdict::Lost);
        f.write_str(match self.verdict() {
            Verdict::Whole => "everything is what was written",
            Verdict::Healable if self.findings.iter().all(|finding| finding.kind.verdict() == Verdict::Whole) => {
                "healed: everything is what was written now; look at the disk"
            }
            Verdict::Healable => "nothing is lost: `ebla fsck --repair` heals it, and so does a server that is started",
            Verdict::Lost if catalog => {
                "the catalog cannot be believed: put back a copy of the data directory, or start with an empty one and \
                 RESTORE from a repository. If there is neither, --trust-catalog takes what it says for true"
            }
            Verdict::Lost if lost.all(|kind| *kind == Kind::Sealed) => {
                "every file is whole or has a whole copy, but credentials of repositories cannot be opened: backups and \
                 restores wait for the secret key, or for new credentials"
            }
            Verdict::Lost => {
                "files are lost here: a server that is started fetches them from a repository that has them; else \
                 restore the partitions they belong to from a snapshot"
            }
        })
    }
}

fn write_all(f: &mut fmt::Formatter<'_>, findings: &[Finding], prefix: &str) -> fmt::Result {
    let mut words: Vec<&str> = Vec::new();
    for finding in findings {
        if !words.contains(&finding.kind.word()) {
            words.push(finding.kind.word());
        }
    }
    for word in words {
        let of_kind: Vec<&Finding> = findings.iter().filter(|finding| finding.kind.word() == word).collect();
        for finding in of_kind.iter().take(LINES_MAX) {
            writeln!(f, "{prefix}{word}: {}: {}", finding.place, finding.detail)?;
        }
        if of_kind.len() > LINES_MAX {
            writeln!(f, "{prefix}{word}: {} more", of_kind.len() - LINES_MAX)?;
        }
    }
    Ok(())
}
