//! Snapshots that were damaged where they lie, or on their way.

use std::{
    io::{self, Read},
    sync::{Arc, OnceLock},
};

use logboom_snapshot::{
    Chunk, Codec, EntryId, Error, Host, Lease, Registered, Spec, Stop, Store,
    fuzz::{seal_block, seal_container, seal_manifest},
};
use logboom_wal::fuzz::{Bounds, Image, Input, MemoryDisk, Meter, PAD};

const LOG: [u64; 2] = [3, 4];
const SHARD: u64 = 7;
/// Edits of one input.
const EDITS_MAX: usize = 32;
/// How much is read of a snapshot whose manifest may claim anything.
const READ_BYTES: u64 = 4 << 20;

/// What reading a snapshot may take. A reader has eight blocks in flight, and one that is not compressed any more;
/// a block of 64 bytes may stand for one of 512 KiB.
const READING: Bounds = Bounds { allocated_per_byte: 64, allocated: 24 << 20, read_per_byte: 8 };

type Files = Vec<(String, Vec<u8>)>;

/// A snapshot, as it lies in a directory and as it is sent.
struct Sample {
    name: String,
    container: Vec<u8>,
    registered: Registered,
    files: Files,
    manifest: Vec<u8>,
    chunks: Vec<Chunk>,
}

/// Reads a container that was edited, or receives a snapshot whose manifest and chunks were.
///
/// What is read or received without forged checksums is what was built, or the error says that it is not.
pub fn snapshot_container(bytes: &[u8], meter: Meter<'_>) {
    let mut input = Input::new(bytes);
    static SAMPLES: [OnceLock<Sample>; 2] = [const { OnceLock::new() }; 2];
    let choice = input.byte();
    let codec = [Codec::None, Codec::Lz4][usize::from(choice & 1)];
    let sample = SAMPLES[usize::from(choice & 1)].get_or_init(|| Sample::new(codec));
    match choice / 2 % 2 {
        0 => stored(sample, &mut input, meter),
        _ => sent(sample, &mut input, meter),
    }
}

fn stored(sample: &Sample, input: &mut Input<'_>, meter: Meter<'_>) {
    let (mut container, mut registered, mut sealed) = (sample.container.clone(), sample.registered, false);
    for _ in 0..EDITS_MAX {
        if input.is_empty() {
            break;
        }
        if input.byte().is_multiple_of(8) {
            // Its number is the directory's.
            if let Some(forged) = seal_container(&mut container, LOG) {
                registered = Registered { file: registered.file, ..forged };
                sealed = true;
            }
        } else {
            edit(&mut container, &sample.places(), input);
        }
    }
    container.resize((container.len() / PAD * PAD).max(PAD), 0);
    let untouched = container == sample.container;
    let disk = MemoryDisk::new(Image { files: [(sample.name.clone(), container)].into() });
    let read = READING.check(&disk, meter, || {
        let store = open(&disk, &[registered]);
        let lease = store.newest(SHARD)?.expect("it is registered");
        files(&lease)
    });
    match read {
        Ok(read) => assert!(sealed || read == sample.files, "it passes for what was built"),
        Err(error @ Error::Damaged { .. }) => assert!(sealed || !untouched, "nothing was changed: {error:#}"),
        Err(error) => assert!(sealed, "{error:#}"),
    }
}

fn sent(sample: &Sample, input: &mut Input<'_>, meter: Meter<'_>) {
    let (mut manifest, mut chunks, mut sealed) = (sample.manifest.clone(), sample.chunks.clone(), false);
    for _ in 0..EDITS_MAX {
        if input.is_empty() {
            break;
        }
        let kind = input.byte();
        let nth = usize::from(input.byte()) % (chunks.len() + 1);
        match (kind % 16, nth.checked_sub(1)) {
            (0, None) => seal_manifest(&mut manifest),
            (0, Some(nth)) => chunks[nth].bytes = changed(&chunks[nth], seal_block),
            (1, Some(nth)) => chunks.swap(nth, 0),
            (2, Some(nth)) => chunks[nth].offset = input.number(),
            (3, Some(nth)) => chunks[nth].file = input.number() as u32,
            (4, Some(nth)) => chunks.push(chunks[nth].clone()),
            (_, None) => edit(&mut manifest, &[0], input),
            (_, Some(nth)) => {
                let mut bytes = chunks[nth].bytes.to_vec();
                edit(&mut bytes, &[0], input);
                chunks[nth].bytes = bytes.into();
            }
        }
        sealed |= kind.is_multiple_of(16);
    }
    let untouched = manifest == sample.manifest && chunks == sample.chunks;
    let disk = MemoryDisk::new(Image::default());
    let before = meter();
    let received = receive(&disk, &manifest, &chunks);
    let len = manifest.len() + chunks.iter().map(|chunk| chunk.bytes.len()).sum::<usize>();
    let allocated = meter() - before;
    // What is asked for at once is the room of the file, which a disk has or has not.
    assert!(allocated <= 64 * len as u64 + (128 << 20), "{allocated} allocated for {len}");
    match received {
        Ok(received) => assert!(sealed || received == sample.files, "it passes for what was sent"),
        Err(error) => assert!(!untouched && !matches!(error, Error::Sync { .. }), "{error:#}"),
    }
}

