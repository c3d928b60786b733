//! The example for a second, with so little memory that the table is flushed.

use std::process::Command;

#[test]
fn orders_are_as_they_were_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = Command::new(env!("CARGO_BIN_EXE_logboom-orders"))
        .args(["--seconds", "1", "--memory-mib", "4", "--dir"])
        .arg(dir.path().join("shop"))
        .output()
        .expect("the example starts");
    let (output, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{output}{errors}");
    assert!(output.contains("orders are as they were written\nand after a restart\n"), "{output}{errors}");
}
