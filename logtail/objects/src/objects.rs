//! The handle of a store.

use std::{
    fmt, io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use logboom_logtail_core::store::{
    Marker, MarkerError, ObjectStore, Outcome, QueueOptions, Request, StoreError, StoreErrorKind, StoreHealth,
};
use tokio::runtime::{Builder, Runtime};

use crate::{backend::Backend, claim::claim, driver::Shared, error::OpenError, options::Options};

/// A store of objects, open for a log.
///
/// Requests come from any thread. Dropping the handle ends all of them: those without an outcome get
/// [`Closed`](logboom_logtail_core::store::StoreErrorKind::Closed) before the drop returns, or soon after it where a
/// callback drops it. It waits neither for the store nor for the file system: a put that was in flight can still land.
pub struct Objects {
    location: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Objects {
    /// Opens the store at a [location](crate) for the log with this identity, of 1 to [`Marker::IDENTITY_MAX`] bytes.
    /// Waits for the store, up to [`Options::open_patience`].
    ///
    /// The first opening for writing makes the store the log's, durably.
    ///
    /// # Errors
    /// [`OpenError`]. What it was that opening had created by then stays: a directory, or the marker.
    pub fn open(location: &str, identity: &[u8], options: Options) -> Result<Self, OpenError> {
        let in_marker = |error: MarkerError| OpenError::Marker { location: location.to_owned(), error };
        let marker = Marker::new(identity).map_err(in_marker)?;
        let backend = Backend::open(location, &options)?;
        let mut queue = QueueOptions::default();
        queue.in_flight_max = options.in_flight_max;
        queue.writes = options.writes;
        queue.reads = options.reads;
        queue.seed = fastrand::u64(..);
        let shared = Arc::new(Shared::new(queue, options.access));
        let (sender, opened) = mpsc::channel();
        let thread = {
            let (location, shared) = (location.to_owned(), Arc::clone(&shared));
            thread::Builder::new()
                .name("logboom-objects".into())
                .spawn(move || serve(&location, &marker, &options, backend, shared, &sender))
        };
        let thread = thread.map_err(|error| OpenError::Thread { error })?;
        let objects = Self { location: location.to_owned(), shared, thread: Some(thread) };
        let died = || OpenError::Thread { error: io::Error::other("it has panicked") };
        opened.recv().unwrap_or_else(|_| Err(died()))?;
        Ok(objects)
    }

    /// Takes a request; `done` is called with its outcome, once, on the thread of the store: it has to be quick, as it
    /// holds up the others. Calling this from it is fine. At most [`Options::in_flight_max`] attempts are made at a
    /// time, and the bytes of all puts that are open stay in memory: how many these are is for the caller to bound.
    pub fn submit(&self, request: Request, done: impl FnOnce(Outcome) + Send + 'static) {
        self.shared.submit(request, Box::new(done));
    }

    /// Waits for the outcome of a request. Not for callbacks, as these hold up what this waits for.
    pub fn call(&self, request: Request) -> Outcome {
        let (sender, outcome) = mpsc::channel();
        let closed = StoreError::new(&request, StoreErrorKind::Closed);
        self.submit(request, move |outcome| _ = sender.send(outcome));
        outcome.recv().unwrap_or(Err(closed))
    }

    /// What goes wrong now. Its times are since the opening, as [`Objects::now`] is.
    pub fn health(&self) -> StoreHealth {
        self.shared.health()
    }

    /// The time since the opening.
    pub fn now(&self) -> Duration {
        self.shared.now()
    }

    /// The location that was opened.
    pub fn location(&self) -> &str {
        &self.location
    }
}

impl ObjectStore for Objects {
    fn submit(&self, request: Request, done: Box<dyn FnOnce(Outcome) + Send>) {
        self.shared.submit(request, done);
    }

    fn health(&self) -> StoreHealth {
        self.shared.health()
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        self.shared.close();
        // A callback can have the last handle: its thread ends after it.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            // A panic of the thread has ended all requests, as its end does.
            _ = thread.join();
        }
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("location", &self.location).finish_non_exhaustive()
    }
}

/// The thread of a store: opens it, says how that went, and serves requests until it is closed.
fn serve(
    location: &str,
    marker: &Marker,
    options: &Options,
    backend: Backend,
    shared: Arc<Shared>,
    opened: &mpsc::Sender<Result<(), OpenError>>,
) {
    let runtime = match runtime(options) {
        Ok(runtime) => runtime,
        Err(error) => {
            _ = opened.send(Err(OpenError::Thread { error }));
            return;
        }
    };
    let claimed = runtime.block_on(claim(&backend, location, marker, options));
    let is_open = claimed.is_ok();
    _ = opened.send(claimed);
    if is_open {
        runtime.block_on(async {
            tokio::select! {
                () = backend.sweep() => {}
                () = shared.closed() => {}
            }
            shared.run(backend).await;
        });
    }
    // Not waiting for calls that hang in the kernel.
    runtime.shutdown_background();
}

fn runtime(options: &Options) -> io::Result<Runtime> {
    let threads = options.in_flight_max.saturating_add(1);
    Builder::new_current_thread().enable_all().max_blocking_threads(threads).thread_name("logboom-objects-io").build()
}
