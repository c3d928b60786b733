//! The calls of NuRaft's `append_entries` on a log and a machine: a leader and a follower without a network, and a
//! transcript of what each of them does, case by case. Both run on one thread, one call after the other.
//!
//!     cargo run -p logboom-rsm --example append_entries [CASE..]
//!
//! Without names it shows all cases, in some 2,200 lines.
//!
//! The tests compare the transcripts with `tests/rsm/transcripts/`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "harness.rs"]
mod harness;

fn main() -> harness::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<&str> = harness::cases::CASES.iter().map(|case| case.name).collect();
    if let Some(unknown) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("there is no case {unknown}; there are {}", names.join(", ")).into());
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    for case in harness::cases::CASES.iter().filter(|case| is_wanted(case.name)) {
        println!("==== {}: {}\n\n{}", case.name, case.about, (case.run)()?);
    }
    Ok(())
}
