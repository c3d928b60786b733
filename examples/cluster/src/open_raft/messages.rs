//! Encodes the messages between openraft's nodes.

use bytes::Bytes;
use logboom::snapshot::{Chunk, Position};
use logboom_openraft::{Content, Data, Field, Leader, Parts, StoredEntry};
use openraft::{
    EmptyNode, Entry, LeaderId, LogId, Membership, SnapshotMeta, StoredMembership, Vote,
    raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse},
};

use super::Types;

/// A request to another node's replica of a shard.
pub(crate) enum Question {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<u64>),
    /// The manifest of a snapshot that will be sent.
    Snapshot(Bytes),
    Chunk(Chunk),
    /// The snapshot was sent completely, and must replace the state.
    Install(Vote<u64>, SnapshotMeta<u64, EmptyNode>),
}

/// The answer to a request.
pub(crate) enum Answer {
    Append(AppendEntriesResponse<u64>),
    Vote(VoteResponse<u64>),
    /// The position of the next chunk to send; `None` when the snapshot is complete.
    Wanted(Option<Position>),
    Installed(Vote<u64>),
    /// The request failed, for this reason.
    Failed(String),
}

impl Question {
    pub(crate) fn put(self, to: &mut Vec<u8>) {
        match self {
            Self::Append(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit }) => {
                to.push(0);
                put_vote(&vote, to);
                put_id(prev_log_id, to);
                put_id(leader_commit, to);
                for entry in entries {
                    put_entry(entry, to);
                }
            }
            Self::Vote(VoteRequest { vote, last_log_id }) => {
                to.push(1);
                put_vote(&vote, to);
                put_id(last_log_id, to);
            }
            Self::Snapshot(manifest) => {
                to.push(2);
                to.extend_from_slice(&manifest);
            }
            Self::Chunk(chunk) => {
                to.push(3);
                chunk.file.put(to);
                chunk.offset.put(to);
                to.extend_from_slice(&chunk.bytes);
            }
            Self::Install(vote, meta) => {
                to.push(4);
                put_vote(&vote, to);
                put_id(meta.last_log_id, to);
                meta.snapshot_id.put(to);
                put_membership(&meta.last_membership, to);
            }
        }
    }

    /// Decodes a request; `None` if the bytes are not one.
    pub(crate) fn take(mut bytes: Bytes) -> Option<Self> {
        let from = &mut &bytes.clone()[..];
        Some(match u8::take(from)? {
            0 => {
                let (vote, prev_log_id, leader_commit) = (take_vote(from)?, take_id(from)?, take_id(from)?);
                let mut entries = Vec::new();
                while !from.is_empty() {
                    entries.push(take_entry(&bytes, from)?);
                }
                Self::Append(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
            }
            1 => Self::Vote(VoteRequest { vote: take_vote(from)?, last_log_id: take_id(from)? }),
            2 => Self::Snapshot(bytes.split_off(1)),
            3 => {
                let (file, offset) = (u32::take(from)?, u64::take(from)?);
                Self::Chunk(Chunk { file, offset, bytes: bytes.slice_ref(from) })
            }
            4 => {
                let (vote, last_log_id) = (take_vote(from)?, take_id(from)?);
                let (snapshot_id, last_membership) = (String::take(from)?, take_membership(from)?);
                Self::Install(vote, SnapshotMeta { last_log_id, last_membership, snapshot_id })
            }
            _ => return None,
        })
    }
}

