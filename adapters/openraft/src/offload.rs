//! Work that blocks, beside whatever runtime there is.

use std::io;

use futures_channel::oneshot;

/// Runs `work` on a thread of its own. Snapshots are rare, and any length: a pool would be someone else's threads.
///
/// When there is no thread to be had it runs here; `None` when it panicked.
pub(crate) async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, outcome) = oneshot::channel();
    let work = std::sync::Arc::new(parking_lot::Mutex::new(Some((work, done))));
    let run = {
        let work = std::sync::Arc::clone(&work);
        move || {
            if let Some((work, done)) = work.lock().take() {
                // Whoever asked may have gone.
                drop(done.send(work()));
            }
        }
    };
    if std::thread::Builder::new().name("logboom-snapshot".to_owned()).spawn(run.clone()).is_err() {
        run();
    }
    drop(work);
    outcome.await.ok()
}

/// What is said of work that has panicked.
pub(crate) fn panicked() -> io::Error {
    io::Error::other("the thread of a snapshot has panicked")
}
