//! Cuts the power at many moments of a recorded history, and again while the log is opened after that.

use std::path::Path;

use fastrand::Rng;

use crate::{
    Failure,
    disk::{CONTENT, Disk},
    image::{Cut, Platter},
    janitor,
    recording::{Ground, Recording},
    survivor::{Expected, Outcomes, check, open},
    write_log::WriteLog,
};

/// From this mark on an opening has reported what it recovered.
const RECOVERED: &str = "recovered";
/// One cut in so many is followed by others, during the opening after it.
const AGAIN: usize = 15;
/// The cuts that follow such a one.
const SECOND_CUTS: usize = 6;

/// Records histories and cuts the power during each.
pub(crate) fn run(ground: Ground, seed: u64, recordings: u64, cuts: usize) -> Result<(), Failure> {
    let mut outcomes = Outcomes::default();
    for seed in seed..seed + recordings {
        cut_recording(&ground, seed, cuts, &mut outcomes)
            .map_err(|failure| format!("{}, seed {seed}, after {} cuts, {failure}", ground.name, outcomes.cuts))?;
        crate::say(&format!("{}, up to seed {seed}: {outcomes:?}", ground.name));
    }
    match outcomes.unflushed {
        [0, 0, 0] => Err("no cut met an unflushed write: it was as good as unmounting".into()),
        _ => Ok(()),
    }
}

fn cut_recording(ground: &Ground, seed: u64, cuts: usize, outcomes: &mut Outcomes) -> Result<(), Failure> {
    let recording = Recording::new(ground, seed)?;
    let mut rng = Rng::with_seed(seed);
    let dir = janitor::temp_dir()?;
    let image = dir.path().join("image");
    let mut platter = Platter::new(&recording.log, vec![0; ground.system.bytes as usize]);
    for (number, at) in recording.moments(cuts, &mut rng)?.into_iter().enumerate() {
        platter.advance(at);
        let cut = platter.cut(ground.system.sector, &mut rng);
        let expected = Expected::OneOf { known: recording.known(at)?, possible: &recording.possible };
        platter.write(&cut, &image)?;
        check(ground, &image, &expected, outcomes)
            .map_err(|failure| keep(&platter, &cut, &format!("{}-{seed}-{at}", ground.name), &failure))?;
        outcomes.note_cut(&cut);
        if number % AGAIN == 0 {
            platter.write(&cut, &image)?;
            cut_again(ground, &image, &expected, &mut rng, outcomes)
                .map_err(|failure| keep(&platter, &cut, &format!("{}-{seed}-{at}", ground.name), &failure))?;
        }
    }
    Ok(())
}

/// Opens the log on an image, as a disk, and cuts the power meanwhile.
fn cut_again(
    ground: &Ground,
    image: &Path,
    expected: &Expected<'_>,
    rng: &mut Rng,
    outcomes: &mut Outcomes,
) -> Result<(), Failure> {
    let dir = janitor::temp_dir()?;
    let content = dir.path().join(CONTENT);
    std::fs::rename(image, &content)?;
    let disk = Disk::start(dir.path(), rng.u64(..))?;
    let mount = ground.mount(&disk.image(), &dir.path().join("mounted"))?;
    let (engine, states) = open(ground, mount.path(), expected, outcomes)?;
    disk.mark(RECOVERED)?;
    engine.close()?;
    mount.unmount()?;

    let log = WriteLog::read(&disk.finish()?)?;
    let recovered = log.position(RECOVERED)?;
    let reported = Expected::Exactly(states);
    let mut platter = Platter::new(&log, std::fs::read(content)?);
    for at in log.moments(0, SECOND_CUTS, rng) {
        platter.advance(at);
        let cut = platter.cut(ground.system.sector, rng);
        platter.write(&cut, image)?;
        check(ground, image, if at > recovered { &reported } else { expected }, outcomes)
            .map_err(|failure| keep(&platter, &cut, &format!("{}-again-{at}", ground.name), &failure))?;
        outcomes.note_cut(&cut);
        outcomes.second_cuts += 1;
    }
    Ok(())
}

/// Makes the image of a cut anew where it stays, and says what went wrong with it.
fn keep(platter: &Platter<'_>, cut: &Cut, name: &str, failure: &Failure) -> Failure {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("power-cut-{name}.img"));
    let kept = platter.write(cut, &path).map_or_else(|error| error.to_string(), |()| path.display().to_string());
    format!("{cut} (image: {kept}): {failure}").into()
}

impl Outcomes {
    fn note_cut(&mut self, cut: &Cut) {
        self.cuts += 1;
        self.unflushed.iter_mut().zip(cut.counts()).for_each(|(sum, count)| *sum += count);
    }
}