impl Answer {
    pub(crate) fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Append(AppendEntriesResponse::Success) => to.push(0),
            Self::Append(AppendEntriesResponse::PartialSuccess(id)) => {
                to.push(1);
                put_id(*id, to);
            }
            Self::Append(AppendEntriesResponse::Conflict) => to.push(2),
            Self::Append(AppendEntriesResponse::HigherVote(vote)) => {
                to.push(3);
                put_vote(vote, to);
            }
            Self::Vote(VoteResponse { vote, vote_granted, last_log_id }) => {
                to.push(4);
                put_vote(vote, to);
                vote_granted.put(to);
                put_id(*last_log_id, to);
            }
            Self::Wanted(None) => to.push(5),
            Self::Wanted(Some(Position { file, offset })) => {
                to.push(6);
                file.put(to);
                offset.put(to);
            }
            Self::Installed(vote) => {
                to.push(7);
                put_vote(vote, to);
            }
            Self::Failed(why) => {
                to.push(8);
                why.put(to);
            }
        }
    }

    /// Decodes an answer; `None` if the bytes are not one.
    pub(crate) fn take(bytes: &[u8]) -> Option<Self> {
        let from = &mut &bytes[..];
        Some(match u8::take(from)? {
            0 => Self::Append(AppendEntriesResponse::Success),
            1 => Self::Append(AppendEntriesResponse::PartialSuccess(take_id(from)?)),
            2 => Self::Append(AppendEntriesResponse::Conflict),
            3 => Self::Append(AppendEntriesResponse::HigherVote(take_vote(from)?)),
            4 => {
                let (vote, vote_granted, last_log_id) = (take_vote(from)?, bool::take(from)?, take_id(from)?);
                Self::Vote(VoteResponse { vote, vote_granted, last_log_id })
            }
            5 => Self::Wanted(None),
            6 => Self::Wanted(Some(Position { file: u32::take(from)?, offset: u64::take(from)? })),
            7 => Self::Installed(take_vote(from)?),
            8 => Self::Failed(String::take(from)?),
            _ => return None,
        })
    }
}

fn put_vote(vote: &Vote<u64>, to: &mut Vec<u8>) {
    vote.leader_id.term.put(to);
    vote.leader_id.node_id.put(to);
    vote.committed.put(to);
}

fn take_vote(from: &mut &[u8]) -> Option<Vote<u64>> {
    let leader_id = LeaderId { term: u64::take(from)?, node_id: u64::take(from)? };
    Some(Vote { leader_id, committed: bool::take(from)? })
}

fn put_id(id: Option<LogId<u64>>, to: &mut Vec<u8>) {
    id.is_some().put(to);
    if let Some(LogId { leader_id, index }) = id {
        leader_id.term.put(to);
        leader_id.node_id.put(to);
        index.put(to);
    }
}

fn take_id(from: &mut &[u8]) -> Option<Option<LogId<u64>>> {
    if !bool::take(from)? {
        return Some(None);
    }
    let leader_id = LeaderId { term: u64::take(from)?, node_id: u64::take(from)? };
    Some(Some(LogId { leader_id, index: u64::take(from)? }))
}

/// Encodes an entry in the same parts as the log stores.
fn put_entry(entry: Entry<Types>, to: &mut Vec<u8>) {
    let Parts { leader, index, content } = entry.into_parts();
    leader.term().put(to);
    leader.put_rest(to);
    index.put(to);
    let (kind, payload) = match content {
        Content::Blank => (0_u8, Bytes::new()),
        Content::Normal(Data(bytes)) => (1, bytes),
        Content::Membership(bytes) => (2, bytes),
    };
    kind.put(to);
    (payload.len() as u64).put(to);
    to.extend_from_slice(&payload);
}

/// Decodes an entry. Its payload shares the memory of the frame `whole`.
fn take_entry(whole: &Bytes, from: &mut &[u8]) -> Option<Entry<Types>> {
    let term = u64::take(from)?;
    let leader = LeaderId::take(term, from)?;
    let index = u64::take(from)?;
    let kind = u8::take(from)?;
    let length = usize::try_from(u64::take(from)?).ok()?;
    let (payload, rest) = from.split_at_checked(length)?;
    *from = rest;
    let payload = whole.slice_ref(payload);
    let content = match kind {
        0 => Content::Blank,
        1 => Content::Normal(Data(payload)),
        2 => Content::Membership(payload),
        _ => return None,
    };
    Entry::from_parts(Parts { leader, index, content }).ok()
}

