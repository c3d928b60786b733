//! Admission: released bytes admit as many batches as fit, and closing it ends every wait.

use std::sync::Arc;

use loom::thread;

use super::model;
use crate::{group_commit::admission::Admission, types::error::Error};

#[test]
fn a_release_admits_as_many_as_fit() {
    model(2, || {
        let admission = Admission::new(10, Arc::default());
        let taken = admission.try_admit(10).unwrap().keep();
        let others = [(); 2].map(|()| {
            let admission = Arc::clone(&admission);
            thread::spawn(move || admission.admit(5, || ()).map(|permit| permit.keep()).unwrap())
        });
        admission.release(taken);
        for other in others {
            assert_eq!(other.join().unwrap(), 5);
        }
        assert_eq!(admission.used(), 10);
    });
}

#[test]
fn closing_ends_every_wait() {
    model(2, || {
        let admission = Admission::new(10, Arc::default());
        let permit = admission.try_admit(10).unwrap();
        let waiter = {
            let admission = Arc::clone(&admission);
            thread::spawn(move || admission.admit(5, || ()).map(drop))
        };
        admission.close();
        assert!(matches!(waiter.join().unwrap(), Err(Error::Closed)));
        drop(permit);
        assert_eq!(admission.used(), 0);
    });
}
