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

use crate::ground::{Counter, GROUP, Ground, Guard};

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

struct Stores(Arc<Ground>);

impl StoreBuilder<Types, LogStore<Types>, MachineStore<Types, Counter>, Guard> for Stores {
    async fn build(&self) -> Result<(Guard, LogStore<Types>, MachineStore<Types, Counter>), StorageError<u64>> {
        let (guard, engine) = self.0.engine();
        let machine = MachineStore::open(&engine, GROUP, Counter::default()).unwrap();
        Ok((guard, LogStore::new(&engine, GROUP, Options::default()), machine))
    }
}

fn check(ground: Ground) {
    let ground = Arc::new(ground);
    Suite::test_all(Stores(Arc::clone(&ground))).unwrap();
    println!("openraft 0.9: 35 cases passed on {} stores", ground.made());
    assert_eq!(ground.made(), 36, "the suite has other cases than it had");
}

#[test]
fn v0_9_on_a_directory() {
    check(Ground::real());
}

#[test]
fn v0_9_on_the_simulated_disk() {
    check(Ground::simulated());
}
