//! `Record`: the committed counts, and the comparison of new counts with them.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, job::round};

/// The instructions per unit of each operation, and the circumstances of the count.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Record {
    /// Counts under other circumstances are not compared.
    pub circumstances: Circumstances,
    /// The instructions per unit, by the name of the operation.
    pub instructions: BTreeMap<String, f64>,
}

/// The circumstances that determine the number of instructions, apart from the code.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Circumstances {
    /// The release of the compiler.
    pub rustc: String,
    /// The target that it compiled for.
    pub target: String,
    /// The optimization level.
    pub opt_level: String,
    /// The vector instructions that checksums and copies use.
    pub processor: String,
}

impl Circumstances {
    /// The circumstances of this process: under callgrind, the processor is the one that callgrind emulates.
    pub fn of_this_process() -> Self {
        Circumstances {
            rustc: env!("LOGBOOM_BENCH_RUSTC").to_owned(),
            target: env!("LOGBOOM_BENCH_TARGET").to_owned(),
            opt_level: env!("LOGBOOM_BENCH_OPT_LEVEL").to_owned(),
            processor: processor(),
        }
    }
}

impl fmt::Display for Circumstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Circumstances { rustc, target, opt_level, processor } = self;
        write!(f, "rustc {rustc}, {target}, opt-level {opt_level}, {processor}")
    }
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// If the file is missing, or is no record.
    pub fn load(path: &Path) -> Result<Self> {
        let at = |error: Error| Error::from(format!("{}: {error}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| at(error.into()))?;
        serde_json::from_str(&text).map_err(|error| at(error.into()))
    }

    /// Writes the record, replacing the file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// Sets the count of an operation, rounded to three decimals.
    pub fn set(&mut self, operation: &str, instructions: f64) {
        self.instructions.insert(operation.to_owned(), round(instructions));
    }

    /// Compares a count of an operation with the record.
    pub fn judge(&self, operation: &str, instructions: f64) -> Verdict {
        let Some(&before) = self.instructions.get(operation) else { return Verdict::Unknown };
        let change = instructions / before - 1.0;
        match instructions - before {
            more if change > GROWTH_MAX && more > SLACK => Verdict::Worse { change },
            more if change < -GROWTH_MAX && more < -SLACK => Verdict::Better { change },
            _ => Verdict::Same { change },
        }
    }
}

/// A count compared with the record; `change` is the relative growth, 0.1 for 10 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The record does not have the operation.
    Unknown,
    /// The count grew by more than a change of the code around it explains.
    Worse {
        /// The relative growth.
        change: f64,
    },
    /// The count shrank so much that the record no longer guards it.
    Better {
        /// The relative change, which is negative.
        change: f64,
    },
    /// The count is close enough.
    Same {
        /// The relative change.
        change: f64,
    },
}

impl Verdict {
    /// Whether the guard accepts the count.
    pub fn passes(self) -> bool {
        matches!(self, Verdict::Same { .. } | Verdict::Better { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounds first and adds zero, or no change would be printed as `-0.0`.
        let percent = |change: f64| (change * 1e3).round() / 10.0 + 0.0;
        match *self {
            Verdict::Unknown => f.write_str("not in the record"),
            Verdict::Worse { change } => write!(f, "{:+.1} %, too much", percent(change)),
            Verdict::Better { change } => write!(f, "{:+.1} %, worth recording", percent(change)),
            Verdict::Same { change } => write!(f, "{:+.1} %", percent(change)),
        }
    }
}

/// The greatest relative growth of a count that is accepted.
const GROWTH_MAX: f64 = 0.1;

/// Instructions per unit that vary with inlining. They are accepted whatever their share, since some operations have
/// only a few.
const SLACK: f64 = 5.0;

#[cfg(target_arch = "x86_64")]
fn processor() -> String {
    let features = [
        ("sse4.2", std::arch::is_x86_feature_detected!("sse4.2")),
        ("pclmulqdq", std::arch::is_x86_feature_detected!("pclmulqdq")),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ];
    features.into_iter().filter(|(_, found)| *found).map(|(name, _)| name).collect::<Vec<_>>().join(" ")
}

#[cfg(not(target_arch = "x86_64"))]
fn processor() -> String {
    std::env::consts::ARCH.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_tenth_is_too_much() {
        let mut record = Record { circumstances: Circumstances::of_this_process(), instructions: BTreeMap::default() };
        record.set("append", 1000.0);
        record.set("bounds", 20.0);
        for (operation, instructions, passes, said) in [
            ("append", 1000.0, true, "+0.0 %"),
            ("append", 999.9, true, "+0.0 %"),
            ("append", 1099.0, true, "+9.9 %"),
            ("append", 1101.0, false, "+10.1 %, too much"),
            ("append", 899.0, true, "-10.1 %, worth recording"),
            ("bounds", 24.0, true, "+20.0 %"),
            ("bounds", 26.0, false, "+30.0 %, too much"),
            ("read", 1.0, false, "not in the record"),
        ] {
            let verdict = record.judge(operation, instructions);
            assert_eq!((verdict.passes(), verdict.to_string().as_str()), (passes, said), "{operation} {instructions}");
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        assert!(Record::load(&path).unwrap_err().to_string().contains("record.json"));
        let mut record = Record { circumstances: Circumstances::of_this_process(), instructions: BTreeMap::default() };
        record.set("append", 123.456_78);
        record.save(&path).unwrap();
        let back = Record::load(&path).unwrap();
        assert_eq!(back.instructions["append"], 123.457);
        assert_eq!(back, record);
        fs::write(&path, "{}").unwrap();
        Record::load(&path).unwrap_err();
    }
}
