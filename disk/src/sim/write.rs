//! Writes on their way: begun, and landed whole, in part, late, elsewhere or not at all.

use std::io;

use bytes::Bytes;
use fastrand::Rng;

use super::{
    FaultKind,
    content::rows,
    fault::Effect,
    machine::Machine,
    trace::{Detail, Event, hash_of},
};
use crate::{buffer::Slice, disk::Sync};

/// A write that has begun.
#[derive(Clone)]
pub(super) struct Write {
    pub(super) inode: u64,
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
    durable: bool,
    effect: Option<Effect>,
}

/// The inode of no file: what is written to it is lost.
const NOWHERE: u64 = 0;

impl Machine {
    /// # Panics
    /// If the write is not inside the file: what writes beyond the end changes the size, and what was to be durable
    /// is not.
    pub(super) fn begin_write(
        &mut self,
        inode: u64,
        name: &str,
        slices: &[Slice],
        offset: u64,
        sync: Sync,
    ) -> io::Result<u64> {
        let bytes = joined(slices);
        let (len, durable) = (bytes.len(), sync == Sync::Data);
        self.counters.write(len, durable);
        let detail = Detail::Written { hash: hash_of(&bytes), durable };
        self.require_running()?;
        let size = self.inode(inode).content.size();
        assert!(offset + len as u64 <= size, "write of {len} bytes at {offset} in {name}, which has {size}");
        let effect = self.begin(FaultKind::Write, name, offset..offset + len as u64, detail)?;
        let (inode, offset) = match &effect {
            Some(Effect::Lost) => (NOWHERE, 0),
            Some(Effect::Misdirected { name, offset }) => self.elsewhere(name, *offset, len),
            _ => (inode, offset),
        };
        let number = self.next_number();
        self.in_flight.insert(number, Write { inode, offset, bytes, durable, effect });
        Ok(number)
    }

    pub(super) fn end_write(&mut self, number: u64) -> io::Result<()> {
        self.require_running()?;
        self.in_flight.remove(&number).map_or(Ok(()), |write| self.end(&write))
    }

    /// Lets the writes of a killed process come closer by an operation, and those land that are due.
    pub(super) fn land_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        for (remaining, write) in std::mem::take(&mut self.late) {
            if remaining > 0 {
                self.late.push((remaining - 1, write));
                continue;
            }
            let name = self.directory.name_of(write.inode).unwrap_or("").to_owned();
            let file = self.trace.name(&name);
            self.trace.push(Event::LateWrite { file, offset: write.offset });
            // The process that submitted it is dead; a failed write has landed in part.
            drop(self.end(&write));
        }
    }

    fn end(&mut self, write: &Write) -> io::Result<()> {
        self.order += 1;
        match write.effect {
            Some(Effect::Fails(error)) => {
                let lands = by_chance(self.rng.fork());
                self.land(write, lands);
                Err(error.into())
            }
            Some(Effect::Short { sectors, error }) => {
                self.land(write, |sector| sector < sectors);
                Err(error.into())
            }
            _ if write.durable => {
                if let Some(inode) = self.inodes.get_mut(&write.inode) {
                    inode.content.write_durable(write.offset, &write.bytes);
                }
                Ok(())
            }
            _ => {
                self.land(write, |_| true);
                Ok(())
            }
        }
    }

    /// Puts sectors of a write into its file, where they can be lost. Without a name or a reader the file is gone,
    /// and what was on its way to it too.
    fn land(&mut self, write: &Write, lands: impl FnMut(usize) -> bool) {
        let Some(inode) = self.inodes.get_mut(&write.inode) else { return };
        for row in rows(write.bytes.len(), lands) {
            inode.content.write(self.order, write.offset + row.start as u64, write.bytes.slice(row));
        }
    }

    /// Where a misdirected write goes.
    fn elsewhere(&mut self, name: &str, offset: u64, len: usize) -> (u64, u64) {
        let Ok(inode) = self.directory.get(name) else { return (NOWHERE, 0) };
        let end = offset.saturating_add(len as u64);
        if end <= self.inode(inode).content.size() { (inode, offset) } else { (NOWHERE, 0) }
    }
}

/// Which sectors a write leaves that has failed: all, none, or some. With even odds for each of many, all and none
/// would never come.
fn by_chance(mut rng: Rng) -> impl FnMut(usize) -> bool {
    let percent = [0, 50, 50, 100][rng.usize(..4)];
    move |_| rng.u32(..100) < percent
}

fn joined(slices: &[Slice]) -> Bytes {
    let mut bytes = Vec::with_capacity(slices.iter().map(|slice| slice.len()).sum());
    slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
    bytes.into()
}
