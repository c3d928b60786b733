//! What reaches the kernel: the append path is writes and syncs, and nothing else.

use logboom_disk::{Op, OpKind, Sync, Wait};

use crate::{filled, on_each_disk, prepared, unit};

#[test]
fn groups_cost_a_write_and_a_sync_each_and_nothing_else() {
    const GROUPS: u64 = 40;
    on_each_disk(|disk| {
        let unit = unit(disk);
        let file = prepared(disk, "a", GROUPS);
        let before = disk.stats();
        let mut queue = disk.queue().unwrap();
        let mut completions = Vec::new();
        for token in 0..GROUPS {
            let slices = vec![filled(1, unit / 2), filled(2, unit / 2)];
            let kind = OpKind::Write { slices, offset: token * unit as u64, sync: Sync::Data };
            queue.submit(Op { token, file: file.clone(), kind });
            while queue.in_flight() > 0 {
                queue.reap(Wait::Forever, &mut completions);
            }
        }
        let after = disk.stats();
        assert_eq!(after.writes - before.writes, GROUPS);
        assert_eq!(after.writes_durable - before.writes_durable, GROUPS);
        assert_eq!(after.write_bytes - before.write_bytes, GROUPS * unit as u64);
        assert_eq!(after.syncs, before.syncs);
        assert_eq!((after.creates, after.renames, after.removes), (before.creates, before.renames, before.removes));
        assert_eq!(after.allocates, before.allocates);
    });
}