/// Receives what passes of it.
fn receive(disk: &Arc<MemoryDisk>, manifest: &[u8], chunks: &[Chunk]) -> Result<Files, Error> {
    let store = open(disk, &[]);
    let mut receiver = store.receive(SHARD, manifest, &Stop::new())?;
    for chunk in chunks {
        match receiver.accept(chunk) {
            Ok(_) | Err(Error::OutOfOrder { .. } | Error::Foreign { .. } | Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let built = receiver.finish()?;
    files(&built.lease())
}

fn files(lease: &Lease) -> Result<Files, Error> {
    let mut left = READ_BYTES;
    let mut files = Files::new();
    for file in &lease.manifest().files {
        let mut bytes = Vec::new();
        let read = lease.open(&file.name)?.take(left).read_to_end(&mut bytes);
        left -= bytes.len() as u64;
        read.map_err(|error| inner(&error))?;
        files.push((file.name.clone(), bytes));
    }
    Ok(files)
}

fn inner(error: &io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    inner.expect("a reader's errors are the snapshot's").clone()
}

fn changed(chunk: &Chunk, change: impl FnOnce(&mut [u8])) -> bytes::Bytes {
    let mut bytes = chunk.bytes.to_vec();
    change(&mut bytes);
    bytes.into()
}

/// Sets bits or numbers near one of the places, copies or cuts.
fn edit(bytes: &mut Vec<u8>, places: &[usize], input: &mut Input<'_>) {
    let kind = input.byte() % 8;
    let place = places.get(input.below(places.len())).copied().unwrap_or(0);
    let at = place + input.below(PAD);
    match kind {
        0 => bytes.truncate(at),
        1 => {
            let from = input.below(bytes.len() / PAD) * PAD;
            let to = input.below(bytes.len() / PAD) * PAD;
            if bytes.len() >= from.max(to) + PAD {
                bytes.copy_within(from..from + PAD, to);
            }
        }
        2 => put(bytes, at / 8 * 8, &input.number().to_le_bytes()),
        3 | 4 => put(bytes, at / 4 * 4, &(input.number() as u32).to_le_bytes()),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (input.byte() % 8);
            }
        }
    }
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    if let Some(old) = bytes.get_mut(at..at + new.len()) {
        old.copy_from_slice(new);
    }
}

impl Sample {
    fn new(codec: Codec) -> Self {
        let noise = |len: u32| (0..len).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect::<Vec<u8>>();
        let state: Vec<u8> = match codec {
            Codec::None => noise(3000),
            // Of several blocks, each of which is small.
            _ => (0..600_000_u32).map(|at| (at / 5000) as u8).collect(),
        };
        let files =
            vec![("state".to_owned(), state), ("sst/1".to_owned(), noise(900)), ("empty".to_owned(), Vec::new())];
        let disk = MemoryDisk::new(Image::default());
        let store = open(&disk, &[]);
        let mut spec = Spec::new(SHARD, EntryId { index: 30, term: 2 });
        (spec.membership, spec.metadata, spec.codec) = (b"1, 2, 3".to_vec(), b"mine".to_vec(), codec);
        let mut builder = store.build(spec, &Stop::new()).unwrap();
        for (name, bytes) in &files {
            io::Write::write_all(&mut builder.file(name).unwrap(), bytes).unwrap();
        }
        let built = builder.finish().unwrap();
        let lease = built.lease();
        let registered = built.registration();
        let name = format!("snapshot-{:016x}", registered.file);
        let container = Image::of(&*disk).files.remove(&name).unwrap();
        let chunks = lease.chunks(None).unwrap().map(Result::unwrap).collect();
        Self { name, container, registered, files, manifest: lease.manifest_bytes().to_vec(), chunks }
    }

    /// Where something begins that is checked: the header, the blocks, the manifest.
    fn places(&self) -> Vec<usize> {
        let mut at = PAD;
        let mut places = vec![0];
        for chunk in &self.chunks {
            places.push(at);
            at += chunk.bytes.len().next_multiple_of(PAD);
        }
        places.push(at);
        places
    }
}

fn open(disk: &Arc<MemoryDisk>, registered: &[Registered]) -> Store {
    let list: Vec<_> = registered.iter().map(|registered| (SHARD, *registered)).collect();
    Store::open(Arc::clone(disk) as _, LOG, Arc::new(Alone), list, |_| false).unwrap()
}

/// A log that nothing is known of.
#[derive(Debug)]
struct Alone;

impl Host for Alone {
    fn nonce(&self) -> u64 {
        9
    }

    fn sync_failed(&self, what: &str, error: &io::Error) {
        panic!("{what}: {error:#}");
    }
}
