//! The suite of openraft 0.9: 34 cases on a store each, and one on two.

use std::sync::Arc;

use logboom_openraft::{
    Data, Options, SnapshotData,
    v0_9::{
        LogStore, MachineStore, openraft,
        openraft::{
            BasicNode, Entry, StorageError, TokioRuntime,
            testing::{StoreBuilder, Suite},
        },
    },
};

use crate::fixture::{Counter, Fixture, GROUP, Guard};

openraft::declare_raft_types!(
    pub(crate) Types:
        D = Data,
        R = u64,
        NodeId = u64,
        Node = BasicNode,
        Entry = Entry<Types>,
        SnapshotData = SnapshotData,
        AsyncRuntime = TokioRuntime,
);

struct Stores(Arc<Fixture>);

impl StoreBuilder<Types, LogStore<Types>, MachineStore<Types, Counter>, Guard> for Stores {
    async fn build(&self) -> Result<(Guard, LogStore<Types>, MachineStore<Types, Counter>), StorageError<u64>> {
        let (guard, engine) = self.0.engine();
        let machine = MachineStore::open(&engine, GROUP, Counter::default()).unwrap();
        Ok((guard, LogStore::new(&engine, GROUP, Options::default()), machine))
    }
}

fn check(fixture: Fixture) {
    let fixture = Arc::new(fixture);
    Suite::test_all(Stores(Arc::clone(&fixture))).unwrap();
    println!("openraft 0.9: 35 cases passed on {} stores", fixture.made());
    assert_eq!(fixture.made(), 36, "the suite has other cases than it had");
}

#[test]
fn v0_9_on_a_directory() {
    check(Fixture::real());
}

#[test]
fn v0_9_on_the_simulated_disk() {
    check(Fixture::simulated());
}
