//! The places where a fault can strike: which request, of which statement, in which state of the job.

use ebla_tests::proxy::{Ending, Fault, Operation, Rule};

use crate::bed::Size;

/// What is done through the liar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Create,
    Show,
    Backup,
    Restore,
    /// DROP SNAPSHOT.
    Drop,
    /// The turn of collection that marks.
    Mark,
    /// The turn that sweeps.
    Sweep,
    Verify,
}

/// What is in the repository before a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// An older snapshot of the same table, made through another handle, so that this one remembers none of its nodes.
    Parent,
    /// A snapshot of the same label.
    SameLabel,
    /// All objects and nodes of an older snapshot, but not the snapshot: each is offered again.
    Leftovers,
    /// Nothing, and the table has so many files that listing what is there is worth it.
    ManyFiles,
}

/// A fault beside the one that is under test, to get to where that one strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Straight,
    /// The commit object arrives and the answer is lost, so the next attempt meets its own effect.
    CommitLost,
    /// A part is refused, so the upload is given up.
    PartRefused,
    /// Objects are refused, so the job ends, and a tombstone fences it off.
    ObjectRefused,
}

/// A place.
#[derive(Debug, Clone, Copy)]
pub struct Site {
    pub name: &'static str,
    pub work: Work,
    /// The job's state there; `None` while the statement itself waits.
    pub state: Option<&'static str>,
    pub operation: Operation,
    /// Part of the key.
    pub key: &'static str,
    pub ranged: bool,
    /// Requests of the same kind that come before.
    pub skip: usize,
    pub size: Size,
    pub before: Before,
    pub way: Way,
    /// What a message says of this operation.
    pub verb: &'static str,
}

const SITE: Site = Site {
    name: "",
    work: Work::Backup,
    state: None,
    operation: Operation::GetObject,
    key: "",
    ranged: false,
    skip: 0,
    size: Size::Small,
    before: Before::Nothing,
    way: Way::Straight,
    verb: "get",
};

const OBJECTS: &str = "ebla/objects/";
const TREES: &str = "ebla/trees/";
const SNAPSHOTS: &str = "ebla/snapshots/";
const GARBAGE: &str = "ebla/garbage/";
const WRITERS: &str = "ebla/writers/";
const INFO: &str = "ebla/repository.json";

