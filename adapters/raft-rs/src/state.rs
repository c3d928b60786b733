//! Encodings of hard state, commit index and configuration in a shard.
//!
//! | what | where | bytes |
//! |---|---|---|
//! | hard state | the shard's hard state | term, vote, commit: 8 each, little-endian |
//! | commit index | the shard's commit hint | 8, little-endian |
//! | a configuration | the key `raft-rs/conf/` + index, 8 bytes big-endian | the `ConfState` message |
//! | an import that has begun and not ended | the key `raft-rs/importing` | none |
//!
//! The commit index changes far more often than term and vote, and may be lost: when it alone has changed it is written
//! as a hint, which needs no sync. The higher of the two counts.
//!
//! A configuration is kept for each index at which it has changed. A core that starts applies entries again from its
//! application's index on, including changes of the configuration, so it must begin with the configuration of that
//! index, and not with a later one.

use logboom::{Batch, Shard};
use protobuf::Message;
use raft::{
    INVALID_ID,
    eraftpb::{ConfState, HardState},
};

use crate::error::{Error, Result};

const CONF_PREFIX: &[u8] = b"raft-rs/conf/";
const IMPORTING: &[u8] = b"raft-rs/importing";
const NO_CONF_STATE: &str = "a configuration that is no ConfState";

/// The bytes of a hard state.
pub(crate) fn encode(state: &HardState) -> [u8; 24] {
    let mut bytes = [0; 24];
    for (part, field) in bytes.chunks_exact_mut(8).zip([state.term, state.vote, state.commit]) {
        part.copy_from_slice(&field.to_le_bytes());
    }
    bytes
}

/// The stored hard state with the highest known commit index; the default if there is none.
pub(crate) fn hard_state(shard: &Shard) -> Result<HardState> {
    let mut state = HardState::default();
    if let Some(bytes) = shard.hard_state()? {
        let (fields, rest) = bytes.as_chunks::<8>();
        let ([term, vote, commit], []) = (fields, rest) else {
            return Err(malformed(shard, format!("a hard state of {} bytes", bytes.len())));
        };
        state.term = u64::from_le_bytes(*term);
        state.vote = u64::from_le_bytes(*vote);
        state.commit = u64::from_le_bytes(*commit);
    }
    if let Some(bytes) = shard.commit_hint()? {
        let hint = <[u8; 8]>::try_from(&*bytes);
        let hint = hint.map_err(|_| malformed(shard, format!("a commit hint of {} bytes", bytes.len())))?;
        state.commit = state.commit.max(u64::from_le_bytes(hint));
    }
    Ok(state)
}

/// The configuration as of `index`; the default if the group has none yet.
pub(crate) fn conf_state(shard: &Shard, index: u64) -> Result<ConfState> {
    let end = conf_key(index);
    let stored = shard.scan(CONF_PREFIX..=end.as_slice())?;
    let Some((_, bytes)) = stored.last() else { return Ok(ConfState::default()) };
    decode_conf(bytes).ok_or_else(|| malformed(shard, NO_CONF_STATE.into()))
}

/// The index since which `member` has been in all configurations up to the newest; `None` if it is not in the newest.
/// An index at or below the boundary means: for the whole log.
pub(crate) fn member_since(shard: &Shard, member: u64) -> Result<Option<u64>> {
    let mut since = None;
    for (key, bytes) in shard.scan(CONF_PREFIX..=conf_key(u64::MAX).as_slice())?.iter().rev() {
        let known = conf_index(key).zip(decode_conf(bytes));
        let (index, conf_state) = known.ok_or_else(|| malformed(shard, NO_CONF_STATE.into()))?;
        if !is_member(&conf_state, member) {
            break;
        }
        since = Some(index);
    }
    Ok(since)
}

/// Whether a core of that id is in a configuration. Nodes in `learners_next` are outgoing voters too. No core has the
/// invalid id, so that one matches any configuration.
pub(crate) fn is_member(conf_state: &ConfState, id: u64) -> bool {
    let asks_for_any = id == INVALID_ID;
    asks_for_any
        || [&conf_state.voters, &conf_state.learners, &conf_state.voters_outgoing]
            .into_iter()
            .any(|ids| ids.contains(&id))
}

/// A configuration from its message.
pub(crate) fn decode_conf(bytes: &[u8]) -> Option<ConfState> {
    ConfState::parse_from_bytes(bytes).ok()
}

/// The message of a configuration.
pub(crate) fn encode_conf(shard: &Shard, state: &ConfState) -> Result<Vec<u8>> {
    state.write_to_bytes().map_err(|error| malformed(shard, format!("a configuration: {error:#}")))
}

/// Adds the configuration that holds from `index` on.
pub(crate) fn put_conf(batch: &mut Batch<'_>, shard: &Shard, index: u64, state: &ConfState) -> Result<()> {
    batch.put(shard.id(), &conf_key(index), &encode_conf(shard, state)?)?;
    Ok(())
}

/// Drops every configuration that does not hold at `boundary` or later.
pub(crate) fn drop_confs_before(batch: &mut Batch<'_>, shard: &Shard, boundary: u64) -> Result<()> {
    let end = conf_key(boundary);
    let mut stored = shard.scan(CONF_PREFIX..=end.as_slice())?;
    // The last one of them holds at the boundary.
    stored.pop();
    for (key, _) in stored {
        batch.delete(shard.id(), &key)?;
    }
    Ok(())
}

/// Drops every configuration: what a snapshot brings replaces them.
pub(crate) fn drop_confs(batch: &mut Batch<'_>, shard: &Shard) -> Result<()> {
    for (key, _) in shard.scan(CONF_PREFIX..=conf_key(u64::MAX).as_slice())? {
        batch.delete(shard.id(), &key)?;
    }
    Ok(())
}

/// Whether a group is being brought in, and not all of it is there.
pub(crate) fn is_importing(shard: &Shard) -> Result<bool> {
    Ok(shard.get(IMPORTING)?.is_some())
}

/// Says that a group is being brought in.
pub(crate) fn mark_import(batch: &mut Batch<'_>, shard: &Shard) -> Result<()> {
    batch.put(shard.id(), IMPORTING, b"")?;
    Ok(())
}

/// Says that all of it is there.
pub(crate) fn unmark_import(batch: &mut Batch<'_>, shard: &Shard) -> Result<()> {
    batch.delete(shard.id(), IMPORTING)?;
    Ok(())
}

pub(crate) fn malformed(shard: &Shard, what: String) -> Error {
    Error::Malformed { shard: shard.id(), what }
}

#[expect(clippy::big_endian_bytes, reason = "keys are in the order of their bytes, which is to be that of the indexes")]
fn conf_key(index: u64) -> Vec<u8> {
    [CONF_PREFIX, &index.to_be_bytes()].concat()
}

#[expect(clippy::big_endian_bytes, reason = "as the key was made")]
fn conf_index(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.strip_prefix(CONF_PREFIX)?.try_into().ok()?))
}
