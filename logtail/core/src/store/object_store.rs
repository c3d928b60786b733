//! `ObjectStore`: carries out requests.

use std::{fmt, sync::mpsc};

use super::{
    error::{StoreError, StoreErrorKind},
    health::StoreHealth,
    request::{Outcome, Request},
};

/// What carries out requests to object storage, and settles those whose answers are lost.
pub trait ObjectStore: fmt::Debug + Send + Sync {
    /// Takes a request; `done` is called with its outcome, once, from any thread. It has to be quick.
    fn submit(&self, request: Request, done: Box<dyn FnOnce(Outcome) + Send>);

    /// What goes wrong now.
    fn health(&self) -> StoreHealth;

    /// Waits for the outcome of a request. Not for callbacks, as these hold up what this waits for.
    fn call(&self, request: Request) -> Outcome {
        let (sender, outcome) = mpsc::channel();
        let closed = StoreError::new(&request, StoreErrorKind::Closed);
        self.submit(request, Box::new(move |outcome| _ = sender.send(outcome)));
        self.wait(&outcome).unwrap_or(Err(closed))
    }

    /// Waits for an outcome that the callback of a submitted request sends. A store whose time passes only while
    /// somebody waits lets it pass here.
    ///
    /// # Errors
    /// Where the callback is dropped, as the store is closed.
    fn wait(&self, outcome: &mpsc::Receiver<Outcome>) -> Result<Outcome, mpsc::RecvError> {
        outcome.recv()
    }
}
