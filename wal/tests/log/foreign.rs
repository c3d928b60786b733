//! Foreign machines, callbacks and listeners: their failures affect nothing else, and they block only each other.

use std::{
    sync::{Arc, Condvar, Mutex, mpsc},
    time::Duration,
};

use logboom_disk::{SimDisk, SimOptions};
use logboom_wal::{Durability, Error, Listener, Machine, ManualClock, Options, Runtime, Step, open};

use crate::{Stuck, support::*};

#[derive(Debug)]
struct Told(mpsc::Sender<String>);

impl Listener for Told {
    fn stalled(&self, _: Duration) {
        self.0.send("stalled".to_owned()).unwrap_or_default();
    }

    fn poisoned(&self, error: &Error) {
        self.0.send(format!("poisoned: {error}")).unwrap_or_default();
    }

    fn panicked(&self, what: &str, message: &str) {
        self.0.send(format!("{what}: {message}")).unwrap_or_default();
    }
}

struct Breaks {
    steps: u32,
    is_needed: bool,
}

impl Machine for Breaks {
    fn name(&self) -> &'static str {
        "breaks"
    }

    fn step(&mut self, _: Duration) -> Step {
        self.steps += 1;
        assert_eq!(self.steps, 1, "the second step");
        Step::Again
    }

    fn is_needed(&self) -> bool {
        self.is_needed
    }
}

/// A machine that panics ends; the others go on, and so does the log unless it needs the one that has ended.
#[test]
fn a_machine_that_panics_ends_alone() {
    for is_needed in [false, true] {
        let (disk, clock) = (SimDisk::new(3, SimOptions::default()), ManualClock::new(3));
        let (told, heard) = mpsc::channel();
        let options = Options { listener: Arc::new(Told(told)), ..options() };
        let wal = open(disk, options, Runtime::Manual(clock.clone())).unwrap().start().unwrap();
        wal.worker().add(Box::new(Breaks { steps: 0, is_needed }));
        while wal.drive() {}
        let health = wal.health();
        let ended: Vec<_> = health.ended.iter().map(|ended| (ended.name, ended.poisons)).collect();
        assert_eq!(ended, [("breaks", is_needed)]);
        assert!(health.ended[0].panic.contains("the second step"));
        assert_eq!(health.poisoned.is_some(), is_needed);
        let mut heard = heard.try_iter();
        assert_eq!(is_needed, heard.by_ref().take(usize::from(is_needed)).any(|what| what.starts_with("poisoned")));
        assert!(heard.next().unwrap().starts_with("breaks: "));
        if !is_needed {
            // What writes old batches is stepped on the same thread.
            let (lazy, _) = submit(&wal, &[b"lazy"], Durability::Lazy).unwrap();
            clock.advance(Duration::from_secs(1));
            while wal.drive() {}
            assert!(lazy.is_done());
        }
        assert_eq!(wal.close().is_err(), is_needed);
    }
}

/// A callback that waits for a device that is stuck does not keep that from being told.
#[test]
fn a_callback_that_waits_holds_up_no_listener() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let disk = Arc::new(Stuck { disk: SimDisk::new(1, SimOptions::default()), gate: Arc::clone(&gate) });
    let (told, heard) = mpsc::channel();
    let (stall_after, listener) = (Duration::from_millis(20), Arc::new(Told(told)) as _);
    let wal = open(disk, Options { stall_after, listener, ..options() }, Runtime::Threads).unwrap().start().unwrap();
    let (ticket, _) = submit(&wal, &[b"one"], Durability::Durable).unwrap();
    let (begun, has_begun) = mpsc::channel();
    let (ended, has_ended) = mpsc::channel();
    let (theirs, their_gate) = (wal.clone(), Arc::clone(&gate));
    ticket.on_complete(move |outcome| {
        outcome.unwrap();
        *their_gate.0.lock().unwrap() = true;
        begun.send(()).unwrap();
        ended.send(write(&theirs, b"two").is_ok()).unwrap();
    });
    has_begun.recv().unwrap();
    assert_eq!(heard.recv().unwrap(), "stalled");
    *gate.0.lock().unwrap() = false;
    gate.1.notify_all();
    assert!(has_ended.recv().unwrap());
    wal.close().unwrap();
}
