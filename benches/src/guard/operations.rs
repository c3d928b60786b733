//! The operations whose instructions are counted: those of the encode, index and read paths.
//!
//! Each operation prepares its engine, runs a fixed number of rounds, and returns the number of units. The numbers of
//! rounds belong to the record: with others, fixed costs are amortized differently.

mod append;
mod index;
mod read;
mod seal;

use crate::Result;

/// An operation that is counted.
#[derive(Debug)]
pub struct Operation {
    /// The name in the record.
    pub name: &'static str,
    /// A description of one unit.
    pub unit: &'static str,
    run: fn() -> Result<u64>,
}

impl Operation {
    /// Performs the operation in this process, and returns the number of counted units.
    ///
    /// # Errors
    /// Errors of the engine.
    pub fn run(&self) -> Result<u64> {
        (self.run)()
    }
}

/// Finds an operation by name.
pub fn find(name: &str) -> Option<&'static Operation> {
    ALL.iter().find(|operation| operation.name == name)
}

/// Every operation, in the order of the data path.
#[rustfmt::skip]
pub const ALL: &[Operation] = &[
    Operation { name: "append-1x256", unit: "a batch of one entry of 256 B, submitted", run: append::small },
    Operation { name: "append-64x256", unit: "an entry of 256 B in a batch of 64 shards", run: append::wide },
    Operation { name: "append-1x16k", unit: "a batch of one entry of 16 KiB, submitted", run: append::large },
    Operation { name: "truncate", unit: "a batch that drops the last 8 entries of a shard", run: append::truncate },
    Operation { name: "index-term", unit: "the term of an entry", run: index::term },
    Operation { name: "index-bounds", unit: "the bounds of a shard", run: index::bounds },
    Operation { name: "read-1", unit: "a read of one recent entry of 256 B", run: read::one },
    Operation { name: "read-100", unit: "a read of 100 recent entries of 256 B", run: read::hundred },
    Operation { name: "read-sealed", unit: "a read of 64 entries of a sealed segment", run: read::sealed },
    Operation { name: "iterate", unit: "an entry, while a batch of them is iterated over", run: read::iterate },
    Operation { name: "compact", unit: "a batch that releases 64 entries of a shard", run: append::compact },
    Operation { name: "seal", unit: "an entry of a segment that is sealed", run: seal::seal },
    Operation { name: "replay", unit: "an entry that opening replays", run: seal::replay },
    Operation { name: "open", unit: "a shard of a log that was closed in order", run: seal::open },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_runs_and_is_found() {
        for operation in ALL {
            let units = operation.run().unwrap_or_else(|error| panic!("{}: {error:#}", operation.name));
            assert!(units > 0, "{} did nothing", operation.name);
            assert_eq!(find(operation.name).map(|found| found.unit), Some(operation.unit));
        }
    }
}
