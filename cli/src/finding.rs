//! The kinds of findings of a check, each with its remedy. docs/repair.md has the same table, and a test holds the two
//! together.

use logboom::DamageKind;
use serde::Serialize;

/// A kind of finding, by the name that is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Finding {
    Tail,
    Records,
    End,
    MissingSegment,
    Unreadable,
    Descriptors,
    Footer,
    Checkpoint,
    OddFile,
    Identity,
    Snapshot,
}

impl Finding {
    /// All of them, in the order of the table.
    #[cfg(test)]
    const ALL: [Self; 11] = [
        Self::Tail,
        Self::Records,
        Self::End,
        Self::MissingSegment,
        Self::Unreadable,
        Self::Descriptors,
        Self::Footer,
        Self::Checkpoint,
        Self::OddFile,
        Self::Identity,
        Self::Snapshot,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tail => "tail",
            Self::Records => "records",
            Self::End => "end",
            Self::MissingSegment => "missing-segment",
            Self::Unreadable => "unreadable",
            Self::Descriptors => "descriptors",
            Self::Footer => "footer",
            Self::Checkpoint => "checkpoint",
            Self::OddFile => "odd-file",
            Self::Identity => "identity",
            Self::Snapshot => "snapshot",
        }
    }

    /// The remedy, in one line.
    pub(crate) fn mend(self) -> &'static str {
        match self {
            Self::Tail => "the next writable opening cuts it: nothing that was acknowledged is in it",
            Self::Records => "heal the shards in quarantine from a replica, or give up what is lost: `logboom repair`",
            Self::End => {
                "a snapshot from a replica for each shard; shards that nothing is known of: `logboom repair \
                 --accept-unknown-losses`"
            }
            Self::MissingSegment => "bring the file back, or heal the shards in quarantine from a replica",
            Self::Unreadable => {
                "wait for the device, or copy the directory to another one; then heal what is lost, or give it up"
            }
            Self::Descriptors => "costs no data: the engine moves what is live and gives the segment back",
            Self::Footer => "costs no data: the next writable opening reads the segment and writes its footer anew",
            Self::Checkpoint => "costs no data while the other slot is intact: the next checkpoint is written over it",
            Self::OddFile => {
                "a writable opening gives a file its size, and goes on without what cannot be read; a file that holds \
                 nothing of the log becomes `aside-NNNNNN`"
            }
            Self::Identity => {
                "`logboom repair --identity` or `--strangers`: see docs/repair.md, *Files of another log, and a lost \
                 LOGBOOM*"
            }
            Self::Snapshot => "make a newer snapshot of the shard, or install one from a replica",
        }
    }
}

impl From<DamageKind> for Finding {
    fn from(kind: DamageKind) -> Self {
        match kind {
            DamageKind::End => Self::End,
            DamageKind::Missing => Self::MissingSegment,
            DamageKind::Unreadable => Self::Unreadable,
            DamageKind::Descriptors => Self::Descriptors,
            DamageKind::Footer => Self::Footer,
            _ => Self::Records,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_has_a_row_for_each_finding_and_no_other() {
        let guide = include_str!("../../docs/repair.md");
        let (_, table) = guide.split_once("## What `verify` prints").unwrap();
        let (table, _) = table.split_once("\n## ").unwrap();
        let rows = table.lines().filter(|line| line.starts_with("| `"));
        let cells =
            |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let rows: Vec<(String, String)> = rows.map(|row| (cells(row)[0].clone(), cells(row)[2].clone())).collect();
        let expected = Finding::ALL.map(|finding| (format!("`{}`", finding.name()), finding.mend().to_owned()));
        assert_eq!(rows, expected);
        let (_, section) = Finding::Identity.mend().split_once('*').unwrap();
        assert!(guide.contains(&format!("\n## {}\n", section.trim_end_matches('*'))), "no section {section}");
        for finding in Finding::ALL {
            assert_eq!(serde_json::to_value(finding).unwrap(), finding.name());
        }
    }
}
