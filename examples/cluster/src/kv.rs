//! `Kv`: the replicated state machine, registers by key and a receipt for each write.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    sync::Arc,
};

use bytes::{Buf, BufMut, Bytes, TryGetError};
use logboom::{EntryBatch, snapshot::Stop};
use logboom_rsm::{Failure, Files, PrepareSnapshot, SnapshotReader, SnapshotView, StateMachine};

use crate::receipts::Receipts;

/// A write, as the payload of a log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) client: u32,
    /// The number that the client gave the write, counted per client and shard from 1.
    pub(crate) number: u64,
    pub(crate) key: u32,
    pub(crate) action: Action,
    /// The new bytes of the register; they begin with the number of the value.
    pub(crate) value: Bytes,
}

/// The kind of a write. A value is identified by the number that it begins with, which is used only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Put,
    /// Writes only if the register has the value with this number (`None`: no value).
    Swap {
        expected: Option<u64>,
    },
}

/// The outcome of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The value was written.
    Written,
    /// The register had another value than expected, the one with this number (`None`: no value), and keeps it.
    Kept(Option<u64>),
    /// The entry was no write, but one of raft's own.
    #[default]
    Nothing,
}

/// The state that all replicas of a shard agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) registers: BTreeMap<u32, Bytes>,
    pub(crate) receipts: Receipts,
    /// The number of writes that were applied a second time. It must be 0.
    pub(crate) repeated: u64,
}

/// The state machine of one shard. A write during the saving of a snapshot copies the state first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kv {
    pub(crate) state: Arc<State>,
}

impl Command {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut to = Vec::with_capacity(32 + self.value.len());
        to.put_u32_le(self.client);
        to.put_u64_le(self.number);
        to.put_u32_le(self.key);
        match self.action {
            Action::Put => to.put_u8(0),
            Action::Swap { expected } => {
                to.put_u8(1);
                put_option(expected, &mut to);
            }
        }
        to.put_slice(&self.value);
        to
    }

    /// Copies the value, so that the state does not keep the log's memory alive.
    fn decode(mut from: &[u8]) -> Result<Self, Failure> {
        let (client, number) = (from.try_get_u32_le()?, from.try_get_u64_le()?);
        let key = from.try_get_u32_le()?;
        let action = match from.try_get_u8()? {
            0 => Action::Put,
            1 => Action::Swap { expected: take_option(&mut from)? },
            other => return Err(format!("{other} is no action").into()),
        };
        Ok(Self { client, number, key, action, value: Bytes::copy_from_slice(from) })
    }
}

