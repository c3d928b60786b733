//! A leader and a follower, and what goes between them.

use std::collections::BTreeMap;

use logboom_rsm::log_store::{LogEntry, LogStore};

use super::{
    Result,
    fuse::{Fuse, PowerCut},
    server::{Answer, CONFIGURATION, Server, Setup},
    transcript::Transcript,
};

/// How a client learns what came of its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Results {
    /// Its call returns with the result.
    Blocking,
    /// Its call returns at once, and it is told.
    Asynchronous,
}

pub(crate) struct Pair {
    pub(crate) leader: Server,
    pub(crate) follower: Server,
    pub(crate) transcript: Transcript,
    pub(crate) fuse: Fuse,
    term: u64,
    /// The entry that the follower is sent next.
    next: u64,
    /// The last entry that both are known to have.
    committed: u64,
    /// How far the follower was told that the log is committed.
    told: u64,
    waiting: BTreeMap<u64, Results>,
}

impl Pair {
    pub(crate) fn new(setup: &Setup) -> Result<Self> {
        let leader = Server::new("leader", 1, setup)?;
        let follower = Server::new("follower", 2, setup)?;
        Ok(Self {
            leader,
            follower,
            transcript: setup.transcript.clone(),
            fuse: setup.fuse.clone(),
            term: 0,
            next: 1,
            committed: 0,
            told: 0,
            waiting: BTreeMap::new(),
        })
    }

    /// A new term begins: the leader says so in its log. It does not know what the follower has.
    pub(crate) fn elect(&mut self) -> Result<()> {
        self.term += 1;
        self.leader.enter(self.term)?;
        (self.next, self.told) = (self.leader.log.next_slot(), 0);
        let entry = LogEntry { kind: CONFIGURATION, ..LogEntry::new(self.term, format!("term {}", self.term)) };
        self.leader.lead(vec![entry])
    }

    /// [`Pair::elect`], in the term behind `term`, which was another leader's.
    pub(crate) fn elect_above(&mut self, term: u64) -> Result<()> {
        self.term = term;
        self.elect()
    }

    /// The leader commits what it has, when it is the only server.
    pub(crate) fn commit_alone(&mut self) -> Result<()> {
        self.committed = self.leader.log.next_slot() - 1;
        self.leader.commit(self.committed)
    }

    /// A client wants commands in the log. With blocking results it is answered when this returns.
    pub(crate) fn propose(&mut self, commands: &[&str], results: Results) -> Result<()> {
        let how = if results == Results::Blocking { "and waits" } else { "and goes on" };
        self.transcript.line("client", "", format!("wants {commands:?} {how}"));
        let first = self.leader.log.next_slot();
        let entries = commands.iter().map(|command| LogEntry::new(self.term, command.to_string())).collect();
        self.waiting.insert(first + commands.len() as u64 - 1, results);
        self.leader.lead(entries)?;
        match results {
            Results::Blocking => self.run(),
            Results::Asynchronous => Ok(()),
        }
    }

    /// Sends and answers until the follower has all, and knows what is committed.
    pub(crate) fn run(&mut self) -> Result<()> {
        while self.next < self.leader.log.next_slot() || self.committed + 1 < self.next || self.told < self.committed {
            self.exchange()?;
        }
        Ok(())
    }

    /// One request and its answer.
    pub(crate) fn exchange(&mut self) -> Result<()> {
        let Some(request) = self.leader.request(self.next, self.committed)? else { return self.send_snapshot() };
        self.leader.arrow("send -> answer of the follower")?;
        let (told, last) = (request.committed, request.prev.index + request.entries.len() as u64);
        match self.follower.take(request)? {
            Answer::Accepted { next } => {
                (self.next, self.told) = (next, told.min(last));
                self.count()
            }
            Answer::Refused { next } => {
                self.next = next;
                Ok(())
            }
        }
    }

    /// The leader counts: what the follower has, and what is durable here. It commits entries of its term, and all
    /// before them.
    fn count(&mut self) -> Result<()> {
        self.leader.settle();
        let both = (self.next - 1).min(self.leader.log.last_durable_index());
        if both <= self.committed || self.leader.log.term_at(both)? != self.term {
            return Ok(());
        }
        self.committed = both;
        self.leader.arrow("answer of the follower -> commit")?;
        self.leader.commit(both)?;
        self.leader.arrow("commit -> answer to the client")?;
        while let Some((index, results)) = self.waiting.pop_first() {
            if index > both {
                self.waiting.insert(index, results);
                break;
            }
            let how = if results == Results::Blocking { "is answered" } else { "is told" };
            self.transcript.line("client", "", format!("{how} that {index} is committed"));
        }
        Ok(())
    }

    /// The leader sends its log in packs of `count` entries, as to a server that joins.
    pub(crate) fn send_packs(&mut self, count: u64) -> Result<()> {
        self.next = self.follower.log.next_slot().max(self.leader.log.start_index());
        while self.next <= self.committed {
            let count = count.min(self.committed + 1 - self.next);
            let pack = self.leader.log.pack(self.next, count)?.ok_or("entries are missing")?;
            self.leader.arrow("pack -> apply_pack")?;
            self.next = self.follower.join(self.next, &pack)?;
            self.follower.arrow("apply_pack -> answer")?;
        }
        Ok(())
    }

    fn send_snapshot(&mut self) -> Result<()> {
        let mut stream = self.leader.read_snapshot()?;
        let index = stream.at.index;
        self.transcript.line("leader", "", format!("has no entry {}, sends a snapshot of {index}", self.next));
        self.follower.enter(self.term)?;
        self.next = self.follower.receive(&mut stream)?;
        self.told = index;
        Ok(())
    }

    /// Goes on after a power cut: the server is switched on again, and a leader begins a new term.
    pub(crate) fn recover(&mut self, cut: &PowerCut) -> Result<()> {
        self.transcript.line(cut.server, "", "loses power");
        if cut.server == self.follower.name {
            return self.follower.restart();
        }
        if !std::mem::take(&mut self.waiting).is_empty() {
            self.transcript.line("client", "", "is not answered");
        }
        self.leader.restart()?;
        // What is committed is known when an entry of the new term is.
        self.committed = 0;
        self.elect()
    }

    /// Refuses a pair that does not agree, and says what both have.
    pub(crate) fn agree(&self) -> Result<()> {
        let log = |server: &Server| -> Result<Vec<LogEntry>> {
            let start = self.leader.log.start_index().max(self.follower.log.start_index());
            let entries = server.log.log_entries(start..server.log.next_slot())?;
            Ok(entries.ok_or("entries are missing")?)
        };
        if self.leader.commands()? != self.follower.commands()? || log(&self.leader)? != log(&self.follower)? {
            return Err(format!("leader and follower differ:\n{}", self.transcript.take()).into());
        }
        self.transcript.line("both", "", format!("have {:?}", self.leader.commands()?));
        Ok(())
    }
}
