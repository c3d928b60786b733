//! Models: code of the tail that threads share, under loom, which runs each of them through every interleaving of its
//! threads and every value that a load may return, up to a bound on preemptions.
//!
//!     RUSTFLAGS="--cfg loom" cargo test --release -p logboom-logtail-core --lib models::

#![expect(clippy::unwrap_used, reason = "a model fails as a test does")]

#[cfg(feature = "mutants")]
mod mutants;
mod watermark;

/// Explores `threads` with up to `preemptions` preemptions, or as many as `LOOM_MAX_PREEMPTIONS` says.
fn model(preemptions: usize, threads: impl Fn() + Send + Sync + 'static) {
    #[cfg(feature = "mutants")]
    mutants::switch_on_what_is_named();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.check(threads);
}
