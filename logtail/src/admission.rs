//! `Admission`: waits until there is memory for a transaction.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use event_listener::{EventListener, Listener};
use logboom_logtail_core::{TableId, transaction::Workspace};

use crate::{
    error::{Error, Result},
    memory_bound::Full,
    shared::Shared,
};

/// Ends when there is memory for the rows of a transaction: [`Transaction::submit`](crate::Transaction::submit) does
/// not wait for memory then, unless others take it first. To be waited for or awaited.
#[derive(Debug)]
#[must_use = "nothing waits before this is waited for"]
pub struct Admission {
    shared: Arc<Shared>,
    tables: Vec<TableId>,
    listener: Option<EventListener>,
}

impl Admission {
    pub(crate) fn new(shared: Arc<Shared>, workspace: &Workspace) -> Self {
        Self { shared, tables: workspace.table_ids().collect(), listener: None }
    }

    /// Waits.
    ///
    /// # Errors
    /// [`Error::Stopped`](crate::Error::Stopped), [`Error::SchemaChanged`](crate::Error::SchemaChanged) where a table
    /// was dropped, and [`Error::Log`](crate::Error::Log) and [`Error::Closed`](crate::Error::Closed) where nothing
    /// flushes any more.
    pub fn wait(self) -> Result<()> {
        loop {
            let listener = self.shared.memory_bound().listen();
            if self.shared.full(self.tables.iter().copied())?.is_none() {
                return Ok(());
            }
            listener.wait();
        }
    }
}

/// Waits while rows take all the memory that they may: until a flush has moved some. Commits wait here, before they
/// have a timestamp: nothing that a flush waits for waits for it.
///
/// # Errors
/// Those of [`Admission::wait`]; [`Error::Full`] without a thread that flushes: who does is perhaps the one who would
/// wait.
pub(crate) fn admit(shared: &Arc<Shared>, workspace: &Workspace) -> Result<()> {
    if shared.full(workspace.table_ids())?.is_none() {
        return Ok(());
    }
    if shared.options.threads {
        return Admission::new(Arc::clone(shared), workspace).wait();
    }
    // No thread looks now and then, and what was committed since is counted roughly: changes of the catalog, say.
    shared.memory();
    match shared.full(workspace.table_ids())? {
        None => Ok(()),
        Some(Full { table, bytes, max }) => Err(Error::Full { table, bytes, max }),
    }
}

impl Future for Admission {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            if let Some(listener) = &mut self.listener {
                ready!(Pin::new(listener).poll(context));
            }
            self.listener = Some(self.shared.memory_bound().listen());
            if self.shared.full(self.tables.iter().copied())?.is_none() {
                self.listener = None;
                return Poll::Ready(Ok(()));
            }
        }
    }
}
