//! Implements tokio's `AsyncRead`, `AsyncWrite` and `AsyncSeek` for snapshots, over their [stream](crate::stream).

use std::{
    io::{self, ErrorKind, SeekFrom},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use logboom::snapshot::{Chunk, Position};
use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

use crate::{
    error::Result,
    offload::{offload, panicked},
    snapshot_data::{Inner, SnapshotData},
    stream::{LENGTH, Received, Sent},
};

impl SnapshotData {
    /// Waits until the complete frame is taken.
    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(taking) = &mut self.taking else { return Poll::Ready(Ok(())) };
        let outcome = ready!(taking.as_mut().poll(cx));
        self.taking = None;
        let taken = outcome.ok_or_else(panicked).and_then(|(inner, taken)| {
            self.inner = inner;
            taken.map_err(io::Error::other)
        });
        if taken.is_err() {
            // The transfer restarts at the beginning.
            self.stream.received = Received::default();
        }
        Poll::Ready(taken)
    }

    /// Passes a complete frame to another thread.
    fn take(&mut self) {
        let is_first = self.stream.received.is_first();
        let frame = Bytes::from(std::mem::take(&mut self.stream.received.frame)).split_off(LENGTH);
        let Inner::Receiving { snapshots, shard, .. } = &self.inner else { return };
        let rest = Inner::Receiving { snapshots: snapshots.clone(), shard: *shard, receiver: None };
        let inner = std::mem::replace(&mut self.inner, rest);
        self.taking = Some(Box::pin(offload(move || {
            let mut data = Self::of(inner);
            let taken = data.take_frame(is_first, frame);
            (data.inner, taken)
        })));
    }

    fn take_frame(&mut self, is_first: bool, frame: Bytes) -> Result<()> {
        if is_first {
            self.begin(&frame)?;
        } else if let Some(Position { file, offset }) = self.wanted() {
            self.accept(&Chunk { file, offset, bytes: frame })?;
        }
        Ok(())
    }
}

impl AsyncRead for SnapshotData {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { inner, stream, .. } = &mut *self;
        let Inner::Held(lease) = inner else { return Poll::Ready(Err(unsupported("it is being received"))) };
        if stream.sent.frames.is_empty() {
            stream.sent = Sent::new(lease);
        }
        let bytes = ready!(stream.sent.poll_from(stream.at, lease, cx))?;
        let some = bytes.len().min(to.remaining());
        to.put_slice(&bytes[..some]);
        stream.at += some as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SnapshotData {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_taken(cx))?;
        let Self { inner, stream, .. } = &mut *self;
        let upto = stream.received.upto;
        if matches!(inner, Inner::Held(_)) && upto == 0 {
            return Poll::Ready(Err(unsupported("it is here already")));
        }
        if stream.at > upto {
            let what = format!("{} follows {upto}", stream.at);
            return Poll::Ready(Err(io::Error::new(ErrorKind::InvalidInput, what)));
        }
        if stream.at < upto {
            let known = usize::try_from(upto - stream.at).unwrap_or(usize::MAX).min(bytes.len());
            stream.at += known as u64;
            return Poll::Ready(Ok(known));
        }
        let (taken, is_complete) =
            stream.received.take(bytes).inspect_err(|_| stream.received = Received::default())?;
        stream.at = stream.received.upto;
        if is_complete {
            self.take();
        }
        Poll::Ready(Ok(taken))
    }

    /// Waits until the arrived bytes are taken. They become durable when the snapshot is installed.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_taken(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_taken(cx)
    }
}

impl AsyncSeek for SnapshotData {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        let Self { inner, stream, .. } = &mut *self;
        let end = match inner {
            Inner::Held(lease) if stream.received.upto == 0 => {
                if stream.sent.frames.is_empty() {
                    stream.sent = Sent::new(lease);
                }
                stream.sent.end
            }
            _ => stream.received.upto,
        };
        let to = match position {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => end.checked_add_signed(by),
            SeekFrom::Current(by) => stream.at.checked_add_signed(by),
        };
        stream.at = to.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "a place before the beginning"))?;
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.stream.at))
    }
}

fn unsupported(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::Unsupported, what)
}
