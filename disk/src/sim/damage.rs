//! Bytes on the disk that change by themselves.

use std::{io, ops::Range};

use super::{
    content::SECTOR,
    machine::Machine,
    pages::PAGE,
    trace::{Event, hash_of},
};

/// How much [`SimDisk::rot`](super::SimDisk::rot) damages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rot {
    /// One bit is inverted.
    Bit,
    /// One sector is garbage.
    Sector,
    /// 4096 aligned bytes are garbage.
    Block,
}

impl Machine {
    pub(super) fn damage(&mut self, name: &str, range: Range<u64>) -> io::Result<()> {
        let number = self.directory.get(name)?;
        if range.start > range.end || range.end > self.inode(number).content.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.corrupt(number, name, range, |bytes| bytes.iter_mut().for_each(|byte| *byte = !*byte));
        Ok(())
    }

    pub(super) fn rot(&mut self, name: &str, rot: Rot) -> io::Result<Range<u64>> {
        let number = self.directory.get(name)?;
        let content = &self.inode(number).content;
        let size = content.size();
        let written: Vec<u64> = content.durable.written().collect();
        let nowhere = || io::Error::new(io::ErrorKind::UnexpectedEof, format!("{name} holds nothing but zeros"));
        let page = self.rng.choice(written).ok_or_else(nowhere)? * PAGE as u64;
        let len = match rot {
            Rot::Bit => 1,
            Rot::Sector => SECTOR,
            Rot::Block => PAGE,
        };
        let pieces = (PAGE / len).max(1);
        let start = page + (self.rng.usize(..pieces) * len) as u64;
        let range = start.min(size)..size.min(start + len as u64);
        let mut rng = self.rng.fork();
        self.corrupt(number, name, range.clone(), |bytes| match (rot, bytes.first_mut()) {
            (Rot::Bit, Some(byte)) => *byte ^= 1 << rng.u32(..8),
            _ => rng.fill(bytes),
        });
        Ok(range)
    }

    /// Changes what is on the medium. What lies over it unsynced is elsewhere, and stays as it is.
    fn corrupt(&mut self, inode: u64, name: &str, range: Range<u64>, change: impl FnOnce(&mut [u8])) {
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        let content = &mut self.inode(inode).content;
        content.durable.read(range.start, &mut bytes);
        change(&mut bytes);
        content.durable.write(range.start, &bytes);
        let file = self.trace.name(name);
        self.trace.push(Event::Damage { file, start: range.start, end: range.end, hash: hash_of(&bytes) });
    }
}
