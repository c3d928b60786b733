//! A snapshot as openraft 0.9 sends it by itself: as bytes with offsets, which a transfer may go back in.

use std::io::{ErrorKind, SeekFrom, Write};

use logboom::{
    Config, Engine, EntryId, Runtime, ShardId,
    disk::{SimDisk, SimOptions},
    snapshot::{Codec, Spec, Stop},
};
use logboom_openraft::SnapshotData;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::group::A;

fn engine(seed: u64) -> Engine {
    let mut config = Config::new("simulated");
    config.segment_bytes = 256 << 10;
    Engine::open_on(SimDisk::new(seed, SimOptions::default()), config, Runtime::Threads).unwrap()
}

/// A handle to a snapshot of `shard` with two files, the one of several chunks, the other empty.
fn snapshot(engine: &Engine, shard: ShardId, codec: Codec) -> SnapshotData {
    let spec = Spec { codec, ..Spec::new(shard.0, EntryId { index: 7, term: 1 }) };
    let mut builder = engine.snapshots().build(spec, &Stop::new()).unwrap();
    let bytes: Vec<u8> = (0..1_200_000_u32).map(|number| (number / 7).to_le_bytes()[0]).collect();
    builder.file("state").unwrap().write_all(&bytes).unwrap();
    builder.file("empty").unwrap().write_all(b"").unwrap();
    engine.snapshots().register(&builder.finish().unwrap()).unwrap();
    engine.snapshots().newest(shard).unwrap().unwrap().into()
}

/// The chunk at an offset, as openraft asks for it.
async fn read(from: &mut SnapshotData, offset: u64, len: usize) -> Vec<u8> {
    from.seek(SeekFrom::Start(offset)).await.unwrap();
    let mut bytes = Vec::with_capacity(len);
    while bytes.capacity() > bytes.len() && from.read_buf(&mut bytes).await.unwrap() > 0 {}
    bytes
}

async fn write(to: &mut SnapshotData, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    to.seek(SeekFrom::Start(offset)).await?;
    to.write_all(bytes).await
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
}

#[test]
fn a_snapshot_is_sent_by_offsets() {
    run(async {
        for (codec, len) in [(Codec::None, 1 << 20), (Codec::None, 4099), (Codec::Lz4, 999)] {
            let (there, here) = (engine(1), engine(2));
            let mut sent = snapshot(&there, A, codec);
            let mut received = SnapshotData::receive(&here, A);
            let end = sent.seek(SeekFrom::End(0)).await.unwrap();
            let mut offset = 0;
            while offset < end {
                let bytes = read(&mut sent, offset, len).await;
                assert_eq!(bytes, read(&mut sent, offset, len).await, "it is the same each time");
                write(&mut received, offset, &bytes).await.unwrap();
                // An answer was lost: the same again, and at times all that there was.
                write(&mut received, offset, &bytes).await.unwrap();
                if offset == len as u64 {
                    write(&mut received, 0, &read(&mut sent, 0, len).await).await.unwrap();
                }
                offset += bytes.len() as u64;
            }
            assert_eq!((offset, received.wanted()), (end, None));
            received.shutdown().await.unwrap();
            assert!(read(&mut sent, end, 10).await.is_empty());

            // What has arrived is the snapshot: the same stream comes out of it.
            let manifest = sent.manifest_bytes().unwrap();
            assert!(received.manifest_bytes().is_none(), "it is no node's yet");
            assert_eq!(received.begin(&manifest).unwrap(), None, "nothing of it is wanted any more");
        }
    });
}

#[test]
fn what_is_no_stream_of_a_snapshot_is_refused_and_begins_anew() {
    run(async {
        let (there, here) = (engine(1), engine(2));
        let mut sent = snapshot(&there, A, Codec::None);
        let end = sent.seek(SeekFrom::End(0)).await.unwrap();
        let all = read(&mut sent, 0, usize::try_from(end).unwrap()).await;
        let manifest = 4 + sent.manifest_bytes().unwrap().len();

        let mut received = SnapshotData::receive(&here, A);
        assert_eq!(write(&mut received, 1, &all[1..]).await.unwrap_err().kind(), ErrorKind::InvalidInput, "a gap");
        let mut long = all[..manifest].to_vec();
        long.extend_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(write(&mut received, 0, &long).await.unwrap_err().kind(), ErrorKind::InvalidData);
        for flipped in [6, manifest + 100] {
            let mut bad = all.clone();
            bad[flipped] ^= 1;
            let written = write(&mut received, 0, &bad).await;
            assert!(written.is_err() || received.shutdown().await.is_err(), "byte {flipped}");
        }
        let mut foreign = SnapshotData::receive(&here, ShardId(9));
        let written = write(&mut foreign, 0, &all).await;
        assert!(written.is_err() || foreign.shutdown().await.is_err(), "another group's");
        assert_eq!(received.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(sent.write(&[0]).await.unwrap_err().kind(), ErrorKind::Unsupported);

        write(&mut received, 0, &all).await.unwrap();
        received.shutdown().await.unwrap();
        assert_eq!(received.begin(&sent.manifest_bytes().unwrap()).unwrap(), None);
    });
}
