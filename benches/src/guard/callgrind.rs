//! Counts the instructions of an operation in a child process under callgrind.

use std::{
    io::{self, Write},
    path::Path,
    process::{Command, Output, Stdio},
};

use serde::{Deserialize, Serialize};

use super::{operations::Operation, record::Circumstances};
use crate::{Error, Result};

/// The report of a child.
#[derive(Debug, Deserialize, Serialize)]
struct Report {
    units: u64,
    circumstances: Circumstances,
}

/// The instructions per unit of an operation, and the circumstances that they depend on.
#[derive(Debug)]
pub struct Counted {
    /// The instructions of one unit.
    pub per_unit: f64,
    /// The circumstances of the count.
    pub circumstances: Circumstances,
}

/// Counts an operation, and writes a profile for `callgrind_annotate` to the directory `profile`.
///
/// # Errors
/// If the child fails. Without valgrind the count is `None`, and no error.
pub fn count(operation: &Operation, profile: Option<&Path>) -> Result<Option<Counted>> {
    let output = match command(operation, profile)?.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        output => output?,
    };
    understood(&output).map(Some).map_err(|error| format!("{}: {error:#}", operation.name).into())
}

/// The pattern for the counted function in callgrind's names. It allows for any mangling of symbols, and has the name
/// of this crate, so that it matches no function of a library.
pub const COUNTED: &str = "*logboom_bench*guard*counted*";

/// Performs an operation in this process: the child's side of [`count`].
pub fn serve(operation: &Operation) -> Result<()> {
    let units = operation.run()?;
    let report = Report { units, circumstances: Circumstances::of_this_process() };
    Ok(writeln!(io::stdout().lock(), "{}", serde_json::to_string(&report)?)?)
}

fn command(operation: &Operation, profile: Option<&Path>) -> Result<Command> {
    let out = match profile {
        Some(folder) => folder.join(format!("callgrind.out.{}", operation.name)),
        None => "/dev/null".into(),
    };
    let mut command = Command::new("valgrind");
    command.env("GLIBC_TUNABLES", WITHOUT_REP);
    command.arg("--tool=callgrind").arg(format!("--toggle-collect={COUNTED}"));
    command.arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(std::env::current_exe()?).args(["count", operation.name]).stdin(Stdio::null());
    Ok(command)
}

/// Disables `rep movsb` and `rep stosb` in glibc, which uses them from some KiB on. Callgrind counts each byte of them
/// as an instruction, so large copies would dominate the count.
const WITHOUT_REP: &str = "glibc.cpu.x86_rep_movsb_threshold=0x7fffffff:glibc.cpu.x86_rep_stosb_threshold=0x7fffffff";

fn understood(output: &Output) -> Result<Counted> {
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("callgrind ended with {}:\n{said}", output.status).into());
    }
    let Report { units, circumstances } = serde_json::from_slice(&output.stdout)?;
    match (collected(&said), units) {
        (None | Some(0), _) | (_, 0) => Err(Error::from(format!("nothing was counted:\n{said}"))),
        (Some(instructions), units) => Ok(Counted { per_unit: instructions as f64 / units as f64, circumstances }),
    }
}

/// The number of instructions in callgrind's final output, such as `==7== Collected : 1234`.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.split_once("Collected :"));
    line.and_then(|(_, count)| count.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_callgrind_says() {
        let said = "==7== Callgrind, a call-graph generating cache profiler\n==7== \n\
                    ==7== Events    : Ir\n==7== Collected : 123456\n==7== \n==7== I   refs:      123,456\n";
        assert_eq!(collected(said), Some(123_456));
        assert_eq!(collected("==7== Collected :\n"), None);
        assert_eq!(collected("valgrind: no such tool"), None);
    }

    #[test]
    fn without_a_count_there_is_an_error() {
        use std::os::unix::process::ExitStatusExt;
        let report = Report { units: 10, circumstances: Circumstances::of_this_process() };
        let output = |status: i32, units: u64, said: &str| Output {
            status: std::process::ExitStatus::from_raw(status),
            stdout: serde_json::to_vec(&Report { units, circumstances: report.circumstances.clone() }).unwrap(),
            stderr: said.into(),
        };
        let good = understood(&output(0, report.units, "==7== Collected : 25")).unwrap();
        assert_eq!((good.per_unit, good.circumstances), (2.5, report.circumstances.clone()));
        for bad in [output(1 << 8, 10, "==7== Collected : 25"), output(0, 10, ""), output(0, 0, "Collected : 5")] {
            understood(&bad).unwrap_err();
        }
        understood(&output(0, 10, "==7== Collected : 0")).unwrap_err();
    }
}
