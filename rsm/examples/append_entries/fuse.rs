//! Where power is cut: at one of the arrows between two calls.

use std::{cell::RefCell, rc::Rc};

/// Counts the arrows of a case, and burns at one of them. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fuse(Rc<RefCell<Arrows>>);

#[derive(Debug, Default)]
struct Arrows {
    /// The number of the arrow to burn at, from 1; `None` for none.
    burn_at: Option<usize>,
    passed: usize,
}

/// A server has lost its power.
#[derive(Debug)]
pub(crate) struct PowerCut {
    /// Whose.
    pub(crate) server: &'static str,
    /// Between which calls.
    pub(crate) arrow: String,
}

impl Fuse {
    /// Begins to count, and burns at the arrow with this number.
    pub(crate) fn set(&self, burn_at: Option<usize>) {
        *self.0.borrow_mut() = Arrows { burn_at, passed: 0 };
    }

    /// The arrows that were passed since the fuse was set.
    pub(crate) fn passed(&self) -> usize {
        self.0.borrow().passed
    }

    /// A server has made one call, and makes the next.
    pub(crate) fn arrow(&self, server: &'static str, arrow: &str) -> Result<(), PowerCut> {
        let mut arrows = self.0.borrow_mut();
        arrows.passed += 1;
        if arrows.burn_at != Some(arrows.passed) {
            return Ok(());
        }
        arrows.burn_at = None;
        Err(PowerCut { server, arrow: arrow.into() })
    }
}

impl std::fmt::Display for PowerCut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.server, self.arrow)
    }
}

impl std::error::Error for PowerCut {}
