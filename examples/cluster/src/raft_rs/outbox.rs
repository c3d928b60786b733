//! `Outbox`: packets of many groups, sent in one frame per peer and turn of the event loop.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes};
use logboom::snapshot::Chunk;
use logboom_rsm::Failure;
use protobuf::Message as _;
use raft::eraftpb::Message;

use crate::links::Links;

/// A frame is sent when it has this many bytes, or when the turn ends.
const FRAME_BYTES: usize = 1 << 20;

/// A part of a frame, for one shard.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Packet {
    /// A message of the raft core.
    Message(u64, Message),
    /// A snapshot transfer begins; the message is delivered when the snapshot has arrived.
    Snapshot(u64, Message),
    /// A chunk of the snapshot.
    Chunk(u64, Chunk),
    /// The last chunk was sent.
    End(u64),
    /// The answer of the receiver: whether it has the snapshot.
    Taken { shard: u64, is_good: bool },
}

/// The packets that wait for the end of the turn.
#[derive(Debug)]
pub(crate) struct Outbox {
    links: Links,
    frames: BTreeMap<u64, Vec<u8>>,
    pub(crate) messages: u64,
    pub(crate) sent: u64,
}

impl Outbox {
    pub(crate) fn new(links: &Links) -> Self {
        let frames = links.peers().map(|peer| (peer, Vec::new())).collect();
        Self { links: links.clone(), frames, messages: 0, sent: 0 }
    }

    /// Adds a packet to the frame for `to`. Returns false if a frame was dropped.
    pub(crate) fn post(&mut self, to: u64, packet: &Packet) -> bool {
        let Some(frame) = self.frames.get_mut(&to) else { return false };
        packet.put(frame);
        self.messages += 1;
        if frame.len() < FRAME_BYTES {
            return true;
        }
        self.sent += 1;
        self.links.send(to, std::mem::take(frame))
    }

    /// Sends all frames. Returns false if one was dropped.
    pub(crate) fn flush(&mut self) -> bool {
        let mut arrives = true;
        for (peer, frame) in self.frames.iter_mut().filter(|(_, frame)| !frame.is_empty()) {
            self.sent += 1;
            arrives &= self.links.send(*peer, std::mem::take(frame));
        }
        arrives
    }
}

/// Decodes the packets of a frame, up to the first that cannot be decoded.
pub(crate) fn open(mut frame: Bytes) -> Vec<Packet> {
    let mut packets = Vec::new();
    while !frame.is_empty() {
        match Packet::take(&mut frame) {
            Ok(packet) => packets.push(packet),
            Err(error) => {
                eprintln!("a frame ends early: {error:#}");
                break;
            }
        }
    }
    packets
}

impl Packet {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Message(shard, message) => {
                begin(0, *shard, to);
                put_message(message, to);
            }
            Self::Snapshot(shard, message) => {
                begin(1, *shard, to);
                put_message(message, to);
            }
            Self::Chunk(shard, chunk) => {
                begin(2, *shard, to);
                to.put_u32_le(chunk.file);
                to.put_u64_le(chunk.offset);
                to.put_u64_le(chunk.bytes.len() as u64);
                to.put_slice(&chunk.bytes);
            }
            Self::End(shard) => begin(3, *shard, to),
            Self::Taken { shard, is_good } => {
                begin(4, *shard, to);
                to.put_u8((*is_good).into());
            }
        }
    }

    /// Decodes a packet, which shares the memory of the frame.
    fn take(from: &mut Bytes) -> Result<Self, Failure> {
        let kind = from.try_get_u8()?;
        let shard = from.try_get_u64_le()?;
        Ok(match kind {
            0 => Self::Message(shard, take_message(from)?),
            1 => Self::Snapshot(shard, take_message(from)?),
            2 => {
                let (file, offset) = (from.try_get_u32_le()?, from.try_get_u64_le()?);
                Self::Chunk(shard, Chunk { file, offset, bytes: take_bytes(from)? })
            }
            3 => Self::End(shard),
            4 => Self::Taken { shard, is_good: from.try_get_u8()? != 0 },
            other => return Err(format!("{other} is no packet").into()),
        })
    }
}

fn begin(kind: u8, shard: u64, to: &mut Vec<u8>) {
    to.put_u8(kind);
    to.put_u64_le(shard);
}

fn put_message(message: &Message, to: &mut Vec<u8>) {
    to.put_u64_le(u64::from(message.compute_size()));
    message.write_to_vec(to).expect("memory takes everything, and no field of a message is required");
}

fn take_message(from: &mut Bytes) -> Result<Message, Failure> {
    Ok(Message::parse_from_carllerche_bytes(&take_bytes(from)?)?)
}

fn take_bytes(from: &mut Bytes) -> Result<Bytes, Failure> {
    let length = usize::try_from(from.try_get_u64_le()?)?;
    if length > from.len() {
        return Err("it ends too early".into());
    }
    Ok(from.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_arrive_as_they_were_sent() {
        let mut message = Message::default();
        (message.term, message.index, message.from, message.to) = (3, 17, 1, 2);
        message.mut_snapshot().data = Bytes::from_static(b"manifest");
        let chunk = Chunk { file: 1, offset: 4096, bytes: Bytes::from_static(b"block") };
        let packets = [
            Packet::Message(7, message.clone()),
            Packet::Snapshot(8, message),
            Packet::Chunk(8, chunk),
            Packet::End(8),
            Packet::Taken { shard: 8, is_good: true },
        ];
        let mut frame = Vec::new();
        packets.iter().for_each(|packet| packet.put(&mut frame));
        assert_eq!(open(frame.clone().into()), packets);
        frame.truncate(frame.len() - 1);
        assert_eq!(open(frame.into()), packets[..4], "what is whole is taken");
    }
}
