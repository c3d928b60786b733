//! A machine that keeps the commands that it was given, and says what is done to it.

use std::io::{Read, Write};

use bytes::Bytes;
use logboom::{EntryBatch, EntryRef, snapshot::Stop};
use logboom_rsm::{
    Failure, Files, Object, ObjectSnapshots, PreCommit, ReadObjects, ReceiveObjects, SaveSnapshot, SnapshotReader,
    StateMachine,
};

use super::{server::CONFIGURATION, transcript::Transcript};

/// The commands, one a line.
#[derive(Debug)]
pub(crate) struct Journal {
    commands: Vec<String>,
    owner: &'static str,
    transcript: Transcript,
}

impl Journal {
    pub(crate) fn new(owner: &'static str, transcript: Transcript) -> Self {
        Self { commands: Vec::new(), owner, transcript }
    }

    fn note(&self, what: String) {
        self.transcript.line(self.owner, "machine", what);
    }
}

impl StateMachine for Journal {
    type Output = ();
    type Query = ();
    type Answer = Vec<String>;

    fn update(&mut self, entries: &EntryBatch) -> Result<Vec<()>, Failure> {
        for entry in entries {
            let text = String::from_utf8_lossy(entry.payload);
            if entry.kind == CONFIGURATION {
                self.note(format!("commit_config {} {text:?}", entry.index));
                continue;
            }
            self.note(format!("commit {} {text:?}", entry.index));
            self.commands.push(text.into_owned());
        }
        Ok(entries.iter().map(drop).collect())
    }

    fn lookup(&self, (): &()) -> Result<Vec<String>, Failure> {
        Ok(self.commands.clone())
    }

    fn recover_from_snapshot(&mut self, from: &mut SnapshotReader<'_>, _: &Stop) -> Result<(), Failure> {
        self.note(format!("apply_snapshot of {}", from.index()));
        let mut text = String::new();
        from.read_to_string(&mut text)?;
        self.commands = text.lines().map(str::to_owned).collect();
        Ok(())
    }
}

impl SaveSnapshot for Journal {
    fn save_snapshot(&self, to: &mut dyn Write, _: &mut Files, _: &Stop) -> Result<(), Failure> {
        self.note("create_snapshot".into());
        for command in &self.commands {
            writeln!(to, "{command}")?;
        }
        Ok(())
    }
}

impl PreCommit for Journal {
    fn pre_commit(&mut self, entries: &EntryBatch) -> Result<(), Failure> {
        for entry in entries {
            self.note(format!("pre_commit {}", entry.index));
        }
        Ok(())
    }

    fn rollback(&mut self, entry: EntryRef<'_>) -> Result<(), Failure> {
        self.note(format!("rollback {}", entry.index));
        Ok(())
    }
}

/// The commands as they were: object 0 says how many there are, and object `n` is the `n`-th of them.
pub(crate) struct Reading {
    commands: Vec<String>,
    owner: &'static str,
    transcript: Transcript,
}

/// The commands that have come.
pub(crate) struct Receiving {
    commands: Vec<String>,
    count: u64,
    owner: &'static str,
    transcript: Transcript,
}

impl ObjectSnapshots for Journal {
    type Reading = Reading;
    type Receiving = Receiving;

    fn read_objects(&self, _: usize) -> Result<Reading, Failure> {
        Ok(Reading { commands: self.commands.clone(), owner: self.owner, transcript: self.transcript.clone() })
    }

    fn receive_objects(&self) -> Result<Receiving, Failure> {
        Ok(Receiving { commands: Vec::new(), count: 0, owner: self.owner, transcript: self.transcript.clone() })
    }

    fn recover_from_objects(&mut self, received: Receiving, index: u64) -> Result<(), Failure> {
        self.note(format!("apply_snapshot of {index}"));
        self.commands = received.commands;
        Ok(())
    }
}

impl ReadObjects for Reading {
    fn read_object(&mut self, id: u64) -> Result<Object, Failure> {
        self.transcript.line(self.owner, "machine", format!("read_logical_snp_obj {id}"));
        let count = self.commands.len() as u64;
        let data = match id.checked_sub(1) {
            None => Bytes::copy_from_slice(&count.to_le_bytes()),
            Some(at) => self.commands.get(usize::try_from(at)?).ok_or("there is no such object")?.clone().into(),
        };
        Ok(Object { id, data, last: id == count })
    }
}

impl ReceiveObjects for Receiving {
    fn receive_object(&mut self, object: &Object, first: bool) -> Result<u64, Failure> {
        self.transcript.line(self.owner, "machine", format!("save_logical_snp_obj {}", object.id));
        if first {
            self.commands.clear();
            self.count = u64::from_le_bytes(object.data[..].try_into()?);
        } else {
            self.commands.push(String::from_utf8(object.data.to_vec())?);
        }
        match object.last && self.commands.len() as u64 != self.count {
            true => Err("fewer objects than object 0 says".into()),
            false => Ok(object.id + 1),
        }
    }
}
