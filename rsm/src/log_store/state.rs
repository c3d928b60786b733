//! `StateStore`: the state that a server keeps beside its log, NuRaft's `state_mgr`.

use bytes::Bytes;

use super::{Error, Result};

/// The version of the encoding.
const VERSION: u8 = 1;
/// Version, term, vote and flags.
const BYTES: usize = 14;

const ELECTION_TIMER: u8 = 1;
const CATCHING_UP: u8 = 2;
const RECEIVING_SNAPSHOT: u8 = 4;

/// NuRaft's `srv_state`: what a server must not forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerState {
    /// The highest term that it has seen.
    pub term: u64,
    /// Whom it has voted for in that term; -1 for nobody.
    pub voted_for: i32,
    /// Whether it may call for an election.
    pub election_timer_allowed: bool,
    /// Whether it has joined and has not got all of the log.
    pub catching_up: bool,
    /// Whether a snapshot is on its way: the log may be without what it stands for. It goes on only with that snapshot,
    /// or a newer one.
    pub receiving_snapshot: bool,
}

impl Default for ServerState {
    fn default() -> Self {
        Self { term: 0, voted_for: -1, election_timer_allowed: true, catching_up: false, receiving_snapshot: false }
    }
}

impl ServerState {
    /// The state as bytes, which fit a shard's hard state.
    pub fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [VERSION; BYTES];
        bytes[1..9].copy_from_slice(&self.term.to_le_bytes());
        bytes[9..13].copy_from_slice(&self.voted_for.to_le_bytes());
        let flag = |is: bool, flag| if is { flag } else { 0 };
        bytes[13] = flag(self.election_timer_allowed, ELECTION_TIMER)
            | flag(self.catching_up, CATCHING_UP)
            | flag(self.receiving_snapshot, RECEIVING_SNAPSHOT);
        bytes
    }

    /// The state that was encoded.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for bytes of another kind or version.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let foreign = || Error::unreadable("the hard state is not a server's state");
        let [VERSION, rest @ ..] = bytes else { return Err(foreign()) };
        let (term, rest) = rest.split_first_chunk().ok_or_else(foreign)?;
        let (voted_for, rest) = rest.split_first_chunk().ok_or_else(foreign)?;
        let &[flags @ 0..8] = rest else { return Err(foreign()) };
        Ok(Self {
            term: u64::from_le_bytes(*term),
            voted_for: i32::from_le_bytes(*voted_for),
            election_timer_allowed: flags & ELECTION_TIMER != 0,
            catching_up: flags & CATCHING_UP != 0,
            receiving_snapshot: flags & RECEIVING_SNAPSHOT != 0,
        })
    }
}

/// Where a server keeps its state and the configuration of its group.
///
/// NuRaft says nothing of the order in which these and the log become durable. Here it is the order of the calls: what
/// was saved is durable on return, and with it all that was appended before. So a vote cannot outlive the entries that
/// it was given on, nor a term be older than the entries of it.
pub trait StateStore: Send + Sync {
    /// Replaces the state. Durable on return: to be called before a vote is given, or a term told to anybody.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Failed`]: no vote is given.
    fn save_state(&self, state: &ServerState) -> Result<()>;

    /// The state that was saved last; `None` for a server that is new.
    ///
    /// # Errors
    /// [`Error::Unreadable`], also when a later one may be lost.
    fn read_state(&self) -> Result<Option<ServerState>>;

    /// Replaces the configuration, at most [`logboom::VALUE_BYTES_MAX`] bytes. Durable on return.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Failed`].
    fn save_config(&self, config: &[u8]) -> Result<()>;

    /// The configuration that was saved last; `None` for a server that is new.
    ///
    /// # Errors
    /// [`Error::Unreadable`], also when a later one may be lost.
    fn load_config(&self) -> Result<Option<Bytes>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_comes_back() {
        for flags in 0..8 {
            let state = ServerState {
                term: u64::MAX - flags,
                voted_for: i32::MIN + 1,
                election_timer_allowed: flags & 1 != 0,
                catching_up: flags & 2 != 0,
                receiving_snapshot: flags & 4 != 0,
            };
            assert_eq!(ServerState::decode(&state.encode()).unwrap(), state);
        }
        assert_eq!(ServerState::decode(&ServerState::default().encode()).unwrap(), ServerState::default());
        let state = ServerState { term: 0x0102, voted_for: 3, ..ServerState::default() };
        assert_eq!(state.encode(), [1, 2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1]);
    }

    #[test]
    fn other_bytes_are_none() {
        let good = ServerState::default().encode();
        for len in 0..good.len() {
            assert!(ServerState::decode(&good[..len]).is_err(), "{len} bytes");
        }
        let longer = [&good[..], &[0]].concat();
        let (mut newer, mut flagged) = (good, good);
        newer[0] = 2;
        flagged[13] = 8;
        for bytes in [&longer[..], &newer, &flagged] {
            assert!(ServerState::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
