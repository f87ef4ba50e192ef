//! Goal: whatever backups, drops and collections do at the same time, every snapshot has all it needs, always; and what
//! nobody needs goes in the end. Method: their own code runs over a store in memory, one request at a time, in an order that a
//! seed decides; the seed also decides which of them stall, die, come back, or lose an answer. Many seeds, each of which can be
//! played again (`EBLA_LIFECYCLE_SEED=n`, with the trace of what happened; `EBLA_LIFECYCLE_SCHEDULES` plays more). That the
//! method finds anything is shown by leaving out one rule after the other.

mod actors;
mod by_hand;
mod explore;
mod world;
