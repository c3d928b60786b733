//! How a simulated disk behaves.

use crate::facts::{Backend, Facts, SyncMethod, WriteCache};

use super::SimDisk;

/// How a simulated disk behaves.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// See [`Facts::pad_unit`]: a power of two, at least [`SimDisk::SECTOR`].
    pub pad_unit: usize,
    /// The bytes that a torn write may damage around it: a power of two, at least [`SimDisk::SECTOR`]. Above the pad
    /// unit it tears what had been durable, which no log can survive: the case that the pad unit is chosen for.
    pub physical_block: usize,
    /// See [`Facts::direct`]. Without direct IO, what a failed sync has lost can still be read until power fails: a
    /// page cache takes it to be on the disk.
    pub direct: bool,
    /// What [`Facts::sync_method`] says.
    pub sync_method: SyncMethod,
    /// The most calls of [`Queue::reap`](crate::Queue::reap) that an operation takes to complete.
    pub delay_reaps_max: u32,
    /// The most operations after a [`SimDisk::process_crash`] at which a write that was in flight still lands.
    pub late_ops_max: u32,
    /// Of a thousand physical blocks with unsynced bytes, how many are found torn after a power cut that tears any;
    /// every other does.
    pub torn_per_mille: u32,
    /// What [`Facts::device`] says.
    pub device: Option<String>,
    /// How many bytes of files the disk holds; see [`SimDisk::set_capacity`].
    pub capacity: u64,
}

impl Default for SimOptions {
    fn default() -> Self {
        SimOptions {
            pad_unit: 4096,
            physical_block: 4096,
            direct: true,
            sync_method: SyncMethod::Rolling,
            delay_reaps_max: 3,
            late_ops_max: 8,
            torn_per_mille: 50,
            device: None,
            capacity: u64::MAX,
        }
    }
}

impl SimOptions {
    pub(super) fn facts(&self) -> Facts {
        Facts {
            backend: Backend::Simulated,
            backend_reason: "a disk in memory, for tests".into(),
            direct: self.direct,
            direct_reason: "it was asked for".into(),
            pad_unit: self.pad_unit,
            memory_align: SimDisk::SECTOR,
            cache: WriteCache::WriteBack,
            fua: Some(false),
            sync_method: self.sync_method,
            file_system: "memory".into(),
            device: self.device.clone(),
            kernel: "none".into(),
        }
    }
}
