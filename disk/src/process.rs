//! Process identity: tells a process from its forked children, for the price of a load.

use std::io;

use rustix::io::Errno;

/// Whether an error says that no more files can be open, in this process or in the system: `EMFILE` and `ENFILE`, which
/// have no [`io::ErrorKind`].
pub fn lacks_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// The identity of a process, kept by what it has opened.
///
/// A forked child has a copy of its parent's memory, and shares its open files, locks and rings, but has none of its
/// threads. Code that must not run in a child checks [`Process::is_this`].
#[derive(Clone, Copy, Debug)]
pub struct Process {
    id: u32,
    generation: u32,
}

impl Process {
    /// The calling process.
    pub fn this() -> Self {
        Process { id: std::process::id(), generation: generation() }
    }

    /// Whether this is the calling process, and not one that it was forked from.
    pub fn is_this(self) -> bool {
        self.generation == generation()
    }

    /// The process id.
    pub fn id(self) -> u32 {
        self.id
    }

    /// # Errors
    /// `PermissionDenied` in a forked child.
    pub(crate) fn require(self) -> io::Result<()> {
        if self.is_this() {
            return Ok(());
        }
        let what = format!("process {} opened the directory, this one was forked from it and may not use it", self.id);
        Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn generation() -> u32 {
    std::process::id()
}

#[cfg(all(target_os = "linux", not(miri)))]
use linux::generation;

#[cfg(all(target_os = "linux", not(miri)))]
mod linux {
    use std::{
        ptr,
        sync::{
            OnceLock,
            atomic::{AtomicU32, Ordering},
        },
    };

    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

    /// A number that differs between a process, its ancestors and its forked children. The process id would not do: the
    /// system reuses ids, and reading it is a system call (measured: 240 ns on a virtual machine).
    pub(super) fn generation() -> u32 {
        match WIPED.get_or_init(wiped) {
            None => std::process::id(),
            Some(word) => match word.load(Ordering::Relaxed) {
                0 => begin(word),
                generation => generation,
            },
        }
    }

    /// Lies in memory that the kernel zeroes in a forked child; `None` where the kernel has no such memory (before
    /// Linux 4.14).
    static WIPED: OnceLock<Option<&'static AtomicU32>> = OnceLock::new();

    /// The highest generation of this process and its ancestors: a child inherits its parent's value.
    static HIGHEST: AtomicU32 = AtomicU32::new(0);

    fn begin(word: &AtomicU32) -> u32 {
        let next = HIGHEST.fetch_add(1, Ordering::Relaxed) + 1;
        match word.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => next,
            Err(another_thread_was_first) => another_thread_was_first,
        }
    }

    fn wiped() -> Option<&'static AtomicU32> {
        const LEN: usize = 4096;
        // SAFETY: the kernel chooses the address, so no existing mapping is replaced.
        let page = unsafe {
            mmap_anonymous(ptr::null_mut(), LEN, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE).ok()?
        };
        // SAFETY: the page was just mapped and nothing refers to it; it is zeroed in children, as it is now.
        if unsafe { madvise(page, LEN, Advice::LinuxWipeOnFork) }.is_err() {
            // SAFETY: as above.
            unsafe { munmap(page, LEN) }.ok()?;
            return None;
        }
        // SAFETY: the page is zeroed, aligned, never unmapped, and referred to as this atomic alone.
        Some(unsafe { AtomicU32::from_ptr(page.cast()) })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_kernel_tells_children_apart() {
            assert!(WIPED.get_or_init(wiped).is_some(), "Linux 4.14 and later have memory that is wiped");
            assert_eq!(generation(), generation());
        }
    }
}
