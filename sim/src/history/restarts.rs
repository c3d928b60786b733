//! Opens the log again and again with almost no writes in between, like a service that crashes at start.

use logboom::{Engine, disk::Disk};
use logboom_wal::marks;

use super::History;
use crate::{
    check::{Check, Failure},
    operation::{Kind, Operation},
};

/// The files that short openings may add to a log besides the reserve: four segments that can be given back, the one
/// being written, a cold one, two more, and three prepared ones that are kept back.
const FILES_ADDED_MAX: usize = 8 + 3;

impl History {
    /// Opens the log some dozen times, and checks that the files this adds are bounded, however often it happens.
    pub(super) fn restart_often(&mut self, mut engine: Engine) -> Result<Engine, Failure> {
        let before = self.count_files();
        let most = before + FILES_ADDED_MAX + self.world.config.reserve_segments as usize;
        for nth in 1..=self.choices.range(6..24) {
            if self.choices.are_over() || self.is_hurt() {
                break;
            }
            if self.choices.percent(50) {
                let hint = Kind::CommitHint { hint: vec![self.choices.byte()] };
                self.hand_in(&engine, &[Operation { shard: 0, kind: hint }])?;
            }
            for _ in 0..self.choices.below(4) {
                engine.drive_once();
            }
            engine = self.end_and_reopen(engine)?;
            let files = self.count_files();
            if files > most {
                let what = format!("{before} files, and {files} after {nth} openings: {:?}", engine.space());
                return Err(Failure::new(Check::Bounded, what));
            }
            self.world.check_bound(&engine)?;
        }
        marks::hit("opening: again and again");
        Ok(engine)
    }

    fn count_files(&self) -> usize {
        let names = self.world.disk.list().unwrap_or_default();
        names.iter().filter(|name| name.starts_with("segment-") || name.starts_with("prefill-")).count()
    }
}
