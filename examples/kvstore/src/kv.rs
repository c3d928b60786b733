//! The replicated state: keys with their values, and where the members of the group listen.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    sync::Arc,
};

use logboom::{EntryBatch, EntryRef, snapshot::Stop};
use logboom_rsm::{Failure, Files, PrepareSnapshot, SnapshotReader, SnapshotView, StateMachine};
use protobuf::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeType};

/// What the context of an entry begins with; raft's own entries have none. Behind it is the number of the request.
const PUT: u8 = b'p';
const CHANGE: u8 = b'c';

/// The context of an entry that gives a key a value.
pub(crate) fn put_context(number: u64) -> Vec<u8> {
    [&[PUT], &number.to_le_bytes()[..]].concat()
}

/// The context of an entry that changes the membership.
pub(crate) fn change_context(number: u64) -> Vec<u8> {
    [&[CHANGE], &number.to_le_bytes()[..]].concat()
}

/// The number of the request that an entry is of.
pub(crate) fn number(context: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(*context.get(1..)?.first_chunk()?))
}

/// The payload of an entry that gives a key a value.
pub(crate) fn put(key: &str, value: &str) -> Result<Vec<u8>, Failure> {
    let mut payload = Vec::new();
    write_text(&mut payload, key)?;
    write_text(&mut payload, value)?;
    Ok(payload)
}

/// The change of membership that an entry is, if it is one.
pub(crate) fn change(entry: &EntryRef<'_>) -> Result<Option<ConfChange>, Failure> {
    let is_change = entry.context.first() == Some(&CHANGE);
    // An entry that raft has found untimely is empty in its place.
    let payload = Some(entry.payload).filter(|payload| is_change && !payload.is_empty());
    Ok(payload.map(ConfChange::parse_from_bytes).transpose()?)
}

/// All that the members agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) values: BTreeMap<String, String>,
    pub(crate) peers: BTreeMap<u64, String>,
}

/// The machine. Its state is copied when it is written to while a snapshot of it is being saved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kv(Arc<State>);

impl Kv {
    /// Nothing, with the members that the cluster begins with.
    pub(crate) fn new(peers: BTreeMap<u64, String>) -> Self {
        Self(Arc::new(State { values: BTreeMap::new(), peers }))
    }
}

impl StateMachine for Kv {
    type Output = ();
    type Query = ();
    type Answer = Arc<State>;

    fn update(&mut self, entries: &EntryBatch) -> Result<Vec<()>, Failure> {
        let state = Arc::make_mut(&mut self.0);
        let apply = |entry: EntryRef<'_>| {
            if entry.context.first() == Some(&PUT) {
                let mut payload = entry.payload;
                state.values.insert(read_text(&mut payload)?, read_text(&mut payload)?);
            } else if let Some(change) = change(&entry)? {
                match change.get_change_type() {
                    ConfChangeType::RemoveNode => state.peers.remove(&change.node_id),
                    _ => state.peers.insert(change.node_id, String::from_utf8(change.context.to_vec())?),
                };
            }
            Ok(())
        };
        entries.iter().map(apply).collect()
    }

    /// The state as a whole, which costs a reference.
    fn lookup(&self, (): &()) -> Result<Arc<State>, Failure> {
        Ok(Arc::clone(&self.0))
    }

    fn recover_from_snapshot(&mut self, from: &mut SnapshotReader<'_>, _: &Stop) -> Result<(), Failure> {
        let mut state = State::default();
        for _ in 0..read_u64(from)? {
            state.values.insert(read_text(from)?, read_text(from)?);
        }
        for _ in 0..read_u64(from)? {
            state.peers.insert(read_u64(from)?, read_text(from)?);
        }
        self.0 = Arc::new(state);
        Ok(())
    }
}

/// The state as it was.
pub(crate) struct View(Arc<State>);

impl PrepareSnapshot for Kv {
    type View = View;

    fn prepare_snapshot(&self) -> Result<View, Failure> {
        Ok(View(Arc::clone(&self.0)))
    }
}

impl SnapshotView for View {
    fn save(self, to: &mut dyn Write, _: &mut Files, stop: &Stop) -> Result<(), Failure> {
        to.write_all(&(self.0.values.len() as u64).to_le_bytes())?;
        for (key, value) in &self.0.values {
            stop.check()?;
            write_text(to, key)?;
            write_text(to, value)?;
        }
        to.write_all(&(self.0.peers.len() as u64).to_le_bytes())?;
        for (id, address) in &self.0.peers {
            to.write_all(&id.to_le_bytes())?;
            write_text(to, address)?;
        }
        Ok(())
    }
}

fn write_text(to: &mut dyn Write, text: &str) -> Result<(), Failure> {
    to.write_all(&(text.len() as u64).to_le_bytes())?;
    Ok(to.write_all(text.as_bytes())?)
}

fn read_u64(from: &mut impl Read) -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn read_text(from: &mut impl Read) -> Result<String, Failure> {
    let len = read_u64(from)?;
    let mut bytes = Vec::new();
    if from.take(len).read_to_end(&mut bytes)? as u64 != len {
        return Err("a text ends too early".into());
    }
    Ok(String::from_utf8(bytes)?)
}
