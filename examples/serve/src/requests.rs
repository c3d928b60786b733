//! The requests of one connection: from bytes to what waits for an answer.

use tokio::sync::mpsc::{self, Sender};

use crate::{Answers, Appender, Decoder, IN_FLIGHT_MAX, answers::Waiting};

/// Takes the requests of a connection and has them appended, in their order.
///
/// When it goes, nothing more comes: the [`Answers`] end with the last request that was accepted.
#[derive(Debug)]
pub struct Requests<A> {
    appender: A,
    decoder: Decoder,
    waiting: Sender<Waiting>,
}

/// Begins a connection: bytes go in at one end, answers come out at the other, each at its own pace.
pub fn connection<A: AsRef<Appender>>(appender: A) -> (Requests<A>, Answers) {
    let (waiting, answered) = mpsc::channel(IN_FLIGHT_MAX);
    (Requests { appender, decoder: Decoder::default(), waiting }, Answers::new(answered))
}

impl<A: AsRef<Appender>> Requests<A> {
    /// Takes what has arrived, and appends each request that is complete. Waits while too many have no answer yet.
    /// False when nothing more is to be read: what arrived is no request, or nobody writes answers any more.
    pub async fn take(&mut self, arrived: &[u8]) -> bool {
        self.decoder.extend(arrived);
        loop {
            let request = match self.decoder.next_request() {
                Ok(Some(request)) => request,
                Ok(None) => return true,
                Err(_) => return false,
            };
            // Reserves the place in the queue first: a request that could not be answered is not appended.
            let Ok(place) = self.waiting.reserve().await else { return false };
            place.send(self.appender.as_ref().append(request).await);
        }
    }
}
