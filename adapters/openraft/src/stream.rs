//! `Stream`: a snapshot as bytes with offsets, as openraft 0.9 sends it.
//!
//! The stream is the manifest and then the chunks, each after its length (4 bytes, little-endian). It is the same on
//! each read, so a sender may go back to any offset, and a receiver skips bytes that it has taken.

use std::{
    future::Future,
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use logboom::snapshot::{CHUNK_BYTES_MAX, Lease, Position};

use crate::{
    error::Result,
    offload::{offload, panicked},
};

/// The bytes of a frame's length.
pub(crate) const LENGTH: usize = 4;

/// The position of a handle in its stream.
#[derive(Default)]
pub(crate) struct Stream {
    /// The offset that is read or written next.
    pub(crate) at: u64,
    pub(crate) sent: Sent,
    pub(crate) received: Received,
}

/// The sender's side.
#[derive(Default)]
pub(crate) struct Sent {
    /// The offset and the content of each frame: the manifest, then the chunks; and the end of the stream.
    pub(crate) frames: Vec<(u64, Option<Position>)>,
    pub(crate) end: u64,
    /// The frame that was read last, by its number.
    frame: Option<(usize, Bytes)>,
    reading: Option<Work<Result<Bytes>>>,
}

/// The receiver's side.
#[derive(Default)]
pub(crate) struct Received {
    /// The end of the taken bytes.
    pub(crate) upto: u64,
    /// The frame that is arriving, its length included.
    pub(crate) frame: Vec<u8>,
}

/// Work on another thread; `None` if it panicked.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = Option<T>> + Send>>;

impl Sent {
    pub(crate) fn new(lease: &Lease) -> Self {
        let mut sent = Self::default();
        let chunks = lease.manifest().chunks().map(|(at, len)| (Some(at), len));
        for (at, len) in std::iter::once((None, lease.manifest_bytes().len())).chain(chunks) {
            sent.frames.push((sent.end, at));
            sent.end += (LENGTH + len) as u64;
        }
        sent
    }

    /// The bytes from `at` on, up to the end of their frame; none at the end of the stream.
    pub(crate) fn poll_from(&mut self, at: u64, lease: &Lease, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
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
                Box::pin(offload(move || framed(&lease, position)))
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
    /// Takes bytes up to the end of the current frame. Returns how many, and whether the frame is complete.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> io::Result<(usize, bool)> {
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

    /// Whether the current frame is the first of the stream.
    pub(crate) fn is_first(&self) -> bool {
        self.upto == self.frame.len() as u64
    }
}
