//! What can go wrong with a request, where it can, and what must come of it.

use std::time::Duration;

use ebla_tests::proxy::{Effect, Ending, Fault, Operation};

use crate::site::{Before, Site, Way, Work};

/// How late a late effect is: after the attempt that follows at once.
const LATE: Duration = Duration::from_millis(1_500);

/// A latency within every timeout.
const SLOW: Duration = Duration::from_millis(800);

/// Bytes a second of a bad line.
const TRICKLE: u64 = 50_000;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    InternalError,
    SlowDown,
    /// No answer comes; of a request with a body half arrives.
    Timeout,
    /// The store says that the request took too long.
    RequestTimeout,
    /// The connection is closed before the store has seen the request.
    Closed,
    ResetUp,
    ResetDown,
    /// The connection is closed in mid-body.
    CutDown,
    /// Half of the body, with a head that says that this is all.
    HalvedDown,
    /// The body stands still.
    StallDown,
    FlippedUp,
    FlippedDown,
    /// It is the answer to another request.
    SwappedDown,
    /// 200 with an error in the body.
    ErrorInOk,
    /// The same, and the object is there.
    ErrorInOkApplied,
    EmptyListing,
    /// It lacks the key that sorts last.
    StaleListing,
    AnsweredTwice,
    AskedTwice,
    /// It was done, and the answer is lost.
    AnswerLost,
    /// It was done, and no answer comes.
    AnswerSilent,
    /// It was done, and the answer is an error.
    ErrorApplied,
    /// It is done later.
    Late,
    ExpiredToken,
    Latency,
    Trickle,
}

/// How long it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// The first time only.
    Once,
    /// Every time.
    Always,
    /// Every time, and somebody cancels the job meanwhile.
    Cancelled,
}

/// What must come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It works.
    Finishes,
    /// It fails, and says why.
    Fails,
    /// Either, in order.
    Either,
}

impl Trouble {
    pub const ALL: [Trouble; 26] = [
        Trouble::InternalError,
        Trouble::SlowDown,
        Trouble::Timeout,
        Trouble::RequestTimeout,
        Trouble::Closed,
        Trouble::ResetUp,
        Trouble::ResetDown,
        Trouble::CutDown,
        Trouble::HalvedDown,
        Trouble::StallDown,
        Trouble::FlippedUp,
        Trouble::FlippedDown,
        Trouble::SwappedDown,
        Trouble::ErrorInOk,
        Trouble::ErrorInOkApplied,
        Trouble::EmptyListing,
        Trouble::StaleListing,
        Trouble::AnsweredTwice,
        Trouble::AskedTwice,
        Trouble::AnswerLost,
        Trouble::AnswerSilent,
        Trouble::ErrorApplied,
        Trouble::Late,
        Trouble::ExpiredToken,
        Trouble::Latency,
        Trouble::Trickle,
    ];

    pub fn fault(self) -> Fault {
        let error = "<?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>We encountered an internal error\
                     </Message></Error>";
        match self {
            Trouble::InternalError => Fault::Refuse(500, "InternalError"),
            Trouble::SlowDown => Fault::Refuse(503, "SlowDown"),
            Trouble::Timeout => Fault::CutRequest(Ending::Silence),
            Trouble::RequestTimeout => Fault::Refuse(400, "RequestTimeout"),
            Trouble::Closed => Fault::Disconnect,
            Trouble::ResetUp => Fault::CutRequest(Ending::Reset),
            Trouble::ResetDown => Fault::CutAnswer(Ending::Reset),
            Trouble::CutDown => Fault::CutAnswer(Ending::Close),
            Trouble::HalvedDown => Fault::HalveAnswer,
            Trouble::StallDown => Fault::CutAnswer(Ending::Silence),
            Trouble::FlippedUp => Fault::FlipRequest,
            Trouble::FlippedDown => Fault::FlipAnswer,
            Trouble::SwappedDown => Fault::AnswerOther,
            Trouble::ErrorInOk => Fault::Say(200, error.to_string(), Effect::None),
            Trouble::ErrorInOkApplied => Fault::Say(200, error.to_string(), Effect::Applied),
            Trouble::EmptyListing => Fault::list_nothing(),
            Trouble::StaleListing => Fault::StaleListing,
            Trouble::AnsweredTwice => Fault::AnswerTwice,
            Trouble::AskedTwice => Fault::AskTwice,
            Trouble::AnswerLost => Fault::LoseAnswer(Ending::Reset),
            Trouble::AnswerSilent => Fault::LoseAnswer(Ending::Silence),
            Trouble::ErrorApplied => Fault::Say(500, error.to_string(), Effect::Applied),
            Trouble::Late => Fault::Late(LATE),
            Trouble::ExpiredToken => Fault::Refuse(400, "ExpiredToken"),
            Trouble::Latency => Fault::Delay(SLOW),
            Trouble::Trickle => Fault::Throttle(TRICKLE),
        }
    }

    /// Whether there is such a thing at that place.
    fn is_possible(self, site: &Site) -> bool {
        match self {
            Trouble::RequestTimeout | Trouble::ResetUp | Trouble::FlippedUp => site.sends(),
            Trouble::ResetDown | Trouble::CutDown | Trouble::HalvedDown | Trouble::StallDown | Trouble::FlippedDown => {
                site.receives()
            }
            Trouble::SwappedDown => site.has_double(),
            Trouble::ErrorInOk | Trouble::ErrorInOkApplied => site.operation == Operation::CompleteMultipartUpload,
            Trouble::EmptyListing | Trouble::StaleListing => site.operation == Operation::ListObjectsV2,
            Trouble::AskedTwice
            | Trouble::AnswerLost
            | Trouble::AnswerSilent
            | Trouble::ErrorApplied
            | Trouble::Late => site.changes(),
            // Large bodies would take longer than anybody wants to look on.
            Trouble::Trickle => {
                (site.sends() || site.receives()) && site.size == crate::bed::Size::Small && site.state.is_some()
            }
            _ => true,
        }
    }

