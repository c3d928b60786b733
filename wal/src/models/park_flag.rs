//! A machine that parks is woken for work that it did not see.

use loom::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::model;
use crate::runtime::park_flag::ParkFlag;

#[test]
fn a_machine_is_woken_for_work_that_it_did_not_see() {
    model(3, || {
        let flag = Arc::new(ParkFlag::default());
        let something = Arc::new(AtomicBool::new(false));
        flag.cancel_park();
        let theirs = (Arc::clone(&flag), Arc::clone(&something));
        let waker = thread::spawn(move || {
            theirs.1.store(true, Ordering::Relaxed);
            theirs.0.wake()
        });
        flag.prepare_to_park();
        let seen = something.load(Ordering::Relaxed);
        if seen {
            flag.cancel_park();
        }
        let woken = waker.join().unwrap();
        assert!(seen || woken, "it sleeps, and nobody wakes it");
    });
}
