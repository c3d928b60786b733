//! The bytes between client and server: length-prefixed requests, answers of a fixed size.
//!
//! | request | bytes |
//! |---|---|
//! | length of what follows | 4 |
//! | shard | 8 |
//! | payload | the rest |
//!
//! | answer | bytes |
//! |---|---|
//! | 0 durable, 1 refused, 2 unknown | 1 |
//! | index | 8 |
//!
//! Numbers are little-endian.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use logboom::ShardId;

/// The longest payload of a request, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

const SHARD_BYTES: usize = 8;

/// A payload that is to be appended to the log of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The shard.
    pub shard: ShardId,
    /// What is appended.
    pub payload: Bytes,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is in the log and survives power loss.
    Durable {
        /// Its index in the shard's log.
        index: u64,
    },
    /// It is not in the log.
    Refused,
    /// It was accepted at this index, and then the log failed: whether it is there is known at the next opening.
    Unknown {
        /// Its index in the shard's log, if it is there.
        index: u64,
    },
}

/// A request states a length that no request has. Nothing behind it can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What it states, in bytes.
    pub length: usize,
}

/// Makes requests of the bytes that arrive, however they are cut.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Takes what has arrived.
    pub fn extend(&mut self, arrived: &[u8]) {
        self.buffer.extend_from_slice(arrived);
    }

    /// The next request, if all of it has arrived. Its payload shares the memory that it arrived in.
    ///
    /// # Errors
    /// [`Malformed`], as soon as the length is there: what exceeds the limit is never collected.
    pub fn next_request(&mut self) -> Result<Option<Request>, Malformed> {
        let Some(length) = self.buffer.first_chunk() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if !(SHARD_BYTES..=SHARD_BYTES + PAYLOAD_BYTES_MAX).contains(&length) {
            return Err(Malformed { length });
        }
        if self.buffer.len() < size_of::<u32>() + length {
            return Ok(None);
        }
        self.buffer.advance(size_of::<u32>());
        let shard = ShardId(self.buffer.get_u64_le());
        let payload = self.buffer.split_to(length - SHARD_BYTES).freeze();
        Ok(Some(Request { shard, payload }))
    }
}

impl Request {
    /// Adds the request's bytes to `out`.
    ///
    /// # Errors
    /// [`Malformed`] when the payload exceeds [`PAYLOAD_BYTES_MAX`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let length = SHARD_BYTES + self.payload.len();
        if self.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Malformed { length });
        }
        out.put_u32_le(u32::try_from(length).map_err(|_| Malformed { length })?);
        out.put_u64_le(self.shard.0);
        out.put_slice(&self.payload);
        Ok(())
    }
}

impl Answer {
    /// The bytes of an answer.
    pub const BYTES: usize = 9;

    /// Adds the answer's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, index) = match *self {
            Self::Durable { index } => (0, index),
            Self::Refused => (1, 0),
            Self::Unknown { index } => (2, index),
        };
        out.put_u8(kind);
        out.put_u64_le(index);
    }

    /// The answer that these bytes are, if they are one.
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let bytes = &mut bytes.as_slice();
        let (kind, index) = (bytes.get_u8(), bytes.get_u64_le());
        match kind {
            0 => Some(Self::Durable { index }),
            1 => Some(Self::Refused),
            2 => Some(Self::Unknown { index }),
            _ => None,
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = SHARD_BYTES + PAYLOAD_BYTES_MAX;
        write!(f, "a request of {} bytes, {SHARD_BYTES} to {most} are possible", self.length)
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_however_they_are_cut() {
        let requests: Vec<Request> = [0, 1, 1000, PAYLOAD_BYTES_MAX]
            .map(|bytes| Request { shard: ShardId(bytes as u64), payload: vec![7; bytes].into() })
            .into();
        let mut stream = Vec::new();
        requests.iter().for_each(|request| request.encode(&mut stream).unwrap());
        for piece in [5, 1001, stream.len()] {
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for bytes in stream.chunks(piece) {
                decoder.extend(bytes);
                found.extend(std::iter::from_fn(|| decoder.next_request().unwrap()));
            }
            assert_eq!(found, requests, "cut every {piece} bytes");
        }
    }

    #[test]
    fn a_length_that_is_none_is_refused_at_once() {
        for length in [0, 7, SHARD_BYTES + PAYLOAD_BYTES_MAX + 1, u32::MAX as usize] {
            let mut decoder = Decoder::default();
            decoder.extend(&u32::try_from(length).unwrap().to_le_bytes());
            assert_eq!(decoder.next_request(), Err(Malformed { length }));
        }
        let request = Request { shard: ShardId(1), payload: vec![0; PAYLOAD_BYTES_MAX + 1].into() };
        assert!(request.encode(&mut Vec::new()).is_err());
    }

    #[test]
    fn answers_come_back_as_they_were() {
        for answer in [Answer::Durable { index: 5 }, Answer::Refused, Answer::Unknown { index: u64::MAX - 1 }] {
            let mut bytes = Vec::new();
            answer.encode(&mut bytes);
            assert_eq!(Answer::decode(bytes.first_chunk().unwrap()), Some(answer));
        }
        assert_eq!(Answer::decode(&[3; Answer::BYTES]), None);
    }
}
