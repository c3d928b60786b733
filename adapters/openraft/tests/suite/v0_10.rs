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

use crate::fixture::{Counter, Fixture, GROUP, Guard};

openraft::declare_raft_types!(
    pub(crate) Types:
        D = Data,
        R = u64,
);

struct Stores(Arc<Fixture>);

impl StoreBuilder<Types, LogStore<Types>, MachineStore<Types, Counter>, Guard> for Stores {
    async fn build(&self) -> Result<(Guard, LogStore<Types>, MachineStore<Types, Counter>), StorageError<Types>> {
        let (guard, engine) = self.0.engine();
        let machine = MachineStore::open(&engine, GROUP, Counter::default()).unwrap();
        Ok((guard, LogStore::new(&engine, GROUP, Options::default()), machine))
    }
}

fn check(fixture: Fixture) {
    let fixture = Arc::new(fixture);
    let stores = Stores(Arc::clone(&fixture));
    Types::run(async move { Suite::test_all(stores).await }).unwrap();
    println!("openraft 0.10: 45 cases passed on {} stores", fixture.made());
    assert_eq!(fixture.made(), 46, "the suite has other cases than it had");
}

#[test]
fn v0_10_on_a_directory() {
    check(Fixture::real());
}

#[test]
fn v0_10_on_the_simulated_disk() {
    check(Fixture::simulated());
}
