//! A raft group's log as openraft sees it, in whatever version.

use logboom::{Engine, ShardId};

use crate::fixture::Answer;

pub(crate) const A: ShardId = ShardId(1);

/// A log id: term, node, index.
pub(crate) type Id = (u64, u64, u64);

/// A vote: term, node, whether it is committed.
pub(crate) type Vote = (u64, u64, bool);

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: Id,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Blank,
    Data(Vec<u8>),
    /// The voters.
    Members(Vec<u64>),
}

/// The store of a group, through openraft's traits and nothing else.
pub(crate) trait Group: Sized + 'static {
    const CORE: &'static str;

    fn on(engine: &Engine, shard: ShardId) -> Self;

    /// Answers when the callback has come.
    fn append(&self, rows: Vec<Row>) -> Answer<()>;

    fn save_vote(&self, vote: Vote) -> Answer<()>;

    fn vote(&self) -> Answer<Option<Vote>>;

    fn save_committed(&self, committed: Option<Id>) -> Answer<()>;

    fn committed(&self) -> Answer<Option<Id>>;

    /// Drops `first` and what follows it; `last` is what is left.
    fn truncate(&self, first: Id, last: Option<Id>) -> Answer<()>;

    fn purge(&self, id: Id) -> Answer<()>;

    /// The purge point and the last log id.
    fn ends(&self) -> Answer<(Option<Id>, Option<Id>)>;

    fn read(&self, range: std::ops::Range<u64>) -> Answer<Vec<Row>>;

    fn read_limited(&self, range: std::ops::Range<u64>) -> Answer<Vec<Row>>;
}

pub(crate) fn row(term: u64, node: u64, index: u64) -> Row {
    Row { id: (term, node, index), what: What::Data(format!("{term}/{node}/{index}").into()) }
}

/// Entries of one leader, with indexes from `first` on.
pub(crate) fn rows(term: u64, indexes: std::ops::Range<u64>) -> Vec<Row> {
    indexes.map(|index| row(term, 1, index)).collect()
}

/// Has a test run for each version.
macro_rules! for_each_core {
    ($($test:ident)*) => {
        mod on_0_9 {
            $(#[test] fn $test() { super::$test::<crate::on_v0_9::OnV0_9>(); })*
        }

        mod on_0_10 {
            $(#[test] fn $test() { super::$test::<crate::on_v0_10::OnV0_10>(); })*
        }
    };
}

pub(crate) use for_each_core;
