//! An open file of a simulated disk.

use std::{io, sync::Arc};

use super::{Shared, WRITABLE};
use crate::{
    buffer::{Region, Slice},
    disk::{File, Sync},
    facts::Geometry,
};

/// An open file of a simulated disk.
#[derive(Debug)]
pub(super) struct SimFile {
    shared: Arc<Shared>,
    name: String,
    inode: u64,
    writable: bool,
    geometry: Geometry,
    /// The file's content is kept while this is referred to, name or no name.
    _alive: Arc<()>,
}

impl File for SimFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> io::Result<u64> {
        self.shared.lock().size(self.inode)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.require_writable()?;
        self.shared.lock().allocate(self.inode, &self.name, size)
    }

    fn shrink(&self, size: u64) -> io::Result<()> {
        self.require_writable()?;
        self.shared.lock().shrink(self.inode, &self.name, size)
    }

    fn write_at(&self, slices: &[Slice], offset: u64, sync: Sync) -> io::Result<()> {
        self.require_writable()?;
        self.geometry.assert_write(slices, offset);
        let mut machine = self.shared.lock();
        let write = machine.begin_write(self.inode, &self.name, slices, offset, sync)?;
        machine.end_write(write)
    }

    fn read_at(&self, region: &mut Region, offset: u64) -> io::Result<()> {
        self.geometry.assert_read(region, offset);
        self.shared.lock().read(self.inode, &self.name, region, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut machine = self.shared.lock();
        let sync = machine.begin_sync(self.inode, &self.name)?;
        machine.end_sync(&sync)
    }

    fn sync_all(&self) -> io::Result<()> {
        let mut machine = self.shared.lock();
        let sync = machine.begin_sync(self.inode, &self.name)?;
        machine.end_sync(&sync)?;
        machine.sync_size(self.inode);
        Ok(())
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.shared.lock().forget_cached(self.inode)
    }

    fn simulated(&self) -> Option<u64> {
        let writable = if self.writable { WRITABLE } else { 0 };
        Some(self.shared.generation | self.inode | writable)
    }
}

impl SimFile {
    pub(super) fn new(
        shared: Arc<Shared>,
        name: &str,
        inode: u64,
        writable: bool,
        geometry: Geometry,
        alive: Arc<()>,
    ) -> Self {
        SimFile { shared, name: name.into(), inode, writable, geometry, _alive: alive }
    }

    fn require_writable(&self) -> io::Result<()> {
        if self.writable {
            return self.shared.require_ours();
        }
        Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{} was opened for reading", self.name)))
    }
}
