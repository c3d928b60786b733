//! The protocol of connections: frames with a length, and the messages of clients and nodes.

use std::io::{self, Read, Write};

use bytes::{Buf, BufMut, Bytes};
use logboom_rsm::Failure;

use crate::{
    kv::{Outcome, put_option, take_option},
    status::Status,
};

/// The most bytes of a frame, which holds a chunk of a snapshot or the messages of many groups.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// A request of a client to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A linearizable read of a register.
    Get { shard: u64, key: u32 },
    /// Replicates and applies a [command](crate::kv::Command).
    Write { shard: u64, command: Bytes },
    /// The status of the node.
    Status,
    /// The node's replica of a shard, up to its applied index.
    Dump { shard: u64 },
}

/// The answer of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Value(Option<u64>),
    Done(Outcome),
    /// The request was not performed, and will not be: this node does not lead the shard, but the named one may.
    Elsewhere(Option<u64>),
    /// The outcome is unknown: the request may have been performed, or may still be.
    Unknown,
    Status(Box<Status>),
    /// The last applied index, and the [state](crate::kv::State).
    Dump {
        applied: u64,
        state: Bytes,
    },
}

/// Reads a frame; `None` at the end of the connection.
pub(crate) fn read_frame(from: &mut impl Read) -> io::Result<Option<Bytes>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        outcome => outcome?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    Ok(Some(frame.into()))
}

/// Writes a frame, with one call.
pub(crate) fn write_frame(to: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).ok().filter(|length| *length as usize <= FRAME_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a frame that is too long"))?;
    let mut bytes = Vec::with_capacity(4 + frame.len());
    bytes.put_u32_le(length);
    bytes.put_slice(frame);
    to.write_all(&bytes)
}

impl Ask {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut to = Vec::new();
        match self {
            Self::Get { shard, key } => {
                to.put_u8(0);
                to.put_u64_le(*shard);
                to.put_u32_le(*key);
            }
            Self::Write { shard, command } => {
                to.put_u8(1);
                to.put_u64_le(*shard);
                to.put_slice(command);
            }
            Self::Status => to.put_u8(2),
            Self::Dump { shard } => {
                to.put_u8(3);
                to.put_u64_le(*shard);
            }
        }
        to
    }

    pub(crate) fn decode(mut from: Bytes) -> Result<Self, Failure> {
        Ok(match from.try_get_u8()? {
            0 => Self::Get { shard: from.try_get_u64_le()?, key: from.try_get_u32_le()? },
            1 => Self::Write { shard: from.try_get_u64_le()?, command: from },
            2 => Self::Status,
            3 => Self::Dump { shard: from.try_get_u64_le()? },
            other => return Err(format!("{other} is nothing to ask").into()),
        })
    }
}

impl Reply {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut to = Vec::new();
        match self {
            Self::Value(value) => {
                to.put_u8(0);
                put_option(*value, &mut to);
            }
            Self::Done(Outcome::Written) => to.put_u8(1),
            Self::Done(Outcome::Kept(found)) => {
                to.put_u8(2);
                put_option(*found, &mut to);
            }
            Self::Elsewhere(leader) => {
                to.put_u8(3);
                put_option(*leader, &mut to);
            }
            // No client waits for an entry that raft writes for itself.
            Self::Unknown | Self::Done(Outcome::Nothing) => to.put_u8(4),
            Self::Status(status) => {
                to.put_u8(5);
                status.put(&mut to);
            }
            Self::Dump { applied, state } => {
                to.put_u8(6);
                to.put_u64_le(*applied);
                to.put_slice(state);
            }
        }
        to
    }

    pub(crate) fn decode(from: Bytes) -> Result<Self, Failure> {
        let mut rest = &from[..];
        Ok(match rest.try_get_u8()? {
            0 => Self::Value(take_option(&mut rest)?),
            1 => Self::Done(Outcome::Written),
            2 => Self::Done(Outcome::Kept(take_option(&mut rest)?)),
            3 => Self::Elsewhere(take_option(&mut rest)?),
            4 => Self::Unknown,
            5 => Self::Status(Box::new(Status::take(&mut rest)?)),
            6 => Self::Dump { applied: rest.try_get_u64_le()?, state: from.slice_ref(rest) },
            other => return Err(format!("{other} is no answer").into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_arrives() {
        let command = Bytes::from_static(b"command");
        for ask in
            [Ask::Get { shard: 1, key: 2 }, Ask::Write { shard: 3, command }, Ask::Status, Ask::Dump { shard: 4 }]
        {
            assert_eq!(Ask::decode(ask.encode().into()).unwrap(), ask);
        }
        let status = Status { led: 5, ..Status::default() };
        for reply in [
            Reply::Value(Some(1)),
            Reply::Done(Outcome::Written),
            Reply::Done(Outcome::Kept(None)),
            Reply::Elsewhere(Some(3)),
            Reply::Unknown,
            Reply::Status(Box::new(status)),
            Reply::Dump { applied: 9, state: Bytes::from_static(b"state") },
        ] {
            assert_eq!(Reply::decode(reply.encode().into()).unwrap(), reply);
        }
        assert!(Ask::decode(Bytes::from_static(&[9])).is_err() && Reply::decode(Bytes::new()).is_err());
    }

    #[test]
    fn frames_keep_their_bounds() {
        let mut stream = Vec::new();
        write_frame(&mut stream, b"one").unwrap();
        write_frame(&mut stream, b"").unwrap();
        let mut from = &stream[..];
        assert_eq!(read_frame(&mut from).unwrap().unwrap(), "one");
        assert_eq!(read_frame(&mut from).unwrap().unwrap(), "");
        assert_eq!(read_frame(&mut from).unwrap(), None);
        assert!(read_frame(&mut &u32::MAX.to_le_bytes()[..]).is_err());
    }
}
