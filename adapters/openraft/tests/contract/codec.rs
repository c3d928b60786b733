//! Data of another crate, which a trait of the adapter cannot be implemented for.

use std::net::SocketAddr;

use bytes::Bytes;
use logboom::{Engine, EntryId};
use logboom_openraft::{Codec, Failure, Options, v0_9, v0_10};

use crate::{
    fixture::{Answer, Fixture, now},
    group::A,
};

/// Stores an address as its text.
struct AsText;

impl Codec<SocketAddr> for AsText {
    fn encode(data: SocketAddr) -> Bytes {
        data.to_string().into()
    }

    fn decode(bytes: Bytes) -> Result<SocketAddr, Failure> {
        Ok(std::str::from_utf8(&bytes)?.parse()?)
    }
}

const ADDRESS: &str = "10.0.0.1:7000";

mod old {
    use super::*;
    use v0_9::openraft::{
        BasicNode, CommittedLeaderId, Entry, EntryPayload, LogId, RaftLogReader, TokioRuntime,
        storage::RaftLogStorageExt,
    };

    v0_9::openraft::declare_raft_types!(
        pub(crate) Types:
            D = SocketAddr,
            R = (),
            NodeId = u64,
            Node = BasicNode,
            Entry = Entry<Types>,
            SnapshotData = logboom_openraft::SnapshotData,
            AsyncRuntime = TokioRuntime,
    );

    fn store(engine: &Engine) -> v0_9::LogStore<Types, AsText> {
        v0_9::LogStore::with_codec(engine, A, Options::default())
    }

    pub(super) fn append(engine: &Engine) -> Answer<()> {
        let mut store = store(engine);
        let log_id = LogId::new(CommittedLeaderId::new(1, 1), 0);
        let entry = Entry { log_id, payload: EntryPayload::Normal(ADDRESS.parse().unwrap()) };
        Box::pin(async move { store.blocking_append([entry]).await.map_err(|error| error.to_string()) })
    }

    pub(super) fn read(engine: &Engine) -> Answer<SocketAddr> {
        let mut store = store(engine);
        Box::pin(async move {
            let mut entries = store.try_get_log_entries(0..1).await.map_err(|error| format!("{error:#}"))?;
            let EntryPayload::Normal(data) = entries.remove(0).payload else { return Err("no data".into()) };
            Ok(data)
        })
    }
}

mod new {
    use super::*;
    use v0_10::openraft::{
        EntryPayload, LogId, RaftLogReader, impls::leader_id_adv::LeaderId, storage::RaftLogStorageExt,
    };

    v0_10::openraft::declare_raft_types!(
        pub(crate) Types:
            D = SocketAddr,
            R = (),
    );

    fn store(engine: &Engine) -> v0_10::LogStore<Types, AsText> {
        v0_10::LogStore::with_codec(engine, A, Options::default())
    }

    pub(super) fn append(engine: &Engine) -> Answer<()> {
        let mut store = store(engine);
        let log_id = LogId::new(LeaderId { term: 1, node_id: 1 }, 0);
        let entry = v0_10::openraft::Entry { log_id, payload: EntryPayload::Normal(ADDRESS.parse().unwrap()) };
        Box::pin(async move { store.blocking_append([entry]).await.map_err(|error| error.to_string()) })
    }

    pub(super) fn read(engine: &Engine) -> Answer<SocketAddr> {
        let mut store = store(engine);
        Box::pin(async move {
            let mut entries = store.try_get_log_entries(0..1).await.map_err(|error| format!("{error:#}"))?;
            let EntryPayload::Normal(data) = entries.remove(0).payload else { return Err("no data".into()) };
            Ok(data)
        })
    }
}

type Way = (fn(&Engine) -> Answer<()>, fn(&Engine) -> Answer<SocketAddr>);

#[test]
fn data_of_another_crate_is_stored_by_a_codec() {
    let ways: [Way; 2] = [(old::append, old::read), (new::append, new::read)];
    for (append, read) in ways {
        let fixture = Fixture::new(1);
        let engine = fixture.open();
        fixture.wait(&engine, append(&engine)).unwrap();
        assert_eq!(engine.shard(A).entries(0..1, u64::MAX).unwrap().get(0).unwrap().payload, ADDRESS.as_bytes());
        assert_eq!(now(read(&engine)), Ok(ADDRESS.parse().unwrap()));
        // What another codec has written is told.
        let mut batch = engine.batch();
        let foreign = logboom::Entry {
            kind: 1,
            context: &[1, 0, 0, 0, 0, 0, 0, 0],
            ..logboom::Entry::new(EntryId { index: 0, term: 1 }, b"?")
        };
        batch.overwrite(A, [foreign]).unwrap();
        drop(engine.submit(batch, logboom::Durability::Durable).unwrap());
        let said = now(read(&engine)).unwrap_err();
        // The core, or `{:#}`, prints the source behind the text.
        assert!(said.contains("entry 0 is not what was written"), "{said}");
        assert_eq!(said.matches("invalid socket address").count(), 1, "{said}");
    }
}
