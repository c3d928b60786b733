//! A key-value store as a state machine that can be saved in every way.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    sync::Arc,
};

use bytes::Bytes;
use logboom::{EntryBatch, snapshot::Stop};
use logboom_rsm::{
    Failure, Files, Object, ObjectSnapshots, PrepareSnapshot, ReadObjects, ReceiveObjects, SaveSnapshot,
    SnapshotReader, SnapshotView, StateMachine,
};

pub(crate) type Map = BTreeMap<String, String>;

/// Keys and their values. The map is copied when it is written to while a view of it lives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kv {
    map: Arc<Map>,
}

impl Kv {
    /// The payload of an entry that gives a key a value.
    pub(crate) fn put(key: &str, value: &str) -> Vec<u8> {
        format!("{key}={value}").into_bytes()
    }
}

impl StateMachine for Kv {
    /// The value that the key had.
    type Output = Option<String>;
    type Query = str;
    type Answer = Option<String>;

    fn update(&mut self, entries: &EntryBatch) -> Result<Vec<Option<String>>, Failure> {
        let map = Arc::make_mut(&mut self.map);
        let mut outputs = Vec::with_capacity(entries.len());
        for entry in entries {
            // What is not `key=value`, a raft core's own entries among it, is without effect on every replica.
            let put = str::from_utf8(entry.payload).ok().and_then(|text| text.split_once('='));
            outputs.push(put.and_then(|(key, value)| map.insert(key.into(), value.into())));
        }
        Ok(outputs)
    }

    fn lookup(&self, key: &str) -> Result<Option<String>, Failure> {
        Ok(self.map.get(key).cloned())
    }

    fn recover_from_snapshot(&mut self, from: &mut SnapshotReader<'_>, _: &Stop) -> Result<(), Failure> {
        let mut map = Map::new();
        for _ in 0..read_u64(from)? {
            map.insert(read_text(from)?, read_text(from)?);
        }
        self.map = Arc::new(map);
        Ok(())
    }
}

impl SaveSnapshot for Kv {
    fn save_snapshot(&self, to: &mut dyn Write, files: &mut Files, stop: &Stop) -> Result<(), Failure> {
        self.prepare_snapshot()?.save(to, files, stop)
    }
}

/// The map as it was.
pub(crate) struct View(Arc<Map>);

impl PrepareSnapshot for Kv {
    type View = View;

    fn prepare_snapshot(&self) -> Result<View, Failure> {
        Ok(View(Arc::clone(&self.map)))
    }
}

impl SnapshotView for View {
    fn save(self, to: &mut dyn Write, _: &mut Files, stop: &Stop) -> Result<(), Failure> {
        to.write_all(&(self.0.len() as u64).to_le_bytes())?;
        for text in self.0.iter().flat_map(|(key, value)| [key, value]) {
            stop.check()?;
            to.write_all(&(text.len() as u64).to_le_bytes())?;
            to.write_all(text.as_bytes())?;
        }
        Ok(())
    }
}

/// Object `n` has the pairs behind the `n`-th piece of the map, as they are written to a snapshot.
pub(crate) struct Pieces(Vec<Bytes>);

/// The pairs that have come.
pub(crate) struct Received(Map);

impl ObjectSnapshots for Kv {
    type Reading = Pieces;
    type Receiving = Received;

    fn read_objects(&self, object_bytes: usize) -> Result<Pieces, Failure> {
        let mut pieces = vec![Vec::new()];
        for pair in self.map.iter() {
            if pieces.last().is_none_or(|last| last.len() >= object_bytes) {
                pieces.push(Vec::new());
            }
            if let Some(last) = pieces.last_mut() {
                for text in [pair.0, pair.1] {
                    last.extend_from_slice(&(text.len() as u64).to_le_bytes());
                    last.extend_from_slice(text.as_bytes());
                }
            }
        }
        Ok(Pieces(pieces.into_iter().map(Bytes::from).collect()))
    }

    fn receive_objects(&self) -> Result<Received, Failure> {
        Ok(Received(Map::new()))
    }

    fn recover_from_objects(&mut self, received: Received, _: u64) -> Result<(), Failure> {
        self.map = Arc::new(received.0);
        Ok(())
    }
}

impl ReadObjects for Pieces {
    fn read_object(&mut self, id: u64) -> Result<Object, Failure> {
        let data = self.0.get(usize::try_from(id)?).ok_or("there is no such object")?.clone();
        Ok(Object { id, data, last: id + 1 == self.0.len() as u64 })
    }
}

impl ReceiveObjects for Received {
    fn receive_object(&mut self, object: &Object, first: bool) -> Result<u64, Failure> {
        if first {
            self.0.clear();
        }
        let mut data = &object.data[..];
        while !data.is_empty() {
            self.0.insert(read_text(&mut data)?, read_text(&mut data)?);
        }
        Ok(object.id + 1)
    }
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
        return Err("the snapshot ends too early".into());
    }
    Ok(String::from_utf8(bytes)?)
}
