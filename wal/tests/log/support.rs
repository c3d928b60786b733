//! A log on a simulated disk, and how it is written to.

use std::sync::Arc;

use logboom_disk::{SimDisk, SimOptions};
use logboom_wal::{
    Durability, Error, FooterSpace, ManualClock, Meta, Options, Place, Record, Request, Runtime, Scanned, Sequence,
    Ticket, Wal, open, record_bytes,
};

pub(crate) const FOOTER: FooterSpace = FooterSpace { fixed: 64, per_record: 16, per_range: 0 };

pub(crate) fn options() -> Options {
    Options { segment_bytes: 256 << 10, footer: FOOTER, ..Options::default() }
}

/// A log on a simulated disk, driven by hand.
pub(crate) struct Sim {
    pub(crate) disk: Arc<SimDisk>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) wal: Wal,
    pub(crate) replayed: Vec<(Record, Place)>,
    /// Whether something was lost.
    pub(crate) is_damaged: bool,
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, SimOptions::default())
    }

    pub(crate) fn with(seed: u64, options: SimOptions) -> Self {
        Self::open(SimDisk::new(seed, options), ManualClock::new(seed)).unwrap()
    }

    pub(crate) fn open(disk: Arc<SimDisk>, clock: Arc<ManualClock>) -> Result<Self, Error> {
        let mut replayed = Vec::new();
        let mut opening = open(disk.clone(), options(), Runtime::Manual(clock.clone()))?;
        opening.replay(&mut |scanned| {
            if let Scanned::Record(record, place) = scanned {
                replayed.push((record, place));
            }
            Ok(())
        })?;
        Ok(Self { disk, clock, is_damaged: !opening.report().damages.is_empty(), wal: opening.start()?, replayed })
    }

    /// What the next process finds after the power was cut.
    pub(crate) fn cut_power(self) -> Result<Self, Error> {
        Self::open(self.disk.power_cut(), self.clock)
    }

    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.replayed.iter().map(|(record, _)| record.body().to_vec()).collect()
    }
}

pub(crate) fn record(scanned: Scanned) -> Record {
    match scanned {
        Scanned::Record(record, _) => record,
        Scanned::Lost(loss) => panic!("{loss:?}"),
    }
}

pub(crate) fn submit(wal: &Wal, bodies: &[&[u8]], durability: Durability) -> Result<(Ticket, Vec<Place>), Error> {
    let bytes = bodies.iter().map(|body| record_bytes(body.len())).sum();
    let records = u32::try_from(bodies.len()).unwrap();
    let permit = wal.admit(bytes as u64)?;
    let mut reservation = wal.reserve(permit, &Request { records, bytes, durability, frees_space: false })?;
    let mut places = Vec::new();
    for (nth, body) in bodies.iter().enumerate() {
        let meta = Meta { owner: 7, kind: 1, first: nth as u64, count: 1, attr: 3, prev: Sequence::NONE };
        places.push(reservation.record(&meta, body.len(), |writer| writer.put(body)).place);
    }
    Ok((reservation.finish(), places))
}

pub(crate) fn write(wal: &Wal, body: &[u8]) -> Result<Place, Error> {
    let (ticket, places) = submit(wal, &[body], Durability::Durable)?;
    ticket.wait()?;
    Ok(places[0])
}

/// For writes whose place does not matter.
pub(crate) fn ok(written: Result<Place, Error>) {
    written.unwrap();
}

/// A body that tells its number.
pub(crate) fn body(nth: u64, len: usize) -> Vec<u8> {
    let mut body = nth.to_le_bytes().to_vec();
    body.resize(len.max(8), u8::try_from(nth % 251).unwrap());
    body
}
