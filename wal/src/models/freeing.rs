//! Segments that are freed while a checkpoint is prepared.

use std::sync::Arc;

use loom::thread;

use super::{World, model};
use crate::{
    format::group::{Life, Origin},
    group_commit::rows::rows,
    segments::segment::Segment,
    types::ids::SegmentId,
};

/// The freeing is not durable: a crash may lose its record, and then only the checkpoint names the file.
#[test]
fn a_checkpoint_names_a_segment_that_is_freed_meanwhile() {
    model(2, || {
        let world = World::new();
        let (freed, active) = (SegmentId(0), SegmentId(1));
        let life = Life { segment: freed, epoch: 1, nonce: 1, origin: Origin::default() };
        let segment = Arc::new(Segment::new(life, 9, world.device.file(9), 1 << 18, 0, (1, 1)));
        world.shared.state.segments.lock().insert(freed, segment);
        let (shared, group) = (Arc::clone(&world.shared), world.shared.state.watermark.durable() + 1);
        let retirer = thread::spawn(move || shared.retire(group, &[freed]));
        let named: Vec<SegmentId> = rows(&world.shared, active).iter().map(|row| row.id).collect();
        assert_eq!(named, [freed]);
        retirer.join().unwrap();
    });
}
