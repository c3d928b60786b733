//! Writes the bytes of an object to a file.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    thread,
    time::{Duration, Instant},
};

use logboom_logtail_core::store::Urgency;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// An object is written in pieces of so many bytes, of which the disk has one before the next one is written: what
/// others write to the disk, as the log does, waits for one of them and not for the object.
///
/// Without direct IO each of them is synced. An object of 16 MiB on a cloud disk, with a writer of 4 KiB beside it that
/// syncs each: in pieces of 256 KiB it took 33 to 113 ms, of 1 MiB 21 to 43 ms, of 4 MiB 22 to 55 ms and as a whole 15
/// to 24 ms, while the 99th percentile of the writer was 4 to 8 ms, 4 to 8 ms, 14 to 19 ms and 12 to 13 ms. A disk that
/// is slower to sync loses more by small pieces then. Whether the file had its blocks before made no difference that
/// was there each time.
const PIECE: usize = 1 << 20;

/// In the background the pieces are smaller, and each is followed by a pause as long as it took.
const BACKGROUND_PIECE: usize = 128 << 10;
/// The longest of these pauses: a slow disk does not make a put time out.
const PAUSE_MAX: Duration = Duration::from_millis(10);
/// Direct IO has addresses, lengths and offsets that are multiples of this, which is one of all disks' block sizes.
const ALIGN: usize = 4096;

/// Writes an object to a new file, which is durable then.
pub(super) fn write(file: &File, bytes: &[u8], urgency: Urgency) -> io::Result<()> {
    let (piece, pause_max) = match urgency {
        Urgency::Now => (PIECE, Duration::ZERO),
        Urgency::Background => (BACKGROUND_PIECE, PAUSE_MAX),
    };
    let written = write_directly(file, bytes, piece, pause_max)?;
    write_synced(file, bytes, written, piece, pause_max)?;
    file.sync_all()
}

/// Writes the bytes without the page cache, as far as that is possible, and returns how many those are. They need no
/// syncs between them, each of which would have the log wait for the journal of the file system: the syncs of the log,
/// and the last one, find little that the disk has not written yet.
///
/// Beside transactions an object of 15 MB took 44 to 76 ms, pauses counted, and flushes kept 0.27 to 0.29 of their
/// speed; with a sync of each piece they kept 0.21 to 0.24. The 99th percentile of the transactions was 0.64 to 0.80 ms
/// with both.
fn write_directly(file: &File, bytes: &[u8], piece: usize, pause_max: Duration) -> io::Result<usize> {
    let flags = fcntl_getfl(file)?;
    // A file system that has no direct IO refuses it here, or the first piece.
    if fcntl_setfl(file, flags | OFlags::DIRECT).is_err() {
        return Ok(0);
    }
    let mut memory = vec![0; piece + ALIGN];
    let start = memory.as_ptr().align_offset(ALIGN);
    let mut written = 0;
    for piece in bytes[..bytes.len() - bytes.len() % ALIGN].chunks(piece) {
        let Some(aligned) = memory.get_mut(start..).and_then(|room| room.get_mut(..piece.len())) else { break };
        let began = Instant::now();
        aligned.copy_from_slice(piece);
        let len = match file.write_at(aligned, written as u64) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => 0,
            len => len?,
        };
        written += len - len % ALIGN;
        if len < piece.len() {
            break;
        }
        thread::sleep(began.elapsed().min(pause_max));
    }
    fcntl_setfl(file, flags)?;
    Ok(written)
}

/// Writes the bytes from position `from` on in pieces, each of which is durable before the next one. Each is followed
/// by a pause as long as it took, or `pause_max`.
fn write_synced(file: &File, bytes: &[u8], from: usize, piece: usize, pause_max: Duration) -> io::Result<()> {
    let mut at = from;
    for piece in bytes[from..].chunks(piece) {
        let began = Instant::now();
        file.write_all_at(piece, at as u64)?;
        at += piece.len();
        // The last one becomes durable with the rest of the file.
        if at < bytes.len() {
            file.sync_data()?;
            thread::sleep(began.elapsed().min(pause_max));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read};

    use super::*;

    /// So long objects end in the middle of pieces and of blocks, and at their ends.
    const LENS: [usize; 8] = [0, 1, 4095, 4096, 4097, BACKGROUND_PIECE, BACKGROUND_PIECE + 4097, 3 * PIECE + 5];

    fn object(len: usize) -> Vec<u8> {
        (0..len).map(|at| u8::try_from((at / 1000 + at % 7) % 251).unwrap()).collect()
    }

    fn content(file: &File) -> Vec<u8> {
        let (mut content, mut from) = (Vec::new(), file.try_clone().unwrap());
        io::Seek::rewind(&mut from).unwrap();
        from.read_to_end(&mut content).unwrap();
        content
    }

    #[test]
    fn a_file_has_the_bytes_of_its_object() {
        for len in LENS {
            for urgency in [Urgency::Now, Urgency::Background] {
                let (file, bytes) = (tempfile::tempfile().unwrap(), object(len));
                write(&file, &bytes, urgency).unwrap();
                assert!(content(&file) == bytes, "{len} bytes, {urgency:?}");
                assert!(!fcntl_getfl(&file).unwrap().contains(OFlags::DIRECT), "the flag stays for {len} bytes");
            }
        }
    }

    #[test]
    fn what_is_not_written_directly_is_written_behind_it() {
        for len in LENS {
            for direct in [0, len / 2 / ALIGN * ALIGN] {
                let (file, bytes) = (tempfile::tempfile().unwrap(), object(len));
                let written = write_directly(&file, &bytes[..direct], BACKGROUND_PIECE, Duration::ZERO).unwrap();
                // Temporary files may be on a file system without direct IO.
                assert!(written == direct || written == 0, "{written} of {direct} bytes");
                write_synced(&file, &bytes, direct, BACKGROUND_PIECE, Duration::ZERO).unwrap();
                assert!(content(&file) == bytes, "{len} bytes, {direct} of them directly");
            }
        }
    }

    #[test]
    fn a_file_system_without_direct_io_is_written_all_the_same() {
        // Files of the kernel have none.
        let file = fs::OpenOptions::new().write(true).open("/proc/self/comm").unwrap();
        assert_eq!(write_directly(&file, &object(3 * PIECE), PIECE, Duration::ZERO).unwrap(), 0);
    }
}
