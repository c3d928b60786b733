//! A machine that sleeps for good is woken for what it did not see.

use loom::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::model;
use crate::runtime::asleep::Asleep;

#[test]
fn what_a_machine_does_not_see_wakes_it() {
    model(3, || {
        let asleep = Arc::new(Asleep::default());
        let something = Arc::new(AtomicBool::new(false));
        asleep.stay_awake();
        let theirs = (Arc::clone(&asleep), Arc::clone(&something));
        let waker = thread::spawn(move || {
            theirs.1.store(true, Ordering::Relaxed);
            theirs.0.wake()
        });
        asleep.doze();
        let seen = something.load(Ordering::Relaxed);
        if seen {
            asleep.stay_awake();
        }
        let woken = waker.join().unwrap();
        assert!(seen || woken, "it sleeps, and nobody wakes it");
    });
}
