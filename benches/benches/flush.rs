//! flush: rows become blocks of at most 8192 rows. It is planned; the bench keeps its place.

#![forbid(unsafe_code)]

fn main() {
    eprintln!("flush: planned; there are no blocks to measure yet");
}
