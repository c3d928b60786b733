//! Runs blocking work on separate threads, independent of the runtime.

use std::io;

use futures_channel::oneshot;

/// Runs `work` on a new thread. Snapshots are rare and may take long, so they must not occupy a shared pool.
///
/// Runs it in the calling thread if no thread can be started; `None` if it panicked.
pub(crate) async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, outcome) = oneshot::channel();
    let work = std::sync::Arc::new(parking_lot::Mutex::new(Some((work, done))));
    let run = {
        let work = std::sync::Arc::clone(&work);
        move || {
            if let Some((work, done)) = work.lock().take() {
                // The receiver may be dropped.
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

/// The error of work that panicked.
pub(crate) fn panicked() -> io::Error {
    io::Error::other("the thread of a snapshot has panicked")
}