/// Every place.
pub const SITES: &[Site] = &[
    // CREATE REPOSITORY, in the order of its requests.
    create("list", Operation::ListObjectsV2, SNAPSHOTS, "list"),
    create("read identity", Operation::GetObject, INFO, "get"),
    create("put probe", Operation::PutObject, "probe", "put"),
    create("read probe", Operation::GetObject, "probe", "get"),
    Site { ranged: true, ..create("read part of probe", Operation::GetObject, "probe", "get a part of") },
    create("begin upload", Operation::CreateMultipartUpload, "probe", "begin the upload of"),
    create("put part", Operation::UploadPart, "probe", "upload a part of"),
    create("complete upload", Operation::CompleteMultipartUpload, "probe", "complete the upload of"),
    create("put identity", Operation::PutObject, INFO, "put"),
    // SHOW SNAPSHOT.
    Site { work: Work::Show, verb: "list", ..statement("SHOW list", Operation::ListObjectsV2, SNAPSHOTS) },
    Site { work: Work::Show, ..statement("SHOW read snapshot", Operation::GetObject, SNAPSHOTS) },
    Site { work: Work::Show, ..statement("SHOW read node", Operation::GetObject, TREES) },
    // BACKUP.
    Site { verb: "list", ..statement("BACKUP list snapshots", Operation::ListObjectsV2, SNAPSHOTS) },
    Site {
        before: Before::SameLabel,
        verb: "list",
        ..statement("BACKUP list snapshots, the label is taken", Operation::ListObjectsV2, SNAPSHOTS)
    },
    backup("PENDING", "read identity", Operation::GetObject, INFO, "get"),
    backup("UPLOAD_SNAPSHOT", "announce", Operation::PutObject, WRITERS, "put"),
    backup("UPLOAD_SNAPSHOT", "list marks", Operation::ListObjectsV2, GARBAGE, "list"),
    Site { before: Before::Parent, ..backup("UPLOAD_SNAPSHOT", "read parent", Operation::GetObject, SNAPSHOTS, "get") },
    Site {
        before: Before::Parent,
        ..backup("UPLOAD_SNAPSHOT", "read parent's table node", Operation::GetObject, TREES, "get")
    },
    Site {
        before: Before::Parent,
        skip: 1,
        ..backup("UPLOAD_SNAPSHOT", "read parent's partition node", Operation::GetObject, TREES, "get")
    },
    Site {
        before: Before::ManyFiles,
        ..backup("UPLOAD_SNAPSHOT", "list objects", Operation::ListObjectsV2, OBJECTS, "list")
    },
    backup("UPLOADING", "put object", Operation::PutObject, OBJECTS, "put"),
    Site {
        before: Before::Leftovers,
        ..backup("UPLOADING", "look up object that exists", Operation::HeadObject, OBJECTS, "look up")
    },
    large("begin upload", Operation::CreateMultipartUpload, "begin the upload of"),
    large("put part", Operation::UploadPart, "upload a part of"),
    large("complete upload", Operation::CompleteMultipartUpload, "complete the upload of"),
    Site { way: Way::PartRefused, ..large("abort upload", Operation::AbortMultipartUpload, "upload a part of") },
    Site { way: Way::ObjectRefused, ..backup("UPLOADING", "put fence", Operation::PutObject, SNAPSHOTS, "put") },
    backup("UPLOAD_INFO", "put node", Operation::PutObject, TREES, "put"),
    Site {
        before: Before::Leftovers,
        ..backup("UPLOAD_INFO", "read node that exists", Operation::GetObject, TREES, "get")
    },
    backup("UPLOAD_INFO", "put commit object", Operation::PutObject, SNAPSHOTS, "put"),
    Site {
        way: Way::CommitLost,
        ..backup("UPLOAD_INFO", "read own commit object", Operation::GetObject, SNAPSHOTS, "get")
    },
    // RESTORE.
    Site { work: Work::Restore, verb: "list", ..statement("RESTORE list label", Operation::ListObjectsV2, SNAPSHOTS) },
    Site { work: Work::Restore, ..statement("RESTORE read snapshot", Operation::GetObject, SNAPSHOTS) },
    Site { skip: 1, ..restore("PENDING", "read snapshot", SNAPSHOTS) },
    restore("PENDING", "read table node", TREES),
    // Nodes of two tables are read first.
    Site { skip: 2, ..restore("PENDING", "read partition node", TREES) },
    restore("DOWNLOADING", "get object", OBJECTS),
    Site { ranged: true, size: Size::Large, verb: "get a part of", ..restore("DOWNLOADING", "get part", OBJECTS) },
    // DROP SNAPSHOT.
    drop("list", Operation::ListObjectsV2, SNAPSHOTS, "list"),
    drop("read snapshot", Operation::GetObject, SNAPSHOTS, "get"),
    drop("remove snapshot", Operation::DeleteObject, SNAPSHOTS, "delete"),
    drop("put tombstone", Operation::PutObject, SNAPSHOTS, "put"),
    // ADMIN CLEAN REPOSITORY.
    clean(Work::Mark, "put clock", Operation::PutObject, "clock.json", "put"),
    clean(Work::Mark, "list marks", Operation::ListObjectsV2, GARBAGE, "list"),
    clean(Work::Mark, "remove clock", Operation::DeleteObject, "clock.json", "delete"),
    clean(Work::Mark, "list writers", Operation::ListObjectsV2, WRITERS, "list"),
    clean(Work::Mark, "list nodes", Operation::ListObjectsV2, TREES, "list"),
    clean(Work::Mark, "list snapshots", Operation::ListObjectsV2, SNAPSHOTS, "list"),
    clean(Work::Mark, "read snapshot", Operation::GetObject, SNAPSHOTS, "get"),
    clean(Work::Mark, "put mark", Operation::PutObject, "mark.json", "put"),
    clean(Work::Mark, "put writers", Operation::PutObject, "writers.json", "put"),
    clean(Work::Sweep, "list writers", Operation::ListObjectsV2, WRITERS, "list"),
    clean(Work::Sweep, "list snapshots", Operation::ListObjectsV2, SNAPSHOTS, "list"),
    clean(Work::Sweep, "read mark", Operation::GetObject, "mark.json", "get"),
    clean(Work::Sweep, "claim mark", Operation::PutObject, "sweep.json", "put"),
    clean(Work::Sweep, "look for mark", Operation::HeadObject, "mark.json", "look up"),
    clean(Work::Sweep, "remove node", Operation::DeleteObject, TREES, "delete"),
    clean(Work::Sweep, "remove mark", Operation::DeleteObject, "mark.json", "delete"),
    // VERIFY SNAPSHOT.
    Site { work: Work::Verify, verb: "list", ..statement("VERIFY list label", Operation::ListObjectsV2, SNAPSHOTS) },
    Site { work: Work::Verify, ..statement("VERIFY read identity", Operation::GetObject, INFO) },
    Site { skip: 1, ..verify("read identity", INFO) },
    verify("read snapshot", SNAPSHOTS),
    verify("read node", TREES),
    verify("read object", OBJECTS),
];