/// The number of a value.
pub(crate) fn number(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl State {
    pub(crate) fn get(&self, key: u32) -> Option<u64> {
        self.registers.get(&key).map(|value| number(value))
    }

    fn apply(&mut self, command: Command) -> Outcome {
        let found = self.get(command.key);
        if !self.receipts.add(command.client, command.number) {
            self.repeated += 1;
        }
        match command.action {
            Action::Swap { expected } if expected != found => Outcome::Kept(found),
            _ => {
                self.registers.insert(command.key, command.value);
                Outcome::Written
            }
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut to = Vec::new();
        to.put_u64_le(self.registers.len() as u64);
        for (key, value) in &self.registers {
            to.put_u32_le(*key);
            to.put_u64_le(value.len() as u64);
            to.put_slice(value);
        }
        self.receipts.put(&mut to);
        to.put_u64_le(self.repeated);
        to
    }

    pub(crate) fn decode(mut from: &[u8]) -> Result<Self, Failure> {
        let mut state = Self::default();
        for _ in 0..from.try_get_u64_le()? {
            let key = from.try_get_u32_le()?;
            let length = usize::try_from(from.try_get_u64_le()?)?;
            let (value, rest) = from.split_at_checked(length).ok_or("a value ends too early")?;
            state.registers.insert(key, Bytes::copy_from_slice(value));
            from = rest;
        }
        state.receipts = Receipts::take(&mut from)?;
        state.repeated = from.try_get_u64_le()?;
        if from.is_empty() { Ok(state) } else { Err("a state goes on behind its end".into()) }
    }
}

impl Kv {
    /// Applies the payload of an entry. The entries that raft writes for itself are empty and change nothing.
    pub(crate) fn apply(&mut self, payload: &[u8]) -> Result<Outcome, Failure> {
        if payload.is_empty() {
            return Ok(Outcome::Nothing);
        }
        Ok(Arc::make_mut(&mut self.state).apply(Command::decode(payload)?))
    }

    pub(crate) fn load(&mut self, from: &mut dyn Read) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        self.state = Arc::new(State::decode(&bytes)?);
        Ok(())
    }
}

impl StateMachine for Kv {
    type Output = Outcome;
    type Query = ();
    type Answer = Arc<State>;

    fn update(&mut self, entries: &EntryBatch) -> Result<Vec<Outcome>, Failure> {
        entries.iter().map(|entry| self.apply(entry.payload)).collect()
    }

    /// Returns the whole state, shared, without a copy.
    fn lookup(&self, (): &()) -> Result<Arc<State>, Failure> {
        Ok(Arc::clone(&self.state))
    }

    fn recover_from_snapshot(&mut self, from: &mut SnapshotReader<'_>, _: &Stop) -> Result<(), Failure> {
        self.load(from)
    }
}

/// The state at the moment when a snapshot was begun.
#[derive(Debug)]
pub(crate) struct View(pub(crate) Arc<State>);

impl PrepareSnapshot for Kv {
    type View = View;

    fn prepare_snapshot(&self) -> Result<View, Failure> {
        Ok(View(Arc::clone(&self.state)))
    }
}

impl SnapshotView for View {
    fn save(self, to: &mut dyn Write, _: &mut Files, _: &Stop) -> Result<(), Failure> {
        Ok(to.write_all(&self.0.encode())?)
    }
}

/// Encodes an optional number: a byte that says whether it is present, and the number.
pub(crate) fn put_option(value: Option<u64>, to: &mut Vec<u8>) {
    to.put_u8(value.is_some().into());
    to.put_u64_le(value.unwrap_or(0));
}

pub(crate) fn take_option(from: &mut &[u8]) -> Result<Option<u64>, TryGetError> {
    let is_some = from.try_get_u8()? != 0;
    let value = from.try_get_u64_le()?;
    Ok(is_some.then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(number: u64, action: Action) -> Command {
        let value = Bytes::copy_from_slice(&(100 + number).to_le_bytes());
        Command { client: 3, number, key: 9, action, value }
    }

    #[test]
    fn commands_do_what_they_say() {
        let mut kv = Kv::default();
        let mut apply = |command: Command| kv.apply(&command.encode()).unwrap();
        assert_eq!(apply(command(1, Action::Swap { expected: Some(5) })), Outcome::Kept(None));
        assert_eq!(apply(command(2, Action::Swap { expected: None })), Outcome::Written);
        assert_eq!(apply(command(3, Action::Swap { expected: None })), Outcome::Kept(Some(102)));
        assert_eq!(apply(command(4, Action::Put)), Outcome::Written);
        assert_eq!(kv.apply(&[]).unwrap(), Outcome::Nothing);
        assert_eq!((kv.state.get(9), kv.state.get(8)), (Some(104), None));
        assert!(kv.apply(&[1, 2, 3]).is_err());

        assert_eq!((kv.state.receipts.count(), kv.state.repeated), (4, 0));
        kv.apply(&command(4, Action::Put).encode()).unwrap();
        assert_eq!((kv.state.receipts.count(), kv.state.repeated), (4, 1));
    }

    #[test]
    fn a_state_comes_back_as_it_was() {
        let mut kv = Kv::default();
        for number in 1..20 {
            kv.apply(&command(number, Action::Put).encode()).unwrap();
        }
        let bytes = kv.state.encode();
        let mut other = Kv::default();
        other.load(&mut &bytes[..]).unwrap();
        assert_eq!(other.state, kv.state);
        (0..bytes.len()).for_each(|length| assert!(State::decode(&bytes[..length]).is_err(), "{length}"));
    }
}
