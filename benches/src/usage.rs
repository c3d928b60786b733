//! The resources that the process uses: processor time, peak memory, current memory.

use std::{alloc::System, fs, time::Duration};

use cap::Cap;
use rustix::time::{ClockId, clock_gettime};

use crate::Result;

/// The processor time of all threads of this process, including the kernel's workers for its rings.
pub fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let ns = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), ns)
}

/// The user time of all processes since the machine started, with a resolution of 10 ms; zero if the kernel does not
/// report it.
pub fn user_of_all() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut times = stat.split_whitespace().skip(1).map_while(|field| field.parse::<u64>().ok());
    let (user, nice) = (times.next().unwrap_or(0), times.next().unwrap_or(0));
    Duration::from_millis((user + nice) * 10)
}

/// The peak resident memory so far, in bytes; 0 if the kernel does not report it.
pub fn peak_rss_bytes() -> u64 {
    status_bytes("VmHWM:")
}

/// Restarts the count of [`peak_rss_bytes`].
///
/// # Errors
/// If the kernel does not support it (before 4.0), or a container forbids it.
pub fn forget_peak() -> Result<()> {
    fs::write("/proc/self/clear_refs", "5").map_err(|error| format!("/proc/self/clear_refs: {error}").into())
}

/// The resident memory now, in bytes; 0 if the kernel does not report it.
pub fn resident_bytes() -> u64 {
    status_bytes("VmRSS:")
}

/// The bytes that are allocated now.
pub fn live_bytes() -> u64 {
    ALLOCATOR.allocated() as u64
}

fn status_bytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_is_counted() {
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        // Other tests allocate and free at the same time, so the value before the allocation cannot be compared.
        assert!(live_bytes() >= 64 << 20);
        drop(block);
        assert!(peak_rss_bytes() > 32 << 20);
        assert!(cpu() > Duration::ZERO);
        assert!(user_of_all() > Duration::ZERO);
    }
}
