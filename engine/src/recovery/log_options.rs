//! Maps [`Config`] to the options of the log, and validates it.

use logboom_wal::Options;

use crate::{
    index::footer,
    types::{
        config::Config,
        error::{Error, Result},
    },
};

impl Config {
    /// Rejects invalid configurations, before the directory is touched.
    pub(crate) fn check(&self) -> Result<()> {
        options(self).check()?;
        if self.snapshots_kept == 0 {
            return Err(Error::Config { reason: "snapshots_kept is 0, a registered snapshot would be none".into() });
        }
        Ok(())
    }
}

/// The options of the log, without a listener.
pub(crate) fn options(config: &Config) -> Options {
    Options {
        segment_bytes: config.segment_bytes,
        reserve_segments: config.reserve_segments as usize,
        space_bytes_max: config.space_bytes_max.unwrap_or(u64::MAX),
        cache_bytes: config.cache_bytes,
        read_ahead_bytes: config.read_ahead_bytes,
        admission_bytes: config.admission_bytes,
        lazy_age: config.lazy_age,
        idle_promise: config.idle_promise,
        stall_after: config.stall_after,
        scrub_period: config.scrub_period,
        footer: footer::SPACE,
        create: config.create,
        listener: Options::default().listener,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn segment_size_is_checked() {
        for (bytes, good) in [(0, false), (256 << 10, true), (3 << 20, false), (1 << 30, true), (2 << 30, false)] {
            let mut config = Config::new("unused");
            config.segment_bytes = bytes;
            assert_eq!(config.check().is_ok(), good, "{bytes}");
        }
    }

    #[test]
    fn what_is_refused_is_named_with_its_value() {
        let check = |change: fn(&mut Config), expected: &str| {
            let mut config = Config::new("unused");
            change(&mut config);
            assert_eq!(config.check().unwrap_err().to_string(), format!("configuration: {expected}"));
        };
        check(|config| config.reserve_segments = 5000, "reserve_segments is 5000, 4096 are the most");
        check(|config| config.admission_bytes = 0, "admission_bytes is 0, nothing could ever be accepted");
        check(|config| config.stall_after = Duration::ZERO, "stall_after is 0, every operation would be a stall");
        check(|config| config.snapshots_kept = 0, "snapshots_kept is 0, a registered snapshot would be none");
    }
}
