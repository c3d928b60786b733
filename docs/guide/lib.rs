//! The pages of the guide and the READMEs, so that `cargo test` compiles and runs the code in them.
//!
//! Nothing is exported: the pages are what lies beside this file.

#![forbid(unsafe_code)]

/// One page.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("below-raft-rs.md")]
    struct BelowRaftRs;

    #[doc = include_str!("below-openraft.md")]
    struct BelowOpenraft;

    #[doc = include_str!("your-own-core.md")]
    struct YourOwnCore;

    #[doc = include_str!("coming-from.md")]
    struct ComingFrom;

    #[doc = include_str!("../../README.md")]
    struct Readme;

    #[doc = include_str!("../../engine/README.md")]
    struct EngineReadme;
}
