//! A group under openraft 0.10.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use logboom::{Engine, ShardId};
use logboom_openraft::{
    Data, Options,
    v0_10::{
        LogStore, openraft,
        openraft::{
            BasicNode, EntryPayload, Membership, RaftLogReader,
            impls::leader_id_adv::LeaderId,
            storage::{IOFlushed, RaftLogStorage},
            type_config::{
                TypeConfigExt,
                alias::{EntryOf, LogIdOf},
            },
        },
    },
};

use crate::{
    fixture::Answer,
    group::{Group, Id, Row, Vote, What},
};

openraft::declare_raft_types!(
    pub(crate) Types:
        D = Data,
        R = u64,
);

pub(crate) struct OnV0_10(pub(crate) LogStore<Types>);

impl Group for OnV0_10 {
    const CORE: &'static str = "openraft 0.10";

    fn on(engine: &Engine, shard: ShardId) -> Self {
        Self(LogStore::new(engine, shard, Options::default()))
    }

    fn append(&self, rows: Vec<Row>) -> Answer<()> {
        let mut store = self.0.clone();
        let entries: Vec<_> = rows.into_iter().map(entry).collect();
        Box::pin(async move {
            let (done, flushed) = Types::oneshot();
            store.append(entries, IOFlushed::signal(done)).await.map_err(said)?;
            flushed.await.map_err(said)?.map_err(said)
        })
    }

    fn save_vote(&self, (term, node_id, committed): Vote) -> Answer<()> {
        let mut store = self.0.clone();
        let vote = openraft::Vote { leader_id: LeaderId { term, node_id }, committed };
        Box::pin(async move { store.save_vote(&vote).await.map_err(said) })
    }

    fn vote(&self) -> Answer<Option<Vote>> {
        let mut store = self.0.clone();
        Box::pin(async move {
            let vote = store.read_vote().await.map_err(said)?;
            Ok(vote.map(|vote| (vote.leader_id.term, vote.leader_id.node_id, vote.committed)))
        })
    }

    fn save_committed(&self, committed: Option<Id>) -> Answer<()> {
        let mut store = self.0.clone();
        Box::pin(async move { store.save_committed(committed.map(log_id)).await.map_err(said) })
    }

    fn committed(&self) -> Answer<Option<Id>> {
        let mut store = self.0.clone();
        Box::pin(async move { Ok(store.read_committed().await.map_err(said)?.map(id)) })
    }

    fn truncate(&self, _: Id, last: Option<Id>) -> Answer<()> {
        let mut store = self.0.clone();
        Box::pin(async move { store.truncate_after(last.map(log_id)).await.map_err(said) })
    }

    fn purge(&self, id: Id) -> Answer<()> {
        let mut store = self.0.clone();
        Box::pin(async move { store.purge(log_id(id)).await.map_err(said) })
    }

    fn ends(&self) -> Answer<(Option<Id>, Option<Id>)> {
        let mut store = self.0.clone();
        Box::pin(async move {
            let state = store.get_log_state().await.map_err(said)?;
            Ok((state.last_purged_log_id.map(id), state.last_log_id.map(id)))
        })
    }

    fn read(&self, range: Range<u64>) -> Answer<Vec<Row>> {
        let mut store = self.0.clone();
        Box::pin(async move {
            let entries = store.try_get_log_entries(range).await.map_err(said)?;
            Ok(entries.into_iter().map(row).collect())
        })
    }

    fn read_limited(&self, range: Range<u64>) -> Answer<Vec<Row>> {
        let mut store = self.0.clone();
        Box::pin(async move {
            let entries = store.limited_get_log_entries(range.start, range.end).await.map_err(said)?;
            Ok(entries.into_iter().map(row).collect())
        })
    }
}

pub(crate) fn log_id((term, node_id, index): Id) -> LogIdOf<Types> {
    LogIdOf::<Types>::new(LeaderId { term, node_id }, index)
}

fn id(id: LogIdOf<Types>) -> Id {
    (id.leader_id.term, id.leader_id.node_id, id.index)
}

pub(crate) fn entry(row: Row) -> EntryOf<Types> {
    let payload = match row.what {
        What::Blank => EntryPayload::Blank,
        What::Data(data) => EntryPayload::Normal(Data(data.into())),
        What::Members(voters) => {
            let nodes: BTreeMap<u64, BasicNode> =
                voters.iter().map(|id| (*id, BasicNode::new(format!("n{id}")))).collect();
            let config: BTreeSet<u64> = voters.into_iter().collect();
            EntryPayload::Membership(Membership::new(vec![config], nodes).unwrap())
        }
    };
    openraft::Entry { log_id: log_id(row.id), payload }
}

fn row(entry: EntryOf<Types>) -> Row {
    let what = match entry.payload {
        EntryPayload::Blank => What::Blank,
        EntryPayload::Normal(data) => What::Data(data.0.to_vec()),
        EntryPayload::Membership(membership) => What::Members(membership.voter_ids().collect()),
    };
    Row { id: id(entry.log_id), what }
}

fn said(error: impl ToString) -> String {
    error.to_string()
}
