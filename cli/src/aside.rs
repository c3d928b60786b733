//! Before a repair: copies the files that it changes into a folder of the log's directory, with a record.
//!
//! The folder is durable before the first change, so that data that a repair gives up can still be examined.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

/// The folder in the log's directory that holds one folder for each repair. The log does not look into folders.
const FOLDER: &str = "damaged";
/// The record, one JSON object a line: the plan, and the outcome.
const RECORD: &str = "REPAIR.json";

/// The folder of one repair.
#[derive(Debug)]
pub(crate) struct Aside {
    path: PathBuf,
    record: File,
}

impl Aside {
    /// Makes a folder named after `now` in the directory `log`, and copies the files `names` of it there. All of that
    /// survives power loss on return.
    ///
    /// # Errors
    /// The copy that failed, and why: the repair must not continue without it.
    pub(crate) fn make(log: &Path, names: &[String], now: SystemTime) -> Result<Self, String> {
        let all = log.join(FOLDER);
        let path = all.join(utc(now).replace(['-', ':'], ""));
        let fail = |error| format!("{} cannot be made: {error:#}", path.display());
        fs::create_dir_all(&all).map_err(fail)?;
        fs::create_dir(&path).map_err(fail)?;
        for name in names {
            let copied = copy(&log.join(name), &path.join(name));
            copied.map_err(|error| format!("{name} cannot be copied to {}: {error:#}", path.display()))?;
        }
        let record = File::create_new(path.join(RECORD)).map_err(fail)?;
        for folder in [&path, &all, log] {
            sync(folder).map_err(fail)?;
        }
        Ok(Self { path, record })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the files `names` of the directory `log` into the folder, durably.
    ///
    /// # Errors
    /// The file that could not be moved, and why.
    pub(crate) fn take(&self, log: &Path, names: &[String]) -> Result<(), String> {
        for name in names {
            let moved = fs::rename(log.join(name), self.path.join(name));
            moved.map_err(|error| format!("{name} cannot be moved to {}: {error:#}", self.path.display()))?;
        }
        let synced = sync(&self.path).and_then(|()| sync(log));
        synced.map_err(|error| format!("{} cannot be synced: {error:#}", self.path.display()))
    }

    /// Adds a line to the record, durably.
    ///
    /// # Errors
    /// Why the write failed.
    pub(crate) fn note(&mut self, line: &impl Serialize) -> Result<(), String> {
        let fail = |error| format!("{} cannot be written: {error:#}", self.path.join(RECORD).display());
        let mut text = serde_json::to_string(line).expect("records have string keys and no failing parts");
        text.push('\n');
        self.record.write_all(text.as_bytes()).and_then(|()| self.record.sync_all()).map_err(fail)
    }
}

/// Copies a file, durably but for its name.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    sync(to)
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A time in RFC 3339, in UTC: `2026-02-28T23:59:59.123Z`. Times before 1970 count as its first moment.
pub(crate) fn utc(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (year, month, day) = date(since.as_secs() / 86_400);
    let seconds = since.as_secs() % 86_400;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// Year, month and day of the `days`th day from 1970-01-01 on, in the Gregorian calendar.
///
/// Counted in eras of 400 years, which have 146,097 days each, from a first of March: so the leap day comes last.
fn date(days: u64) -> (u64, u64, u64) {
    let (era, day) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let from_january = if month < 10 { month + 3 } else { month - 9 };
    (400 * era + year + u64::from(from_january <= 2), from_january, day - (153 * month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (1_709_251_199_001, "2024-02-29T23:59:59.001Z"),
            (1_772_323_200_000, "2026-03-01T00:00:00.000Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn what_cannot_be_copied_is_named() {
        let log = tempfile::tempdir().expect("a folder for the test");
        let error = Aside::make(log.path(), &["segment-000001".to_owned()], UNIX_EPOCH).expect_err("no such file");
        assert!(error.contains("segment-000001 cannot be copied") && error.contains("19700101T000000.000Z"), "{error}");
        let error = Aside::make(log.path(), &[], UNIX_EPOCH).expect_err("a folder is made once");
        assert!(error.contains("cannot be made"), "{error}");
    }
}
