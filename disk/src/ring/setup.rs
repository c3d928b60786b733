//! Creates rings, and explains why io_uring is not available.

use std::{fs::read_to_string, io};

use io_uring::{IoUring, Probe, opcode};
use rustix::io::Errno;

use crate::options::Refusal;

/// Who submits to a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Issuer {
    /// The thread that makes it, and no other.
    Maker,
    /// One thread after the other.
    Anyone,
}

/// A ring that holds `entries` operations, in the best mode that the kernel knows.
pub(super) fn ring(entries: u32, issuer: Issuer) -> io::Result<IoUring> {
    let mut refusal = io::Error::from(Errno::INVAL);
    for mode in Mode::BEST_FIRST {
        if mode == Mode::DeferredToMaker && issuer == Issuer::Anyone {
            continue;
        }
        match mode.builder().build(entries) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => refusal = error,
            result => return result,
        }
    }
    Err(refusal)
}

/// Checks that io_uring runs here and supports what a log needs, and describes its mode.
pub(crate) fn probe() -> Result<String, Refusal> {
    let ring = ring(4, Issuer::Maker).map_err(|error| explain(&error))?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| explain(&error))?;
    let needed =
        [opcode::Write::CODE, opcode::Writev::CODE, opcode::Read::CODE, opcode::Fsync::CODE, opcode::PollAdd::CODE];
    let complete = needed.into_iter().all(|code| probe.is_supported(code));
    if !complete || !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
        return Err(Refusal {
            what: "the kernel's io_uring is too old".into(),
            hint: "Linux 5.11 or later is needed".into(),
        });
    }
    let mode = if ring.params().is_setup_single_issuer() { "task work deferred to one issuer" } else { "plain mode" };
    Ok(format!("io_uring runs, {mode}"))
}

/// When the kernel completes operations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// When the thread that made the ring asks for completions (Linux 6.1): it is never interrupted, and what has
    /// arrived is handled in one go.
    DeferredToMaker,
    /// When a thread enters the kernel anyway (Linux 5.19).
    Cooperative,
    /// At once, by interrupting the thread.
    Plain,
}

impl Mode {
    const BEST_FIRST: [Mode; 3] = [Mode::DeferredToMaker, Mode::Cooperative, Mode::Plain];

    fn builder(self) -> io_uring::Builder {
        let mut builder = IoUring::builder();
        match self {
            Mode::DeferredToMaker => builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag(),
            Mode::Cooperative => builder.setup_coop_taskrun().setup_taskrun_flag(),
            Mode::Plain => &mut builder,
        };
        builder
    }
}

/// Finds out what refuses io_uring: the error number alone does not tell.
fn explain(error: &io::Error) -> Refusal {
    let sysctl = read_to_string(SYSCTL).ok().map(|value| value.trim().to_owned());
    let (what, hint) = match (Errno::from_io_error(error), sysctl.as_deref()) {
        (Some(Errno::PERM | Errno::ACCESS), Some("2")) => {
            ("the sysctl kernel.io_uring_disabled = 2 forbids io_uring", "set it to 0")
        }
        (Some(Errno::PERM | Errno::ACCESS), Some("1")) => (
            "the sysctl kernel.io_uring_disabled = 1 forbids io_uring to unprivileged processes",
            "set it to 0, or add the process to the group in kernel.io_uring_group",
        ),
        (Some(Errno::PERM | Errno::ACCESS), _) => (
            "a seccomp filter or a security module forbids io_uring",
            "in a container, allow io_uring_setup, io_uring_enter and io_uring_register",
        ),
        (Some(Errno::NOSYS), _) => (
            "the kernel has no io_uring, or a seccomp filter hides it",
            "Linux 5.11 or later is needed; in a container, allow io_uring_setup, io_uring_enter and io_uring_register",
        ),
        (Some(Errno::NOMEM), _) => (
            "io_uring finds no memory that it may lock",
            "raise the limit of locked memory (ulimit -l) or of the memory cgroup",
        ),
        (Some(Errno::MFILE | Errno::NFILE), _) => {
            ("no descriptor is left for io_uring", "raise the limit of open files (ulimit -n)")
        }
        _ => return Refusal { what: format!("io_uring fails: {error}"), hint: "no remedy is known".into() },
    };
    Refusal { what: what.into(), hint: hint.into() }
}

const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let what = |errno: Errno| explain(&errno.into()).what;
        assert!(what(Errno::NOSYS).contains("seccomp"));
        assert!(what(Errno::NOMEM).contains("lock"));
        assert!(what(Errno::PERM).contains("forbids"));
        assert!(what(Errno::IO).contains("fails"));
    }
}