const fn statement(name: &'static str, operation: Operation, key: &'static str) -> Site {
    Site { name, operation, key, ..SITE }
}

const fn create(name: &'static str, operation: Operation, key: &'static str, verb: &'static str) -> Site {
    Site { name, work: Work::Create, operation, key, verb, ..SITE }
}

const fn backup(
    state: &'static str,
    name: &'static str,
    operation: Operation,
    key: &'static str,
    verb: &'static str,
) -> Site {
    Site { name, state: Some(state), operation, key, verb, ..SITE }
}

const fn large(name: &'static str, operation: Operation, verb: &'static str) -> Site {
    Site { size: Size::Large, ..backup("UPLOADING", name, operation, OBJECTS, verb) }
}

const fn restore(state: &'static str, name: &'static str, key: &'static str) -> Site {
    Site { name, work: Work::Restore, state: Some(state), key, ..SITE }
}

const fn drop(name: &'static str, operation: Operation, key: &'static str, verb: &'static str) -> Site {
    Site { name, work: Work::Drop, operation, key, verb, ..SITE }
}

const fn clean(work: Work, name: &'static str, operation: Operation, key: &'static str, verb: &'static str) -> Site {
    Site { name, work, operation, key, verb, ..SITE }
}

const fn verify(name: &'static str, key: &'static str) -> Site {
    Site { name, work: Work::Verify, state: Some("VERIFYING"), key, ..SITE }
}

impl Site {
    /// Requests of this place, with this fault.
    pub fn rule(&self, fault: Fault) -> Rule {
        let rule = Rule::new(fault).on(self.operation).key(self.key).after(self.skip);
        match self.operation {
            Operation::GetObject => rule.ranged(self.ranged),
            _ => rule,
        }
    }

    /// What leads there.
    pub fn way(&self) -> Option<Rule> {
        match self.way {
            Way::Straight => None,
            Way::CommitLost => {
                let lost = Rule::new(Fault::LoseAnswer(Ending::Reset));
                Some(lost.on(Operation::PutObject).key(SNAPSHOTS).times(1))
            }
            Way::ObjectRefused => {
                Some(Rule::new(Fault::Refuse(403, "AccessDenied")).on(Operation::PutObject).key(OBJECTS))
            }
            Way::PartRefused => Some(Rule::new(Fault::Refuse(403, "AccessDenied")).on(Operation::UploadPart)),
        }
    }

    /// Whether the request has a body.
    pub fn sends(&self) -> bool {
        use Operation::{CompleteMultipartUpload, PutObject, UploadPart};
        matches!(self.operation, PutObject | UploadPart | CompleteMultipartUpload)
    }

    /// Whether the answer has a body.
    pub fn receives(&self) -> bool {
        use Operation::{CompleteMultipartUpload, CreateMultipartUpload, GetObject, ListObjectsV2};
        matches!(self.operation, ListObjectsV2 | GetObject | CreateMultipartUpload | CompleteMultipartUpload)
    }

    /// Whether the store is another after the request.
    pub fn changes(&self) -> bool {
        use Operation::{AbortMultipartUpload, CreateMultipartUpload, DeleteObject};
        self.sends() || matches!(self.operation, CreateMultipartUpload | AbortMultipartUpload | DeleteObject)
    }

    /// Whether it is the repository's own object.
    pub fn is_identity(&self) -> bool {
        self.key == INFO
    }

    /// Whether there is another object, or another listing, that may be taken for this one.
    pub fn has_double(&self) -> bool {
        let is_kept = [OBJECTS, TREES, SNAPSHOTS, INFO].contains(&self.key);
        match self.operation {
            Operation::ListObjectsV2 => true,
            // What is not there yet has none: any other is taken for what is there, and proven wrong later.
            Operation::GetObject => is_kept && self.work != Work::Create,
            _ => false,
        }
    }

    /// Whether what is read is an older snapshot, which only saves work.
    pub fn is_hint(&self) -> bool {
        self.before == Before::Parent
    }
}
