//! Into a directory of the embedder's.

use std::{fs, path::Path};

use logboom_snapshot::{Codec, Error, Progress, Stop};

use crate::support::*;

fn content(dir: &Path, names: impl Iterator<Item = String>) -> Files {
    names.map(|name| (name.clone(), fs::read(dir.join(name)).unwrap())).collect()
}

#[test]
fn files_are_written_under_their_names() {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut files = random_files(&mut rng);
    files.insert("sst/deep/er/4".into(), vec![4; 600_000]);
    let built = build(&open(&sim(1), &[]), spec(1, Codec::Lz4), &files).unwrap();
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("export");
    let progress = Progress::default();
    built.lease().export(&dir, &Stop::new(), &progress).unwrap();
    assert_eq!(content(&dir, files.keys().cloned()), files);
    assert_eq!(progress.done_bytes(), built.manifest().bytes());
    let refused = built.lease().export(&dir, &Stop::new(), &Progress::default());
    assert!(matches!(refused, Err(Error::Io { .. })), "it is not empty");
    assert_eq!(content(&dir, files.keys().cloned()), files, "and stays as it is");
}

#[test]
fn one_that_fails_or_is_stopped_leaves_nothing() {
    let disk = sim(1);
    let store = open(&disk, &[]);
    let files = Files::from([("a/b".into(), vec![1; 3000]), ("c".into(), vec![2; 900_000])]);
    let built = build(&store, spec(1, Codec::None), &files).unwrap();
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("export");
    let stop = Stop::new();
    stop.stop();
    assert!(matches!(built.lease().export(&dir, &stop, &Progress::default()), Err(Error::Stopped)));
    assert!(!dir.exists());
    fs::create_dir(&dir).unwrap();
    let name = format!("snapshot-{:016x}", built.registration().file);
    disk.damage(&name, 700_000..700_001).unwrap();
    assert!(matches!(built.lease().export(&dir, &Stop::new(), &Progress::default()), Err(Error::Damaged { .. })));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
}
