//! Notes the places that this process comes to, and ends it at one of them. Only in tests, and only in child processes:
//! what other tests do in the process would be noted too.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::FailPoint;

/// A place, and the how manyth time it is come to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Moment {
    /// The place in its [`fmt::Debug`] form.
    pub(super) point: String,
    /// From 1.
    pub(super) turn: u32,
}

#[derive(Debug, Default)]
struct Watch {
    turns: HashMap<FailPoint, u32>,
    seen: Vec<Moment>,
    /// Where the process is to die.
    death: Option<Moment>,
}

static WATCHING: AtomicBool = AtomicBool::new(false);
static WATCH: Mutex<Option<Watch>> = Mutex::new(None);

/// From now on places are noted, and the process dies at `death`.
pub(super) fn begin(death: Option<Moment>) {
    *WATCH.lock() = Some(Watch { death, ..Watch::default() });
    WATCHING.store(true, Ordering::SeqCst);
}

/// What has been noted; nothing is noted from now on.
pub(super) fn end() -> Vec<Moment> {
    WATCHING.store(false, Ordering::SeqCst);
    WATCH.lock().take().map_or_else(Vec::new, |watch| watch.seen)
}

pub(super) fn pass(point: FailPoint) {
    if !WATCHING.load(Ordering::Relaxed) {
        return;
    }
    let mut watch = WATCH.lock();
    let Some(watch) = watch.as_mut() else { return };
    let turn = watch.turns.entry(point).or_default();
    *turn += 1;
    let moment = Moment { point: format!("{point:?}"), turn: *turn };
    if watch.death.as_ref() == Some(&moment) {
        // Neither destructors nor the runtime get to do anything: what is not on disk by now never will be.
        std::process::abort();
    }
    watch.seen.push(moment);
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.point, self.turn)
    }
}

impl Moment {
    /// What [`Moment`]'s display says.
    pub(super) fn parse(text: &str) -> Option<Moment> {
        let (point, turn) = text.rsplit_once('#')?;
        Some(Moment { point: point.to_owned(), turn: turn.parse().ok()? })
    }
}
