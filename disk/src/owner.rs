//! `Owner`: the process that has a directory locked, as the lock file names it.

use std::fmt;

/// The process that has a directory locked.
///
/// It is the process that locked it last. If that process has ended and the directory is still locked, then its
/// operations in flight hold the lock for a moment, or a process that it forked holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Owner {
    /// The calling process, through another disk.
    This,
    /// A process that runs.
    Process(u32),
    /// A process that has ended, or cannot be seen from here.
    Unseen(u32),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::This => write!(f, "this process already"),
            Owner::Process(id) => write!(f, "process {id}"),
            Owner::Unseen(id) => write!(
                f,
                "process {id}, which has ended, or runs where it cannot be seen: after its end, what it had in flight \
                 holds the lock for a moment, and a process that it forked as long as that runs"
            ),
        }
    }
}

/// The size of the record in the lock file: the text, padded with blanks. Direct IO is probed on this file, and ext4
/// stores a file of a few bytes within its inode (`inline_data`), where direct IO does not work.
pub(crate) const RECORD_BYTES: usize = 4096;

/// The record of this process: its id and its start time, since ids are reused.
pub(crate) fn record() -> String {
    let text = match started("self") {
        Some(started) => format!("{} {started}", std::process::id()),
        None => std::process::id().to_string(),
    };
    format!("{text:<0$}\n", RECORD_BYTES - 1)
}

/// The owner that a record names.
pub(crate) fn judge(record: &[u8]) -> Option<Owner> {
    let mut words = str::from_utf8(record).ok()?.split_whitespace();
    let id: u32 = words.next()?.parse().ok()?;
    let began: Option<u64> = words.next().and_then(|word| word.parse().ok());
    let this = started("self");
    Some(match () {
        () if id == std::process::id() && (began == this || began.is_none()) => Owner::This,
        // Without `/proc` no process can be checked, so the id of the record is the best answer.
        () if this.is_none() => Owner::Process(id),
        () => match started(&id.to_string()) {
            Some(found) if began.is_none_or(|began| began == found) => Owner::Process(id),
            _ => Owner::Unseen(id),
        },
    })
}

/// The start time of a running process, in clock ticks (`proc_pid_stat(5)`, fields 3 and 22).
fn started(process: &str) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Its name is in parentheses, and may have any character in it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X");
    if ended { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "it looks at processes")]
    fn a_record_names_this_process() {
        assert_eq!(record().len(), RECORD_BYTES);
        assert_eq!(judge(record().as_bytes()), Some(Owner::This));
        assert_eq!(judge(b"  \n"), None);
        assert_eq!(judge(b""), None);
        assert_eq!(judge(b"\xff"), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "it looks at processes")]
    fn a_number_that_is_used_again_is_another_process() {
        if started("self").is_none() {
            eprintln!("skipped: no /proc");
            return;
        }
        let id = std::process::id();
        assert_eq!(judge(format!("{id} 1\n").as_bytes()), Some(Owner::Unseen(id)));
        let parent = std::os::unix::process::parent_id();
        if let Some(began) = started(&parent.to_string()) {
            assert_eq!(judge(format!("{parent} {began}\n").as_bytes()), Some(Owner::Process(parent)));
            assert_eq!(judge(format!("{parent} {}\n", began + 1).as_bytes()), Some(Owner::Unseen(parent)));
        }
    }
}
