//! How long a run is, and how long it keeps things.

/// A run. Times are in simulated hours.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The whole run.
    pub hours: u32,
    /// Whether it is over after a few days, so that what is found has to be larger.
    pub is_short: bool,
    /// Between two samples.
    pub sample_every: u32,
    /// Samples before this are of a server that has not yet thrown anything away.
    pub settled_after: u32,
    /// Between two restarts, but for the middle third of the run: there one process lives through all.
    pub restart_every: u32,
    /// The backups' ttl.
    pub ttl: u32,
    /// For how long an object without a snapshot is left alone, twice.
    pub grace: u32,
    /// Between two collections.
    pub collection_every: u32,
    /// For how long what was dropped can be recovered.
    pub trash: u32,
    /// For how long jobs are remembered.
    pub history: u32,
    /// Rows and partitions live so long.
    pub rows_live: u32,
    /// The width of a partition.
    pub partition: u32,
}

impl Plan {
    /// Days with the product's retentions, but for the history of jobs, which is kept as long as labels are.
    pub fn long(days: u32) -> Plan {
        assert!(days >= 12, "{days} days are too few for a line through those that have settled: 12 at least");
        Plan {
            hours: days * 24,
            is_short: false,
            sample_every: 24,
            settled_after: 5 * 24,
            restart_every: 23,
            ttl: 24,
            grace: 24,
            collection_every: 6,
            trash: 24,
            history: 72,
            rows_live: 48,
            partition: 24,
        }
    }

    /// Three days of a server that keeps everything for hours.
    pub fn short() -> Plan {
        Plan {
            hours: 72,
            is_short: true,
            sample_every: 6,
            settled_after: 24,
            restart_every: 7,
            ttl: 6,
            grace: 3,
            collection_every: 2,
            trash: 6,
            history: 12,
            rows_live: 12,
            partition: 6,
        }
    }

    /// Whether the server is restarted in this hour.
    pub fn restarts(&self, hour: u32) -> bool {
        let middle = self.hours / 3..self.hours * 2 / 3;
        hour % self.restart_every == self.restart_every - 1 && !middle.contains(&hour)
    }
}
