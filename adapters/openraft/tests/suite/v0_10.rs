//! The suite of openraft 0.10: 44 cases on a store each, and one on two.

use std::sync::Arc;

use logboom_openraft::{
    Data, Options,
    v0_10::{
        LogStore, MachineStore, openraft,
        openraft::{
            StorageError,
            testing::log::{StoreBuilder, Suite},
            type_config::TypeConfigExt,
        },
    },
};

use crate::ground::{Counter, GROUP, Ground, Guard};

openraft::declare_raft_types!(
    pub(crate) Types:
        D = Data,
        R = u64,
);

struct Stores(Arc<Ground>);

impl StoreBuilder<Types, LogStore<Types>, MachineStore<Types, Counter>, Guard> for Stores {
    async fn build(&self) -> Result<(Guard, LogStore<Types>, MachineStore<Types, Counter>), StorageError<Types>> {
        let (guard, engine) = self.0.engine();
        let machine = MachineStore::open(&engine, GROUP, Counter::default()).unwrap();
        Ok((guard, LogStore::new(&engine, GROUP, Options::default()), machine))
    }
}

fn check(ground: Ground) {
    let ground = Arc::new(ground);
    let stores = Stores(Arc::clone(&ground));
    Types::run(async move { Suite::test_all(stores).await }).unwrap();
    println!("openraft 0.10: 45 cases passed on {} stores", ground.made());
    assert_eq!(ground.made(), 46, "the suite has other cases than it had");
}

#[test]
fn v0_10_on_a_directory() {
    check(Ground::real());
}

#[test]
fn v0_10_on_the_simulated_disk() {
    check(Ground::simulated());
}
