//! The history of a simulated disk, to compare two runs of a seed and to count what was done.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    io,
    ops::Range,
    sync::Arc,
};

use super::FaultKind;

/// What has happened, in order. It is written down in numbers, and put into words only when somebody reads it.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    /// In pieces of [`PIECE`], the last one shorter: a copy of the disk shares all of them but that one.
    pieces: Vec<Arc<Vec<Event>>>,
    names: Arc<Names>,
    mixer: Mixer,
}

/// Events that are shared and copied as one.
const PIECE: usize = 128;

/// The names that events refer to, by number in the order in which they came.
#[derive(Clone, Debug, Default)]
struct Names {
    numbers: BTreeMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

/// The number of a name.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Name(u32);

#[derive(Clone, Copy, Debug, Hash)]
pub(super) enum Event {
    Operation { kind: FaultKind, file: Name, start: u64, end: u64, detail: Detail },
    Suffers(Suffered),
    LateWrite { file: Name, offset: u64 },
    Damage { file: Name, start: u64, end: u64, hash: u64 },
    Halts,
    PowerCut,
    ProcessCrash,
    Fork { seed: u64 },
}

/// What there is to say of an operation besides its file and the range.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) enum Detail {
    None,
    /// The new name.
    To(Name),
    /// A hash of what is written, and whether it is to be durable on completion.
    Written {
        hash: u64,
        durable: bool,
    },
}

/// What has gone wrong with the operation before.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) enum Suffered {
    Error(io::ErrorKind),
    Short(usize),
    Lost,
    Misdirected(Name, u64),
    Stale,
    Panic,
}

impl Trace {
    pub(super) fn push(&mut self, event: Event) {
        event.hash(&mut self.mixer);
        match self.pieces.last_mut() {
            Some(piece) if piece.len() < PIECE => Arc::make_mut(piece).push(event),
            _ => self.pieces.push(Arc::new(vec![event])),
        }
    }

    /// The number by which events refer to a name.
    pub(super) fn name(&mut self, name: &str) -> Name {
        if let Some(number) = self.names.numbers.get(name) {
            return Name(*number);
        }
        name.hash(&mut self.mixer);
        let names = Arc::make_mut(&mut self.names);
        let number = u32::try_from(names.names.len()).unwrap_or(u32::MAX);
        names.numbers.insert(name.into(), number);
        names.names.push(name.into());
        Name(number)
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.events().map(|event| Line(self, event).to_string()).collect()
    }

    /// A hash of all events, the same in every run.
    pub(super) fn hash(&self) -> u64 {
        self.mixer.finish()
    }

    /// Every operation: its kind, the name of its file and the range of it.
    pub(super) fn operations(&self) -> impl Iterator<Item = (FaultKind, &str, Range<u64>)> {
        self.events().filter_map(|event| match event {
            Event::Operation { kind, file, start, end, .. } => Some((*kind, self.show(*file), *start..*end)),
            _ => None,
        })
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        self.pieces.iter().flat_map(|piece| piece.iter())
    }

    fn show(&self, name: Name) -> &str {
        self.names.names.get(name.0 as usize).map_or("", |name| name)
    }
}

/// An event in words.
struct Line<'a>(&'a Trace, &'a Event);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line(trace, event) = self;
        match event {
            Event::Operation { kind, file, start, end, detail } => {
                write!(f, "{kind:?} {} {start}+{}", trace.show(*file), end - start)?;
                match detail {
                    Detail::None => Ok(()),
                    Detail::To(name) => write!(f, " to {}", trace.show(*name)),
                    Detail::Written { hash, durable } => {
                        write!(f, " {hash:016x}{}", if *durable { " durable" } else { "" })
                    }
                }
            }
            Event::Suffers(Suffered::Error(error)) => write!(f, "  fails: {error}"),
            Event::Suffers(Suffered::Short(sectors)) => write!(f, "  ends after {sectors} sectors"),
            Event::Suffers(Suffered::Lost) => write!(f, "  is lost"),
            Event::Suffers(Suffered::Misdirected(name, offset)) => {
                write!(f, "  goes to {} {offset}", trace.show(*name))
            }
            Event::Suffers(Suffered::Stale) => write!(f, "  is stale"),
            Event::Suffers(Suffered::Panic) => write!(f, "  panics"),
            Event::LateWrite { file, offset } => write!(f, "  late write lands in {} at {offset}", trace.show(*file)),
            Event::Damage { file, start, end, hash } => {
                write!(f, "damage {} {start}..{end} {hash:016x}", trace.show(*file))
            }
            Event::Halts => write!(f, "  the machine halts"),
            Event::PowerCut => write!(f, "power cut"),
            Event::ProcessCrash => write!(f, "process crash"),
            Event::Fork { seed } => write!(f, "fork {seed}"),
        }
    }
}

/// A hash of some bytes, the same in every run; not one to keep on a disk.
pub(super) fn hash_of(bytes: &[u8]) -> u64 {
    let mut mixer = Mixer::default();
    mixer.write(bytes);
    mixer.finish()
}

/// A fast hash without a key. Four lanes, because each word of one waits for the word before it.
#[derive(Clone, Copy, Debug, Default)]
struct Mixer {
    lanes: [u64; 4],
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks::<32>();
        for block in blocks {
            let (words, _) = block.as_chunks::<8>();
            for (lane, word) in self.lanes.iter_mut().zip(words) {
                *lane = mixed(*lane, u64::from_le_bytes(*word));
            }
        }
        for piece in rest.chunks(8) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.write_u64(u64::from_le_bytes(word));
        }
        self.write_u64(bytes.len() as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.lanes[0] = mixed(self.lanes[0], word);
    }

    fn finish(&self) -> u64 {
        self.lanes.into_iter().fold(0, mixed)
    }
}

fn mixed(state: u64, word: u64) -> u64 {
    // The multiplier is 2^64 over the golden ratio, which is odd and spreads neighbours far apart.
    let product = (state.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ (product >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_contents_lengths_and_orders_apart() {
        let contents: [&[u8]; 7] = [b"", b"\0", b"a", b"b", b"ab", &[0; 64], &[0; 65]];
        let hashes: std::collections::BTreeSet<u64> = contents.into_iter().map(hash_of).collect();
        assert_eq!(hashes.len(), contents.len());
        for at in [0, 31, 32, 99] {
            let mut bytes = [7; 100];
            bytes[at] = 8;
            assert_ne!(hash_of(&bytes), hash_of(&[7; 100]), "{at}");
        }
    }
}
