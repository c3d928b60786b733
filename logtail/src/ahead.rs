//! `Ahead`: what a thread makes before it is asked for.

use std::{
    sync::mpsc::{self, SyncSender},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::error::{Error, Result};

/// A thread that makes items before they are asked for, and gives a result at its end. Dropping this ends it, and waits
/// for it unless it was [left](Ahead::leave).
#[derive(Debug)]
pub(crate) struct Ahead<T, R = ()> {
    name: &'static str,
    items: Option<mpsc::Receiver<T>>,
    thread: Option<JoinHandle<R>>,
}

impl<T: Send + 'static, R: Send + 'static> Ahead<T, R> {
    /// `room` items wait for those who ask, beside the one that waits with the thread. `work` ends when it cannot send.
    pub(crate) fn spawn(
        name: &'static str,
        room: usize,
        work: impl FnOnce(SyncSender<T>) -> R + Send + 'static,
    ) -> Result<Self> {
        let (sender, items) = mpsc::sync_channel(room);
        let thread = thread::Builder::new().name(name.into()).spawn(move || work(sender)).map_err(Error::Thread)?;
        Ok(Self { name, items: Some(items), thread: Some(thread) })
    }
}

impl<T, R> Ahead<T, R> {
    /// Waits for the next item; `None` once the thread has ended, also by a panic.
    pub(crate) fn wait(&self) -> Option<T> {
        self.items.as_ref()?.recv().ok()
    }

    /// The next item, if it is there by now.
    ///
    /// # Errors
    /// [`Error::Bug`] once the thread has ended.
    pub(crate) fn next(&self) -> Result<Option<T>> {
        self.wait_for(Duration::ZERO)
    }

    /// Waits for the next item, for so long.
    ///
    /// # Errors
    /// [`Error::Bug`] once the thread has ended.
    pub(crate) fn wait_for(&self, patience: Duration) -> Result<Option<T>> {
        match self.items.as_ref().map(|items| items.recv_timeout(patience)) {
            Some(Ok(item)) => Ok(Some(item)),
            Some(Err(mpsc::RecvTimeoutError::Timeout)) => Ok(None),
            Some(Err(mpsc::RecvTimeoutError::Disconnected)) | None => Err(self.has_ended()),
        }
    }

    /// From now on dropping this does not wait for the thread.
    pub(crate) fn leave(&mut self) {
        self.thread = None;
    }

    /// Ends the thread. Its result.
    ///
    /// # Errors
    /// [`Error::Bug`] if it has panicked.
    pub(crate) fn end(mut self) -> Result<R> {
        self.join().ok_or_else(|| self.has_ended())
    }

    /// Nothing for a thread that has panicked, which is reported where it happens.
    fn join(&mut self) -> Option<R> {
        self.items = None;
        self.thread.take()?.join().ok()
    }

    fn has_ended(&self) -> Error {
        Error::Bug(format!("the thread {} has ended before its work", self.name))
    }
}

impl<T, R> Drop for Ahead<T, R> {
    fn drop(&mut self) {
        _ = self.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_in_order_and_then_the_result() {
        let ahead = Ahead::spawn("counts", 1, |sender| (0..5).filter(|number| sender.send(*number).is_ok()).count());
        let ahead = ahead.unwrap();
        assert_eq!(std::iter::from_fn(|| ahead.wait()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(ahead.end().unwrap(), 5);
    }

    #[test]
    fn a_thread_that_panics_is_a_bug() {
        let panics = || Ahead::<u8, u8>::spawn("panics", 0, |_| panic!("on purpose")).unwrap();
        assert_eq!(panics().wait(), None);
        let ahead = panics();
        let error = loop {
            match ahead.next() {
                Ok(item) => assert_eq!(item, None),
                Err(error) => break error,
            }
        };
        for error in [error, ahead.end().unwrap_err()] {
            assert!(matches!(&error, Error::Bug(what) if what.contains("panics")), "{error:?}");
        }
    }

    #[test]
    fn a_thread_that_was_left_is_not_waited_for() {
        let (end, ended) = mpsc::channel::<()>();
        let mut ahead = Ahead::<u8, _>::spawn("waits", 0, move |_| ended.recv()).unwrap();
        ahead.leave();
        drop(ahead);
        end.send(()).unwrap();
    }
}
