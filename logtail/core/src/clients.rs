//! `Clients`: what clients called their transactions.

use std::collections::{HashMap, VecDeque};

use crate::timestamp::Timestamp;

/// How many client ids are remembered: those of the last transactions that had one.
const REMEMBERED: usize = 1 << 16;

/// The client ids of the last transactions, so that one which is committed again, since its client did not hear of its
/// end, is found.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    timestamps: HashMap<u128, Timestamp>,
    order: VecDeque<u128>,
}

impl Clients {
    pub(crate) fn find(&self, id: u128) -> Option<Timestamp> {
        self.timestamps.get(&id).copied()
    }

    /// Those whose transactions committed after one timestamp, and up to another one.
    pub(crate) fn between(&self, after: Timestamp, through: Timestamp) -> Vec<(u128, Timestamp)> {
        let all = self.order.iter().filter_map(|id| Some((*id, self.find(*id)?)));
        all.filter(|(_, at)| after < *at && *at <= through).collect()
    }

    pub(crate) fn insert(&mut self, id: u128, timestamp: Timestamp) {
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.timestamps.remove(&oldest);
        }
        if self.timestamps.insert(id, timestamp).is_none() {
            self.order.push_back(id);
        }
    }
}