    /// How long it is worth going wrong there. What heals is tried everywhere; what does not, where it makes a difference
    /// how often it is tried.
    pub fn spans(self, site: &Site) -> &'static [Span] {
        use Span::{Always, Cancelled, Once};
        let is_job = site.state.is_some();
        match self {
            _ if !self.is_possible(site) => &[],
            // Nothing is cancelled while it is looked at.
            Trouble::Timeout if site.work == Work::Verify && is_job => &[Once, Always],
            Trouble::StallDown if site.work == Work::Verify && is_job => &[Once],
            Trouble::Latency | Trouble::Trickle if is_job => &[Always],
            Trouble::Latency => &[],
            Trouble::ExpiredToken => &[Always],
            // By these a collection tells what is needed, and who needs it; a statement, what there is.
            Trouble::EmptyListing | Trouble::StaleListing => &[Once, Always],
            // Nothing waits for a fence but the job that puts it, and that has its time.
            _ if site.way == Way::ObjectRefused && self == Trouble::Timeout => &[Once, Always],
            Trouble::Timeout if is_job => &[Once, Always, Cancelled],
            Trouble::Timeout | Trouble::StallDown if !is_job => &[Always],
            Trouble::StallDown if site.key.contains("objects") => &[Once, Cancelled],
            Trouble::StallDown => &[Once],
            Trouble::InternalError | Trouble::Closed | Trouble::SlowDown => &[Once, Always],
            Trouble::HalvedDown
            | Trouble::FlippedDown
            | Trouble::SwappedDown
            | Trouble::FlippedUp
            | Trouble::AnswerLost => &[Once, Always],
            Trouble::AnswerSilent if !is_job => &[],
            _ => &[Once],
        }
    }

    /// What must come of it.
    pub fn expect(self, site: &Site, span: Span) -> Expect {
        use Expect::{Either, Fails, Finishes};
        let listing = site.operation == Operation::ListObjectsV2;
        if matches!(site.way, Way::PartRefused | Way::ObjectRefused) {
            return Fails; // By what is refused on the way; what befalls the abort, or the fence, changes nothing.
        }
        // What is left out may be the snapshot that has the label.
        if site.before == Before::SameLabel && self == Trouble::EmptyListing {
            return Either;
        }
        match (site.name, span) {
            // A snapshot is dropped once its commit object is gone.
            ("put tombstone", _) => return Finishes,
            // What cannot be removed is told in a note, and stays for the next turn.
            ("remove node", Span::Always) => return Either,
            _ => {}
        }
        match (self, span) {
            (_, Span::Cancelled) => Either, // The cell knows better.
            // Listings are neither signed nor sealed: without TLS what they say is believed.
            (Trouble::FlippedDown, _) if listing => Either,
            // All keys of another prefix may begin as these should, when there are none.
            (Trouble::SwappedDown, Span::Always) if listing => Either,
            // What is left out may be what is looked for, or something else.
            (Trouble::StaleListing, _) => Either,
            (Trouble::EmptyListing, _) => match site.work {
                Work::Restore | Work::Drop | Work::Verify => Fails,
                // The time of the store stands in it, and is missed.
                Work::Mark if site.name == "list marks" => Fails,
                // What is known to be there is missed twice.
                Work::Mark | Work::Sweep if site.name == "list snapshots" && span == Span::Always => Fails,
                Work::Show => Either,
                _ => Finishes,
            },
            (Trouble::ExpiredToken, _) => Fails,
            (Trouble::Latency | Trouble::Trickle | Trouble::AnsweredTwice | Trouble::AskedTwice, _) => Finishes,
            (_, Span::Once) => Finishes,
            // Whether a proof that there is nothing reads well makes no difference.
            (Trouble::HalvedDown | Trouble::FlippedDown, Span::Always)
                if site.work == Work::Create && site.is_identity() =>
            {
                Either
            }
            // A yes that cannot be read is asked for again, or does no harm.
            (Trouble::HalvedDown | Trouble::FlippedDown, Span::Always) if site.changes() => Either,
            // Not every bit of a list of parts says something, and where the object exists nobody looks at the list.
            (Trouble::FlippedUp, Span::Always) if site.operation == Operation::CompleteMultipartUpload => Either,
            // A node that never comes right is put again, beside the one that is taken for damaged.
            (Trouble::HalvedDown | Trouble::FlippedDown | Trouble::SwappedDown, Span::Always)
                if site.before == Before::Leftovers =>
            {
                Finishes
            }
            // What an older snapshot says is not needed when it cannot be read right.
            (Trouble::HalvedDown | Trouble::FlippedDown | Trouble::SwappedDown, Span::Always) if site.is_hint() => {
                Finishes
            }
            // A mark that cannot be read is given up, and marked anew by the next turn.
            (Trouble::HalvedDown | Trouble::FlippedDown, Span::Always) if site.name == "read mark" => Finishes,
            // The answer to a put that was applied is never heard, nor that to the fence of a job that gives up: it
            // finds its object, or says that it does not know.
            (Trouble::AnswerLost, Span::Always) if site.key.contains("snapshots") => Either,
            (Trouble::AnswerLost, Span::Always) if site.operation == Operation::CompleteMultipartUpload => Either,
            (_, Span::Always) => Fails,
        }
    }
}
