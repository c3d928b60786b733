//! A snapshot as a stream of bytes with offsets: what openraft 0.9 sends by itself.
//!
//! The stream is the manifest and then the chunks, each behind its length (4 bytes, little-endian). It is the same each
//! time it is read, so a sender may go back to any offset, and a receiver passes over what it has taken already.

use std::{
    future::Future,
    io::{self, ErrorKind, SeekFrom},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use logboom::snapshot::{CHUNK_BYTES_MAX, Chunk, Lease, Position};
use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

use crate::{
    aside::{aside, panicked},
    error::Result,
    snapshot_data::{Inner, SnapshotData},
};

/// The bytes of a frame's length.
const LENGTH: usize = 4;

/// Where a handle is in its stream.
#[derive(Default)]
pub(crate) struct Stream {
    /// The offset that is read or written next.
    at: u64,
    sent: Sent,
    received: Received,
}

/// What a sender knows of the stream.
#[derive(Default)]
struct Sent {
    /// Where the frames begin, and what is in them: the manifest, then the chunks; and the end.
    frames: Vec<(u64, Option<Position>)>,
    end: u64,
    /// The frame that was read last, by its number.
    frame: Option<(usize, Bytes)>,
    reading: Option<Work<Result<Bytes>>>,
}

/// What a receiver has taken.
#[derive(Default)]
struct Received {
    /// Up to where.
    upto: u64,
    /// The frame that is arriving, its length included.
    frame: Vec<u8>,
    taking: Option<Work<(Inner, Result<()>)>>,
}

/// Something that another thread does; `None` if it panicked.
type Work<T> = Pin<Box<dyn Future<Output = Option<T>> + Send>>;

impl Sent {
    fn new(lease: &Lease) -> Self {
        let mut sent = Self::default();
        let chunks = lease.manifest().chunks().map(|(at, len)| (Some(at), len));
        for (at, len) in std::iter::once((None, lease.manifest_bytes().len())).chain(chunks) {
            sent.frames.push((sent.end, at));
            sent.end += (LENGTH + len) as u64;
        }
        sent
    }

    /// The bytes from `at` on, up to the end of their frame; none at the end of the stream.
    fn poll_from(&mut self, at: u64, lease: &Lease, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if at >= self.end {
            return Poll::Ready(Ok(Bytes::new()));
        }
        let number = self.frames.partition_point(|(begin, _)| *begin <= at).saturating_sub(1);
        loop {
            if let Some((known, bytes)) = &self.frame
                && *known == number
            {
                let within = usize::try_from(at - self.frames[number].0).unwrap_or(usize::MAX);
                return Poll::Ready(Ok(bytes.slice(within.min(bytes.len())..)));
            }
            let position = self.frames[number].1;
            let reading = self.reading.get_or_insert_with(|| {
                let lease = lease.clone();
                Box::pin(aside(move || framed(&lease, position)))
            });
            let read = ready!(reading.as_mut().poll(cx));
            self.reading = None;
            self.frame = Some((number, read.ok_or_else(panicked)?.map_err(io::Error::other)?));
        }
    }
}

fn framed(lease: &Lease, position: Option<Position>) -> Result<Bytes> {
    let bytes = match position {
        None => lease.manifest_bytes(),
        Some(at) => lease.chunk(at)?.bytes,
    };
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    Ok([&len[..], &bytes].concat().into())
}

impl Received {
    /// Takes what belongs to the frame that is arriving. Gives how much that is, and whether the frame is complete.
    fn take(&mut self, bytes: &[u8]) -> io::Result<(usize, bool)> {
        let lacking = |frame: &[u8]| match frame.first_chunk::<LENGTH>() {
            None => LENGTH - frame.len(),
            Some(len) => (LENGTH + u32::from_le_bytes(*len) as usize).saturating_sub(frame.len()),
        };
        let mut taken = 0;
        while taken < bytes.len() {
            let some = lacking(&self.frame).min(bytes.len() - taken);
            self.frame.extend_from_slice(&bytes[taken..taken + some]);
            taken += some;
            self.upto += some as u64;
            let has_length = self.frame.len() >= LENGTH;
            if has_length && !self.is_first() && lacking(&self.frame) > CHUNK_BYTES_MAX {
                return Err(io::Error::new(ErrorKind::InvalidData, "a chunk that is larger than any"));
            }
            if has_length && lacking(&self.frame) == 0 {
                return Ok((taken, true));
            }
        }
        Ok((taken, false))
    }

    /// Whether the frame that is arriving is the one that the stream begins with.
    fn is_first(&self) -> bool {
        self.upto == self.frame.len() as u64
    }
}

impl SnapshotData {
    /// Waits until what has arrived is taken.
    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(taking) = &mut self.stream.received.taking else { return Poll::Ready(Ok(())) };
        let outcome = ready!(taking.as_mut().poll(cx));
        self.stream.received.taking = None;
        let taken = outcome.ok_or_else(panicked).and_then(|(inner, taken)| {
            self.inner = inner;
            taken.map_err(io::Error::other)
        });
        if taken.is_err() {
            // It begins anew, at the beginning.
            self.stream.received = Received::default();
        }
        Poll::Ready(taken)
    }

    /// Has a complete frame taken by another thread.
    fn take(&mut self) {
        let is_first = self.stream.received.is_first();
        let frame = Bytes::from(std::mem::take(&mut self.stream.received.frame)).split_off(LENGTH);
        let Inner::Receiving { snapshots, shard, .. } = &self.inner else { return };
        let rest = Inner::Receiving { snapshots: snapshots.clone(), shard: *shard, receiver: None };
        let inner = std::mem::replace(&mut self.inner, rest);
        self.stream.received.taking = Some(Box::pin(aside(move || {
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
        let Self { inner, stream } = &mut *self;
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
        let Self { inner, stream } = &mut *self;
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

    /// What has arrived is taken. It is durable when it is installed.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_taken(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_taken(cx)
    }
}

impl AsyncSeek for SnapshotData {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        let Self { inner, stream } = &mut *self;
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
