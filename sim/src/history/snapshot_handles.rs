//! The snapshot handles of a caller: builders, receivers and leases, and what they hold.

use std::collections::BTreeSet;

use logboom::{
    Engine,
    snapshot::{Builder, Built, Lease, Receiver, Stop},
};
use logboom_wal::marks;

use crate::{
    model::{Model, Models, Snapshot},
    operation::{Kind, Operation},
};

/// A caller's handles. They end with the engine, except for the second engine that sends snapshots.
#[derive(Default)]
pub(super) struct SnapshotHandles {
    pub(super) building: Option<Building>,
    pub(super) receiving: Option<Receiving>,
    /// The builders, with the tags of their snapshots.
    pub(super) built: Vec<(Built, u64)>,
    pub(super) leases: Vec<(Lease, Snapshot)>,
    pub(super) sender: Option<Engine>,
}

pub(super) struct Building {
    pub(super) builder: Builder,
    pub(super) stop: Stop,
    pub(super) tag: u64,
    /// The file that is written next.
    pub(super) next: u64,
}

pub(super) struct Receiving {
    pub(super) receiver: Receiver,
    pub(super) source: Lease,
    /// The engine sends it to itself.
    pub(super) is_own: bool,
    pub(super) tag: u64,
}

impl SnapshotHandles {
    /// Drops the handles and all unregistered snapshots, as the engine ends.
    pub(super) fn clear(&mut self) {
        *self = Self { sender: self.sender.take(), ..Self::default() };
    }

    /// The index above which the shard's log is held.
    pub(super) fn held(&self, shard: u64) -> Option<u64> {
        let own = self.receiving.iter().filter(|receiving| receiving.is_own).map(|receiving| &receiving.source);
        let leases = self.leases.iter().map(|(lease, _)| lease).chain(own);
        leases.map(|lease| lease.manifest()).filter(|manifest| manifest.shard == shard).map(|one| one.index).min()
    }

    /// The index of the first lease that forbids a batch of these operations. `models` are the shards before the batch.
    pub(super) fn refuses(&self, operations: &[Operation], models: &Models) -> Option<u64> {
        let (mut begun_anew, mut models) = (BTreeSet::new(), models.clone());
        operations.iter().find_map(|operation| {
            let Operation { shard, kind } = operation;
            let is_whole = |log: &Model, first| log.boundary.is_none() && log.first == first && !log.entries.is_empty();
            let whole = |first: u64| models.get(shard).is_some_and(|log| is_whole(log, first));
            let refused = match kind {
                Kind::Reset { .. } | Kind::Destroy => {
                    begun_anew.insert(*shard);
                    None
                }
                // Nothing is left of what was there, and nothing comes before it.
                Kind::Overwrite { first, .. } if whole(*first) => {
                    begun_anew.insert(*shard);
                    None
                }
                Kind::Compact { index, past_leases } if !begun_anew.contains(shard) => {
                    let held = self.held(*shard).filter(|held| index > held);
                    marks::hit_if(held.is_some() && *past_leases, "lease: a compaction goes past it");
                    held.filter(|_| !past_leases)
                }
                _ => None,
            };
            operation.apply(&mut models);
            refused
        })
    }
}
