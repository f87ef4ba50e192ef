//! Which storage roots new tablets go to: the emptiest first, so that disks fill evenly.

use crate::catalog::{NewPartition, ReadTransaction};
use crate::error::Result;
use crate::ids::StorageRootId;

/// Deals new tablets to storage roots. Make one for a statement, ask for the order before each partition, and count
/// the partition in afterwards.
#[derive(Debug, Clone)]
pub struct RootSpread {
    /// Every root with the replicas on it, in the order of the configuration.
    roots: Vec<(StorageRootId, u64)>,
}

impl RootSpread {
    /// The state of these roots.
    pub fn new(read: &ReadTransaction<'_>, configured: &[StorageRootId]) -> Result<RootSpread> {
        let counts = read.replica_counts()?;
        let roots = configured.iter().map(|root| (*root, counts.get(root).copied().unwrap_or(0))).collect();
        Ok(RootSpread { roots })
    }

    /// The roots, fewest replicas first: a partition's tablets take them in turn, beginning with the first.
    pub fn order(&self) -> Vec<StorageRootId> {
        self.sorted().into_iter().map(|position| self.roots[position].0).collect()
    }

    /// Counts a partition whose base index was made with the present order.
    pub fn count(&mut self, partition: &NewPartition) {
        let order = self.sorted();
        if order.is_empty() {
            return;
        }
        for bucket in 0..partition.buckets as usize {
            for copy in 0..partition.replication_num as usize {
                self.roots[order[(bucket + copy) % order.len()]].1 += 1;
            }
        }
    }

    fn sorted(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.roots.len()).collect();
        order.sort_by_key(|position| self.roots[*position].1);
        order
    }
}
