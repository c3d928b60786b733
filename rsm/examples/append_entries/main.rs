//! The calls of NuRaft's `append_entries` on a log and a machine: a leader and a follower without a network, and a
//! transcript of what each of them does, case by case. Both run on one thread, one call after the other.
//!
//!     cargo run -p logboom-rsm --example append_entries
//!
//! The tests compare the transcripts with `tests/rsm/transcripts/`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "harness.rs"]
mod harness;

fn main() -> harness::Result<()> {
    for case in harness::cases::CASES {
        println!("==== {}: {}\n\n{}", case.name, case.about, (case.run)()?);
    }
    Ok(())
}