/// Encodes a membership. All members are voters, and a node has no data but its number.
fn put_membership(stored: &StoredMembership<u64, EmptyNode>, to: &mut Vec<u8>) {
    put_id(*stored.log_id(), to);
    let configs = stored.membership().get_joint_config();
    (configs.len() as u64).put(to);
    for config in configs {
        (config.len() as u64).put(to);
        config.iter().for_each(|id| id.put(to));
    }
}

fn take_membership(from: &mut &[u8]) -> Option<StoredMembership<u64, EmptyNode>> {
    let id = take_id(from)?;
    let mut configs = Vec::new();
    for _ in 0..u64::take(from)? {
        let voters = (0..u64::take(from)?).map(|_| u64::take(from));
        configs.push(voters.collect::<Option<_>>()?);
    }
    Some(StoredMembership::new(id, Membership::new(configs, None)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use openraft::EntryPayload;

    use super::*;

    fn id(index: u64) -> LogId<u64> {
        LogId { leader_id: LeaderId { term: 3, node_id: 2 }, index }
    }

    #[test]
    fn questions_arrive() {
        let members = BTreeSet::from([1, 2, 3]);
        let entries = vec![
            Entry { log_id: id(5), payload: EntryPayload::Blank },
            Entry { log_id: id(6), payload: EntryPayload::Normal(Data(Bytes::from_static(b"data"))) },
            Entry { log_id: id(7), payload: EntryPayload::Membership(Membership::new(vec![members.clone()], None)) },
        ];
        let membership = StoredMembership::new(Some(id(1)), Membership::new(vec![members], None));
        let snapshot_id = "00ff".to_owned();
        let meta = SnapshotMeta { last_log_id: Some(id(9)), last_membership: membership, snapshot_id };
        let request = AppendEntriesRequest {
            vote: Vote::new_committed(3, 2),
            prev_log_id: Some(id(4)),
            entries: entries.clone(),
            leader_commit: None,
        };
        let bytes = |question: Question| {
            let mut bytes = Vec::new();
            question.put(&mut bytes);
            Bytes::from(bytes)
        };
        let append = bytes(Question::Append(request));
        let Some(Question::Append(taken)) = Question::take(append.clone()) else { panic!("it is an append") };
        assert_eq!((taken.prev_log_id, taken.leader_commit, &taken.entries), (Some(id(4)), None, &entries));
        assert_eq!(bytes(Question::Append(taken)), append);

        let install = bytes(Question::Install(Vote::new(3, 1), meta.clone()));
        let Some(Question::Install(vote, taken)) = Question::take(install) else { panic!("it is an install") };
        assert_eq!((vote, taken), (Vote::new(3, 1), meta));
        let chunk = Chunk { file: 1, offset: 7, bytes: Bytes::from_static(b"chunk") };
        let Some(Question::Chunk(taken)) = Question::take(bytes(Question::Chunk(chunk.clone()))) else { panic!() };
        assert_eq!(taken, chunk);
        assert!(Question::take(Bytes::from_static(&[9])).is_none() && Question::take(Bytes::new()).is_none());
    }

    #[test]
    fn answers_arrive() {
        let answers = [
            Answer::Append(AppendEntriesResponse::Success),
            Answer::Append(AppendEntriesResponse::PartialSuccess(Some(id(3)))),
            Answer::Append(AppendEntriesResponse::HigherVote(Vote::new(8, 1))),
            Answer::Vote(VoteResponse { vote: Vote::new(8, 1), vote_granted: true, last_log_id: Some(id(1)) }),
            Answer::Wanted(None),
            Answer::Wanted(Some(Position { file: 1, offset: 2 })),
            Answer::Installed(Vote::new(8, 3)),
            Answer::Failed("why".into()),
        ];
        for answer in answers {
            let (mut bytes, mut again) = (Vec::new(), Vec::new());
            answer.put(&mut bytes);
            Answer::take(&bytes).unwrap().put(&mut again);
            assert_eq!(bytes, again);
        }
    }
}
